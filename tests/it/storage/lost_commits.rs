//! A commit whose answer is lost: there is a warrant only if the attempt stands in the database.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use quarterdeck::{
    model::{Secret, State as RequestState},
    storage::{Start, Wanted},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

use super::{
    arriving::{seasoned, starting_as_it_arrives},
    support::{Store, started},
};
use crate::harness::State;

/// What becomes of the next COMMIT that passes.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Fate {
    Passes = 0,
    /// The connection breaks before it arrives.
    IsLost = 1,
    /// It arrives; the connection breaks before its answer does.
    IsDoneUnheard = 2,
    /// The client's side breaks at once, and it arrives half a second later.
    ArrivesLate = 3,
}

/// Set in a fate that is a deciding statement's.
const DECISION: u8 = 0x80;

/// A socket between the client and PostgreSQL.
pub(super) struct Between {
    folder: TempDir,
    fate: Arc<AtomicU8>,
    port: u16,
}

impl Between {
    pub(super) fn new() -> Self {
        let postgres = State::read().postgres;
        let name = format!(".s.PGSQL.{}", postgres.port);
        let target = postgres.socket.join(&name);
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join(&name)).unwrap();
        let fate = Arc::new(AtomicU8::new(0));
        let between = Self { folder, fate: Arc::clone(&fate), port: postgres.port };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(Path::new(&target)).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&fate)));
            }
        });
        between
    }

    pub(super) fn url(&self, store: &Store) -> Secret {
        let socket = self.folder.path().to_str().unwrap().replace('/', "%2F");
        let (role, name) = (store.database.runtime_role(), store.database.name());
        Secret::new(format!("postgres://{role}@{socket}:{}/{name}", self.port))
    }

    pub(super) fn next_commit(&self, fate: Fate) {
        self.fate.store(fate as u8, Ordering::SeqCst);
    }

    /// As [`Self::next_commit`], for the statement that decides an event as it arrives, which is its own commit.
    fn next_decision(&self, fate: Fate) {
        self.fate.store(fate as u8 | DECISION, Ordering::SeqCst);
    }
}

/// Carries bytes both ways until a COMMIT meets its fate.
async fn carry(mut client: UnixStream, mut server: UnixStream, fate: Arc<AtomicU8>) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                let sent = &up[..length];
                let commits = if fate.load(Ordering::SeqCst) & DECISION == 0 { &b"COMMIT"[..] } else { b"command.permitted" };
                if sent.windows(commits.len()).any(|word| word == commits) {
                    match fate.swap(0, Ordering::SeqCst) & !DECISION {
                        1 => return,
                        2 => {
                            server.write_all(sent).await.unwrap();
                            // Its answer is awaited, so that it is done, and then kept from the client.
                            let _ = server.read(&mut down).await;
                            return;
                        }
                        3 => {
                            drop(client);
                            tokio::time::sleep(Duration::from_millis(500)).await;
                            server.write_all(sent).await.unwrap();
                            let _ = server.read(&mut down).await;
                            return;
                        }
                        _ => {}
                    }
                }
                if server.write_all(sent).await.is_err() { return; }
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&down[..length]).await.is_err() { return; }
            }
        }
    }
}

#[tokio::test]
async fn a_commit_that_did_not_happen_gives_no_warrant_and_the_row_is_taken_again() {
    let store = Store::new().await;
    let between = Between::new();
    let storage = store.at(&between.url(&store), "main");
    storage.register_boot().await.unwrap();
    let (work, number, start) = store.starting(&storage, "deploy", "web").await;
    between.next_commit(Fate::IsLost);
    assert!(started(work, start).await.warrant.is_none());
    assert_eq!(store.count("SELECT count(*) FROM attempts").await, 0);
    assert!(storage.request(number).await.unwrap().is_none());

    let mut work = storage.claim(Wanted::Anything).await.unwrap().expect("the row is still to be decided");
    let number = store.open(&mut work).await;
    let start = store.start(&mut work, number, "deploy", "web").await;
    assert!(started(work, start).await.warrant.is_some());
}

#[tokio::test]
async fn a_commit_that_happened_unheard_gives_the_warrant() {
    let store = Store::new().await;
    let between = Between::new();
    let storage = store.at(&between.url(&store), "main");
    storage.register_boot().await.unwrap();
    let (work, number, start) = store.starting(&storage, "deploy", "web").await;
    between.next_commit(Fate::IsDoneUnheard);
    let warrant = started(work, start).await.warrant.expect("its attempt stands in the database");
    let request = storage.request(number).await.unwrap().unwrap();
    assert_eq!((request.state, request.attempt), (RequestState::Running, Some(warrant.attempt())));
    assert!(storage.claim(Wanted::Anything).await.unwrap().is_none(), "and it is not done twice");
}

#[tokio::test]
async fn a_commit_that_arrives_after_the_connection_broke_is_waited_for() {
    let store = Store::new().await;
    let between = Between::new();
    let storage = store.at(&between.url(&store), "main");
    storage.register_boot().await.unwrap();
    let (work, number, start) = store.starting(&storage, "deploy", "web").await;
    between.next_commit(Fate::ArrivesLate);
    let warrant = started(work, start).await.warrant;
    let request = storage.request(number).await.unwrap();
    // Read back too early it would be missing, and a second start would follow.
    assert_eq!(warrant.map(|warrant| warrant.attempt()), request.and_then(|request| request.attempt));
    assert_eq!(store.count("SELECT count(*) FROM attempts").await, 1);
}

#[tokio::test]
async fn a_queued_request_is_read_back_alike() {
    let store = Store::new().await;
    let between = Between::new();
    let storage = store.at(&between.url(&store), "main");
    storage.register_boot().await.unwrap();
    let (mut work, number) = store.opened(&storage).await;
    let invoked = super::support::invocation("look", "web");
    store.permitted(&mut work, number, &invoked).await;
    work.done().await.unwrap();

    for fate in [Fate::IsLost, Fate::ArrivesLate] {
        let mut work = storage.claim(Wanted::Anything).await.unwrap().expect("the queued request");
        let start = store.start(&mut work, number, "look", "web").await;
        assert!(matches!(start, Start::Pending(_)));
        between.next_commit(fate);
        let warrant = started(work, start).await.warrant;
        let attempt = storage.request(number).await.unwrap().unwrap().attempt;
        assert_eq!(warrant.map(|warrant| warrant.attempt()), attempt, "{fate:?}");
    }
    assert_eq!(store.count("SELECT count(*) FROM attempts").await, 1);
    between.next_commit(Fate::Passes);
}

#[tokio::test]
async fn what_is_decided_as_it_arrives_is_read_back_alike() {
    let store = Store::new().await;
    let between = Between::new();
    let storage = store.at(&between.url(&store), "main");
    storage.register_boot().await.unwrap();
    seasoned(&store, &storage).await;

    for (fate, starts) in [(Fate::IsLost, 0), (Fate::IsDoneUnheard, 1), (Fate::ArrivesLate, 1)] {
        let before = store.count("SELECT count(*) FROM attempts").await;
        let transaction = store.transaction(&super::support::room());
        let (work, pending) = starting_as_it_arrives(&store, &storage, &transaction).await;
        between.next_decision(fate);
        let started = work.done_starting(pending).await;
        between.next_commit(Fate::Passes);
        let begun = store.count("SELECT count(*) FROM attempts").await - before;
        if let Ok(started) = &started {
            assert!(started.warrant.is_some(), "{fate:?}");
        }
        assert_eq!(
            i64::from(started.is_ok()),
            begun,
            "{fate:?}: a warrant for what stands there, and for nothing else"
        );
        if !matches!(fate, Fate::ArrivesLate) {
            assert_eq!(begun, starts, "{fate:?}");
        }
        // Either way the event is known: what did not start waits in the inbox, once.
        assert_eq!(storage.store_transaction(&transaction).await.unwrap().new, 0, "{fate:?}");
        let waits = storage.claim(Wanted::Rows).await.unwrap();
        assert_eq!(waits.is_some(), begun == 0, "{fate:?}");
        if let Some(work) = waits {
            work.done().await.unwrap();
        }
    }
}
