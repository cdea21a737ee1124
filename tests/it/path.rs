//! The whole path: a command typed in a room is decided, recorded, run, recorded and answered.

use serde_json::{Value, json};

use crate::harness::{Plan, World};

#[tokio::test]
async fn a_command_is_decided_recorded_run_recorded_and_answered() {
    let world = World::start().await;
    let answer = world.ask("!count once").await;
    assert_eq!(answer.state, "succeeded");
    assert!(answer.body.starts_with("✅ counted once · "), "{}", answer.body);
    assert_eq!(world.ops.traced(), ["once"]);
    assert_eq!(
        world.entries(answer.number).await,
        ["command.received", "command.permitted", "run.started", "run.finished"]
    );
}

#[tokio::test]
async fn a_refused_command_does_not_run_and_is_answered_with_the_rules_own_words() {
    let world = World::start().await;
    let answer = world.ask_as(&world.bob, "!deploy web production v1").await;
    assert_eq!(answer.state, "refused");
    assert!(answer.body.contains("Changes in production are for leads."), "{}", answer.body);
    assert!(answer.body.contains("production-is-for-leads"), "{}", answer.body);
    assert!(world.ops.traced().is_empty());
    assert_eq!(world.entries(answer.number).await, ["command.received", "command.refused"]);

    let answer = world.ask("!deploy web production v2").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert_eq!(world.ops.traced(), ["deploy web production v2"]);
}

#[tokio::test]
async fn a_command_that_fails_says_with_which_status_and_what_it_printed_last() {
    let world = World::start().await;
    let answer = world.ask("!fail").await;
    assert_eq!(answer.state, "failed");
    assert!(answer.body.contains("exit status 3"), "{}", answer.body);
    assert!(answer.body.contains("it went wrong"), "{}", answer.body);
}

#[tokio::test]
async fn a_mistyped_command_is_on_the_record_and_gets_the_nearest_one() {
    let world = World::start().await;
    let answer = world.ask("!depoly web staging").await;
    assert_eq!(answer.state, "refused");
    assert!(answer.body.contains("!deploy web staging"), "{}", answer.body);
    assert_eq!(world.entries(answer.number).await, ["command.received", "command.refused"]);
    assert_eq!(world.why_refused_number(answer.number).await, "unreadable");
}

#[tokio::test]
async fn what_quarterdeck_says_itself_is_not_written_down_again_when_it_comes_back() {
    let world = World::start().await;
    world.ask("!count once").await;
    // Transactions come in their order: with the second command, the first one's answer has come back.
    world.ask("!count twice").await;
    world.settled().await;
    let back = "SELECT count(*) FROM inbox i JOIN outbox o ON o.event_id = i.external_id";
    assert_eq!(world.count(back).await, 0);
    assert!(world.count("SELECT count(*) FROM outbox WHERE event_id IS NOT NULL").await >= 2);
    // Nor does it come into the inbox beside what somebody else says.
    let [ours, theirs]: [Value; 2] = ["$ours", "$theirs"].map(|id| {
        let sender = if id == "$ours" { world.bot() } else { world.alice.id.clone() };
        json!({"type": "m.room.message", "event_id": id, "room_id": world.room, "sender": sender,
               "origin_server_ts": 1, "content": {"msgtype": "m.text", "body": "so"}})
    });
    assert_eq!(world.deliver("mixed", &[ours, theirs]).await, 200);
    assert_eq!(world.count("SELECT count(*) FROM inbox WHERE external_id = '$theirs'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM inbox WHERE external_id = '$ours'").await, 0);
}

#[tokio::test]
async fn talk_among_people_gets_no_answer_and_no_record() {
    let world = World::start().await;
    for text in ["hello", "!", "!!!", "! deploy", "well, !count this", "!?"] {
        world.alice.say(&world.room, text).await;
    }
    world.settled().await;
    assert_eq!(world.count("SELECT count(*) FROM requests").await, 1, "only the command that settles");
    let said = |event: &Value| event["sender"] == world.bot() && event["type"] == "m.room.message";
    assert_eq!(world.alice.seen().iter().filter(|event| said(event)).count(), 1);
}

#[tokio::test]
async fn the_built_in_commands_answer() {
    let world = World::start().await;
    let counted = world.ask("!count one").await;
    for (line, expected) in [
        ("!ping", ""),
        ("!help", "!deploy"),
        ("!help deploy", "staging"),
        ("!commands", "count"),
        ("!docs roll back", "version before"),
        ("!status", "web"),
        ("!status web", "counted status"),
        ("!audit", "count"),
        (&format!("!audit {}", counted.number), &world.alice.id),
    ] {
        let answer = world.ask(line).await;
        assert_eq!(answer.state, "succeeded", "{line}: {}", answer.body);
        assert!(answer.body.contains(expected), "{line}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_must_not_overlap_waits_for_its_lock() {
    let world = World::start().await;
    let first = world.alice.say(&world.room, "!slow 1 first").await;
    let second = world.bob.say(&world.room, "!slow 0 second").await;
    world.alice.outcome(&world.bot(), &second).await;
    world.alice.outcome(&world.bot(), &first).await;
    assert_eq!(world.ops.traced(), ["first begins", "first ends", "second begins", "second ends"]);
}

#[tokio::test]
async fn a_long_run_holds_up_no_other_command() {
    let world = World::start().await;
    let slow = world.alice.say(&world.room, "!slow 3 long").await;
    assert_eq!(world.ask_as(&world.bob, "!count meanwhile").await.state, "succeeded");
    assert!(world.alice.outcomes(&world.bot(), &slow).is_empty());
    world.alice.outcome(&world.bot(), &slow).await;
    // It ran for longer than a moment, so its state was shown as a reaction meanwhile.
    world
        .alice
        .until("a reaction on the command", |seen| {
            let shown = |event: &&Value| {
                event["type"] == "m.reaction" && event["content"]["m.relates_to"]["event_id"] == slow.as_str()
            };
            seen.iter().find(shown).map(|_| ())
        })
        .await;
}

#[tokio::test]
async fn each_argument_reaches_the_program_as_one_element_and_no_shell_sees_it() {
    let world = World::start().await;
    let answer = world.ask("!echo '$(id); `id` | cat > /tmp/x' \"two  spaces\"").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert!(answer.body.contains("$(id); `id` | cat > /tmp/x two  spaces"), "{}", answer.body);
}

#[tokio::test]
async fn a_stop_lets_what_runs_finish_and_leaves_nothing() {
    let mut world = World::start().await;
    let event = world.alice.say(&world.room, "!slow 2 finish").await;
    world.started("finish begins").await;
    world.stop().await;
    assert_eq!(world.state_of(&event).await.as_deref(), Some("succeeded"));
    assert_eq!(world.alice.outcome(&world.bot(), &event).await.state, "succeeded");
    world.serve().await;
}

#[tokio::test]
async fn a_message_that_mentions_the_bot_works_as_well() {
    let world = World::start().await;
    let bot = world.bot();
    let event = world
        .alice
        .send(
            &world.room,
            &json!({
                "msgtype": "m.text", "body": format!("{bot}: count mentioned"),
                "format": "org.matrix.custom.html",
                "formatted_body": format!("<a href=\"https://matrix.to/#/{bot}\">{bot}</a>: count mentioned"),
                "m.mentions": { "user_ids": [bot] },
            }),
        )
        .await;
    assert_eq!(world.alice.outcome(&world.bot(), &event).await.state, "succeeded");
    assert_eq!(world.ops.traced(), ["mentioned"]);
}

#[tokio::test]
async fn a_stop_ends_what_runs_longer_than_its_grace_and_says_so() {
    let mut world = World::with(Plan { limits: "grace = \"1s\"", ..Plan::default() }).await;
    let event = world.alice.say(&world.room, "!slow 60 endless").await;
    world.started("endless begins").await;
    world.stop().await;
    assert_eq!(world.state_of(&event).await.as_deref(), Some("cancelled"));
    world.serve().await;
    assert_eq!(world.alice.outcome(&world.bot(), &event).await.state, "cancelled");
    // Its lock is free again.
    assert_eq!(world.ask("!slow 0 next").await.state, "succeeded");
    assert_eq!(world.ops.counted("endless ends"), 0);
}

#[tokio::test]
async fn the_log_can_be_read_on_the_command_line() {
    let world = World::start().await;
    let answer = world.ask("!count logged").await;
    let ops = world.ops.path().to_str().unwrap();
    let output = world.quarterdeck(&["audit", "list", "--json", "--ops", ops]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let of_ours: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|entry: &Value| entry["request"] == answer.number)
        .collect();
    assert_eq!(of_ours.len(), 4, "{text}");
    assert!(of_ours.iter().any(|entry| entry["sender"] == world.alice.id.as_str()));
}

#[tokio::test]
async fn serve_refuses_to_start_with_the_owners_rights() {
    let mut world = World::start().await;
    world.stop().await;
    let errors = world.refused_to_serve(true).await;
    assert!(errors.contains("entries"), "{errors}");
    world.serve().await;
}
