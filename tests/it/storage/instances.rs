//! Who lives, who is dead, and whose runs are interrupted.

use quarterdeck::{
    model::{Ending, State},
    storage::{Beat, Error},
};

use super::support::{Store, outcome};

#[tokio::test]
async fn a_dead_boots_runs_are_found_and_only_those() {
    let store = Store::new().await;
    let old = store.storage("main").await;
    let other = store.storage("other").await;
    let left = store.running(&old, "look", "web").await;
    let alive = store.running(&other, "look", "web").await;
    let ended = store.running(&old, "look", "web").await;
    old.finish(
        (ended.number(), &super::support::room()),
        ended.attempt(),
        &outcome(Ending::Exited { status: 0 }),
        None,
        vec![],
    )
    .await
    .unwrap();
    assert!(other.interrupted_runs().await.unwrap().is_empty(), "both live");

    // `main` is started again: its earlier life is over at once.
    old.close().await;
    let new = store.storage("main").await;
    let found = new.interrupted_runs().await.unwrap();
    let attempts: Vec<_> = found.iter().map(|run| run.attempt).collect();
    assert_eq!(attempts, [left.attempt()]);
    assert_eq!((found[0].boot, found[0].instance.as_str()), (old.boot(), "main"));
    new.finish(
        (left.number(), &super::support::room()),
        left.attempt(),
        &outcome(Ending::Interrupted),
        None,
        vec![],
    )
    .await
    .unwrap();
    assert!(new.interrupted_runs().await.unwrap().is_empty());
    assert_eq!(new.request(left.number()).await.unwrap().unwrap().state, State::Interrupted);
    assert_eq!(new.request(alive.number()).await.unwrap().unwrap().state, State::Running);
}

#[tokio::test]
async fn a_name_is_one_processs() {
    let store = Store::new().await;
    let _first = store.storage("main").await;
    let second = store.unregistered("main").register_boot().await;
    assert!(matches!(second, Err(Error::NameTaken(name)) if name == "main"));
}

#[tokio::test]
async fn who_leaves_in_good_order_leaves_its_name() {
    let store = Store::new().await;
    let first = store.storage("main").await;
    first.leave().await.unwrap();
    let _second = store.storage("main").await;
    assert_eq!(store.count("SELECT count(*) FROM entries WHERE kind = 'server.started'").await, 2);
    assert_eq!(store.count("SELECT count(*) FROM entries WHERE kind = 'server.stopped'").await, 1);
}

#[tokio::test]
async fn a_boot_is_dead_when_its_counter_stands_still_for_thirty_seconds() {
    let store = Store::new().await;
    let one = store.storage("one").await;
    let two = store.storage("two").await;
    let nobody = Beat::Alive { died: vec![] };
    for _ in 0..10 {
        assert_eq!(one.beat().await.unwrap(), nobody);
        assert_eq!(two.beat().await.unwrap(), nobody);
        store.clock.pass(10);
    }
    // Two falls silent.
    assert_eq!(one.beat().await.unwrap(), nobody);
    store.clock.pass(29);
    assert_eq!(one.beat().await.unwrap(), nobody);
    store.clock.pass(2);
    assert_eq!(one.beat().await.unwrap(), Beat::Alive { died: vec![two.boot()] });
    // It wakes up, and learns it.
    assert_eq!(two.beat().await.unwrap(), Beat::DeclaredDead);
}
