//! Teams on other homeservers: the same rooms, the same rules; and servers that are no team's.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, OwnHomeserver, Person, Plan, State, World};

async fn sender_of(world: &World, event: &str) -> String {
    sqlx::query_scalar("SELECT sender FROM requests WHERE event_id = $1")
        .bind(event)
        .fetch_one(&world.sql())
        .await
        .unwrap()
}

async fn ask(world: &World, person: &Person, text: &str) -> (Answer, String) {
    let event = person.say(&world.room, text).await;
    (person.outcome(&world.bot(), &event).await, event)
}

#[tokio::test]
async fn a_partners_member_joins_runs_what_is_permitted_and_is_refused_the_rest() {
    let world = World::with(Plan { federated: true, ..Plan::default() }).await;
    let carol = world.carol.as_ref().unwrap();
    carol.join(&world.alias("deploy")).await;
    carol.sync(Duration::ZERO).await;

    let (answer, event) = ask(&world, carol, "!deploy api staging v3").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert_eq!(sender_of(&world, &event).await, carol.id);
    // Both homeservers show the same answer.
    assert_eq!(world.alice.outcome(&world.bot(), &event).await.event["event_id"], answer.event["event_id"]);
    let (answer, event) = ask(&world, carol, "!deploy web staging v3").await;
    assert_eq!(answer.state, "refused");
    assert!(answer.body.contains("Partners change api in staging only."), "{}", answer.body);
    assert!(answer.body.contains("partner-ceiling"), "{}", answer.body);
    assert_eq!(world.why_refused(&event).await, "rules");
    assert_eq!(world.ops.traced(), ["deploy api staging v3"]);
    assert_eq!(world.ask("!deploy web staging v3").await.state, "succeeded", "what carol may not, alice may");

    let acl = world.alice.state(&world.room, "m.room.server_acl", "").await;
    let allowed = acl["allow"].as_array().unwrap();
    let state = State::read();
    for homeserver in &state.homeservers {
        assert!(allowed.contains(&Value::from(homeserver.name.as_str())), "{acl}");
    }
    assert!(!allowed.contains(&Value::from("*")), "{acl}");
}

#[tokio::test]
async fn a_display_name_copied_from_a_lead_of_another_homeserver_changes_nothing() {
    let world = World::with(Plan { federated: true, ..Plan::default() }).await;
    let carol = world.carol.as_ref().unwrap();
    carol.join(&world.alias("deploy")).await;
    carol.sync(Duration::ZERO).await;
    carol
        .must("PUT", &["profile", &carol.id, "displayname"], &json!({ "displayname": world.alice.id }))
        .await;
    world
        .alice
        .until("carol bears alice's name", |seen| {
            let renamed = |event: &&Value| {
                event["state_key"] == carol.id.as_str()
                    && event["content"]["displayname"] == world.alice.id.as_str()
            };
            seen.iter().find(renamed).map(drop)
        })
        .await;
    let (answer, event) = ask(&world, carol, "!deploy web production v4").await;
    assert_eq!(answer.state, "refused");
    assert_eq!(world.why_refused(&event).await, "rules");
    assert_eq!(sender_of(&world, &event).await, carol.id);
    assert!(world.ops.traced().is_empty());
    // It was the rules and not the command.
    assert_eq!(world.ask("!deploy web production v4").await.state, "succeeded");
}

#[tokio::test]
async fn a_server_that_no_team_names_gets_nothing() {
    let certificates = State::read().folder.join("certificates");
    let third = OwnHomeserver::up(&["--appservices", "1", "--certificates", certificates.to_str().unwrap()]);
    let dave = Person::register(&third.homeserver, "dave").await;
    let world = World::with(Plan { federated: true, ..Plan::default() }).await;
    let via = world.lease.homeserver.name.clone();
    let join = async || {
        let path = ["join", &world.room];
        dave.call("POST", &path, &[("server_name", &via)], Some(&json!({}))).await
    };
    assert_eq!(join().await.0, 403, "nobody invited him");

    // Lists of servers name hosts, without ports, and all homeservers of these tests are on one: with an invitation
    // this one's comes in, as anybody's does where some server in the room does not honour the list.
    let acl = world.alice.state(&world.room, "m.room.server_acl", "").await;
    assert!(
        !acl["allow"].as_array().unwrap().contains(&Value::from(third.homeserver.name.as_str())),
        "{acl}"
    );
    world.as_bot().must("POST", &["rooms", &world.room, "invite"], &json!({ "user_id": dave.id })).await;
    let (status, answer) = join().await;
    assert_eq!(status, 200, "{answer}");
    let mut events = Vec::new();
    for text in ["!count dave", "!deploy api staging v1", "!help", "!no-such-thing"] {
        events.push(dave.say(&world.room, text).await);
        world.alice.until_seen(&events[events.len() - 1]).await;
    }
    world.settled().await;
    for event in &events {
        assert_eq!(world.state_of(event).await.as_deref(), Some("refused"));
        assert_eq!(world.why_refused(event).await, "server");
        assert_eq!(sender_of(&world, event).await, dave.id);
        assert_eq!(world.alice.answers(&world.bot(), event), Vec::<Value>::new(), "he is not even told so");
    }
    assert_eq!(world.ops.counted("dave"), 0);
    assert_eq!(world.ops.counted("deploy api staging v1"), 0);
    // The same words of somebody of a team run: it was the server.
    assert_eq!(world.ask("!count dave").await.state, "succeeded");
    drop(world);
}

#[tokio::test]
async fn a_host_that_no_team_names_is_kept_out_by_the_rooms_own_list() {
    let certificates = State::read().folder.join("certificates");
    let certificates = certificates.to_str().unwrap();
    // Its name is told from the others' without its port as well.
    let third =
        OwnHomeserver::up(&["--appservices", "1", "--host", "127.0.0.1", "--certificates", certificates]);
    let dave = Person::register(&third.homeserver, "dave").await;
    let world = World::with(Plan { federated: true, ..Plan::default() }).await;
    let carol = world.carol.as_ref().unwrap();
    world.as_bot().must("POST", &["rooms", &world.room, "invite"], &json!({ "user_id": dave.id })).await;
    let via = world.lease.homeserver.name.clone();
    let path = ["join", &world.room];
    let (status, answer) = dave.call("POST", &path, &[("server_name", &via)], Some(&json!({}))).await;
    assert_eq!(status, 403, "{answer}");
    assert!(answer["error"].as_str().unwrap_or_default().contains("banned"), "{answer}");
    // Who has an invitation and a team comes in by the same way.
    let (status, answer) = carol.call("POST", &path, &[("server_name", &via)], Some(&json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    drop(world);
}
