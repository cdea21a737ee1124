//! Who somebody is and what that lets them do (MATRIX.md, "Identity and authority", 10 to 16).

use quarterdeck::model::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::harness::{Person, Plan, State, World};

#[tokio::test]
async fn a_display_name_copied_from_a_lead_changes_nothing() {
    let world = World::start().await;
    let name = json!({ "displayname": world.alice.localpart() });
    world.alice.must("PUT", &["profile", &world.alice.id, "displayname"], &name).await;
    world.bob.must("PUT", &["profile", &world.bob.id, "displayname"], &name).await;
    let answer = world.ask_as(&world.bob, "!deploy web production v1").await;
    assert_eq!(answer.state, "refused");
    assert!(world.ops.traced().is_empty());
    let sender: String = sqlx::query_scalar("SELECT sender FROM requests WHERE number = $1")
        .bind(answer.number)
        .fetch_one(&world.sql())
        .await
        .unwrap();
    assert_eq!(sender, world.bob.id);
}

#[tokio::test]
async fn commands_count_only_in_rooms_that_quarterdeck_bound_by_their_id() {
    let world = World::start().await;
    // Alice may invite it, and the room has the same name; it is bound to nothing.
    let room = world
        .alice
        .create_room(&json!({ "name": "Room deploy", "invite": [world.bot()], "preset": "public_chat" }))
        .await;
    world
        .alice
        .until("the bot follows an administrator", |seen| {
            let joined = |event: &&Value| {
                event["room_id"] == room.as_str()
                    && event["state_key"] == world.bot()
                    && event["content"]["membership"] == "join"
            };
            seen.iter().find(joined).map(|_| ())
        })
        .await;
    world.alice.say(&room, "!count elsewhere").await;
    world.settled().await;
    assert_eq!(world.ops.counted("elsewhere"), 0);
    assert_eq!(world.count("SELECT count(*) FROM requests").await, 1);
}

#[tokio::test]
async fn an_event_id_from_another_room_gives_nothing_away() {
    let world = World::with(Plan { other_room: true, ..Plan::default() }).await;
    let other = world.alice.join(&world.alias("other")).await;
    let command = world.alice.say(&world.room, "!count treasure").await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    world.settled().await;
    // The homeserver refuses a relation across rooms, so the event is delivered as a bad one might.
    let forged = json!({
        "type": "m.room.message", "event_id": "$forged-edit", "room_id": other, "sender": world.alice.id,
        "origin_server_ts": 1,
        "content": { "msgtype": "m.text", "body": "* x", "m.new_content": { "msgtype": "m.text", "body": "x" },
            "m.relates_to": { "rel_type": "m.replace", "event_id": command } },
    });
    let redaction = json!({
        "type": "m.room.redaction", "event_id": "$forged-redaction", "room_id": other, "sender": world.alice.id,
        "origin_server_ts": 1, "redacts": command, "content": { "redacts": command },
    });
    assert_eq!(world.deliver("forged", &[forged, redaction]).await, 200);
    // In that room its number tells nothing either.
    let asked = world.alice.say(&other, &format!("!audit {}", answer.number)).await;
    let told = world.alice.outcome(&world.bot(), &asked).await;
    assert_eq!(told.body, format!("There is no request `{}` in this room.", answer.number));
    assert_eq!(world.entries(answer.number).await.last().unwrap(), "run.finished");
}

#[tokio::test]
async fn rooms_are_of_version_12_and_their_creator_stands_in_no_list() {
    let world = World::start().await;
    let created = world.alice.state(&world.room, "m.room.create", "").await;
    assert_eq!(created["room_version"], "12");
    assert!(!world.room.contains(':'), "{}", world.room);
    let levels = world.alice.state(&world.room, "m.room.power_levels", "").await;
    assert!(levels["users"].get(world.bot()).is_none(), "{levels}");
    let history = world.alice.state(&world.room, "m.room.history_visibility", "").await;
    assert_eq!(history["history_visibility"], "joined");
    let guests = world.alice.state(&world.room, "m.room.guest_access", "").await;
    assert_eq!(guests["guest_access"], "forbidden");
    let topic = world.alice.state(&world.room, "m.room.topic", "").await;
    assert_eq!(topic["topic"], "For a test");
}

#[tokio::test]
async fn a_power_level_does_not_widen_what_the_rules_allow_and_is_set_back() {
    let world = World::start().await;
    let mut levels = world.alice.state(&world.room, "m.room.power_levels", "").await;
    levels["users"][&world.bob.id] = 100.into();
    let path = ["rooms", &world.room, "state", "m.room.power_levels", ""];
    world.as_bot().must("PUT", &path, &levels).await;
    let answer = world.ask_as(&world.bob, "!deploy web production v1").await;
    assert_eq!(answer.state, "refused");
    assert!(world.ops.traced().is_empty());
    // Even Quarterdeck's own account may be used by a hand: what differs from the files is set back.
    world
        .bob
        .must("PUT", &["rooms", &world.room, "state", "m.room.topic", ""], &json!({ "topic": "mine" }))
        .await;
    world
        .alice
        .until("the topic as declared", |seen| {
            let topics: Vec<_> = seen.iter().filter(|event| event["type"] == "m.room.topic").collect();
            let bot = world.bot();
            topics
                .iter()
                .any(|event| event["content"]["topic"] == "mine")
                .then(|| topics.last().filter(|event| event["sender"] == bot.as_str()).map(|_| ()))
                .flatten()
        })
        .await;
}

#[tokio::test]
async fn who_has_left_while_their_command_waited_does_not_get_it_run() {
    let world = World::start().await;
    let first = world.alice.say(&world.room, "!slow 2 first").await;
    world.started("first begins").await;
    let second = world.bob.say(&world.room, "!slow 0 second").await;
    let bot = world.bot();
    world
        .alice
        .answer_that(&bot, &second, |it| it["content"]["org.quarterdeck.request"]["state"] == "queued")
        .await;
    world.bob.leave(&world.room).await;
    world.alice.outcome(&world.bot(), &first).await;
    assert_eq!(world.alice.outcome(&world.bot(), &second).await.state, "refused");
    assert_eq!(world.why_refused(&second).await, "membership");
    assert_eq!(world.ops.counted("second begins"), 0);
}

#[tokio::test]
async fn a_command_of_somebody_who_is_not_in_the_room_is_refused() {
    let mut world = World::start().await;
    // The homeserver would not let it in; a forged one is answered into nothing.
    world.leave_pending();
    world.bob.leave(&world.room).await;
    world.settled().await;
    let forged = json!({
        "type": "m.room.message", "event_id": "$from-outside", "room_id": world.room, "sender": world.bob.id,
        "origin_server_ts": SystemClock.now().as_millisecond(),
        "content": { "msgtype": "m.text", "body": "!count outside" },
    });
    assert_eq!(world.deliver("outside", &[forged]).await, 200);
    world.all_decided().await;
    assert_eq!(world.why_refused("$from-outside").await, "membership");
    assert_eq!(world.ops.counted("outside"), 0);
}

#[tokio::test]
async fn a_tombstone_is_not_followed() {
    let world = World::start().await;
    let trap = world.bob.create_room(&json!({ "name": "Room deploy", "preset": "public_chat" })).await;
    let path = ["rooms", &world.room, "state", "m.room.tombstone", ""];
    world.as_bot().must("PUT", &path, &json!({ "body": "moved", "replacement_room": trap })).await;
    world.bob.say(&trap, "!count trapped").await;
    world.settled().await;
    assert_eq!(world.ops.counted("trapped"), 0);
    let bound: Vec<String> =
        sqlx::query_scalar("SELECT room_id FROM rooms").fetch_all(&world.sql()).await.unwrap();
    assert!(!bound.contains(&trap));
}

#[tokio::test]
async fn an_invitation_by_anybody_but_an_administrator_is_declined_with_the_reason() {
    let world = World::start().await;
    let room = world
        .bob
        .create_room(&json!({ "name": "mine", "invite": [world.bot()], "preset": "private_chat" }))
        .await;
    let reason = world
        .bob
        .until("the invitation is declined", |seen| {
            seen.iter()
                .find(|event| {
                    event["room_id"] == room.as_str()
                        && event["state_key"] == world.bot()
                        && event["content"]["membership"] == "leave"
                })
                .map(|event| event["content"]["reason"].as_str().unwrap_or_default().to_owned())
        })
        .await;
    assert!(reason.contains(&world.alias("deploy")), "{reason}");
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE kind = 'invitation.declined'").await, 1);
}

#[tokio::test]
async fn who_was_not_invited_cannot_come_in() {
    let world = World::start().await;
    let mallory = Person::register(&world.lease.homeserver, "mallory").await;
    assert_eq!(mallory.try_join(&world.alias("deploy")).await, 403);
}

#[tokio::test]
async fn a_namesake_on_another_homeserver_is_somebody_else() {
    let mut world = World::prepared(Plan::default()).await;
    let elsewhere = &State::read().homeservers[1];
    let twin = Person::register_as(elsewhere, world.alice.localpart()).await;
    assert_eq!(twin.localpart(), world.alice.localpart());
    world.ops.team("partner", &[&elsewhere.name], &[&twin.id], 0);
    world.ops.room("deploy", &["web", "partner"]);
    world.serve().await;
    world.gather().await;
    twin.join(&world.alias("deploy")).await;
    for (line, state) in [("!deploy web production", "refused"), ("!count twin", "succeeded")] {
        let event = twin.say(&world.room, line).await;
        let answer = world.alice.outcome(&world.bot(), &event).await;
        assert_eq!(answer.state, state, "{line}: {}", answer.body);
        let list = world.ask("!audit").await.body;
        let line = list.lines().find(|it| it.contains(&format!("`{}`", answer.number))).unwrap().to_owned();
        assert!(line.contains(&twin.id) && !line.contains(&world.alice.id), "{line}");
    }
    assert_eq!(world.ask("!deploy web production").await.state, "succeeded");
    assert_eq!(world.ops.traced(), ["twin", "deploy web production"]);
}

#[tokio::test]
async fn an_alias_that_was_moved_to_another_room_moves_nothing() {
    let mut world = World::start().await;
    let alias = world.alias("deploy");
    let trap = world
        .alice
        .create_room(&json!({ "name": "Room deploy", "invite": [world.bot()], "preset": "public_chat" }))
        .await;
    world.alice.until_joined(&trap, &world.bot()).await;
    let bot = world.as_bot();
    bot.must("DELETE", &["directory", "room", &alias], &json!({})).await;
    bot.must("PUT", &["directory", "room", &alias], &json!({ "room_id": trap })).await;
    for again in [false, true] {
        if again {
            world.restart().await;
        }
        world.alice.say(&trap, "!count moved").await;
        assert_eq!(world.ask("!count still").await.state, "succeeded");
        world.settled().await;
    }
    assert_eq!(world.ops.traced(), ["still", "settled", "still", "settled"]);
    let bound: Vec<String> =
        sqlx::query_scalar("SELECT room_id FROM rooms").fetch_all(&world.sql()).await.unwrap();
    assert!(bound.contains(&world.room) && !bound.contains(&trap), "{bound:?}");
}

#[tokio::test]
async fn what_a_kicked_member_said_before_is_refused_where_it_is_decided_after() {
    let mut world = World::start().await;
    // The homeserver does not know these events, so the answer cannot hang on them.
    world.leave_pending();
    let event = |kind: &str, id: &str, sender: &str, content: Value| {
        json!({
            "type": kind, "event_id": id, "room_id": world.room, "sender": sender,
            "origin_server_ts": SystemClock.now().as_millisecond(), "content": content,
        })
    };
    let (bot, bob) = (world.bot(), &world.bob.id);
    let said = event("m.room.message", "$late", bob, json!({ "msgtype": "m.text", "body": "!count late" }));
    let mut kick = event("m.room.member", "$kick", &bot, json!({ "membership": "leave" }));
    kick["state_key"] = bob.as_str().into();
    // Both have arrived before the first is decided, as after an absence.
    assert_eq!(world.deliver("late", &[said, kick]).await, 200);
    world.all_decided().await;
    assert_eq!(world.why_refused("$late").await, "membership");
    assert_eq!(world.ops.counted("late"), 0);
}
