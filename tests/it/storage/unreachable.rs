//! A PostgreSQL that stops and comes back: told apart from other errors, and survived.

use std::process::Command;

use quarterdeck::{
    model::Secret,
    storage::{Storage, Wanted},
};

use tempfile::TempDir;

use super::support::{Store, room};
use crate::harness::{Database, State, state::Postgres};

/// A cluster of this test's own, to stop and to start.
struct Cluster {
    folder: TempDir,
    control: Vec<String>,
    postgres: Postgres,
}

impl Cluster {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let control = State::read().control;
        let output = run(&control, &["postgres", "up", folder.path().to_str().unwrap()]);
        let postgres = serde_json::from_slice(&output).unwrap();
        Self { folder, control, postgres }
    }

    fn control(&self, verb: &str) {
        run(&self.postgres.control[verb], &[]);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        run(&self.control, &["postgres", "down", self.folder.path().to_str().unwrap()]);
    }
}

fn run(command: &[String], arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(&command[0]).args(&command[1..]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test]
async fn an_absent_database_is_away_and_a_wrong_address_is_not() {
    let store = Store::new().await;
    let nowhere = store.at(&Secret::new("postgres://a@127.0.0.1:9/b"), "main");
    let error = nowhere.unfinished().await.unwrap_err();
    assert!(error.is_away(), "{error}");
    let clock = std::sync::Arc::new(store.clock.clone());
    let random = std::sync::Arc::new(quarterdeck::model::SystemRandom);
    let wrong = Storage::connect(&Secret::new("mysql://x"), "main", clock, random).unwrap_err();
    assert!(!wrong.is_away(), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_postgresql_was_stopped_and_started() {
    let cluster = Cluster::start();
    let store = Store::of(Database::create_in(cluster.postgres.clone()).await).await;
    let storage = store.storage("main").await;
    let (work, _) = store.opened(&storage).await;
    cluster.control("stop");
    let error = work.done().await.unwrap_err();
    assert!(error.is_away(), "{error}");
    for _ in 0..3 {
        let error = storage.store_transaction(&store.transaction(&room())).await.unwrap_err();
        assert!(error.is_away(), "{error}");
    }
    assert!(storage.beat().await.unwrap_err().is_away());
    cluster.control("start");

    // The same pool, and no more than a moment later.
    storage.store_transaction(&store.transaction(&room())).await.unwrap();
    let work = storage.claim(Wanted::Anything).await.unwrap().expect("what was not concluded is there");
    work.done().await.unwrap();
    storage.beat().await.unwrap();
    assert_eq!(storage.unfinished().await.unwrap().inbox, 1);
}
