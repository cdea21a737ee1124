//! The rooms are as declared, and what keeps one from it is named with its mend (MATRIX.md, 10 to 16, 30, 32).

use std::time::Duration;

use quarterdeck::{
    matrix::rooms::{self, Report, SPACE},
    model::Event,
    storage::Membership,
};
use ruma::room_id;
use serde_json::json;

use crate::rooms_yard::{Yard, connect, control};

async fn reconcile(yard: &Yard, ops: &quarterdeck::catalogue::Ops) -> Report {
    rooms::reconcile(&yard.homeserver, &yard.storage, ops).await.unwrap()
}

fn quiet(report: &Report) {
    assert_eq!(report.failures, vec![]);
    assert_eq!(report.changes, vec![]);
}

#[tokio::test]
async fn rooms_and_space_are_made_as_declared_and_then_left_alone() {
    let yard = Yard::new().await;
    let ops = yard.ops(&[("deploy", ""), ("status", "join = 'open'"), ("help", "join = 'knock'")], &[]);
    let report = reconcile(&yard, &ops).await;
    assert_eq!(report.failures, vec![]);
    quiet(&reconcile(&yard, &ops).await);

    let (deploy, space) = (yard.room("deploy").await, yard.room(SPACE).await);
    for (kind, content) in [
        ("m.room.name", json!({ "name": "Room deploy" })),
        ("m.room.topic", json!({ "topic": "To try deploy" })),
        ("m.room.join_rules", json!({ "join_rule": "invite" })),
        ("m.room.guest_access", json!({ "guest_access": "forbidden" })),
        ("m.room.history_visibility", json!({ "history_visibility": "joined" })),
        ("m.room.canonical_alias", json!({ "alias": yard.alias("deploy") })),
        ("m.room.encryption", json!(null)),
    ] {
        let found = yard.state(&deploy, kind, "").await;
        for (field, value) in content.as_object().into_iter().flatten() {
            assert_eq!(found[field], *value, "{kind}");
        }
        assert_eq!(found.is_null(), content.is_null(), "{kind}");
    }
    assert_eq!(yard.state(&yard.room("status").await, "m.room.join_rules", "").await["join_rule"], "public");
    assert_eq!(yard.state(&yard.room("help").await, "m.room.join_rules", "").await["join_rule"], "knock");
    assert_eq!(yard.state(&space, "m.room.create", "").await["type"], "m.space");
    assert_eq!(yard.state(&space, "m.space.child", deploy.as_str()).await["via"], json!([yard.server.name]));
    assert_eq!(yard.state(&deploy, "m.space.parent", space.as_str()).await["canonical"], true);
    assert_eq!(yard.homeserver.resolve(&yard.alias("deploy")).await.unwrap(), Some(deploy));
}

#[tokio::test]
async fn a_room_is_of_version_12_where_its_creator_stands_above_the_power_levels() {
    let yard = Yard::new().await;
    reconcile(&yard, &yard.ops(&[("deploy", "")], &[])).await;
    let room = yard.room("deploy").await;
    assert_eq!(yard.state(&room, "m.room.create", "").await["room_version"], "12");
    let levels = yard.state(&room, "m.room.power_levels", "").await;
    assert_eq!(levels["users"], json!({}));
    assert_eq!((levels["events_default"].as_i64(), levels["state_default"].as_i64()), (Some(0), Some(100)));
    let standing = yard.storage.standing(&room, yard.homeserver.bot()).await.unwrap().unwrap();
    assert_eq!(standing.power_level, (1 << 53) - 1);
    assert_eq!(standing.membership, Some(Membership::Join));
}

#[tokio::test]
async fn people_talk_and_react_and_change_nothing() {
    let yard = Yard::new().await;
    let alice = yard.person("alice").await;
    let report = reconcile(&yard, &yard.ops(&[("deploy", "")], &[&alice])).await;
    let room = yard.room("deploy").await;
    assert!(
        report.changes.iter().any(|change| change.what == format!("{} invited", alice.id)),
        "{report:#?}"
    );
    alice.join(&room).await.unwrap();
    let said = json!({ "msgtype": "m.text", "body": "hello" });
    alice.call("PUT", &format!("rooms/{room}/send/m.room.message/1"), said).await.unwrap();
    for (kind, content) in [
        ("m.room.name", json!({ "name": "mine" })),
        ("m.room.topic", json!({ "topic": "mine" })),
        ("m.room.power_levels", json!({ "users": { alice.id.as_str(): 100 } })),
        ("m.room.encryption", json!({ "algorithm": "m.megolm.v1.aes-sha2" })),
        ("m.room.tombstone", json!({ "replacement_room": "!x:y", "body": "" })),
        ("org.example.anything", json!({})),
    ] {
        let refused = alice.call("PUT", &format!("rooms/{room}/state/{kind}/"), content).await.unwrap_err();
        assert_eq!(refused["errcode"], "M_FORBIDDEN", "{kind}");
    }
    let mallory = json!({ "user_id": format!("@mallory:{}", yard.server.name) });
    let refused = alice.call("POST", &format!("rooms/{room}/invite"), mallory).await.unwrap_err();
    assert_eq!(refused["errcode"], "M_FORBIDDEN");
}

#[tokio::test]
async fn only_the_homeservers_of_the_teams_may_take_part() {
    let yard = Yard::new().await;
    let carol = yard.person_elsewhere("carol").await;
    reconcile(&yard, &yard.ops(&[("deploy", "")], &[&carol])).await;
    let acl = yard.state(&yard.room("deploy").await, "m.room.server_acl", "").await;
    let allowed: Vec<_> =
        acl["allow"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(allowed.contains(&yard.server.name.as_str()), "{acl}");
    assert!(allowed.contains(&carol.id.server_name().as_str()), "{acl}");
    assert!(!allowed.contains(&"*"), "{acl}");
    assert_eq!(acl["allow_ip_literals"], false);
}

#[tokio::test]
async fn members_of_another_homeserver_are_invited_and_come() {
    let yard = Yard::new().await;
    let carol = yard.person_elsewhere("carol").await;
    reconcile(&yard, &yard.ops(&[("deploy", "")], &[&carol])).await;
    let room = yard.room("deploy").await;
    assert_eq!(yard.membership(&room, &carol.id).await, "invite");
    carol.join_by_alias(&yard.alias("deploy")).await.unwrap();
    assert_eq!(yard.membership(&room, &carol.id).await, "join");
}

#[tokio::test]
async fn who_left_by_themselves_is_not_pestered_and_who_knocks_is_let_in() {
    let yard = Yard::new().await;
    let (alice, bob, mallory) =
        (yard.person("alice").await, yard.person("bob").await, yard.person("mallory").await);
    let ops = yard.ops(&[("help", "join = 'knock'")], &[&alice, &bob]);
    reconcile(&yard, &ops).await;
    let room = yard.room("help").await;
    alice.join(&room).await.unwrap();
    alice.leave(&room).await;
    bob.leave(&room).await;
    quiet(&reconcile(&yard, &ops).await);
    for knocking in [&alice, &mallory] {
        knocking.call("POST", &format!("knock/{room}"), json!({})).await.unwrap();
    }
    reconcile(&yard, &ops).await;
    assert_eq!(yard.membership(&room, &alice.id).await, "invite");
    assert_eq!(yard.membership(&room, &bob.id).await, "leave");
    assert_eq!(yard.membership(&room, &mallory.id).await, "knock");
}

#[tokio::test]
async fn who_is_there_without_belonging_is_named_and_not_removed() {
    let yard = Yard::new().await;
    let (alice, bob) = (yard.person("alice").await, yard.person("bob").await);
    reconcile(&yard, &yard.ops(&[("deploy", "")], &[&alice, &bob])).await;
    let room = yard.room("deploy").await;
    bob.join(&room).await.unwrap();
    let report = reconcile(&yard, &yard.ops(&[("deploy", "")], &[&alice])).await;
    assert_eq!(report.strangers["deploy"].iter().collect::<Vec<_>>(), vec![&bob.id]);
    assert_eq!(yard.membership(&room, &bob.id).await, "join");
}

#[tokio::test]
async fn state_that_drifted_is_mended_and_said() {
    let yard = Yard::new().await;
    let ops = yard.ops(&[("deploy", ""), ("status", "")], &[]);
    reconcile(&yard, &ops).await;
    let room = yard.room("deploy").await;
    for (kind, content) in [
        ("m.room.name", json!({ "name": "other" })),
        ("m.room.power_levels", json!({ "users_default": 100 })),
        ("m.room.server_acl", json!({ "allow": ["*"] })),
        ("m.room.join_rules", json!({ "join_rule": "public" })),
    ] {
        yard.homeserver.set_state(&room, kind, "", &content).await.unwrap();
    }
    let report = reconcile(&yard, &ops).await;
    let said: Vec<_> =
        report.changes.iter().map(|change| (change.name.as_str(), change.what.as_str())).collect();
    assert_eq!(
        said,
        vec![
            ("deploy", "the power levels set as declared"),
            ("deploy", "how people come in set as declared"),
            ("deploy", "the list of homeservers set as declared"),
            ("deploy", "the name set as declared"),
        ]
    );
    assert!(
        report
            .events()
            .all(|(at, event)| at == Some(room.clone()) && matches!(event, Event::RoomChanged { .. }))
    );
    quiet(&reconcile(&yard, &ops).await);
}

#[tokio::test]
async fn a_changed_declaration_changes_the_room_and_keeps_it() {
    let yard = Yard::new().await;
    reconcile(&yard, &yard.ops(&[("deploy", ""), ("old", "")], &[])).await;
    let (before, old) = (yard.room("deploy").await, yard.room("old").await);
    let report = reconcile(&yard, &yard.ops(&[("deploy", "join = 'knock'")], &[])).await;
    assert_eq!(report.failures, vec![]);
    assert_eq!(yard.room("deploy").await, before);
    assert_eq!(yard.state(&before, "m.room.join_rules", "").await["join_rule"], "knock");
    // A room that is no longer declared is no longer in the space.
    assert_eq!(yard.state(&yard.room(SPACE).await, "m.space.child", old.as_str()).await, json!({}));
}

#[tokio::test]
async fn a_room_that_was_made_and_not_bound_is_found_again() {
    let yard = Yard::new().await;
    let ops = yard.ops(&[("deploy", "")], &[]);
    reconcile(&yard, &ops).await;
    let (before, space) = (yard.room("deploy").await, yard.room(SPACE).await);
    // As if the database had been lost.
    let fresh = crate::harness::Database::create().await;
    quarterdeck::storage::migrate(&fresh.owner_url(), Some(&fresh.runtime_role())).await.unwrap();
    let storage = connect(&fresh).await;
    let report = rooms::reconcile(&yard.homeserver, &storage, &ops).await.unwrap();
    assert_eq!(report.failures, vec![]);
    let bound = storage.bound_rooms().await.unwrap();
    assert_eq!(bound, vec![(SPACE.to_owned(), space), ("deploy".to_owned(), before)]);
}

#[tokio::test]
async fn a_room_that_somebody_else_made_is_never_taken_over_and_the_others_go_on() {
    let yard = Yard::new().await;
    let mallory = yard.person("mallory").await;
    let alias = format!("{}deploy", yard.alias_prefix());
    let invite = json!([yard.homeserver.bot()]);
    let theirs = json!({ "room_alias_name": alias, "preset": "public_chat", "invite": invite });
    let theirs = mallory.call("POST", "createRoom", theirs).await.unwrap();
    let theirs = <&ruma::RoomId>::try_from(theirs["room_id"].as_str().unwrap()).unwrap().to_owned();
    let ops = yard.ops(&[("deploy", ""), ("status", "")], &[]);

    for entered in [false, true] {
        if entered {
            yard.homeserver.join(&theirs).await.unwrap();
        }
        let report = reconcile(&yard, &ops).await;
        let failed: Vec<_> = report.failures.iter().map(|failure| failure.name.as_str()).collect();
        assert_eq!(failed, vec!["deploy"]);
        let what = &report.failures[0].what;
        assert!(what.contains(theirs.as_str()) && what.contains("Delete that alias"), "{what}");
        assert!(!yard.storage.bound_rooms().await.unwrap().iter().any(|(key, _)| key == "deploy"));
        yard.room("status").await;
    }
}

#[tokio::test]
async fn an_alias_that_was_moved_away_is_named_and_commands_stay_with_the_room() {
    let yard = Yard::new().await;
    let ops = yard.ops(&[("deploy", "")], &[]);
    reconcile(&yard, &ops).await;
    let room = yard.room("deploy").await;
    let mallory = yard.person("mallory").await;
    let path = format!("directory/room/{}", yard.alias("deploy").as_str().replace('#', "%23"));
    let other = mallory.call("POST", "createRoom", json!({})).await.unwrap();
    mallory.call("DELETE", &path, json!({})).await.ok();
    mallory.call("PUT", &path, json!({ "room_id": other["room_id"] })).await.unwrap();
    let report = reconcile(&yard, &ops).await;
    assert!(report.failures[0].what.contains("Delete that alias"), "{report:#?}");
    assert_eq!(yard.room("deploy").await, room);
    mallory.call("DELETE", &path, json!({})).await.unwrap();
    let report = reconcile(&yard, &ops).await;
    assert_eq!(report.failures, vec![]);
    assert_eq!(yard.homeserver.resolve(&yard.alias("deploy")).await.unwrap(), Some(room));
}

#[tokio::test]
async fn a_room_that_is_gone_or_that_put_quarterdeck_out_is_named_with_its_mend() {
    let yard = Yard::new().await;
    let ops = yard.ops(&[("deploy", ""), ("status", ""), ("help", "")], &[]);
    reconcile(&yard, &ops).await;
    yard.homeserver.leave(&yard.room("deploy").await, None).await.unwrap();
    yard.storage.bind_room("status", room_id!("!WasDeletedFromTheHomeserver0000000000000000")).await.unwrap();
    let report = reconcile(&yard, &ops).await;
    let failures: Vec<_> =
        report.failures.iter().map(|failure| (failure.name.as_str(), failure.what.as_str())).collect();
    assert_eq!(failures.len(), 2, "{failures:#?}");
    assert!(failures[0].0 == "deploy" && failures[0].1.contains("no longer in"), "{failures:#?}");
    assert!(failures[1].0 == "status" && failures[1].1.contains("does not exist any more"), "{failures:#?}");
    assert!(failures.iter().all(|(_, what)| what.contains("rename rooms/")), "{failures:#?}");
    // The same failure is recorded once.
    let again = reconcile(&yard, &ops).await;
    assert_eq!(again.news(Some(&report)).count(), 0);
}

#[tokio::test]
async fn a_tombstone_is_not_followed() {
    let yard = Yard::new().await;
    let ops = yard.ops(&[("deploy", "")], &[]);
    reconcile(&yard, &ops).await;
    let room = yard.room("deploy").await;
    let tombstone = json!({ "replacement_room": "!elsewhere:example.org", "body": "moved" });
    yard.homeserver.set_state(&room, "m.room.tombstone", "", &tombstone).await.unwrap();
    let report = reconcile(&yard, &ops).await;
    assert!(report.failures[0].what.contains("follows no tombstone"), "{report:#?}");
    assert_eq!(yard.room("deploy").await, room);
}

#[tokio::test]
async fn an_encrypted_room_is_named_with_its_mend() {
    let yard = Yard::new().await;
    let ops = yard.ops(&[("deploy", "")], &[]);
    reconcile(&yard, &ops).await;
    let room = yard.room("deploy").await;
    let encryption = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    yard.homeserver.set_state(&room, "m.room.encryption", "", &encryption).await.unwrap();
    let report = reconcile(&yard, &ops).await;
    assert!(report.failures[0].what.contains("encryption_enabled_by_default_for_room_type"), "{report:#?}");
    assert!(report.encrypted.contains(&room));
}

#[tokio::test]
async fn the_mirror_holds_who_is_in_a_room() {
    let yard = Yard::new().await;
    let alice = yard.person("alice").await;
    let ops = yard.ops(&[("deploy", "")], &[&alice]);
    reconcile(&yard, &ops).await;
    let room = yard.room("deploy").await;
    alice.join(&room).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    reconcile(&yard, &ops).await;
    let standing = yard.storage.standing(&room, &alice.id).await.unwrap().unwrap();
    assert_eq!(
        (standing.key.as_str(), standing.membership, standing.power_level),
        ("deploy", Some(Membership::Join), 0)
    );
}

/// A homeserver of this test's own.
async fn on_a_homeserver(choices: &[&str], test: impl AsyncFnOnce(Yard)) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let server = control(&[&["homeserver", "up", at], choices].concat());
    let yard = Yard::on(serde_json::from_slice(&server).unwrap()).await;
    test(yard).await;
    control(&["homeserver", "down", at]);
}

#[tokio::test]
async fn a_homeserver_that_encrypts_every_room_is_named_with_the_mend() {
    on_a_homeserver(&["--encrypts", "all"], async |yard| {
        let report = reconcile(&yard, &yard.ops(&[("deploy", "")], &[])).await;
        assert!(report.encrypted.contains(&yard.room("deploy").await), "{report:#?}");
        let deploy = report.failures.iter().find(|failure| failure.name == "deploy").unwrap();
        assert!(deploy.what.contains("homeserver.yaml"), "{report:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_homeserver_that_encrypts_private_rooms_leaves_ours_readable() {
    on_a_homeserver(&["--encrypts", "invite"], async |yard| {
        let report = reconcile(&yard, &yard.ops(&[("deploy", "")], &[])).await;
        assert_eq!(report.failures, vec![]);
        assert_eq!(yard.state(&yard.room("deploy").await, "m.room.encryption", "").await, json!(null));
    })
    .await;
}

#[tokio::test]
async fn rooms_are_made_under_the_limits_of_a_stock_homeserver() {
    on_a_homeserver(&["--stock-limits"], async |yard| {
        let mut people = Vec::new();
        for number in 0..4 {
            people.push(yard.person(&format!("p{number}")).await);
        }
        let rooms = [("a", ""), ("b", ""), ("c", ""), ("d", "")];
        let ops = yard.ops(&rooms, &people.iter().collect::<Vec<_>>());
        let report = reconcile(&yard, &ops).await;
        assert_eq!(report.failures, vec![]);
        assert_eq!(report.changes.iter().filter(|change| change.what.ends_with("invited")).count(), 4 * 5);
    })
    .await;
}
