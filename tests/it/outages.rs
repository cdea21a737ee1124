//! What everything stands on goes away and comes back: nothing is lost, nothing doubled, and no restart is needed.

use std::time::{Duration, Instant};

use quarterdeck::model::fault::Point;

use crate::harness::{OwnHomeserver, OwnPostgres, Plan, World};

#[tokio::test]
async fn without_the_database_nothing_runs_and_when_it_is_back_work_goes_on_by_itself() {
    let own = OwnPostgres::up();
    let world = World::with(Plan { postgres: Some(own.cluster.clone()), ..Plan::default() }).await;
    let life = world.server.as_ref().unwrap().id();
    let across = world.alice.say(&world.room, "!slow 2 across").await;
    world.started("across begins").await;
    own.stop();
    let during = world.alice.say(&world.room, "!count during").await;
    world.started("across ends").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.ops.counted("during"), 0, "nothing runs that is not recorded");
    own.start();
    assert_eq!(world.alice.outcome(&world.bot(), &across).await.state, "succeeded");
    assert_eq!(world.alice.outcome(&world.bot(), &during).await.state, "succeeded");
    world.settled().await;
    assert_eq!(world.ops.traced(), ["across begins", "across ends", "during", "settled"]);
    for command in [&across, &during] {
        assert_eq!(world.alice.outcomes(&world.bot(), command).len(), 1);
    }
    assert_eq!(world.server.as_ref().unwrap().id(), life);
    drop(world);
}

#[tokio::test]
async fn while_the_homeserver_is_away_runs_finish_and_are_answered_when_it_is_back() {
    let own = OwnHomeserver::up(&["--appservices", "1"]);
    let world = World::with(Plan { homeserver: Some(own.homeserver.clone()), ..Plan::default() }).await;
    let across = world.alice.say(&world.room, "!slow 2 across").await;
    world.started("across begins").await;
    own.kill();
    world.started("across ends").await;
    // Long enough for every backoff to have grown.
    tokio::time::sleep(Duration::from_secs(6)).await;
    own.start();
    let back = Instant::now();
    assert_eq!(world.alice.outcome(&world.bot(), &across).await.state, "succeeded");
    eprintln!("the first answer came {:?} after the homeserver was back", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(6), "{:?}", back.elapsed());
    world.settled().await;
    assert_eq!(world.ops.traced(), ["across begins", "across ends", "settled"]);
    assert_eq!(world.alice.outcomes(&world.bot(), &across).len(), 1);
}

#[tokio::test]
async fn an_answer_is_not_said_twice_although_the_homeserver_was_restarted_in_between() {
    let own = OwnHomeserver::up(&["--appservices", "1"]);
    let mut world = World::with(Plan { homeserver: Some(own.homeserver.clone()), ..Plan::default() }).await;
    world.stop().await;
    world.serve_until(Point::AfterAnswer).await;
    let command = world.alice.say(&world.room, "!count said").await;
    world.died().await;
    own.stop();
    own.start();
    world.serve().await;
    world.settled().await;
    assert_eq!(world.alice.outcomes(&world.bot(), &command).len(), 1);
    assert_eq!(world.ops.counted("said"), 1);
}

#[tokio::test]
async fn commands_that_were_sent_while_it_was_down_are_answered_at_once_when_it_is_back() {
    let mut world = World::start().await;
    world.stop().await;
    let mut commands = Vec::new();
    for number in 0..20 {
        commands.push(world.alice.say(&world.room, &format!("!count away-{number}")).await);
    }
    // Long enough for the homeserver to have given up trying for some seconds.
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.serve().await;
    let back = Instant::now();
    for command in &commands {
        assert_eq!(world.alice.outcome(&world.bot(), command).await.state, "succeeded");
    }
    eprintln!("20 commands were answered {:?} after the return", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
    for number in 0..20 {
        assert_eq!(world.ops.counted(&format!("away-{number}")), 1);
    }
}

#[tokio::test]
async fn commands_that_became_old_while_it_was_down_are_said_to_be_stale() {
    let mut world = World::with(Plan { limits: "stale_after = \"3s\"", ..Plan::default() }).await;
    world.stop().await;
    let command = world.alice.say(&world.room, "!count old").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(answer.state, "refused");
    assert!(answer.body.contains("Send it again"), "{}", answer.body);
    assert!(world.ops.traced().is_empty());
}
