//! The audit log as it is read.

use quarterdeck::{
    model::{Event, RequestNumber},
    storage::{Filter, Recorded},
};
use ruma::room_id;

use super::support::{Store, alice, bob, room};

fn kinds(entries: &[Recorded]) -> Vec<&'static str> {
    entries.iter().map(|recorded| recorded.entry.event.kind()).collect()
}

#[tokio::test]
async fn entries_are_found_by_room_request_kind_person_and_time() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, number) = store.opened(&storage).await;
    work.done().await.unwrap();
    store.clock.pass(60);
    let later = storage.now();
    let elsewhere = room_id!("!else:example.org");
    storage.record(None, Some(elsewhere), Event::InvitationDeclined { by: bob() }).await.unwrap();

    let found = async |filter: Filter| kinds(&storage.entries(&filter, None, 100).await.unwrap().entries);
    let all = Filter::default();
    assert_eq!(found(all.clone()).await, ["invitation.declined", "command.received", "server.started"]);
    assert_eq!(found(Filter { room: Some(room()), ..all.clone() }).await, ["command.received"]);
    assert_eq!(found(Filter { request: Some(number), ..all.clone() }).await, ["command.received"]);
    let nobodys = Filter { request: Some(RequestNumber(9_999)), ..all.clone() };
    assert!(found(nobodys).await.is_empty());
    for kind in ["command", "command.received"] {
        assert_eq!(found(Filter { kind: Some(kind.into()), ..all.clone() }).await, ["command.received"]);
    }
    let of = |user: ruma::OwnedUserId| Filter { sender: Some(user.to_string()), ..Filter::default() };
    assert_eq!(found(of(alice())).await, ["command.received"]);
    assert_eq!(found(of(bob())).await, ["invitation.declined"]);
    assert_eq!(found(Filter { since: Some(later), ..all }).await, ["invitation.declined"]);
}

#[tokio::test]
async fn pages_go_back_without_a_gap_or_an_overlap() {
    let store = Store::new().await;
    let storage = store.unregistered("main");
    for index in 0..7 {
        let event = Event::AuditRead { by: "tester".into(), query: index.to_string() };
        storage.record(None, None, event).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = storage.entries(&Filter::default(), before, 3).await.unwrap();
        seen.extend(page.entries.into_iter().map(|recorded| recorded.entry.event));
        before = page.older;
        if before.is_none() {
            break;
        }
    }
    let queries: Vec<_> = seen
        .iter()
        .map(|event| if let Event::AuditRead { query, .. } = event { query.as_str() } else { "" })
        .collect();
    assert_eq!(queries, ["6", "5", "4", "3", "2", "1", "0"]);
}

#[tokio::test]
async fn what_is_stored_of_an_entry_is_its_canonical_json() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, _) = store.opened(&storage).await;
    work.done().await.unwrap();
    let page = storage.entries(&Filter::default(), None, 10).await.unwrap();
    let pool = store.database.superuser();
    for recorded in page.entries {
        let stored: (String, String, i64) = sqlx::query_as(
            "SELECT body, kind, (extract(epoch FROM at) * 1000000)::bigint FROM entries WHERE place = $1",
        )
        .bind(recorded.place)
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!(stored.0.as_bytes(), recorded.entry.to_canonical_json().unwrap());
        assert_eq!(stored.1, recorded.entry.event.kind());
        assert_eq!(stored.2, recorded.entry.at.as_microsecond());
    }
}

#[tokio::test]
async fn what_an_entry_names_can_be_opened_and_says_what_it_names() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, number) = store.opened(&storage).await;
    work.done().await.unwrap();
    let (entries, contents) = storage.story(number).await.unwrap();
    let Event::CommandReceived { text, .. } = &entries[0].entry.event else { panic!("{entries:?}") };
    let content = contents.iter().find(|content| content.commitment == *text).unwrap();
    assert_eq!(content.bytes, b"deploy web");
}
