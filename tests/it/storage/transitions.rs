//! The table of transitions, in the code and in the database.

use std::collections::BTreeSet;

use quarterdeck::{
    model::{Event, State},
    storage::{Error, Wanted},
};
use sqlx::AssertSqlSafe;

use super::support::{Store, alice, room};

#[tokio::test]
async fn the_database_has_the_table_of_the_code() {
    let store = Store::new().await;
    let pool = store.database.superuser();
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT leaves, enters FROM transitions").fetch_all(&pool).await.unwrap();
    let in_database: BTreeSet<_> = rows
        .into_iter()
        .map(|(from, to)| (from.parse::<State>().unwrap(), to.parse::<State>().unwrap()))
        .collect();
    let in_code: BTreeSet<_> =
        State::ALL.into_iter().flat_map(|from| from.followers().iter().map(move |to| (from, *to))).collect();
    assert_eq!(in_database, in_code);
}

#[tokio::test]
async fn every_pair_is_a_way_or_refused_by_the_database_whoever_tries() {
    let store = Store::new().await;
    let pool = store.database.superuser();
    let run = async |sql: String| sqlx::query(AssertSqlSafe(sql)).execute(&pool).await;
    // The same columns and the same trigger, without the other constraints: of the transitions alone.
    run("CREATE TABLE probe (LIKE requests)".into()).await.unwrap();
    run("ALTER TABLE probe ALTER failures SET DEFAULT 0".into()).await.unwrap();
    let states = State::ALL;
    for (number, from) in (1..).zip(states) {
        run(format!(
            "INSERT INTO probe (number, state, door, sender, room_id, claimed_at, received_at, failures)
             VALUES ({number}, '{from}', 'matrix', '@a:example.org', '!r', now(), now(), 0)"
        ))
        .await
        .unwrap();
    }
    run("CREATE TRIGGER follow BEFORE INSERT OR UPDATE ON probe FOR EACH ROW EXECUTE FUNCTION requests_follow_the_table()".into())
        .await
        .unwrap();
    for (number, from) in (1..).zip(states) {
        for to in states {
            let mut tx = pool.begin().await.unwrap();
            let sql = format!("UPDATE probe SET state = '{to}' WHERE number = {number}");
            let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await;
            assert_eq!(done.is_ok(), from == to || from.may_become(to), "{from} -> {to}");
            tx.rollback().await.unwrap();
        }
    }
    // A request is written once, in the state that its first commit takes it to; these come later.
    for later in ["timed_out", "cancelled", "interrupted", "denied", "expired"] {
        run(format!(
            "INSERT INTO probe (number, state, door, sender, room_id, claimed_at, received_at, failures)
             VALUES (99, '{later}', 'matrix', '@a:example.org', '!r', now(), now(), 0)"
        ))
        .await
        .expect_err(later);
    }
}

#[tokio::test]
async fn a_transition_names_the_state_it_leaves() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (mut work, number) = store.opened(&storage).await;
    let cancelled = Event::CommandCancelled { by: alice() };
    let wrong = work.transition(number, State::Queued, State::Cancelled, cancelled.clone()).await;
    assert!(matches!(wrong, Err(Error::Moved { found, .. }) if found == "received"));
    let barred = work.transition(number, State::Received, State::Cancelled, cancelled.clone()).await;
    assert!(matches!(barred, Err(Error::NoSuchTransition { .. })));
    let only_by_start = work.transition(number, State::Queued, State::Running, cancelled).await;
    assert!(matches!(only_by_start, Err(Error::NoSuchTransition { .. })));
}

#[tokio::test]
async fn a_refusal_is_a_state_and_an_entry_in_one_commit() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (mut work, number) = store.opened(&storage).await;
    let reason = work.content(number, quarterdeck::storage::ContentKind::Reason, b"no");
    let event = Event::CommandRefused {
        why: "rules".into(),
        command: None,
        subject: None,
        dry: false,
        invocation: None,
        inputs: None,
        reason,
        policies: vec![],
        rules: store.rules.digest(),
        elevated: vec![],
    };
    work.transition(number, State::Received, State::Refused, event).await.unwrap();
    assert!(storage.request(number).await.unwrap().is_none(), "nothing is seen before the commit");
    work.done().await.unwrap();
    let request = storage.request(number).await.unwrap().unwrap();
    assert_eq!((request.state, request.ended_at), (State::Refused, Some(storage.now())));
    let (entries, contents) = storage.story(number).await.unwrap();
    let kinds: Vec<_> = entries.iter().map(|recorded| recorded.entry.event.kind()).collect();
    assert_eq!(kinds, ["command.received", "command.refused"]);
    assert_eq!(contents.len(), 2);
}

#[tokio::test]
async fn one_event_makes_one_request() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, number) = store.opened(&storage).await;
    let event = storage_event(&work);
    work.done().await.unwrap();
    // The same event under another identity of its row: the request bars it.
    let mut again = super::support::transaction("again", &[(room().as_str(), &event)]);
    again.arrivals[0].source = "another-door".into();
    storage.store_transaction(&again).await.unwrap();
    let mut work = storage.claim(Wanted::Rows).await.unwrap().unwrap();
    let row = work.row().unwrap().clone();
    work.open_request(quarterdeck::storage::NewRequest {
        door: "matrix".into(),
        sender: alice(),
        room: room(),
        event_id: Some(ruma::EventId::parse(&event).unwrap()),
        thread_root: None,
        claimed_at: row.received_at,
        received_at: row.received_at,
        text: String::new(),
    })
    .await
    .unwrap();
    assert!(matches!(work.done().await, Err(Error::Refused { .. })));
    let event = ruma::EventId::parse(&event).unwrap();
    let found = storage.request_by_event(&room(), &event).await.unwrap().unwrap();
    assert_eq!(found.number, number);
    let elsewhere = ruma::room_id!("!other:example.org");
    assert!(storage.request_by_event(elsewhere, &event).await.unwrap().is_none());
}

fn storage_event(work: &quarterdeck::storage::Work) -> String {
    work.row().unwrap().external_id.clone()
}
