//! What is done again and again: as the one who set it, by the rules of each time, once, and never made up for.

use std::time::{Duration, Instant};

use quarterdeck::model::fault::Point;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::{approvals::body, harness::World};

/// Sets a schedule as alice; gives its number.
async fn every(world: &World, line: &str) -> i64 {
    let set = world.ask(&format!("!every day 03:00 {line}")).await;
    assert_eq!(set.state, "succeeded", "{}", set.body);
    assert!(set.body.starts_with("✅ Every day at 03:00"), "{}", set.body);
    set.number
}

async fn sql(world: &World, sql: &str) {
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&world.sql()).await.unwrap();
}

/// Has everything that is scheduled be due since this long.
async fn due_since(world: &World, interval: &str) {
    sql(
        world,
        &format!("UPDATE schedules SET next_at = now() - interval '{interval}' WHERE ended_at IS NULL"),
    )
    .await;
}

/// Waits until so many times that came were done.
async fn done(world: &World, times: i64) {
    const DONE: &str = "SELECT count(*) FROM requests WHERE door = 'schedule' AND state = 'succeeded'";
    let begun = Instant::now();
    while world.count(DONE).await < times {
        assert!(begun.elapsed() < Duration::from_secs(30), "{times} are not done");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a message of the bot in the room says this.
async fn told(world: &World, words: &str) -> Value {
    let bot = world.bot();
    world
        .alice
        .until(&format!("{words:?} to be said"), |seen| {
            seen.iter().find(|it| it["sender"] == bot.as_str() && body(it).contains(words)).cloned()
        })
        .await
}

#[tokio::test]
async fn what_is_scheduled_is_done_as_its_person_and_on_the_record_until_it_is_ended() {
    let world = World::start().await;
    let number = every(&world, "count tick").await;
    assert_eq!(world.entries(number).await.iter().filter(|it| *it == "schedule.set").count(), 1);
    let listed = world.ask_as(&world.bob, "!schedules").await.body;
    assert!(listed.contains("!count --word tick") && listed.contains(&world.alice.id), "{listed}");

    due_since(&world, "1 second").await;
    told(&world, &format!("As {} has scheduled", world.alice.id)).await;
    told(&world, "counted tick").await;
    assert_eq!(world.ops.counted("tick"), 1);
    let by =
        world.count("SELECT count(*) FROM requests WHERE door = 'schedule' AND state = 'succeeded'").await;
    assert_eq!(by, 1);
    assert_eq!(
        world.count("SELECT count(*) FROM schedules WHERE next_at > now()").await,
        1,
        "the next is set"
    );

    // It is alice's: bob may not cancel what is hers.
    let not = world.ask_as(&world.bob, &format!("!unschedule {number}")).await;
    assert!(not.body.contains("Not ended"), "{}", not.body);
    let ended = world.ask(&format!("!unschedule {number}")).await;
    assert!(ended.body.contains("Scheduled no more"), "{}", ended.body);
    assert_eq!(world.entries(number).await.iter().filter(|it| *it == "schedule.ended").count(), 1);
    due_since(&world, "1 second").await;
    assert!(world.ask("!schedules").await.body.starts_with("Nothing is scheduled here"));
}

#[tokio::test]
async fn each_time_is_decided_anew_and_what_is_refused_now_is_not_even_set() {
    let world = World::start().await;
    let not = world.ask_as(&world.bob, "!every weekday 09:00 deploy web production").await;
    assert!(not.body.contains("Not set.") && not.body.contains("production-is-for-leads"), "{}", not.body);
    for (line, words) in [
        ("!every weekday 25:00 count x", "no time of the day"),
        ("!every weekday 09:00 ping", "is not scheduled"),
        ("!every weekday 09:00 cuont x", "Did you mean"),
    ] {
        let not = world.ask(line).await;
        assert!(not.body.contains(words), "{line}: {}", not.body);
    }
    assert_eq!(world.count("SELECT count(*) FROM schedules").await, 0);

    every(&world, "deploy web production v1").await;
    let rules = world.ops.read("policies/rules.cedar");
    let rules = rules.replace("unless { principal in Team::\"leads\" };", ";");
    world.ops.file("policies/rules.cedar", &rules);
    assert_eq!(world.ask("!reload").await.state, "succeeded");
    due_since(&world, "1 second").await;
    told(&world, "Not run.").await;
    assert_eq!(world.ops.counted("deploy web production v1"), 0);
}

#[tokio::test]
async fn what_was_missed_is_said_and_not_made_up_for() {
    let world = World::start().await;
    every(&world, "count late").await;
    due_since(&world, "2 days 5 minutes").await;
    let said = told(&world, "not made up for").await;
    assert!(body(&said).contains("!count --word late") && body(&said).contains("times"), "{}", body(&said));
    world.settled().await;
    assert_eq!(world.ops.counted("late"), 0);
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE kind = 'schedule.missed'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM schedules WHERE next_at > now()").await, 1);
}

#[tokio::test]
async fn two_instances_do_each_once() {
    let world = World::start().await;
    let mut second = world.second().await;
    for word in ["a1", "a2", "a3", "a4", "a5", "a6"] {
        every(&world, &format!("count {word}")).await;
    }
    for round in 1..=2 {
        due_since(&world, "1 second").await;
        done(&world, 6 * round).await;
    }
    world.settled().await;
    for word in ["a1", "a2", "a3", "a4", "a5", "a6"] {
        assert_eq!(world.ops.counted(word), 2, "each time that came was done once");
    }
    assert_eq!(world.count("SELECT count(*) FROM inbox WHERE source = 'schedule'").await, 12);
    second.stop().await;
}

/// Kills `serve` at a point of a firing; the next life does it once.
async fn killed(point: Point) {
    let mut world = World::start().await;
    every(&world, "count once").await;
    world.settled().await;
    world.stop().await;
    due_since(&world, "1 second").await;
    world.serve_until_dead(point).await;
    world.serve().await;
    told(&world, "counted once").await;
    world.restart().await;
    world.settled().await;
    assert_eq!(world.ops.counted("once"), 1);
    assert_eq!(world.count("SELECT count(*) FROM requests WHERE door = 'schedule'").await, 1);
}

#[tokio::test]
async fn killed_before_a_firings_commit_it_is_done_by_the_next_life() {
    killed(Point::BeforeFiringCommit).await;
}

#[tokio::test]
async fn killed_after_a_firings_commit_it_is_done_once() {
    killed(Point::AfterFiringCommit).await;
}

#[tokio::test]
async fn who_is_struck_from_a_team_loses_what_they_have_scheduled() {
    let world = World::start().await;
    let set = world.ask_as(&world.bob, "!every day 03:00 count bobs").await;
    assert_eq!(set.state, "succeeded", "{}", set.body);
    let team = world.ops.read("teams/web.toml").replace(&format!(", {:?}", world.bob.id), "");
    world.ops.file("teams/web.toml", &team);
    assert_eq!(world.ask("!reload").await.state, "succeeded");
    assert_eq!(world.count("SELECT count(*) FROM schedules WHERE why = 'struck'").await, 1);
    assert_eq!(world.entries(set.number).await.iter().filter(|it| *it == "schedule.ended").count(), 1);
}

#[tokio::test]
async fn a_commands_own_schedule_is_in_force_as_its_file_says() {
    let mut world = World::prepared(crate::harness::Plan::default()).await;
    let plain = world.ops.read("commands/count.toml");
    let schedule = |room: &str| {
        format!(
            "{plain}\n[schedule]\ncron = \"0 3 * * MON-FRI\"\nzone = \"Europe/Zurich\"\nas = {:?}\nroom = {room:?}\nline = \"count nightly\"\n",
            world.alice.id
        )
    };
    let (right, wrong) = (schedule("deploy"), schedule("depoly"));
    world.ops.file("commands/count.toml", &right);
    world.serve().await;
    world.gather().await;
    // It is put in force when its room is there.
    while world.count("SELECT count(*) FROM schedules WHERE key = 'file/count' AND ended_at IS NULL").await
        == 0
    {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    due_since(&world, "1 second").await;
    told(&world, "counted nightly").await;
    assert_eq!(world.ops.counted("nightly"), 1);

    world.ops.file("commands/count.toml", &wrong);
    let not = world.ask("!reload").await;
    assert!(not.body.contains("depoly"), "{}", not.body);
    world.ops.file("commands/count.toml", &plain);
    assert_eq!(world.ask("!reload").await.state, "succeeded");
    while world.count("SELECT count(*) FROM schedules WHERE why = 'gone'").await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
