//! What is only kept to know a repeated event by goes after a time; what counts stays.

use quarterdeck::storage::{Storage, Stored, Walk, Wanted};

use super::support::{Store, room, transaction};

const DAY: i64 = 24 * 60 * 60;

/// Walks through the whole inbox, two rows a step; gives how many were removed.
async fn prune(store: &Store, storage: &Storage) -> u64 {
    let before = quarterdeck::model::Clock::now(&store.clock) - jiff::SignedDuration::from_hours(24 * 30);
    let mut walk = Walk::default();
    while !walk.over {
        walk = storage.prune_inbox(walk, before, 2).await.unwrap();
    }
    while storage.prune_transactions(before, 2).await.unwrap() > 0 {}
    walk.removed
}

#[tokio::test]
async fn what_is_done_goes_after_thirty_days_and_what_carried_a_command_or_is_not_done_stays() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    for number in 0..5 {
        let event = format!("$talk{number}");
        storage.store_transaction(&transaction(&event, &[(room().as_str(), &event)])).await.unwrap();
        storage.claim(Wanted::Rows).await.unwrap().unwrap().done().await.unwrap();
    }
    let (work, _) = store.opened(&storage).await;
    work.done().await.unwrap();
    storage.store_transaction(&transaction("waits", &[(room().as_str(), "$waits")])).await.unwrap();
    let mut with_keys = transaction("keys", &[]);
    with_keys.to_device = Some(b"{}".to_vec());
    storage.store_transaction(&with_keys).await.unwrap();

    store.clock.pass(29 * DAY);
    assert_eq!(prune(&store, &storage).await, 0);
    let young = transaction("young", &[("!other:example.org", "$young")]);
    storage.store_transaction(&young).await.unwrap();
    store.clock.pass(2 * DAY);
    assert_eq!(prune(&store, &storage).await, 5);
    let left = "SELECT count(*) FROM inbox WHERE external_id IN ('$event0', '$waits', '$young')";
    assert_eq!(store.count(left).await, 3);
    assert_eq!(store.count("SELECT count(*) FROM inbox").await, 3);
    assert_eq!(
        store.count("SELECT count(*) FROM transactions").await,
        2,
        "the young one, and the one with keys"
    );
    assert_eq!(prune(&store, &storage).await, 0);
}

#[tokio::test]
async fn a_command_that_is_repeated_after_its_transaction_is_forgotten_is_still_known() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let first = store.transaction(&room());
    storage.store_transaction(&first).await.unwrap();
    let mut work = storage.claim(Wanted::Rows).await.unwrap().unwrap();
    store.open(&mut work).await;
    work.done().await.unwrap();
    store.clock.pass(400 * DAY);
    prune(&store, &storage).await;
    assert_eq!(store.count("SELECT count(*) FROM transactions").await, 0);
    let again = storage.store_transaction(&first).await.unwrap();
    assert_eq!(again, Stored { new: 0, duplicates: 1 });
    assert_eq!(store.count("SELECT count(*) FROM requests").await, 1);
}

#[tokio::test]
async fn not_even_the_runtime_role_can_remove_what_counts() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, _) = store.opened(&storage).await;
    work.done().await.unwrap();
    storage.store_transaction(&transaction("waits", &[(room().as_str(), "$waits")])).await.unwrap();
    let runtime = sqlx::PgPool::connect(store.database.runtime_url().expose()).await.unwrap();
    for (event, why) in [("$event0", "carried a request"), ("$waits", "only what is done")] {
        let delete = sqlx::query("DELETE FROM inbox WHERE external_id = $1").bind(event);
        let error = delete.execute(&runtime).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
