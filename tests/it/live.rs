//! What a run prints, shown in its thread as it comes: one message, edited, and closed when the run has ended.

use serde_json::Value;

use crate::{
    approvals::body,
    harness::{OpsFolder, Person, World},
    seeing::{direct, read_there},
};

/// A command that takes its time and speaks meanwhile, in colours, on both streams, with a secret.
fn talks(ops: &OpsFolder) {
    std::fs::write(ops.path().join("../talk-token"), "hunter2-hunter2\n").unwrap();
    ops.file(
        "secrets/talk-token.toml",
        &format!("file = \"{}\"\n", ops.path().join("../talk-token").display()),
    );
    ops.command(
        "fail",
        "read",
        "[[argument]]\nname = \"seconds\"\ntype = \"integer\"\nmin = 1\nmax = 100\n",
        r#"echo "talks" >> "$TRACE"
i=0
while [ $i -lt "$1" ]; do
  i=$((i+1))
  printf '\033[1;32mstep %s\033[0m\n' $i
  echo "aside $i" >&2
  printf 'first\rthen\rat last %s\n' $i
  sleep 1
done
echo "it is over, says $TOKEN""#,
    );
    let command = ops.read("commands/fail.toml");
    ops.file(
        "commands/fail.toml",
        &format!("{command}credentials = {{ TOKEN = \"talk-token\" }}\ntimeout = \"2m\"\n"),
    );
}

/// The live messages of a command that somebody has seen.
fn live(person: &Person, bot: &str, command: &str) -> Vec<Value> {
    let mut found = person.answers(bot, command);
    found.retain(|event| {
        event["content"]["org.quarterdeck.step"].as_str().is_some_and(|it| it.ends_with("/live"))
    });
    found
}

/// Waits for an edit of a command's live message that says this. Gives the message.
async fn shows(world: &World, command: &str, words: &str) -> String {
    let bot = world.bot();
    let first = world.alice.answer_that(&bot, command, |event| body(event).contains(" runs · ")).await;
    let message = first["event_id"].as_str().unwrap().to_owned();
    world.alice.answer_that(&bot, &message, |edit| body(edit).contains(words)).await;
    message
}

#[tokio::test]
async fn what_a_run_prints_is_shown_in_one_message_while_it_runs_and_the_answer_is_its_own() {
    let world = World::changed(talks).await;
    let bot = world.bot();
    let command = world.alice.say(&world.room, "!fail 9").await;
    let message = shows(&world, &command, "step 5").await;
    assert!(world.alice.outcomes(&bot, &command).is_empty(), "it is shown before it has ended");
    let outcome = world.alice.outcome(&bot, &command).await;
    assert_eq!(outcome.state, "succeeded", "{}", outcome.body);
    world.settled().await;

    assert_eq!(live(&world.alice, &bot, &command).len(), 1);
    let edits = world.alice.answers(&bot, &message);
    assert!((3..=6).contains(&edits.len()), "{}", edits.len());
    let at = |event: &Value| event["origin_server_ts"].as_i64().unwrap();
    // The last one closes it, and comes when it ends.
    let (last, going) = edits.split_last().unwrap();
    assert!(going.len() <= 4, "of 7 s that are shown, one each 2 s at most: {}", going.len());
    for edit in going {
        assert_eq!(edit["content"]["m.relates_to"]["rel_type"], "m.replace");
        assert_eq!(edit["content"]["msgtype"], "m.notice", "it makes no sound");
        let text = edit["content"]["m.new_content"]["body"].as_str().unwrap();
        assert!(text.starts_with("⏳ **fail** runs · ") && text.contains("!cancel"), "{text}");
        assert!(!text.contains('␛') && !text.contains('\u{1b}') && !text.contains("first"), "{text}");
        let (step, aside, over) =
            (text.rfind("step").unwrap(), text.rfind("aside").unwrap(), text.rfind("at last").unwrap());
        assert!(step < aside && aside < over, "both streams in their order: {text}");
    }
    let closed = last["content"]["m.new_content"]["body"].as_str().unwrap();
    assert!(closed.starts_with("**fail** ended after 9"), "{closed}");
    assert!(!closed.contains("step"), "the answer shows what was printed: {closed}");
    assert!(at(last) <= at(&outcome.event), "nothing of it is said after the answer");
    // What is secret was shown nowhere.
    for event in edits.iter().chain([&outcome.event]) {
        assert!(!event.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn of_what_takes_no_time_and_of_what_prints_nothing_no_live_message_is_made() {
    let world = World::start().await;
    let bot = world.bot();
    for line in ["!count quick", "!slow 3 silent"] {
        let command = world.alice.say(&world.room, line).await;
        assert_eq!(world.alice.outcome(&bot, &command).await.state, "succeeded");
        world.settled().await;
        assert!(live(&world.alice, &bot, &command).is_empty(), "{line}");
    }
}

#[tokio::test]
async fn where_somebody_may_not_read_it_nothing_is_shown_while_it_runs() {
    let world = World::changed(|ops| {
        talks(ops);
        // bob, who does not lead, may look, and may not read what is printed.
        let rules = ops.read("policies/rules.cedar").replace(
            "permit (principal in Team::\"web\", action in [Action::\"read_audit\", Action::\"read_output\"], resource);",
            "permit (principal in Team::\"leads\", action in [Action::\"read_audit\", Action::\"read_output\"], resource);",
        );
        ops.file("policies/rules.cedar", &rules);
    })
    .await;
    let bot = world.bot();
    let command = world.alice.say(&world.room, "!fail 6").await;
    assert_eq!(world.alice.outcome(&bot, &command).await.state, "succeeded");
    world.settled().await;
    assert!(live(&world.alice, &bot, &command).is_empty());
    let said = world.alice.answers(&bot, &command);
    assert!(said.iter().all(|event| !event["content"].to_string().contains("step 3")), "{said:?}");
}

#[tokio::test]
async fn killed_while_it_shows_a_run_the_next_life_closes_the_one_message() {
    let mut world = World::changed(talks).await;
    let bot = world.bot();
    let command = world.alice.say(&world.room, "!fail 90").await;
    let message = shows(&world, &command, "step 4").await;
    world.restart().await;
    let outcome = world.alice.outcome(&bot, &command).await;
    assert_eq!(outcome.state, "interrupted", "{}", outcome.body);
    // And a life later nothing more is said of it.
    world.restart().await;
    world.settled().await;
    assert_eq!(live(&world.alice, &bot, &command).len(), 1);
    assert_eq!(world.alice.outcomes(&bot, &command).len(), 1);
    let edits = world.alice.answers(&bot, &message);
    let closing: Vec<_> = edits.iter().filter(|edit| body(edit).contains("was interrupted")).collect();
    assert_eq!(closing.len(), 1, "{edits:?}");
    assert_eq!(closing[0]["event_id"], edits.last().unwrap()["event_id"], "it is the last word");
}

#[tokio::test]
async fn the_live_message_takes_a_reaction_that_stops_the_run_and_is_closed() {
    let world = World::changed(talks).await;
    let bot = world.bot();
    let command = world.alice.say(&world.room, "!fail 90").await;
    let message = shows(&world, &command, "step 3").await;
    world.alice.react(&world.room, &message, "🛑").await;
    let outcome = world.alice.outcome(&bot, &command).await;
    assert_eq!(outcome.state, "cancelled", "{}", outcome.body);
    assert!(outcome.body.contains(&format!("Stopped by **{}**", world.alice.id)), "{}", outcome.body);
    world.alice.answer_that(&bot, &message, |edit| body(edit).contains("ended after")).await;
}

#[tokio::test]
async fn the_reaction_stops_a_run_also_when_its_command_would_mean_something_else_by_now() {
    let world = World::changed(talks).await;
    let bot = world.bot();
    let command = world.alice.say(&world.room, "!fail 90").await;
    let message = shows(&world, &command, "step 3").await;
    let changed = world.ops.read("commands/fail.toml").replace("max = 100", "max = 50");
    world.ops.file("commands/fail.toml", &changed);
    let reloaded = world.ask("!reload").await;
    assert_eq!(reloaded.state, "succeeded", "{}", reloaded.body);
    world.alice.react(&world.room, &message, "🛑").await;
    assert_eq!(world.alice.outcome(&bot, &command).await.state, "cancelled");
}

/// The same, for who asks alone.
fn talks_privately(ops: &OpsFolder) {
    talks(ops);
    let command = ops.read("commands/fail.toml").replace("effect =", "answer = \"private\"\neffect =");
    ops.file("commands/fail.toml", &command);
}

/// Nothing of what it prints is in the room where everybody is.
async fn nothing_in_the_room(world: &World) {
    world.alice.sync(std::time::Duration::ZERO).await;
    let seen = world.alice.seen();
    let told = seen.iter().find(|it| {
        it["room_id"] == *world.room && it["sender"] == world.bot() && body(it).contains("at last")
    });
    assert!(told.is_none(), "{told:?}");
}

#[tokio::test]
async fn what_a_private_run_prints_is_shown_as_it_comes_to_who_asked_alone() {
    let world = World::changed(talks_privately).await;
    let event = world.alice.say(&world.room, "!fail 12").await;
    world.started("talks").await;
    let room = direct(&world, &world.alice).await;
    let shown = read_there(&world.alice, &room, "at last ").await;
    assert!(body(&shown).contains("fail runs · ") && !body(&shown).contains("cancel"), "{shown}");
    assert_eq!(shown["content"]["m.relates_to"]["rel_type"], "m.replace");
    assert!(!shown.to_string().contains("hunter2"));
    assert_eq!(world.alice.outcomes(&world.bot(), &event).len(), 0, "it runs still");
    let answer = world.alice.outcome(&world.bot(), &event).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    let ended = read_there(&world.alice, &room, "ended after").await;
    assert!(!body(&ended).contains("at last"), "{ended}");
    read_there(&world.alice, &room, "it is over, says [secret talk-token]").await;
    nothing_in_the_room(&world).await;
}

#[tokio::test]
async fn killed_while_a_private_run_is_shown_its_message_is_closed() {
    let mut world = World::changed(talks_privately).await;
    let event = world.alice.say(&world.room, "!fail 100").await;
    world.started("talks").await;
    let room = direct(&world, &world.alice).await;
    read_there(&world.alice, &room, "at last ").await;
    world.kill();
    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &event).await;
    assert_eq!(answer.state, "interrupted");
    read_there(&world.alice, &room, "was interrupted").await;
    nothing_in_the_room(&world).await;
}
