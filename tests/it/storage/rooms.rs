//! Rooms are bound by id, and the mirror tells who stands how in them.

use std::collections::BTreeSet;

use quarterdeck::storage::{Member, Membership, Standing, Wanted};
use ruma::{room_id, user_id};
use serde_json::json;

use super::support::{Store, alice, bob, room};

#[tokio::test]
async fn standing_is_membership_and_power_in_a_bound_room() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (alice, bob) = (alice(), bob());
    let stranger = user_id!("@carol:elsewhere.org");
    let members = [
        Member { user: alice.clone(), membership: Membership::Join },
        Member { user: bob.clone(), membership: Membership::Invite },
    ];
    storage.set_members(&room(), &members).await.unwrap();
    let levels = json!({"users": {"@bob:example.org": 50}, "users_default": 1});
    storage.set_power(&room(), &levels, std::slice::from_ref(&alice)).await.unwrap();
    let standing = async |user| storage.standing(&room(), user).await.unwrap().unwrap();
    let of = |membership, power_level| Standing {
        key: "deploy".into(),
        membership,
        power_level,
        elevated: BTreeSet::new(),
    };
    assert_eq!(standing(&alice).await, of(Some(Membership::Join), (1 << 53) - 1));
    assert_eq!(standing(&bob).await, of(Some(Membership::Invite), 50));
    assert_eq!(standing(stranger).await, of(None, 1));
    assert!(storage.standing(room_id!("!not:ours"), &alice).await.unwrap().is_none());
    // Who is no longer there is no longer in the mirror.
    storage.set_members(&room(), &members[..1]).await.unwrap();
    assert_eq!(storage.members(&room()).await.unwrap(), members[..1]);
}

#[tokio::test]
async fn a_change_in_the_room_is_seen_with_the_commit_of_its_event() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    storage.store_transaction(&store.transaction(&room())).await.unwrap();
    let mut work = storage.claim(Wanted::Rows).await.unwrap().unwrap();
    let member = Member { user: bob(), membership: Membership::Join };
    work.set_member(&room(), &member).await.unwrap();
    work.set_power_levels(&room(), &json!({"users_default": 7})).await.unwrap();
    work.set_member(room_id!("!not:ours"), &member).await.unwrap();
    assert_eq!(work.standing(&room(), &bob()).await.unwrap().unwrap().power_level, 7);
    assert_eq!(storage.standing(&room(), &bob()).await.unwrap().unwrap().membership, None);
    work.done().await.unwrap();
    let standing = storage.standing(&room(), &bob()).await.unwrap().unwrap();
    assert_eq!((standing.membership, standing.power_level), (Some(Membership::Join), 7));
}

#[tokio::test]
async fn a_key_is_bound_to_one_room_and_a_room_to_one_key() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (old, new) = (room(), room_id!("!new:example.org"));
    storage.set_members(&old, &[Member { user: bob(), membership: Membership::Join }]).await.unwrap();
    storage.bind_room("deploy", &old).await.unwrap();
    assert_eq!(storage.members(&old).await.unwrap().len(), 1, "binding it again loses nothing");
    storage.bind_room("deploy", new).await.unwrap();
    assert_eq!(storage.room_by_id(&old).await.unwrap(), None);
    assert_eq!(storage.room_by_id(new).await.unwrap().as_deref(), Some("deploy"));
    storage.bind_room("other", new).await.unwrap();
    assert_eq!(storage.bound_rooms().await.unwrap(), [("other".to_owned(), new.to_owned())]);
}
