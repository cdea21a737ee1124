//! What runs and what waits: locks and the place in their queue, limits, and what `!ps` shows to whom.

use crate::{
    approvals::{Company, number},
    harness::{OpsFolder, Plan, World},
};

/// Waits for the answer to a command that says so.
async fn says(world: &World, event: &str, words: &str) -> String {
    let body = |event: &serde_json::Value| event["content"]["body"].as_str().unwrap_or_default().to_owned();
    body(&world.alice.answer_that(&world.bot(), event, |event| body(event).contains(words)).await)
}

#[tokio::test]
async fn what_waits_for_a_lock_is_told_its_place_and_ps_shows_all_of_it() {
    let world = World::start().await;
    let first = world.alice.say(&world.room, "!slow 60 first").await;
    world.started("first begins").await;
    let second = world.bob.say(&world.room, "!slow 0 second").await;
    let told = says(&world, &second, "place 1").await;
    let running = world.count("SELECT number FROM requests WHERE state = 'running'").await;
    assert!(told.contains(&format!("`slow` is free, which `{running}` has")), "{told}");
    let third = world.alice.say(&world.room, "!slow 0 third").await;
    says(&world, &third, "place 2").await;

    let shown = world.ask_as(&world.bob, "!ps").await.body;
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[0].contains("!slow --seconds 60 --word first") && lines[0].contains("runs for"), "{shown}");
    assert!(lines[1].contains("!slow --seconds 0 --word second") && lines[1].contains("place 1"), "{shown}");
    assert!(lines[1].contains(&world.bob.id), "{shown}");
    assert!(lines[2].contains("!slow --seconds 0 --word third") && lines[2].contains("place 2"), "{shown}");

    world.ask(&format!("!cancel {running}")).await;
    for (event, state) in [(&first, "cancelled"), (&second, "succeeded"), (&third, "succeeded")] {
        assert_eq!(world.alice.outcome(&world.bot(), event).await.state, state);
    }
    assert_eq!(world.ask("!ps").await.body, "Nothing runs here, and nothing waits.");
}

/// The marks that stand on a command, as its requester sees them.
fn marks(seen: &[serde_json::Value], command: &str) -> Vec<String> {
    let is_gone = |mark: &serde_json::Value| {
        !mark["unsigned"]["redacted_because"].is_null()
            || seen.iter().any(|event| {
                event["type"] == "m.room.redaction"
                    && [&event["redacts"], &event["content"]["redacts"]].contains(&&mark["event_id"])
            })
    };
    let on_it = |mark: &&serde_json::Value| mark["content"]["m.relates_to"]["event_id"] == command;
    let there = seen.iter().filter(|event| event["type"] == "m.reaction").filter(on_it);
    there
        .filter(|mark| !is_gone(mark))
        .map(|mark| mark["content"]["m.relates_to"]["key"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn the_mark_of_what_waits_goes_when_it_starts_and_when_it_never_will() {
    let world = World::start().await;
    let first = world.alice.say(&world.room, "!slow 60 first").await;
    world.started("first begins").await;
    let running = world.count("SELECT number FROM requests WHERE state = 'running'").await;
    let second = world.alice.say(&world.room, "!slow 0 second").await;
    let third = world.alice.say(&world.room, "!slow 0 third").await;
    for waiting in [&second, &third] {
        let marked = |seen: &[serde_json::Value]| {
            (marks(seen, waiting) == ["⏸\u{fe0f}"] || marks(seen, waiting) == ["⏸"]).then_some(())
        };
        world.alice.until("the mark that it waits", marked).await;
    }
    // One is dropped, the other starts in its turn: the mark goes off both.
    let number = world.count("SELECT max(number) FROM requests").await;
    world.ask(&format!("!cancel {number}")).await;
    world.ask(&format!("!cancel {running}")).await;
    assert_eq!(world.alice.outcome(&world.bot(), &second).await.state, "succeeded");
    assert_eq!(world.alice.outcome(&world.bot(), &third).await.state, "cancelled");
    for waited in [&second, &third] {
        world.alice.until("no mark that it waits", |seen| marks(seen, waited).is_empty().then_some(())).await;
    }
    assert_eq!(world.alice.outcome(&world.bot(), &first).await.state, "cancelled");
}

#[tokio::test]
async fn ps_speaks_to_nobody_of_what_they_could_never_run() {
    let world = World::changed(|ops| {
        ops.command("quiet", "danger", "", "echo quiet >> \"$TRACE\"; sleep 60");
        let room = ops.read("rooms/deploy.toml").replace("commands = [", "commands = [\"quiet\", ");
        ops.file("rooms/deploy.toml", &room);
        ops.file(
            "policies/quiet.cedar",
            "@id(\"quiet\")\npermit (principal in Team::\"leads\", action == Action::\"quiet\", resource);\n",
        );
    })
    .await;
    let quiet = world.alice.say(&world.room, "!quiet").await;
    world.started("quiet").await;
    assert!(world.ask("!ps").await.body.contains("!quiet"), "who may run it sees that it runs");
    assert_eq!(world.ask_as(&world.bob, "!ps").await.body, "Nothing runs here, and nothing waits.");
    let number = world.count("SELECT number FROM requests WHERE state = 'running'").await;
    world.ask(&format!("!cancel {number}")).await;
    assert_eq!(world.alice.outcome(&world.bot(), &quiet).await.state, "cancelled");
}

#[tokio::test]
async fn a_command_that_does_not_wait_is_not_run_while_its_lock_is_taken() {
    let world = World::changed(|ops| {
        let slow = ops.read("commands/slow.toml") + "on_busy = \"refuse\"\n";
        ops.file("commands/slow.toml", &slow);
    })
    .await;
    let first = world.alice.say(&world.room, "!slow 60 first").await;
    world.started("first begins").await;
    let running = world.count("SELECT number FROM requests WHERE state = 'running'").await;
    let second = world.ask_as(&world.bob, "!slow 0 second").await;
    assert_eq!(second.state, "refused");
    assert!(second.body.contains(&format!("`slow` is taken by `{running}`")), "{}", second.body);
    assert_eq!(world.why_refused_number(second.number).await, "busy");
    world.ask(&format!("!cancel {running}")).await;
    assert_eq!(world.alice.outcome(&world.bot(), &first).await.state, "cancelled");
    assert_eq!(world.ask("!slow 0 third").await.state, "succeeded", "the lock is free again");
    assert_eq!(world.ops.counted("second begins"), 0);
}

#[tokio::test]
async fn nobody_has_more_running_or_waiting_than_the_limit() {
    let world = World::with(Plan { limits: "runs_per_person = 2", ..Plan::default() }).await;
    let first = world.alice.say(&world.room, "!slow 60 first").await;
    world.started("first begins").await;
    let running = world.count("SELECT number FROM requests WHERE state = 'running'").await;
    let second = world.alice.say(&world.room, "!slow 0 second").await;
    says(&world, &second, "place 1").await;
    let third = world.ask("!count third").await;
    assert_eq!(third.state, "refused");
    assert!(third.body.contains("2 of yours may run or wait to at once"), "{}", third.body);
    assert_eq!(world.why_refused_number(third.number).await, "limit");
    assert_eq!(world.ask_as(&world.bob, "!count bobs").await.state, "succeeded", "it is nobody else's limit");
    assert_eq!(world.ask("!ping").await.state, "succeeded", "what Quarterdeck answers itself does not count");
    world.ask(&format!("!cancel {running}")).await;
    for (event, state) in [(&first, "cancelled"), (&second, "succeeded")] {
        assert_eq!(world.alice.outcome(&world.bot(), event).await.state, state);
    }
    assert_eq!(world.ask("!count fourth").await.state, "succeeded");
    assert_eq!(world.ops.counted("third"), 0);
}

#[tokio::test]
async fn what_finds_no_free_place_waits_for_one_and_says_so() {
    let world = World::with(Plan { limits: "runs = 1", ..Plan::default() }).await;
    let first = world.alice.say(&world.room, "!slow 60 first").await;
    world.started("first begins").await;
    let running = world.count("SELECT number FROM requests WHERE state = 'running'").await;
    // One that needs nothing else, and one whose lock is taken as well.
    let (second, third) = (
        world.bob.say(&world.room, "!count second").await,
        world.bob.say(&world.room, "!slow 0 third").await,
    );
    for event in [&second, &third] {
        let told = says(&world, event, "one of those that run has ended").await;
        assert!(told.contains("!cancel "), "{told}");
    }
    assert_eq!(world.ask("!ping").await.state, "succeeded", "what Quarterdeck answers itself needs no place");
    world.ask(&format!("!cancel {running}")).await;
    for (event, state) in [(&first, "cancelled"), (&second, "succeeded"), (&third, "succeeded")] {
        assert_eq!(world.alice.outcome(&world.bot(), event).await.state, state);
    }
    assert_eq!((world.ops.counted("second"), world.ops.counted("third begins")), (1, 1));
}

#[tokio::test]
async fn two_instances_together_never_start_more_than_the_limit() {
    let mut world = World::prepared(Plan { limits: "runs_in_all = 2", ..Plan::default() }).await;
    world.ops.command("fail", "read", "", "echo begins >> \"$TRACE\"; sleep 1; echo ends >> \"$TRACE\"");
    world.serve().await;
    world.gather().await;
    let mut second = world.second().await;
    let mut events = Vec::new();
    for _ in 0..6 {
        let (alices, bobs) =
            tokio::join!(world.alice.say(&world.room, "!fail"), world.bob.say(&world.room, "!fail"));
        events.extend([alices, bobs]);
    }
    let mut ran = 0;
    for event in &events {
        let outcome = world.alice.outcome(&world.bot(), event).await;
        match outcome.state.as_str() {
            "succeeded" => ran += 1,
            state => assert_eq!(state, "refused", "{}", outcome.body),
        }
    }
    let traced = world.ops.traced();
    let mut at_once = 0_i32;
    for line in &traced {
        at_once += if line == "begins" { 1 } else { -1 };
        assert!(at_once <= 2, "{traced:?}");
    }
    assert!((2..12).contains(&ran), "some ran, and some found the limit reached: {ran}");
    assert_eq!(world.ops.counted("begins"), ran);
    second.stop().await;
}

#[tokio::test]
async fn a_request_in_the_queue_that_cannot_be_read_is_set_aside_and_holds_up_nothing() {
    let world = World::start().await;
    let first = world.alice.say(&world.room, "!slow 60 first").await;
    world.started("first begins").await;
    let second = world.alice.say(&world.room, "!slow 0 second").await;
    says(&world, &second, "place 1").await;
    let third = world.bob.say(&world.room, "!slow 0 third").await;
    says(&world, &third, "place 2").await;
    // As a later version might have written it.
    sqlx::query("UPDATE requests SET invocation = '{\"version\":7}' WHERE event_id = $1")
        .bind(&second)
        .execute(&world.sql())
        .await
        .unwrap();
    let running = world.count("SELECT number FROM requests WHERE state = 'running'").await;
    world.ask(&format!("!cancel {running}")).await;
    assert_eq!(world.alice.outcome(&world.bot(), &first).await.state, "cancelled");
    assert_eq!(world.alice.outcome(&world.bot(), &third).await.state, "succeeded");
    assert_eq!(world.state_of(&second).await.as_deref(), Some("refused"));
    let number = world.count("SELECT number FROM requests WHERE state = 'refused'").await.to_string();
    let told = |event: &serde_json::Value| {
        let body = event["content"]["body"].as_str().unwrap_or_default();
        event["sender"] == world.bot().as_str() && body.contains("Not run") && body.contains(&number)
    };
    world.alice.until("the room's line", |seen| seen.iter().find(|event| told(event)).map(|_| ())).await;
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE kind = 'command.unprocessable'").await, 1);
    assert_eq!(world.ask("!count next").await.state, "succeeded");
    assert_eq!(world.ops.traced(), ["first begins", "third begins", "third ends", "next"]);
}

/// `slow` acts on a system that can be taken out with it.
fn slow_on_legacy(ops: &OpsFolder) {
    let system = ops.read("systems/api.toml").replace("The api", "What is left of the old one");
    ops.file("systems/legacy.toml", &system);
    let slow = ops.read("commands/slow.toml").replace("effect =", "subject = \"legacy\"\neffect =");
    ops.file("commands/slow.toml", &slow);
}

#[tokio::test]
async fn what_runs_can_be_stopped_when_neither_its_command_nor_its_system_is_declared_any_more() {
    let world = World::changed(slow_on_legacy).await;
    let first = world.alice.say(&world.room, "!slow 60 first").await;
    world.started("first begins").await;
    for file in ["commands/slow.toml", "systems/legacy.toml"] {
        std::fs::remove_file(world.ops.path().join(file)).unwrap();
    }
    let room = world.ops.read("rooms/deploy.toml");
    world.ops.file("rooms/deploy.toml", &room.replace("\"slow\", ", ""));
    let reloaded = world.ask("!reload").await;
    assert_eq!(reloaded.state, "succeeded", "{}", reloaded.body);
    assert!(world.ask("!slow 0 again").await.body.contains("slow"), "it is no command any more");

    // The rules in force decide who may.
    let number = world.count("SELECT number FROM requests WHERE state = 'running'").await;
    let no = world.ask_as(&world.bob, &format!("!cancel {number}")).await;
    assert_eq!(no.state, "refused", "{}", no.body);
    assert_eq!(world.state_of(&first).await.as_deref(), Some("running"));
    let yes = world.ask(&format!("!cancel {number}")).await;
    assert_eq!(yes.state, "succeeded", "{}", yes.body);
    assert_eq!(world.alice.outcome(&world.bot(), &first).await.state, "cancelled");
    assert_eq!(world.ops.traced(), ["first begins"]);
}

#[tokio::test]
async fn what_waits_in_a_room_that_is_no_longer_ours_expires_all_the_same() {
    let company = Company::with(Plan::default(), "wait = \"4s\"\nremind = \"3s\"").await;
    let (_, prompt) = company.waits("!deploy web production v1").await;
    let gone = sqlx::query("DELETE FROM rooms WHERE room_id = $1").bind(&company.room);
    assert_eq!(gone.execute(&company.sql()).await.unwrap().rows_affected(), 1);
    let expired =
        format!("SELECT count(*) FROM requests WHERE number = {} AND state = 'expired'", number(&prompt));
    while company.count(&expired).await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    company.once(number(&prompt), "command.expired").await;
    assert!(company.ops.traced().is_empty());
}
