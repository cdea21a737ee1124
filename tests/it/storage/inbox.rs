//! The inbox: stored once, whatever is repeated.

use super::support::{Store, transaction};
use quarterdeck::{
    model::{Timestamp, claimed_at},
    storage::Stored,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_replayed_a_hundred_times_at_once_is_stored_once() {
    let store = Store::new().await;
    let storage = store.unregistered("main");
    let again =
        transaction("t1", &[("!a:example.org", "$1"), ("!a:example.org", "$2"), ("!b:example.org", "$3")]);
    let mut replays = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (storage, again) = (storage.clone(), again.clone());
        replays.spawn(async move { storage.store_transaction(&again).await.unwrap().new });
    }
    let new: Vec<_> = replays.join_all().await;
    assert_eq!(new.iter().sum::<usize>(), 3);
    assert_eq!(new.iter().filter(|new| **new > 0).count(), 1);
    assert_eq!(store.count("SELECT count(*) FROM inbox").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_events_under_a_hundred_other_transaction_ids_are_not_stored_again() {
    let store = Store::new().await;
    let storage = store.unregistered("main");
    let mut replays = tokio::task::JoinSet::new();
    for id in 0..100 {
        let storage = storage.clone();
        replays.spawn(async move {
            let events = [("!a:example.org", "$1"), ("!a:example.org", "$2")];
            storage.store_transaction(&transaction(&format!("t{id}"), &events)).await.unwrap().new
        });
    }
    assert_eq!(replays.join_all().await.into_iter().sum::<usize>(), 2);
    assert_eq!(store.count("SELECT count(*) FROM inbox").await, 2);
}

#[tokio::test]
async fn other_events_under_a_known_transaction_id_are_stored() {
    let store = Store::new().await;
    let storage = store.unregistered("main");
    let store_one =
        async |events: &[(&str, &str)]| storage.store_transaction(&transaction("t1", events)).await.unwrap();
    assert_eq!(store_one(&[("!a:example.org", "$1")]).await, Stored { new: 1, duplicates: 0 });
    // A homeserver with a new database starts its transaction ids again.
    assert_eq!(store_one(&[("!a:example.org", "$2")]).await, Stored { new: 1, duplicates: 0 });
    let both = [("!a:example.org", "$1"), ("!a:example.org", "$3")];
    assert_eq!(store_one(&both).await, Stored { new: 1, duplicates: 1 });
}

#[tokio::test]
async fn an_event_that_comes_twice_in_one_transaction_is_stored_once() {
    let store = Store::new().await;
    let twice = transaction("t1", &[("!a:example.org", "$1"), ("!a:example.org", "$1")]);
    let stored = store.unregistered("main").store_transaction(&twice).await.unwrap();
    assert_eq!(stored, Stored { new: 1, duplicates: 1 });
}

#[tokio::test]
async fn an_empty_transaction_is_taken() {
    let store = Store::new().await;
    let stored = store.unregistered("main").store_transaction(&transaction("t1", &[])).await.unwrap();
    assert_eq!(stored, Stored { new: 0, duplicates: 0 });
}

#[tokio::test]
async fn no_time_that_an_event_claims_keeps_its_transaction_from_being_stored() {
    let store = Store::new().await;
    let storage = store.unregistered("main");
    let claiming = |name: &str, at: Option<Timestamp>| {
        let mut claiming = transaction(name, &[("!a:example.org", &format!("${name}"))]);
        claiming.arrivals[0].claimed_at = at;
        claiming
    };
    let (min, max) = (Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
    for strange in [i64::MIN, min, -210_866_803_200_001, -1, 0, max, i64::MAX] {
        let stored = storage.store_transaction(&claiming(&strange.to_string(), claimed_at(strange))).await;
        assert_eq!(stored.unwrap(), Stored { new: 1, duplicates: 0 }, "{strange}");
    }
    // What `claimed_at` keeps away: our own type counts further back than the database.
    assert!(storage.store_transaction(&claiming("early", Some(Timestamp::MIN))).await.is_err());
}
