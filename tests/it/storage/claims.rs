//! Claiming work: one worker a lane, in order, and lanes beside one another.

use std::{sync::Arc, time::Duration};

use quarterdeck::storage::{Wanted, Work};
use tokio::sync::Mutex;

use super::support::{Store, transaction};

fn event(work: &Work) -> String {
    work.row().unwrap().external_id.clone()
}

#[tokio::test]
async fn a_lane_is_worked_on_by_one_and_in_order() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let events = [("!a:example.org", "$1"), ("!a:example.org", "$2"), ("!a:example.org", "$3")];
    storage.store_transaction(&transaction("t", &events)).await.unwrap();
    let first = storage.claim(Wanted::Anything).await.unwrap().unwrap();
    assert_eq!(event(&first), "$1");
    assert!(storage.claim(Wanted::Anything).await.unwrap().is_none(), "its lane is being worked on");
    first.done().await.unwrap();
    let second = storage.claim(Wanted::Anything).await.unwrap().unwrap();
    assert_eq!(event(&second), "$2");
    second.done().await.unwrap();
}

#[tokio::test]
async fn lanes_are_claimed_beside_one_another_the_oldest_first() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let events = [("!a:example.org", "$1"), ("!b:example.org", "$2"), ("!a:example.org", "$3")];
    storage.store_transaction(&transaction("t", &events)).await.unwrap();
    let a = storage.claim(Wanted::Anything).await.unwrap().unwrap();
    let b = storage.claim(Wanted::Anything).await.unwrap().unwrap();
    assert_eq!((event(&a), event(&b)), ("$1".into(), "$2".into()));
    assert!(storage.claim(Wanted::Anything).await.unwrap().is_none());
}

#[tokio::test]
async fn what_arrives_does_not_wait_for_the_lane_that_is_worked_on() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    storage.store_transaction(&transaction("t1", &[("!a:example.org", "$1")])).await.unwrap();
    let held = storage.claim(Wanted::Anything).await.unwrap().unwrap();
    let next = transaction("t2", &[("!a:example.org", "$2")]);
    tokio::time::timeout(Duration::from_secs(5), storage.store_transaction(&next))
        .await
        .expect("the inbox is open while a lane is held")
        .unwrap();
    held.done().await.unwrap();
}

#[tokio::test]
async fn work_that_is_dropped_is_claimed_again_with_its_bytes() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let stored = transaction("t", &[("!a:example.org", "$1")]);
    storage.store_transaction(&stored).await.unwrap();
    drop(storage.claim(Wanted::Anything).await.unwrap().unwrap());
    let again = claim_soon(&storage).await;
    assert_eq!(again.row().unwrap().raw, stored.arrivals[0].raw);
    again.done().await.unwrap();
    assert_eq!(store.count("SELECT count(*) FROM inbox WHERE raw IS NULL AND state = 'done'").await, 1);
}

/// A dropped work gives its lane back when its connection has been cleaned: a moment later.
async fn claim_soon(storage: &quarterdeck::storage::Storage) -> Work {
    for _ in 0..100 {
        if let Some(work) = storage.claim(Wanted::Anything).await.unwrap() {
            return work;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the lane was not given back")
}

#[tokio::test]
async fn what_fails_three_times_comes_back_as_poisoned_and_holds_up_nobody() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let events = [("!a:example.org", "$bad"), ("!a:example.org", "$good")];
    storage.store_transaction(&transaction("t", &events)).await.unwrap();
    for failures in 1..=3 {
        let work = storage.claim(Wanted::Anything).await.unwrap().unwrap();
        assert_eq!(event(&work), "$bad");
        assert!(!work.is_poisoned());
        assert_eq!(work.failed("it always fails").await.unwrap(), failures);
    }
    let poisoned = storage.claim(Wanted::Anything).await.unwrap().unwrap();
    assert!(poisoned.is_poisoned());
    poisoned.done().await.unwrap();
    assert_eq!(event(&storage.claim(Wanted::Anything).await.unwrap().unwrap()), "$good");
}

#[tokio::test]
async fn what_cannot_even_be_concluded_is_passed_over_on_the_record_and_kept() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    storage.store_transaction(&transaction("t", &[("!a:example.org", "$bad")])).await.unwrap();
    for failures in 1..=6 {
        let work = storage.claim(Wanted::Anything).await.unwrap().unwrap();
        assert_eq!(work.failed("it always fails").await.unwrap(), failures);
    }
    assert!(storage.claim(Wanted::Anything).await.unwrap().is_none());
    assert_eq!(store.count("SELECT count(*) FROM entries WHERE kind = 'command.unprocessable'").await, 1);
    assert_eq!(store.count("SELECT count(*) FROM inbox WHERE state = 'passed' AND raw IS NOT NULL").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_workers_do_each_row_once_and_each_lane_in_order() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let other = store.storage("other").await;
    for transaction_id in 0..10 {
        let events: Vec<_> = (0..20)
            .map(|n| (format!("!lane{}:example.org", n % 5), format!("${:03}", transaction_id * 20 + n)))
            .collect();
        let events: Vec<_> = events.iter().map(|(lane, event)| (lane.as_str(), event.as_str())).collect();
        storage.store_transaction(&transaction(&transaction_id.to_string(), &events)).await.unwrap();
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let (storage, seen) = (if worker % 2 == 0 { &storage } else { &other }.clone(), Arc::clone(&seen));
        workers.spawn(async move {
            let mut bell = storage.bell();
            loop {
                let Some(work) = storage.claim(Wanted::Rows).await.unwrap() else {
                    if seen.lock().await.len() >= 200 {
                        bell.ring();
                        break;
                    }
                    bell.wait().await;
                    continue;
                };
                let row = work.row().unwrap().clone();
                // Noted while the lane is held, so that the order noted is the order worked in.
                seen.lock().await.push((row.lane, row.external_id));
                work.done().await.unwrap();
            }
        });
    }
    tokio::time::timeout(Duration::from_mins(1), workers.join_all()).await.expect("all rows are done");
    let seen = seen.lock().await.clone();
    assert_eq!(seen.len(), 200);
    for lane in 0..5 {
        let lane = format!("!lane{lane}:example.org");
        let of_lane: Vec<_> = seen.iter().filter(|(of, _)| *of == lane).map(|(_, event)| event).collect();
        assert_eq!(of_lane.len(), 40);
        assert!(of_lane.is_sorted(), "{of_lane:?}");
    }
}

#[tokio::test]
async fn claiming_costs_the_same_however_many_rooms_were_ever_heard_of() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let superuser = store.database.superuser();
    sqlx::query(
        "INSERT INTO lanes SELECT '!heard-of-once-' || n || ':example.org' FROM generate_series(1, 10000) n",
    )
    .execute(&superuser)
    .await
    .unwrap();
    sqlx::query("ANALYZE").execute(&superuser).await.unwrap();
    let touched = "SELECT COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0)
                   FROM pg_stat_user_tables WHERE relname = 'lanes'";
    let lanes: Vec<_> = (0..5).map(|lane| format!("!{lane}:example.org")).collect();
    for (number, lane) in lanes.iter().enumerate() {
        let event = format!("${number}");
        storage.store_transaction(&transaction(&event, &[(lane, &event)])).await.unwrap();
    }
    settled(&store, touched).await;
    let before = store.count(touched).await;
    let mut held = Vec::new();
    for number in 0..5 {
        let work = storage.claim(Wanted::Rows).await.unwrap().unwrap();
        assert_eq!(event(&work), format!("${number}"));
        held.push(work);
    }
    assert!(storage.claim(Wanted::Rows).await.unwrap().is_none());
    for work in held {
        work.done().await.unwrap();
    }
    storage.close().await;
    settled(&store, touched).await;
    let read = store.count(touched).await - before;
    assert!(read < 100, "six claims read {read} of 10,005 lanes");
}

/// Waits until the statistics stand still: each session tells of what it did a moment later.
async fn settled(store: &Store, count: &'static str) {
    let mut last = store.count(count).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let now = store.count(count).await;
        if now == last && now > 0 {
            return;
        }
        last = now;
    }
}
