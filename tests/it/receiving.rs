//! What is taken as a command, and what is not (MATRIX.md, "Receiving", 1 to 9).

use futures_util::future::join_all;
use quarterdeck::model::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::harness::{Plan, World, server::client};

fn message(world: &World, id: &str, body: &str) -> Value {
    json!({
        "type": "m.room.message", "event_id": id, "room_id": world.room, "sender": world.alice.id,
        "origin_server_ts": SystemClock.now().as_millisecond(), "content": { "msgtype": "m.text", "body": body },
    })
}

#[tokio::test]
async fn a_transaction_repeated_a_hundred_times_at_once_and_under_other_ids_starts_its_command_once() {
    let mut world = World::start().await;
    world.stop().await;
    let command = world.alice.say(&world.room, "!count repeated").await;
    let event = world.event(&world.room, &command).await;
    world.serve().await;
    let events = [event];
    let repeated = (0..100).map(|_| world.deliver("repeated", &events));
    assert!(join_all(repeated).await.iter().all(|status| *status == 200));
    let names: Vec<_> = (0..20).map(|number| format!("other-{number}")).collect();
    let renamed = names.iter().map(|name| world.deliver(name, &events));
    assert!(join_all(renamed).await.iter().all(|status| *status == 200));

    world.settled().await;
    assert_eq!(world.ops.counted("repeated"), 1);
    assert_eq!(world.alice.outcomes(&world.bot(), &command).len(), 1);
    // Nor after a restart, when nothing is remembered but what the database holds.
    world.restart().await;
    assert_eq!(world.deliver("repeated", &events).await, 200);
    assert_eq!(world.deliver("afterwards", &events).await, 200);
    world.settled().await;
    assert_eq!(world.ops.counted("repeated"), 1);
    assert_eq!(world.alice.outcomes(&world.bot(), &command).len(), 1);
}

#[tokio::test]
async fn other_events_under_a_known_transaction_id_are_processed() {
    let mut world = World::start().await;
    // The homeserver does not know these events, so their answers cannot hang on them.
    world.leave_pending();
    assert_eq!(world.deliver("same", &[message(&world, "$first", "!count first")]).await, 200);
    assert_eq!(world.deliver("same", &[message(&world, "$second", "!count second")]).await, 200);
    world.started("first").await;
    world.started("second").await;
}

#[tokio::test]
async fn the_homeservers_token_is_demanded_and_compared() {
    let world = World::start().await;
    let url = format!("http://{}/_matrix/app/v1/transactions/1", world.address());
    let put = || client().put(&url).json(&json!({ "events": [message(&world, "$forged", "!count forged")] }));
    let token = &world.lease.appservice.hs_token;

    let none = put().send().await.unwrap();
    assert_eq!(none.status(), 401);
    assert_eq!(none.json::<Value>().await.unwrap()["errcode"], "M_MISSING_TOKEN");
    let in_the_query =
        client().put(format!("{url}?access_token={token}")).json(&json!({ "events": [] })).send().await;
    assert_eq!(in_the_query.unwrap().status(), 401);
    for wrong in ["wrong", &token[1..], &world.lease.appservice.as_token] {
        let answer = put().bearer_auth(wrong).send().await.unwrap();
        assert_eq!(answer.status(), 403);
        assert_eq!(answer.json::<Value>().await.unwrap()["errcode"], "M_FORBIDDEN");
    }
    world.settled().await;
    assert_eq!(world.ops.counted("forged"), 0);
}

#[tokio::test]
async fn an_old_command_and_one_from_the_future_are_refused_as_stale() {
    let world = World::with(Plan { puppet: true, ..Plan::default() }).await;
    let eve = world.eve.as_ref().unwrap();
    let now = SystemClock.now().as_millisecond();
    for (at, state) in [
        (now - 6 * 60_000, "refused"),
        (now + 2 * 60_000, "refused"),
        (now - 60_000, "succeeded"),
        (now + 20_000, "succeeded"),
    ] {
        let content = json!({ "msgtype": "m.text", "body": "!count aged" });
        let event =
            eve.send_event(&world.room, "m.room.message", &content, &[("ts", at.to_string().as_str())]).await;
        let answer = world.alice.outcome(&world.bot(), &event).await;
        assert_eq!(answer.state, state, "{}", answer.body);
        if state == "refused" {
            assert!(answer.body.starts_with("⌛ Not run: "), "{}", answer.body);
            assert_eq!(world.why_refused(&event).await, "stale");
        }
    }
    assert_eq!(world.ops.counted("aged"), 2);
}

#[tokio::test]
async fn a_malformed_event_is_kept_and_counted_and_blocks_nothing() {
    let world = World::start().await;
    let room = world.room.as_str();
    let broken = [
        json!({}),
        json!({ "type": "m.room.message" }),
        json!({ "type": 5, "event_id": ["$x"], "room_id": room }),
        json!({ "type": "m.room.message", "event_id": "$broken1", "room_id": room, "sender": "nobody", "content": {} }),
        json!({ "type": "m.room.message", "event_id": "$broken2", "room_id": room, "sender": world.alice.id }),
        json!({ "type": "m.room.message", "event_id": "$broken3", "room_id": room, "sender": world.alice.id,
            "origin_server_ts": "yesterday", "content": { "msgtype": "m.text", "body": "!count broken" } }),
        json!({ "type": "m.room.message", "event_id": "$broken4", "room_id": room, "sender": world.alice.id,
            "origin_server_ts": 1, "content": { "msgtype": "m.text", "body": { "a": "!count broken" } } }),
        json!({ "type": "m.room.message", "event_id": "$nul\u{0}", "room_id": room, "sender": world.alice.id,
            "origin_server_ts": 1, "content": { "msgtype": "m.text", "body": "\u{0}\u{202e}" } }),
        json!({ "type": "m.room.member", "event_id": "$broken5", "room_id": room, "sender": world.alice.id,
            "state_key": "@bob:broken", "origin_server_ts": 1, "content": { "membership": 7 } }),
    ];
    assert_eq!(world.deliver("broken", &broken).await, 200);
    world.settled().await;
    assert_eq!(world.ops.counted("broken"), 0);
    assert!(world.server.as_ref().unwrap().metric("quarterdeck_events_malformed_total").await >= 3.0);
}

#[tokio::test]
async fn notices_and_other_kinds_of_messages_are_never_commands() {
    let world = World::start().await;
    for kind in ["m.notice", "m.emote", "m.image", "org.example.own"] {
        world.alice.send(&world.room, &json!({ "msgtype": kind, "body": "!count notice" })).await;
    }
    let content = json!({ "msgtype": "m.text", "body": "!count notice" });
    world.alice.send_event(&world.room, "m.sticker", &content, &[]).await;
    world.alice.send_event(&world.room, "org.example.message", &content, &[]).await;
    world.settled().await;
    assert_eq!(world.ops.counted("notice"), 0);
}

#[tokio::test]
async fn what_quarterdecks_own_users_say_is_never_a_command() {
    let world = World::start().await;
    let content = json!({ "msgtype": "m.text", "body": "!count myself" });
    world.as_bot().send_event(&world.room, "m.room.message", &content, &[]).await;
    world.settled().await;
    assert_eq!(world.ops.counted("myself"), 0);
}

#[tokio::test]
async fn an_edit_runs_nothing_and_is_noted() {
    let world = World::start().await;
    let talk = world.alice.say(&world.room, "hello").await;
    world.alice.edit(&world.room, &talk, "!count edited").await;
    let command = world.alice.say(&world.room, "!count original").await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    world.alice.edit(&world.room, &command, "!count edited").await;
    let bot = world.bot();
    let note = world
        .alice
        .answer_that(&bot, &command, |it| it["content"]["body"].as_str().unwrap().contains("edited"))
        .await;
    assert!(note["content"]["body"].as_str().unwrap().contains(&answer.number.to_string()));
    world.settled().await;
    assert_eq!(world.ops.counted("edited"), 0);
    assert_eq!(world.ops.counted("original"), 1);
    assert_eq!(world.entries(answer.number).await.last().unwrap(), "message.edited");
}

#[tokio::test]
async fn a_redaction_after_the_run_is_recorded_and_what_was_recorded_stays() {
    let world = World::start().await;
    let command = world.alice.say(&world.room, "!count removed").await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    world.alice.redact(&world.room, &command).await;
    let bot = world.bot();
    world
        .alice
        .answer_that(&bot, &command, |it| it["content"]["body"].as_str().unwrap().contains("removed"))
        .await;
    world.settled().await;
    assert_eq!(
        world.entries(answer.number).await,
        ["command.received", "command.permitted", "run.started", "run.finished", "message.redacted"]
    );
    assert_eq!(world.state_of(&command).await.as_deref(), Some("succeeded"));
}

#[tokio::test]
async fn a_redaction_of_a_command_that_waits_cancels_it() {
    let world = World::start().await;
    let first = world.alice.say(&world.room, "!slow 3 first").await;
    world.started("first begins").await;
    let second = world.bob.say(&world.room, "!slow 0 second").await;
    let bot = world.bot();
    world
        .alice
        .answer_that(&bot, &second, |it| it["content"]["org.quarterdeck.request"]["state"] == "queued")
        .await;
    world.bob.redact(&world.room, &second).await;
    let cancelled = world.alice.outcome(&world.bot(), &second).await;
    assert_eq!(cancelled.state, "cancelled");
    let entries = world.entries(cancelled.number).await;
    for kind in ["command.permitted", "run.queued", "command.cancelled"] {
        assert_eq!(entries.iter().filter(|it| *it == kind).count(), 1, "{kind} in {entries:?}");
    }
    assert!(!entries.iter().any(|kind| kind == "run.started"), "{entries:?}");
    world.alice.outcome(&world.bot(), &first).await;
    world.settled().await;
    assert_eq!(world.ops.counted("second begins"), 0);
}

#[tokio::test]
async fn quoting_somebodys_command_does_not_run_it() {
    let world = World::start().await;
    let original = world.alice.say(&world.room, "look at this").await;
    let reply = |body: &str, html: &str| {
        json!({
            "msgtype": "m.text", "body": body, "format": "org.matrix.custom.html", "formatted_body": html,
            "m.relates_to": { "m.in_reply_to": { "event_id": original } },
        })
    };
    let quoted = "> <@alice:example.org> !count quoted\n\nwhat does this do?";
    world
        .bob
        .send(
            &world.room,
            &reply(quoted, "<mx-reply><blockquote>!count quoted</blockquote></mx-reply>what does this do?"),
        )
        .await;
    let answered = "> <@alice:example.org> !count quoted\n\n!count answered";
    let command = world
        .bob
        .send(
            &world.room,
            &reply(answered, "<mx-reply><blockquote>!count quoted</blockquote></mx-reply>!count answered"),
        )
        .await;
    assert_eq!(world.alice.outcome(&world.bot(), &command).await.state, "succeeded");
    world.settled().await;
    assert_eq!(world.ops.counted("quoted"), 0);
    assert_eq!(world.ops.counted("answered"), 1);
}

#[tokio::test]
async fn a_message_of_several_lines_is_refused_with_the_reason() {
    let world = World::start().await;
    let answer = world.ask("!count one\n!count two").await;
    assert_eq!(answer.state, "refused");
    assert!(answer.body.contains("line"), "{}", answer.body);
    // A command on a later line is talk.
    world.alice.say(&world.room, "look:\n!count three").await;
    world.settled().await;
    assert_eq!(world.ops.traced(), ["settled"]);
}

#[tokio::test]
async fn control_characters_and_turned_text_in_arguments_are_refused() {
    let world = World::start().await;
    for bad in ["a\u{7}b", "a\u{202e}b", "a\u{1b}[2Jb", "a\u{2066}b", "a\u{8}b"] {
        let answer = world.ask(&format!("!echo {bad}")).await;
        assert_eq!(answer.state, "refused", "{bad:?}: {}", answer.body);
    }
    assert!(world.ops.traced().is_empty());
}

#[tokio::test]
async fn what_phone_keyboards_type_is_understood_and_echoed() {
    let world = World::start().await;
    for line in [
        "!Count phone",
        "!count “phone”",
        "!count\u{a0}phone",
        "!count —word phone",
        "!count ‘phone’",
        "!count –word=phone",
    ] {
        let answer = world.ask(line).await;
        assert_eq!(answer.state, "succeeded", "{line}: {}", answer.body);
        assert!(answer.body.contains("`!count --word phone`"), "{line} is echoed: {}", answer.body);
    }
    assert_eq!(world.ops.counted("phone"), 6);
}

#[tokio::test]
async fn a_pill_gives_the_mxid_of_its_link_and_never_its_text() {
    let world = World::start().await;
    let bob = &world.bob.id;
    let pill = |body: &str, html: &str| {
        json!({
            "msgtype": "m.text", "body": body, "format": "org.matrix.custom.html", "formatted_body": html,
            "m.mentions": { "user_ids": [bob] },
        })
    };
    let link = format!("https://matrix.to/#/{bob}");
    let good = pill("!whois The boss", &format!("!whois <a href=\"{link}\">The boss</a>"));
    let event = world.alice.send(&world.room, &good).await;
    let answer = world.alice.outcome(&world.bot(), &event).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert_eq!(world.ops.traced(), [format!("whois {bob}")]);

    let torn = pill("!whois somebody else", &format!("!whois <a href=\"{link}\">The boss</a>"));
    let event = world.alice.send(&world.room, &torn).await;
    assert_eq!(world.alice.outcome(&world.bot(), &event).await.state, "refused");
}

#[tokio::test]
async fn a_structured_command_counts_only_where_the_text_says_the_same() {
    let world = World::start().await;
    let structured = |body: &str, word: &str| {
        json!({
            "msgtype": "m.text", "body": body, "m.mentions": { "user_ids": [world.bot()] },
            "org.matrix.msc4391.command": { "command": "count", "arguments": { "word": word } },
        })
    };
    let event = world.alice.send(&world.room, &structured("!count same", "same")).await;
    let answer = world.alice.outcome(&world.bot(), &event).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    let event = world.alice.send(&world.room, &structured("!count shown", "hidden")).await;
    let answer = world.alice.outcome(&world.bot(), &event).await;
    assert_eq!(answer.state, "refused", "{}", answer.body);
    assert_eq!(world.ops.traced(), ["same"]);
}

#[tokio::test]
async fn what_cannot_even_be_answered_is_passed_over_and_its_room_is_told() {
    let world = World::start().await;
    // What it takes: its text cannot be kept, and neither can the answer that says so.
    for statement in [
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'on purpose'; END $$",
        "CREATE TRIGGER fails BEFORE INSERT ON contents FOR EACH ROW
         WHEN (position('poison'::bytea IN NEW.bytes) > 0) EXECUTE FUNCTION fail()",
        "CREATE TRIGGER fails BEFORE INSERT ON outbox FOR EACH ROW
         WHEN (NEW.step LIKE 'unprocessable/%') EXECUTE FUNCTION fail()",
    ] {
        sqlx::query(statement).execute(&world.sql()).await.unwrap();
    }
    let event = world.alice.say(&world.room, "!count poison").await;
    let bot = world.bot();
    let told = |it: &&Value| {
        it["sender"] == bot.as_str()
            && it["content"]["body"]
                .as_str()
                .is_some_and(|body| body.contains("Not run") && body.contains(&event))
    };
    world.alice.until("the room's line", |seen| seen.iter().find(told).map(|_| ())).await;
    assert_eq!(world.count("SELECT count(*) FROM inbox WHERE state = 'passed'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE kind = 'command.unprocessable'").await, 1);
    assert_eq!(world.ask("!count next").await.state, "succeeded");
    assert_eq!(world.ops.traced(), ["next"]);
}
