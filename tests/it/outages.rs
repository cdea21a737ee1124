//! What everything stands on goes away and comes back, and so does Quarterdeck itself: nothing is lost, nothing is
//! doubled, and nobody has to mend anything by hand.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use quarterdeck::model::{Clock as _, SystemClock, fault::Point};

use crate::harness::{OwnHomeserver, OwnPostgres, Person, Plan, World, server::client};

/// Each of alice's commands ran once and was answered once, with success.
async fn each_once(world: &World, commands: &[(String, String)]) {
    for (word, command) in commands {
        let answer = world.alice.outcome(&world.bot(), command).await;
        assert_eq!(answer.state, "succeeded", "{word}: {}", answer.body);
    }
    world.settled().await;
    for (word, command) in commands {
        assert_eq!(world.ops.counted(word), 1, "{word} in {:?}", world.ops.traced());
        assert_eq!(world.alice.outcomes(&world.bot(), command).len(), 1, "{word} was answered once");
    }
}

/// Says `!count WORD` for a number of words; gives each with its event.
async fn say_counts(person: &Person, room: &str, word: &str, many: usize) -> Vec<(String, String)> {
    let mut commands = Vec::new();
    for number in 0..many {
        let word = format!("{word}-{number}");
        let command = person.say(room, &format!("!count {word}")).await;
        commands.push((word, command));
    }
    commands
}

/// Waits until the log of `serve` has this a number of times.
async fn logged(world: &World, what: &str, times: usize) {
    let begun = Instant::now();
    while world.log_text().matches(what).count() < times {
        assert!(begun.elapsed() < Duration::from_secs(25), "{what:?} was not logged {times} times");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_ready(world: &World) -> bool {
    is_well(world, "/health/ready").await
}

async fn is_well(world: &World, path: &str) -> bool {
    let url = format!("http://{}{path}", world.address());
    client().get(url).send().await.unwrap().status().is_success()
}

/// An application service that takes everything and keeps nothing; gives the bodies that it took.
async fn swallow(
    address: &str,
) -> (tokio::task::JoinHandle<()>, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (taken, swallowed) = tokio::sync::mpsc::unbounded_channel();
    let take = move |body: String| async move {
        let _ = taken.send(body);
        "{}"
    };
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let router = axum::Router::new().fallback(take);
    (tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }), swallowed)
}

#[tokio::test]
async fn what_the_homeserver_believes_to_have_delivered_is_found_in_the_room() {
    let mut world = World::start().await;
    world.stop().await;
    let (swallowing, mut swallowed) = swallow(&world.address()).await;
    let command = world.alice.say(&world.room, "!count held-back").await;
    while !swallowed.recv().await.unwrap().contains(&command) {}
    swallowing.abort();
    let _ = swallowing.await;
    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    world.settled().await;
    assert_eq!(world.ops.counted("held-back"), 1);
    assert_eq!(world.log_text().matches("had held these back").count(), 1);
}

#[tokio::test]
async fn without_the_database_nothing_runs_and_when_it_is_back_work_goes_on_by_itself() {
    let own = OwnPostgres::up();
    let world = World::with(Plan { postgres: Some(own.cluster.clone()), ..Plan::default() }).await;
    let life = world.server.as_ref().unwrap().id();
    let across = world.alice.say(&world.room, "!slow 2 across").await;
    world.started("across begins").await;
    own.stop();
    let mut during = say_counts(&world.alice, &world.room, "during", 5).await;
    world.started("across ends").await;
    // The homeserver has tried for the third time: by itself it would come back only after 8 seconds.
    logged(&world, "a transaction was not stored", 3).await;
    assert!(!is_ready(&world).await);
    assert!(
        is_well(&world, "/health/live").await,
        "whoever watches it must not restart it for the database's sake"
    );
    assert_eq!(world.ops.traced(), ["across begins", "across ends"], "nothing runs that is not recorded");

    own.start();
    let back = Instant::now();
    let answer = world.alice.outcome(&world.bot(), &during[0].1).await;
    let first = back.elapsed();
    assert_eq!(answer.state, "succeeded");
    assert_eq!(world.alice.outcome(&world.bot(), &across).await.state, "succeeded");
    each_once(&world, &during).await;
    eprintln!("the first answer came {first:?} after the database was back");
    assert!(first < Duration::from_secs(6), "{first:?}");
    during.push(("across ends".to_owned(), across));
    each_once(&world, &during).await;
    assert!(is_ready(&world).await);
    assert_eq!(world.server.as_ref().unwrap().id(), life);
    drop(world);
}

#[tokio::test]
async fn a_database_that_crashes_in_the_middle_of_work_loses_nothing_and_nothing_runs_twice() {
    let own = OwnPostgres::up();
    let world = World::with(Plan { postgres: Some(own.cluster.clone()), ..Plan::default() }).await;
    // In the middle of it: some are stored, some decided, some answered.
    let mut commands = say_counts(&world.alice, &world.room, "before", 8).await;
    own.kill();
    commands.extend(say_counts(&world.alice, &world.room, "away", 2).await);
    own.start();
    each_once(&world, &commands).await;
    drop(world);
}

#[tokio::test]
async fn while_the_homeserver_is_away_runs_finish_and_are_answered_when_it_is_back() {
    let own = Arc::new(OwnHomeserver::up(&["--appservices", "1"]));
    let world = World::with(Plan { homeserver: Some(own.homeserver.clone()), ..Plan::default() }).await;
    let life = world.server.as_ref().unwrap().id();
    let across = world.alice.say(&world.room, "!slow 2 across").await;
    world.started("across begins").await;
    // The homeserver has taken these; whether it has delivered them is open.
    let mut commands = say_counts(&world.alice, &world.room, "before", 5).await;
    own.kill();
    world.started("across ends").await;
    // From its first doubt on it asks again and again; long enough for every pause to have grown.
    logged(&world, "messages wait for the homeserver", 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let starting = tokio::task::spawn_blocking({
        let own = Arc::clone(&own);
        move || own.start()
    });
    let health = format!("{}/health", own.homeserver.url.trim_end_matches('/'));
    while !client().get(&health).send().await.is_ok_and(|answer| answer.status().is_success()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let back = Instant::now();
    assert_eq!(world.alice.outcome(&world.bot(), &across).await.state, "succeeded");
    let first = back.elapsed();
    eprintln!("the first answer came {first:?} after the homeserver's health");
    assert!(first < Duration::from_secs(6), "{first:?}");
    starting.await.unwrap();
    commands.extend(say_counts(&world.alice, &world.room, "after", 2).await);
    commands.push(("across ends".to_owned(), across));
    each_once(&world, &commands).await;
    assert_eq!(world.server.as_ref().unwrap().id(), life);
    drop(world);
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
    drop(world);
}

#[tokio::test]
async fn after_an_absence_commands_are_answered_old_ones_are_told_to_be_stale_and_each_room_gets_a_line() {
    let limits = "stale_after = \"5m\"\nabsence = \"1s\"";
    let plan = Plan { puppet: true, other_room: true, limits, ..Plan::default() };
    let mut world = World::with(plan).await;
    world.stop().await;
    let gone = Instant::now();
    let eve = world.eve.as_ref().unwrap();
    let eve_id = eve.id.clone();
    let mut old = Vec::new();
    for minutes in [6, 60] {
        let at = (SystemClock.now().as_millisecond() - minutes * 60_000).to_string();
        let body = serde_json::json!({ "msgtype": "m.text", "body": format!("!count old-{minutes}") });
        old.push(eve.send_event(&world.room, "m.room.message", &body, &[("ts", &at)]).await);
    }
    let mut commands = say_counts(&world.alice, &world.room, "alices", 10).await;
    commands.extend(say_counts(&world.bob, &world.room, "bobs", 10).await);
    // Short of the 2 minutes of the benchmark, and longer than what counts as an absence here.
    tokio::time::sleep(Duration::from_millis(1500).saturating_sub(gone.elapsed())).await;

    world.serve().await;
    let back = Instant::now();
    for (word, command) in &commands {
        let answer = world.alice.outcome(&world.bot(), command).await;
        assert_eq!(answer.state, "succeeded", "{word}: {}", answer.body);
    }
    let last = back.elapsed();
    eprintln!("20 commands were answered {last:?} after it was ready");
    assert!(last < Duration::from_secs(15), "{last:?}");
    for command in &old {
        let answer = world.alice.outcome(&world.bot(), command).await;
        assert_eq!(answer.state, "refused");
        assert!(answer.body.contains("Send it again if you still want it."), "{}", answer.body);
        assert_eq!(world.why_refused(command).await, "stale");
    }
    each_once(&world, &commands).await;
    assert_eq!(world.ops.traced().len(), 21, "nothing old ran");

    let away = |event: &&serde_json::Value| {
        event["content"]["body"].as_str().is_some_and(|body| body.starts_with("Quarterdeck was away from "))
    };
    let here = |event: &&serde_json::Value| event["room_id"] == *world.room;
    let line = |seen: &[serde_json::Value]| seen.iter().filter(here).find(away).cloned();
    world.alice.until("the line of the absence", line).await;
    let seen = world.alice.seen();
    let lines: Vec<_> = seen.iter().filter(here).filter(away).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let said = lines[0]["content"]["body"].as_str().unwrap();
    assert!(said.contains("2 commands were too old and were not run: "), "{said}");
    for command in &old {
        let number = world.alice.outcome(&world.bot(), command).await.number;
        assert!(said.contains(&format!("`{number}` of **{eve_id}**")), "{said}");
    }
    assert_eq!(lines[0]["content"]["m.relates_to"], serde_json::Value::Null);
    let lines = world.count("SELECT count(*) FROM outbox WHERE step LIKE 'back/%'").await;
    assert_eq!(lines, 2, "one in each room");
}

#[tokio::test]
async fn commands_that_became_old_while_it_was_down_are_said_to_be_stale() {
    let mut world = World::with(Plan { limits: "stale_after = \"2s\"", ..Plan::default() }).await;
    world.stop().await;
    let command = world.alice.say(&world.room, "!count old").await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(answer.state, "refused");
    assert!(answer.body.contains("Send it again"), "{}", answer.body);
    assert!(world.ops.traced().is_empty());
    // An absence this short is nothing to speak of.
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE step LIKE 'back/%'").await, 0);
}

#[tokio::test]
async fn a_stop_lets_a_run_finish_takes_no_new_work_and_leaves_nothing_pending() {
    let mut world = World::start().await;
    let last = world.alice.say(&world.room, "!slow 3 last").await;
    world.started("last begins").await;
    world.server.as_ref().unwrap().signal(Signal::SIGTERM);
    logged(&world, "stopping: no more work is taken", 1).await;
    let after = say_counts(&world.alice, &world.room, "after", 3).await;
    let mut server = world.server.take().unwrap();
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{status}\n{}", server.log_tail());
    assert_eq!(world.ops.traced(), ["last begins", "last ends"]);
    assert_eq!(world.alice.outcome(&world.bot(), &last).await.state, "succeeded");
    for left in [
        "SELECT count(*) FROM requests WHERE ended_at IS NULL",
        "SELECT count(*) FROM attempts WHERE ended_at IS NULL",
        "SELECT count(*) FROM outbox WHERE state <> 'sent'",
        "SELECT count(*) FROM locks",
        "SELECT count(*) FROM instances WHERE ended_at IS NULL",
    ] {
        assert_eq!(world.count(left).await, 0, "{left}");
    }
    // What came after the signal was kept, here or by the homeserver, for the next life.
    world.serve().await;
    each_once(&world, &after).await;
    assert_eq!(world.alice.outcomes(&world.bot(), &last).len(), 1);
}

#[tokio::test]
async fn a_run_that_outlasts_the_grace_period_is_stopped_and_says_so() {
    let mut world = World::with(Plan { limits: "grace = \"1s\"", ..Plan::default() }).await;
    let command = world.alice.say(&world.room, "!slow 60 endless").await;
    world.started("endless begins").await;
    let begun = Instant::now();
    world.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(answer.state, "cancelled", "{}", answer.body);
    assert_eq!(world.ops.traced(), ["endless begins"]);
    world.serve().await;
    world.settled().await;
    assert_eq!(world.alice.outcomes(&world.bot(), &command).len(), 1);
}
