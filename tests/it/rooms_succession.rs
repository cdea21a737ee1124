//! Rooms that are gone, and rooms that take the place of others (MATRIX.md, 15 and 28).

use quarterdeck::{
    matrix::rooms::{self, AdoptError, Report, SPACE},
    model::{Event, fault::Point},
    storage::Filter,
};
use ruma::{OwnedRoomId, RoomId};
use serde_json::{Value, json};

use crate::{
    erase::leads_erase,
    harness::{OpsFolder, Person, Plan, World},
    pages::{Browser, with_pages},
    rooms_yard::{self, Yard},
};

async fn reconcile(yard: &Yard, ops: &quarterdeck::catalogue::Ops) -> Report {
    rooms::reconcile(&yard.homeserver, &yard.storage, ops).await.unwrap()
}

/// A room that says it takes the place of `before`, made by somebody; `more` is added to the request.
async fn successor(by: &rooms_yard::Person, yard: &Yard, before: &RoomId, level: i64) -> OwnedRoomId {
    let bot = yard.homeserver.bot();
    let request = json!({
        "creation_content": { "predecessor": { "room_id": before } },
        "power_level_content_override": { "users": { bot.as_str(): level } },
        "invite": [bot],
    });
    let made = by.call("POST", "createRoom", request).await.unwrap();
    made["room_id"].as_str().unwrap().try_into().unwrap()
}

async fn close(yard: &Yard, room: &RoomId, to: &RoomId) {
    let tombstone = json!({ "replacement_room": to, "body": "moved" });
    yard.homeserver.set_state(room, "m.room.tombstone", "", &tombstone).await.unwrap();
}

/// The adoptions on the record: the room, the one before, and who confirmed it.
async fn adoptions(yard: &Yard) -> Vec<(Option<OwnedRoomId>, OwnedRoomId, Option<String>)> {
    let filter = Filter { kind: Some("room.adopted".to_owned()), ..Filter::default() };
    let page = yard.storage.entries(&filter, None, 10).await.unwrap();
    let told = page.entries.into_iter().filter_map(|recorded| match recorded.entry.event {
        Event::RoomAdopted { before, by, .. } => Some((recorded.entry.room, before, by)),
        _ => None,
    });
    told.collect()
}

#[tokio::test]
async fn killed_after_a_room_was_made_it_is_found_by_its_alias_and_bound_at_the_next_start() {
    let mut world = World::prepared(Plan::default()).await;
    world.serve_until_dead(Point::AfterRoomMade).await;
    assert_eq!(world.count("SELECT count(*) FROM rooms").await, 0);
    world.serve().await;
    world.gather().await;
    assert_eq!(world.count("SELECT count(*) FROM rooms WHERE key = 'deploy'").await, 1);
    let found =
        "SELECT count(*) FROM entries WHERE kind = 'room.changed' AND body LIKE '%had made it before%'";
    assert_eq!(world.count(found).await, 1);
    assert_eq!(world.ask("!count found").await.state, "succeeded");
}

#[tokio::test]
async fn a_room_that_was_deleted_is_named_with_its_mend_and_a_renamed_file_makes_a_new_one() {
    let yard = Yard::new().await;
    reconcile(&yard, &yard.ops(&[("deploy", ""), ("status", "")], &[])).await;
    let deploy = yard.room("deploy").await;
    Person::administrator(&yard.server).await.delete_room(deploy.as_str()).await;

    let ops = yard.ops(&[("deploy", ""), ("status", "")], &[]);
    let report = reconcile(&yard, &ops).await;
    let failures: Vec<_> = report.failures.iter().map(|failure| failure.name.as_str()).collect();
    assert_eq!(failures, ["deploy"], "{report:#?}");
    let what = &report.failures[0].what;
    for part in [yard.alias("deploy").as_str(), deploy.as_str(), "deleted", "rename rooms/deploy.toml"] {
        assert!(what.contains(part), "{part}: {what}");
    }
    let report = reconcile(&yard, &yard.ops(&[("deploying", ""), ("status", "")], &[])).await;
    assert_eq!(report.failures, vec![]);
    assert_ne!(yard.room("deploying").await, deploy);
}

#[tokio::test]
async fn an_upgrade_by_quarterdeck_itself_is_followed_and_the_state_made_anew() {
    let yard = Yard::new().await;
    let alice = yard.person("alice").await;
    let ops = yard.ops(&[("deploy", "")], &[&alice]);
    reconcile(&yard, &ops).await;
    let before = yard.room("deploy").await;
    let upgrade = json!({ "new_version": "12" });
    let made = yard.as_bot().call("POST", &format!("rooms/{before}/upgrade"), upgrade).await.unwrap();

    let report = reconcile(&yard, &ops).await;
    assert_eq!(report.failures, vec![]);
    let room = yard.room("deploy").await;
    assert_eq!(room.as_str(), made["replacement_room"]);
    assert_eq!(adoptions(&yard).await, vec![(Some(room.clone()), before.clone(), None)]);
    assert_eq!(yard.homeserver.resolve(&yard.alias("deploy")).await.unwrap(), Some(room.clone()));
    assert_eq!(yard.membership(&room, &alice.id).await, "invite");
    let space = yard.room(SPACE).await;
    assert_eq!(yard.state(&space, "m.space.child", before.as_str()).await, json!({}));
    assert_eq!(yard.state(&space, "m.space.child", room.as_str()).await["via"], json!([yard.server.name]));
    let report = reconcile(&yard, &ops).await;
    assert_eq!((report.changes, report.failures), (vec![], vec![]));
}

#[tokio::test]
async fn a_successor_that_somebody_else_made_waits_for_an_administrator() {
    let yard = Yard::new().await;
    let alice = yard.person("alice").await;
    let ops = yard.ops(&[("deploy", "")], &[&alice]);
    reconcile(&yard, &ops).await;
    let before = yard.room("deploy").await;
    let next = successor(&alice, &yard, &before, 150).await;
    yard.homeserver.join(&next).await.unwrap();
    close(&yard, &before, &next).await;

    let report = reconcile(&yard, &ops).await;
    let what = &report.failures[0].what;
    for part in
        [alice.id.as_str(), "follows no tombstone", &format!("quarterdeck rooms adopt deploy '{next}'")]
    {
        assert!(what.contains(part), "{part}: {what}");
    }
    assert_eq!(yard.room("deploy").await, before);

    let report =
        rooms::adopt(&yard.homeserver, &yard.storage, &ops, "deploy", &next, "root at here").await.unwrap();
    assert_eq!(report.failures, vec![]);
    assert_eq!(yard.room("deploy").await, next);
    assert_eq!(adoptions(&yard).await, vec![(Some(next.clone()), before, Some("root at here".to_owned()))]);
    let levels = yard.state(&next, "m.room.power_levels", "").await;
    assert_eq!(levels["users"], json!({ yard.homeserver.bot().as_str(): 100 }));
    assert_eq!(yard.state(&next, "m.room.name", "").await["name"], "Room deploy");
    assert_eq!(yard.homeserver.resolve(&yard.alias("deploy")).await.unwrap(), Some(next));
    let report = reconcile(&yard, &ops).await;
    assert_eq!((report.changes, report.failures), (vec![], vec![]));
}

#[tokio::test]
async fn no_administrator_can_confirm_a_room_that_does_not_fit() {
    let yard = Yard::new().await;
    let mallory = yard.person("mallory").await;
    let ops = yard.ops(&[("deploy", ""), ("status", "")], &[]);
    let adopt = async |key: &str, room: &RoomId| {
        let adopted = rooms::adopt(&yard.homeserver, &yard.storage, &ops, key, room, "root").await;
        adopted.unwrap_err().to_string()
    };
    let nowhere = ruma::room_id!("!nowhere:example.org");
    assert!(adopt("deploy", nowhere).await.contains("`quarterdeck serve` makes one"));
    reconcile(&yard, &ops).await;
    let (deploy, status) = (yard.room("deploy").await, yard.room("status").await);
    assert!(adopt("help", nowhere).await.contains("there are: deploy, status"));
    assert!(adopt("deploy", &deploy).await.contains("already"));

    let fits = successor(&mallory, &yard, &deploy, 150).await;
    assert!(adopt("deploy", &fits).await.contains("still open"));
    close(&yard, &deploy, &fits).await;
    assert!(adopt("deploy", &status).await.contains("the room of status"));
    let strange = successor(&mallory, &yard, nowhere, 100).await;
    assert!(adopt("deploy", &strange).await.contains("does not name"));
    let powerless = successor(&mallory, &yard, &deploy, 100).await;
    assert!(adopt("deploy", &powerless).await.contains("level 150"));
    let shut = mallory.call("POST", "createRoom", json!({})).await.unwrap();
    let shut = <&RoomId>::try_from(shut["room_id"].as_str().unwrap()).unwrap();
    let refused = rooms::adopt(&yard.homeserver, &yard.storage, &ops, "deploy", shut, "root").await;
    assert!(
        matches!(&refused, Err(AdoptError::Unfit { why, .. }) if why.contains("`administrators`")),
        "{refused:?}"
    );
    assert_eq!(yard.room("deploy").await, deploy);
    assert_eq!(adoptions(&yard).await, vec![]);
}

#[tokio::test]
async fn after_a_tombstone_that_names_no_room_the_mend_is_named() {
    let yard = Yard::new().await;
    let ops = yard.ops(&[("deploy", "")], &[]);
    reconcile(&yard, &ops).await;
    let room = yard.room("deploy").await;
    yard.homeserver
        .set_state(&room, "m.room.tombstone", "", &json!({ "body": "gone", "replacement_room": "" }))
        .await
        .unwrap();
    let report = reconcile(&yard, &ops).await;
    assert!(report.failures[0].what.contains("names no other room. To have a new room made"), "{report:#?}");
}

/// Has another room take the place of the world's, as an administrator does; gives its id.
async fn adopted(world: &World) -> String {
    let before = &world.room;
    let next = world
        .alice
        .create_room(&json!({
            "creation_content": { "predecessor": { "room_id": before } },
            "power_level_content_override": { "users": { world.bot(): 150 } },
            "invite": [world.bot()],
        }))
        .await;
    // Alice is one of `administrators`: her invitation is followed.
    world.alice.until_joined(&next, &world.bot()).await;
    let tombstone = json!({ "replacement_room": next, "body": "moved" });
    world.as_bot().must("PUT", &["rooms", before, "state", "m.room.tombstone"], &tombstone).await;

    let ops = world.ops.path().to_str().unwrap();
    let output = world.quarterdeck(&["rooms", "adopt", "deploy", &next, "--ops", ops]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&format!("{next} is the room of deploy now, confirmed by ")), "{said}");
    next
}

#[tokio::test]
async fn commands_count_in_the_room_that_an_administrator_confirmed_and_no_longer_in_the_old_one() {
    let world = World::start().await;
    let before = world.room.clone();
    let next = adopted(&world).await;
    let old = world.alice.say(&before, "!count old").await;
    let new = world.alice.say(&next, "!count new").await;
    assert_eq!(world.alice.outcome(&world.bot(), &new).await.state, "succeeded");
    world.all_decided().await;
    assert_eq!(world.state_of(&old).await, None);
    assert_eq!(world.ops.traced(), ["new"]);
    let body: String = sqlx::query_scalar("SELECT body FROM entries WHERE kind = 'room.adopted'")
        .fetch_one(&world.sql())
        .await
        .unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["before"], &body["creators"]), (&json!(before), &json!([world.alice.id])));
}

/// What fails waits for a lead.
fn failing_waits(ops: &OpsFolder) {
    ops.file(
        "policies/waits.cedar",
        r#"
@id("waits")
@says("What fails is approved by a lead.")
@remedy("approval") @by("leads") @count("1")
forbid (principal, action == Action::"fail", resource) unless { context.approvals.leads >= 1 };
@id("approving")
permit (principal in Team::"leads", action == Action::"approve", resource);
"#,
    );
}

#[tokio::test]
async fn what_is_scheduled_goes_on_in_the_next_room_and_what_waited_is_ended_and_that_is_said_there() {
    let world = World::changed(failing_waits).await;
    let set = world.ask("!every day 03:00 count tick").await;
    assert_eq!(set.state, "succeeded", "{}", set.body);
    let waits = world.bob.say(&world.room, "!fail").await;
    let begun = std::time::Instant::now();
    while world.state_of(&waits).await.as_deref() != Some("awaiting_approval") {
        assert!(begun.elapsed().as_secs() < 30, "{:?}", world.state_of(&waits).await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let number = world.count("SELECT number FROM requests WHERE state = 'awaiting_approval'").await;
    let next = adopted(&world).await;

    let says = |words: String| {
        let (bot, next) = (world.bot(), next.clone());
        move |it: &&Value| {
            it["sender"] == bot.as_str()
                && it["room_id"] == next.as_str()
                && it["content"]["body"].as_str().is_some_and(|body| body.contains(&words))
        }
    };
    let ended = says(format!(" {number} of **{}** waited in the room whose place", world.bob.id));
    world.alice.until("the end of what waited", |seen| seen.iter().find(&ended).map(|_| ())).await;
    assert_eq!(world.state_of(&waits).await.as_deref(), Some("cancelled"));

    sqlx::query("UPDATE schedules SET next_at = now() - interval '1 second' WHERE ended_at IS NULL")
        .execute(&world.sql())
        .await
        .unwrap();
    let done = says("counted tick".to_owned());
    world.alice.until("what is scheduled", |seen| seen.iter().find(&done).map(|_| ())).await;
    assert_eq!(world.ops.traced(), ["tick"]);
}

#[tokio::test]
async fn what_is_recorded_of_the_room_before_is_read_and_erased_in_the_one_that_took_its_place() {
    let mut world = World::prepared(Plan::default()).await;
    with_pages(&world.ops);
    leads_erase(&world.ops);
    world.serve().await;
    world.gather().await;
    let number = world.ask("!count canary").await.number;
    world.room = adopted(&world).await;

    let listed = world.ask("!audit --command count").await.body;
    assert!(listed.contains(&format!("`{number}`")), "{listed}");
    let story = world.ask(&format!("!audit {number}")).await.body;
    assert!(story.contains("counted canary"), "{story}");
    let mut browser = Browser::of(&world, &world.alice).await;
    let page = browser.get(&format!("/requests/{number}")).await;
    assert!(page.text.contains("counted canary") && page.text.contains("deploy"), "{}", page.text);
    let trail = browser.get("/trail?room=deploy&command=count").await.text;
    assert!(trail.contains(&format!("/requests/{number}\"")), "{trail}");

    let erased = world.ask(&format!("!erase {number} it had a secret")).await;
    assert!(erased.body.contains("are erased"), "{}", erased.body);
    let gone = world.ask(&format!("!audit {number}")).await.body;
    assert!(!gone.contains("canary"), "{gone}");
}
