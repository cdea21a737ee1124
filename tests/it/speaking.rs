//! How answers are said (MATRIX.md, "Speaking", 22 to 28).

use serde_json::{Value, json};

use crate::harness::{OwnHomeserver, Plan, World};

#[tokio::test]
async fn an_answer_is_a_notice_in_a_thread_at_the_command_that_pings_nobody() {
    let world = World::start().await;
    let command = world.alice.say(&world.room, "!count threaded").await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(answer.content("msgtype"), "m.notice");
    assert_eq!(
        *answer.content("m.relates_to"),
        json!({
            "rel_type": "m.thread", "event_id": command, "is_falling_back": true,
            "m.in_reply_to": { "event_id": command },
        })
    );
    assert_eq!(*answer.content("m.mentions"), json!({}));
    assert!(answer.content("org.quarterdeck.step").is_string());
}

#[tokio::test]
async fn a_command_in_a_thread_is_answered_in_that_thread() {
    let world = World::start().await;
    let root = world.alice.say(&world.room, "let us see").await;
    let command = world
        .alice
        .send(
            &world.room,
            &json!({ "msgtype": "m.text", "body": "!count inside",
                "m.relates_to": { "rel_type": "m.thread", "event_id": root, "is_falling_back": true,
                    "m.in_reply_to": { "event_id": root } } }),
        )
        .await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    let relation = answer.content("m.relates_to");
    assert_eq!(relation["rel_type"], "m.thread");
    assert_eq!(relation["event_id"], root.as_str());
    assert_eq!(relation["m.in_reply_to"]["event_id"], command.as_str());
}

#[tokio::test]
async fn a_change_says_one_line_in_the_main_timeline_as_well() {
    let world = World::start().await;
    let answer = world.ask("!deploy web staging v2").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    let (bot, alice) = (world.bot(), world.alice.id.clone());
    world
        .alice
        .until("a line in the timeline", |seen| {
            let line = |event: &&Value| {
                event["sender"] == bot.as_str()
                    && event["content"]["m.relates_to"].is_null()
                    && event["content"]["body"].as_str().is_some_and(|body| body.contains(&alice))
            };
            seen.iter().find(line).map(|_| ())
        })
        .await;
    world.ask("!count quiet").await;
    world.settled().await;
    let seen = world.alice.seen();
    let in_the_timeline = |event: &&Value| {
        event["sender"] == bot.as_str()
            && event["type"] == "m.room.message"
            && event["content"]["m.relates_to"].is_null()
    };
    assert_eq!(seen.iter().filter(in_the_timeline).count(), 1, "what only reads says nothing there");
}

#[tokio::test]
async fn the_outcome_of_a_long_run_makes_a_sound_for_who_asked_and_a_short_one_does_not() {
    let world = World::start().await;
    let short = world.ask("!count short").await;
    let long = world.ask("!slow 31 long").await;
    assert_eq!(long.content("msgtype"), "m.text");
    assert_eq!(*long.content("m.mentions"), json!({ "user_ids": [world.alice.id] }));
    // By the default push rules.
    let told = world.alice.must("GET", &["notifications"], &Value::Null).await;
    let notified = |event: &Value| {
        told["notifications"]
            .as_array()
            .unwrap()
            .iter()
            .any(|notification| notification["event"]["event_id"] == event["event_id"])
    };
    assert!(notified(&long.event), "{told}");
    assert!(!notified(&short.event));
}

#[tokio::test]
async fn output_pings_nobody_and_is_only_ever_text() {
    let world = World::start().await;
    let text = format!("<b>bold</b> & @room {}", world.bob.id);
    let answer = world.ask(&format!("!echo '{text}'")).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert_eq!(*answer.content("m.mentions"), json!({}));
    assert!(answer.body.contains(&text), "the plain body stands alone: {}", answer.body);
    let html = answer.content("formatted_body").as_str().unwrap();
    assert!(html.contains("&lt;b&gt;bold&lt;/b&gt; &amp; @room"), "{html}");
    assert!(!html.contains("<b>") && !html.contains("matrix.to"), "{html}");
}

#[tokio::test]
async fn control_characters_in_output_are_made_visible() {
    let world = World::start().await;
    let answer = world.ask("!steer").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    for text in [&answer.body, answer.content("formatted_body").as_str().unwrap()] {
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
        assert!(text.contains("ab\\u{202e}c"), "{text:?}");
    }
}

#[tokio::test]
async fn output_that_is_too_long_for_a_message_is_a_file() {
    let world = World::start().await;
    let answer = world.ask("!lines 30000").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert!(answer.event.to_string().len() < 65_536);
    let (bot, command) =
        (world.bot(), answer.content("m.relates_to")["event_id"].as_str().unwrap().to_owned());
    let file = world.alice.answer_that(&bot, &command, |it| it["content"]["msgtype"] == "m.file").await;
    let address = file["content"]["url"].as_str().unwrap().strip_prefix("mxc://").unwrap();
    let text = world.alice.download(address).await;
    assert!(text.starts_with("line 1 of the output\n"));
    assert!(text.trim_end().ends_with("line 30000 of the output"));
}

#[tokio::test]
async fn a_limit_of_the_homeserver_is_waited_for_and_nothing_is_said_twice() {
    let own = OwnHomeserver::up(&["--stock-limits", "--appservices", "2"]);
    // In a real installation it may have been forgotten to lift the limits.
    let registration = &own.homeserver.appservices[0].registration;
    let text = std::fs::read_to_string(registration).unwrap();
    std::fs::write(registration, text.replace("rate_limited: false", "rate_limited: true")).unwrap();
    own.stop();
    own.start();
    let plan = Plan { homeserver: Some(own.homeserver.clone()), puppet: true, ..Plan::default() };
    let world = World::with(plan).await;
    let eve = world.eve.as_ref().unwrap();
    let mut commands = Vec::new();
    for number in 0..13 {
        commands.push(eve.say(&world.room, &format!("!count limit-{number}")).await);
    }
    for command in &commands {
        world.alice.outcome(&world.bot(), command).await;
    }
    world.nothing_pending().await;
    world.alice.sync(std::time::Duration::from_millis(500)).await;
    for (number, command) in commands.iter().enumerate() {
        assert_eq!(world.alice.outcomes(&world.bot(), command).len(), 1);
        assert_eq!(world.ops.counted(&format!("limit-{number}")), 1);
    }
}

#[tokio::test]
async fn in_a_room_that_the_homeserver_encrypts_it_says_so_once() {
    let own = OwnHomeserver::up(&["--encrypts", "all", "--appservices", "1"]);
    let mut world = World::with(Plan { homeserver: Some(own.homeserver.clone()), ..Plan::default() }).await;
    let (bot, room) = (world.bot(), world.room.clone());
    let said = |seen: &[Value]| {
        let here = |event: &&Value| {
            event["sender"] == bot.as_str()
                && event["room_id"] == room.as_str()
                && event["content"]["body"].as_str().is_some_and(|body| body.contains("encrypted"))
        };
        seen.iter().filter(here).count()
    };
    let secret = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x" });
    world.alice.send_event(&room, "m.room.encrypted", &secret, &[]).await;
    world.alice.until("it says that it cannot read", |seen| (said(seen) > 0).then_some(())).await;
    world.alice.send_event(&room, "m.room.encrypted", &secret, &[]).await;
    world.restart().await;
    world.alice.send_event(&room, "m.room.encrypted", &secret, &[]).await;
    world.nothing_pending().await;
    let mark = world.alice.say(&room, "mark").await;
    world.alice.until_seen(&mark).await;
    assert_eq!(said(&world.alice.seen()), 1);
}

#[tokio::test]
async fn a_message_that_relates_to_another_is_no_root_and_is_answered_in_the_timeline() {
    let world = World::start().await;
    let talk = world.alice.say(&world.room, "look at this").await;
    let refers = json!({ "rel_type": "m.reference", "event_id": talk });
    let content = json!({ "msgtype": "m.text", "body": "!count refers", "m.relates_to": refers });
    let command = world.alice.send(&world.room, &content).await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert_eq!(*answer.content("m.relates_to"), json!({ "m.in_reply_to": { "event_id": command } }));
}

#[tokio::test]
async fn a_room_may_have_its_answers_in_the_main_timeline() {
    let world = World::changed(|ops| {
        let room = ops.read("rooms/deploy.toml");
        ops.file("rooms/deploy.toml", &format!("answers = \"timeline\"\n{room}"));
    })
    .await;
    let command = world.alice.say(&world.room, "!deploy web staging v3").await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(*answer.content("m.relates_to"), json!({ "m.in_reply_to": { "event_id": command } }));
    // Whoever asks in a thread looks there.
    let thread = json!({ "rel_type": "m.thread", "event_id": command });
    let content = json!({ "msgtype": "m.text", "body": "!count inside", "m.relates_to": thread });
    let inside = world.alice.send(&world.room, &content).await;
    let inside = world.alice.outcome(&world.bot(), &inside).await;
    assert_eq!(inside.content("m.relates_to")["rel_type"], "m.thread");
    // And no second line tells of the change: it is there already.
    world.settled().await;
    let bot = world.bot();
    let told = |event: &&Value| {
        event["sender"] == bot.as_str()
            && event["content"]["body"].as_str().is_some_and(|body| body.contains("web@staging is at v3"))
    };
    assert_eq!(world.alice.seen().iter().filter(told).count(), 1);
}

#[tokio::test]
async fn a_quick_command_gets_no_reaction_and_a_longer_one_the_mark_of_its_state_after_the_answer() {
    let world = World::start().await;
    let quick = world.alice.say(&world.room, "!count quick").await;
    let long = world.alice.say(&world.room, "!slow 3").await;
    world.alice.outcome(&world.bot(), &long).await;
    // The mark that it runs was taken back when the other had come.
    let bot = world.bot();
    let taken_back = |it: &&Value| it["type"] == "m.room.redaction" && it["sender"] == bot.as_str();
    world.alice.until("the redaction", |seen| seen.iter().find(taken_back).map(|_| ())).await;
    world.settled().await;
    let seen = world.alice.seen();
    let at = |fits: &dyn Fn(&Value) -> bool| seen.iter().position(fits).unwrap();
    let ended = at(&|it| {
        it["content"]["org.quarterdeck.request"]["state"] == "succeeded"
            && it["content"]["m.relates_to"]["event_id"] == long.as_str()
    });
    let marked = at(&|it| it["content"]["m.relates_to"]["key"] == "✅");
    let unmarked = at(&|it| taken_back(&it));
    assert!(ended < marked && marked < unmarked, "never before the answer");
    let running = at(&|it| it["content"]["m.relates_to"]["key"] == "⏳");
    let redacted = seen[unmarked]["content"]["redacts"].as_str().unwrap();
    assert_eq!(seen[running]["event_id"], redacted);
    let now = world.event(&world.room, redacted).await;
    assert_eq!(now["content"]["m.relates_to"], Value::Null, "one mark is seen");
    let marks = |event: &str| -> Vec<String> {
        let to =
            |it: &&Value| it["type"] == "m.reaction" && it["content"]["m.relates_to"]["event_id"] == event;
        let key = |it: &Value| it["content"]["m.relates_to"]["key"].as_str().unwrap_or_default().to_owned();
        seen.iter().filter(to).map(key).collect()
    };
    assert_eq!(marks(&quick), [""; 0]);
    assert_eq!(marks(&long), ["⏳", "✅"]);
}

/// Prints 1,000,000 bytes in a single line of what is worst to escape.
const WIDE: &str = r"head -c 1000000 /dev/zero | tr '\0' '<'";

#[tokio::test]
async fn whatever_is_said_pings_nobody_stands_alone_fits_and_has_a_step_of_its_own() {
    let world = World::changed(|ops| {
        ops.command("wide", "read", "", WIDE);
        let room = ops.read("rooms/deploy.toml").replace("commands = [", "commands = [\"wide\", ");
        ops.file("rooms/deploy.toml", &room);
    })
    .await;
    let first = world.alice.say(&world.room, "!slow 1 first").await;
    world.started("first begins").await;
    let waits = world.alice.say(&world.room, "!slow 0 second").await;
    let edited = world.ask("!count edited").await;
    let edited = edited.content("m.relates_to")["event_id"].as_str().unwrap().to_owned();
    world.alice.edit(&world.room, &edited, "!count other").await;
    for line in ["!deploy web staging", "!fail", "!nonsense", "!help", "!audit", "!lines 200"] {
        world.ask(line).await;
    }
    world.ask_as(&world.bob, "!deploy web production").await;
    let wide = world.ask("!wide").await;
    assert_eq!(wide.state, "succeeded", "{}", wide.body);
    assert!(wide.body.len() < 6_000, "a phone must show it: {} bytes", wide.body.len());
    let name = format!("wide-{}.txt", wide.number);
    assert!(wide.body.contains(&name), "it says where the rest is: {}", &wide.body[wide.body.len() - 200..]);
    for event in [&first, &waits] {
        world.alice.outcome(&world.bot(), event).await;
    }
    world.settled().await;

    let (bot, seen) = (world.bot(), world.alice.seen());
    let mut steps = Vec::new();
    for event in &seen {
        if event["sender"] != bot.as_str() || event["type"] != "m.room.message" {
            continue;
        }
        let content = &event["content"];
        assert_eq!(content["m.mentions"], json!({}), "{content}");
        assert!(event.to_string().len() < 65_536);
        let body = content["body"].as_str().unwrap();
        assert!(!body.trim().is_empty(), "{content}");
        match content["msgtype"].as_str() {
            Some("m.notice") => {
                let html = content["formatted_body"].as_str().unwrap();
                assert!(!html.contains("<script") && !html.contains("<<"), "{html}");
            }
            Some("m.file") => assert!(content["url"].as_str().unwrap().starts_with("mxc://")),
            other => panic!("{other:?}: {content}"),
        }
        steps.push(content["org.quarterdeck.step"].as_str().unwrap().to_owned());
    }
    // Twelve answers, a wait, two files, a note and a line in the timeline.
    assert!(steps.len() >= 17, "{steps:?}");
    let all = steps.len();
    steps.sort();
    steps.dedup();
    assert_eq!(steps.len(), all, "a step was sent twice");

    let file = seen.iter().find(|event| event["content"]["filename"] == name.as_str()).unwrap();
    let address = file["content"]["url"].as_str().unwrap().strip_prefix("mxc://").unwrap();
    assert_eq!(world.alice.download(address).await, "<".repeat(1_000_000));
}
