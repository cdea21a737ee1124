//! Break-glass: a command of emergency asks for a reason, and everybody hears of its use.

use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::harness::{Plan, World};

const REASON: &str = "\n[[argument]]\nname = \"reason\"\ntype = \"text\"\nmin_length = 10\nrest = true\n";

const RULES: &str = r#"
@id("break-glass")
@says("Leads break the glass.")
permit (principal in Team::"leads", action in Action::"tag:emergency", resource);
@id("leads-erase")
permit (principal in Team::"leads", action == Action::"erase", resource);
"#;

async fn world() -> World {
    let mut world = World::prepared(Plan { other_room: true, ..Plan::default() }).await;
    world.ops.command("failover", "danger", REASON, r#"echo failover >> "$TRACE"; echo "failed over""#);
    let command = world.ops.read("commands/failover.toml");
    world.ops.file("commands/failover.toml", &format!("emergency = true\n{command}"));
    let room = world.ops.read("rooms/deploy.toml");
    world.ops.file("rooms/deploy.toml", &room.replace("commands = [", "commands = [\"failover\", "));
    let other = world.ops.read("rooms/other.toml");
    world.ops.file("rooms/other.toml", &format!("log = true\n{other}"));
    world.ops.file("policies/emergency.cedar", RULES);
    world.serve().await;
    world.gather().await;
    world
}

#[tokio::test]
async fn its_start_is_told_to_the_whole_room_and_to_the_log_room_and_stands_out_in_the_log() {
    let world = world().await;
    let log = world.bob.join(&world.alias("other")).await;
    assert!(world.ask("!failover").await.body.contains("reason"), "it asks for a reason");
    assert!(world.ask("!failover because").await.body.contains("reason"), "a word is none");

    let answer = world.ask("!failover the primary burns and nobody answers").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    let told = |room: String| {
        move |events: &[Value]| {
            let here = |event: &&Value| {
                event["room_id"].as_str().is_none_or(|id| id == room)
                    && event["content"]["body"].as_str().is_some_and(|body| body.contains("Emergency:"))
            };
            events.iter().find(here).cloned()
        }
    };
    let in_room = world.bob.until("the word to the room", told(world.room.clone())).await;
    assert_eq!(in_room["content"]["msgtype"], "m.text");
    assert_eq!(in_room["content"]["m.mentions"]["room"], true);
    let body = in_room["content"]["body"].as_str().unwrap();
    assert!(body.contains(&world.alice.id) && body.contains("the primary burns"), "{body}");
    world.nothing_pending().await;
    let sent = format!(
        "SELECT count(*) FROM outbox WHERE room_id = '{log}' AND step LIKE 'emergency/%' AND state = 'sent'"
    );
    assert_eq!(world.count(&sent).await, 1, "told in the log room");

    let entries = world.entries(answer.number).await;
    let used = entries.iter().position(|kind| kind == "emergency.used").unwrap();
    assert!(used < entries.iter().position(|kind| kind == "run.finished").unwrap());
    let sql = "SELECT body FROM entries WHERE kind = 'emergency.used'".to_owned();
    let body: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&world.sql()).await.unwrap();
    assert!(!body.contains("burns"), "the words can be erased: {body}");
    let story = world.ask(&format!("!audit {}", answer.number)).await.body;
    assert!(story.contains("Emergency") && story.contains("the primary burns"), "{story}");

    // Its words go from both rooms with it.
    let erased = world.ask(&format!("!erase {} a name stands in it", answer.number)).await;
    assert_eq!(erased.state, "succeeded", "{}", erased.body);
    world.nothing_pending().await;
    for room in [&world.room, &log] {
        let messages = messages(&world, room).await;
        let burns = |body: &&String| body.contains("burns") && !body.starts_with("!failover");
        assert_eq!(messages.iter().find(burns), None);
    }
}

/// What bob can read in a room, back to its beginning.
async fn messages(world: &World, room: &str) -> Vec<String> {
    let query = [("dir", "b"), ("limit", "200")];
    let (status, page) = world.bob.call("GET", &["rooms", room, "messages"], &query, None).await;
    assert_eq!(status, 200, "{page}");
    let bodies = page["chunk"].as_array().unwrap().iter();
    bodies.filter_map(|event| event["content"]["body"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn whom_the_rules_do_not_name_breaks_no_glass_and_alarms_nobody() {
    let world = world().await;
    let no = world.ask_as(&world.bob, "!failover because I would like to see it").await;
    assert_eq!(no.state, "refused", "{}", no.body);
    assert_eq!(world.ops.counted("failover"), 0);
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE step LIKE 'emergency/%'").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE kind = 'emergency.used'").await, 0);
}
