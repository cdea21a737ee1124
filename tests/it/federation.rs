//! Teams on other homeservers: the same rooms, the same rules.

use quarterdeck::model::{Clock as _, SystemClock};
use serde_json::json;

use crate::harness::{OwnHomeserver, Person, Plan, State, World};

#[tokio::test]
async fn a_partners_member_joins_runs_what_is_permitted_and_is_refused_the_rest() {
    let world = World::with(Plan { federated: true, ..Plan::default() }).await;
    let carol = world.carol.as_ref().unwrap();
    carol.join(&world.alias("deploy")).await;
    carol.sync(std::time::Duration::ZERO).await;

    let ask = async |text: &str| {
        let event = carol.say(&world.room, text).await;
        (carol.outcome(&world.bot(), &event).await, event)
    };
    let (answer, event) = ask("!deploy api staging v3").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    let sender: String = sqlx::query_scalar("SELECT sender FROM requests WHERE event_id = $1")
        .bind(event)
        .fetch_one(&world.sql())
        .await
        .unwrap();
    assert_eq!(sender, carol.id);
    let (answer, _) = ask("!deploy web staging v3").await;
    assert_eq!(answer.state, "refused");
    assert!(answer.body.contains("partner-ceiling"), "{}", answer.body);
    assert_eq!(world.ops.traced(), ["deploy api staging v3"]);

    // Alice's name on carol's server is carol.
    carol
        .must("PUT", &["profile", &carol.id, "displayname"], &json!({ "displayname": world.alice.id }))
        .await;
    let (answer, _) = ask("!deploy web production v4").await;
    assert_eq!(answer.state, "refused");

    let acl = world.alice.state(&world.room, "m.room.server_acl", "").await;
    let allowed = acl["allow"].as_array().unwrap();
    for server in [&world.lease.homeserver.name, &State::read().homeservers[1].name] {
        assert!(allowed.contains(&server.as_str().into()), "{acl}");
    }
    assert!(!allowed.contains(&"*".into()), "{acl}");
}

#[tokio::test]
async fn a_server_that_no_team_names_gets_nothing() {
    let certificates = State::read().folder.join("certificates");
    let third = OwnHomeserver::up(&["--appservices", "1", "--certificates", certificates.to_str().unwrap()]);
    let dave = Person::register(&third.homeserver, "dave").await;
    let mut world = World::with(Plan { federated: true, ..Plan::default() }).await;
    assert_ne!(dave.try_join(&world.alias("deploy")).await, 200);

    // The list of admitted servers holds as far as every server honours it: a forged event gets nothing either.
    world.leave_pending();
    let forged = json!({
        "type": "m.room.message", "event_id": "$of-dave", "room_id": world.room, "sender": dave.id,
        "origin_server_ts": SystemClock.now().as_millisecond(),
        "content": { "msgtype": "m.text", "body": "!count dave" },
    });
    assert_eq!(world.deliver("dave", &[forged]).await, 200);
    world.all_decided().await;
    assert_eq!(world.why_refused("$of-dave").await, "server");
    assert_eq!(world.ops.counted("dave"), 0);
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE request IS NOT NULL").await, 0);
}
