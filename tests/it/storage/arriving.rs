//! An event that is decided as it arrives: all of it in one commit, or nothing and the inbox.

use super::support::{Store, alice, room};
use quarterdeck::storage::{Error, Member, Membership, Start, Storage, Transaction, Wanted, Work};

/// Work on an event of alice's, with its request opened and started, as far as that goes without a commit.
pub async fn starting_as_it_arrives(
    store: &Store,
    storage: &Storage,
    transaction: &Transaction,
) -> (Work, quarterdeck::storage::PendingWarrant) {
    let mut work = storage.arriving(transaction).expect("it has one event");
    work.standing_to_ask(&room(), &alice()).await.unwrap().expect("our room");
    let number = store.open(&mut work).await;
    match store.start(&mut work, number, "look", "web").await {
        Start::Pending(pending) => (work, pending),
        Start::Busy { lock } => panic!("the lock {lock} is taken"),
    }
}

async fn is_now(storage: &Storage, membership: Membership) {
    storage.set_members(&room(), &[Member { user: alice(), membership }]).await.unwrap();
}

async fn rows(store: &Store) -> [i64; 5] {
    [
        store.count("SELECT count(*) FROM inbox").await,
        store.count("SELECT count(*) FROM transactions").await,
        store.count("SELECT count(*) FROM requests").await,
        store.count("SELECT count(*) FROM attempts").await,
        store.count("SELECT count(*) FROM entries WHERE request IS NOT NULL").await,
    ]
}

/// A room that has had an event before, so that it has a lane.
pub async fn seasoned(store: &Store, storage: &Storage) {
    is_now(storage, Membership::Join).await;
    storage.store_transaction(&store.transaction(&room())).await.unwrap();
    storage.claim(Wanted::Rows).await.unwrap().unwrap().done().await.unwrap();
}

#[tokio::test]
async fn receipt_decision_and_start_are_one_commit() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    seasoned(&store, &storage).await;
    let before = rows(&store).await;
    let (work, pending) = starting_as_it_arrives(&store, &storage, &store.transaction(&room())).await;
    assert_eq!(rows(&store).await, before, "nothing is written before the commit");
    let warrant = work.done_starting(pending).await.unwrap().warrant.expect("a warrant");
    let after = rows(&store).await;
    // The row, its transaction, the request, the attempt; received, permitted, started.
    assert_eq!([0, 1, 2, 3, 4].map(|it| after[it] - before[it]), [1, 1, 1, 1, 3]);
    let request = storage.request(warrant.number()).await.unwrap().unwrap();
    assert_eq!(request.attempt, Some(warrant.attempt()));
    assert!(storage.claim(Wanted::Anything).await.unwrap().is_none(), "nothing is left to be claimed");
}

#[tokio::test]
async fn an_event_behind_others_of_its_room_goes_through_the_inbox() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    seasoned(&store, &storage).await;
    let transaction = store.transaction(&room());
    // One that waits already.
    storage.store_transaction(&store.transaction(&room())).await.unwrap();
    let mut work = storage.arriving(&transaction).unwrap();
    assert!(matches!(work.standing_to_ask(&room(), &alice()).await, Err(Error::NotAlone)));
    // One that comes between the look and the commit.
    storage.claim(Wanted::Rows).await.unwrap().unwrap().done().await.unwrap();
    let (work, pending) = starting_as_it_arrives(&store, &storage, &transaction).await;
    storage.store_transaction(&store.transaction(&room())).await.unwrap();
    let before = rows(&store).await;
    assert!(matches!(work.done_starting(pending).await, Err(Error::NotAlone)));
    assert_eq!(rows(&store).await, before, "nothing was written");
    assert_eq!(storage.store_transaction(&transaction).await.unwrap().new, 1, "and the inbox takes it");
}

#[tokio::test]
async fn an_event_that_is_known_is_not_decided_again() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    seasoned(&store, &storage).await;
    let transaction = store.transaction(&room());
    let first = starting_as_it_arrives(&store, &storage, &transaction).await;
    let second = starting_as_it_arrives(&store, &storage, &transaction).await;
    assert!(first.0.done_starting(first.1).await.unwrap().warrant.is_some());
    let before = rows(&store).await;
    assert!(matches!(second.0.done_starting(second.1).await, Err(Error::NotAlone)));
    let stored = storage.store_transaction(&transaction).await.unwrap();
    assert_eq!((stored.new, stored.duplicates), (0, 1));
    assert_eq!(rows(&store).await, before);
}

#[tokio::test]
async fn who_has_left_between_the_look_and_the_commit_starts_nothing() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    seasoned(&store, &storage).await;
    let (work, pending) = starting_as_it_arrives(&store, &storage, &store.transaction(&room())).await;
    is_now(&storage, Membership::Leave).await;
    assert!(matches!(work.done_starting(pending).await, Err(Error::NotAlone)));
    assert_eq!(store.count("SELECT count(*) FROM attempts").await, 0);
}

#[tokio::test]
async fn a_boot_that_was_declared_dead_decides_nothing_as_it_arrives() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    seasoned(&store, &storage).await;
    let (work, pending) = starting_as_it_arrives(&store, &storage, &store.transaction(&room())).await;
    storage.leave().await.unwrap();
    assert!(work.done_starting(pending).await.is_err());
    assert_eq!(store.count("SELECT count(*) FROM attempts").await, 0);
}

#[tokio::test]
async fn the_first_event_of_a_room_and_several_at_once_go_through_the_inbox() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    is_now(&storage, Membership::Join).await;
    let (work, pending) = starting_as_it_arrives(&store, &storage, &store.transaction(&room())).await;
    assert!(matches!(work.done_starting(pending).await, Err(Error::NotAlone)));
    let two = super::support::transaction("two", &[("!a:x", "$1"), ("!a:x", "$2")]);
    assert!(storage.arriving(&two).is_none());
}
