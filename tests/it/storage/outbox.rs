//! The outbox: in order, by one sender at a time, each message once.

use quarterdeck::{
    model::{RequestNumber, SignedDuration},
    storage::{OutboxRow, Said, Storage},
};
use ruma::event_id;

use super::support::{Store, message};

fn steps(rows: &[OutboxRow]) -> Vec<&str> {
    rows.iter().map(|row| row.draft.step.as_str()).collect()
}

/// A request whose messages are a lane.
async fn request(store: &Store, storage: &Storage) -> RequestNumber {
    let (work, number) = store.opened(storage).await;
    work.done().await.unwrap();
    number
}

#[tokio::test]
async fn what_is_written_is_leased_to_its_writer_and_comes_back_when_the_lease_runs_out() {
    let store = Store::new().await;
    let (one, two) = (store.storage("one").await, store.storage("two").await);
    let written = one.say(vec![message("a", None), message("b", None)]).await.unwrap();
    assert_eq!(steps(&written), ["a", "b"]);
    assert_eq!(written[0].draft.content["body"], "said \u{0}");
    assert!(two.due(10, &[]).await.unwrap().is_empty());
    assert!(one.due(10, &[]).await.unwrap().is_empty(), "it holds them already");
    store.clock.pass(61);
    assert_eq!(steps(&two.due(10, &[]).await.unwrap()), ["a", "b"]);
    assert!(one.due(10, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_dead_holders_messages_are_anybodys() {
    let store = Store::new().await;
    let (one, two) = (store.storage("one").await, store.storage("two").await);
    one.say(vec![message("a", None)]).await.unwrap();
    one.leave().await.unwrap();
    assert_eq!(steps(&two.due(10, &[]).await.unwrap()), ["a"]);
}

#[tokio::test]
async fn a_lane_is_in_one_hand_so_its_order_is_kept() {
    let store = Store::new().await;
    let (one, two) = (store.storage("one").await, store.storage("two").await);
    let number = request(&store, &one).await;
    let first = one.say(vec![message("a", Some(number))]).await.unwrap();
    // Written by another process while the first message is not sent: nobody may send it yet.
    assert!(two.say(vec![message("b", Some(number))]).await.unwrap().is_empty());
    assert!(two.due(10, &[]).await.unwrap().is_empty());
    one.sent(first[0].id, event_id!("$sent")).await.unwrap();
    assert_eq!(steps(&two.due(10, &[]).await.unwrap()), ["b"]);
}

#[tokio::test]
async fn a_message_that_is_put_off_puts_off_what_follows_it() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let number = request(&store, &storage).await;
    let written = storage.say(vec![message("a", Some(number)), message("b", Some(number))]).await.unwrap();
    let other = storage.say(vec![message("elsewhere", None)]).await.unwrap();
    let when = storage.now() + SignedDuration::from_secs(10);
    storage.retry_at(written[0].id, when).await.unwrap();
    storage.retry_at(other[0].id, storage.now()).await.unwrap();
    assert_eq!(steps(&storage.due(10, &[]).await.unwrap()), ["elsewhere"]);
    store.clock.pass(11);
    let due = storage.due(10, &[other[0].id]).await.unwrap();
    assert_eq!(steps(&due), ["a", "b"]);
    assert_eq!(due.iter().map(|row| row.failures).collect::<Vec<_>>(), [1, 0]);
}

#[tokio::test]
async fn a_step_is_written_once_and_its_event_is_known_once_it_is_sent() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let written = storage.say(vec![message("a", None)]).await.unwrap();
    assert!(storage.say(vec![message("a", None)]).await.unwrap().is_empty());
    assert_eq!(storage.event_of_step("a").await.unwrap(), None);
    for event in [event_id!("$first"), event_id!("$second")] {
        storage.sent(written[0].id, event).await.unwrap();
    }
    assert_eq!(storage.event_of_step("a").await.unwrap().unwrap(), "$first");
    assert_eq!(store.count("SELECT count(*) FROM outbox WHERE content IS NULL").await, 1);
}

#[tokio::test]
async fn a_parked_message_is_on_the_record_and_the_next_goes_on() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let written = storage.say(vec![message("a", None), message("b", None)]).await.unwrap();
    for _ in 0..2 {
        storage.parked(written[0].id, "M_FORBIDDEN").await.unwrap();
    }
    assert_eq!(store.count("SELECT count(*) FROM entries WHERE kind = 'answer.parked'").await, 1);
    store.clock.pass(61);
    assert_eq!(steps(&storage.due(10, &[]).await.unwrap()), ["b"]);
    let unfinished = storage.unfinished().await.unwrap();
    assert_eq!((unfinished.outbox, unfinished.parked), (1, 1));
}

#[tokio::test]
async fn a_file_is_kept_until_it_is_uploaded() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let file = quarterdeck::storage::File {
        name: "out.txt".into(),
        media_type: "text/plain".into(),
        bytes: b"whole".to_vec(),
    };
    let mut draft = message("a", None);
    draft.file = Some(file.clone());
    let written = storage.say(vec![draft]).await.unwrap();
    assert_eq!(written[0].draft.file, Some(file));
    assert_eq!(storage.file_bytes(written[0].id).await.unwrap().as_deref(), Some(&b"whole"[..]));
    storage.uploaded(written[0].id, &serde_json::json!({"url": "mxc://a/b"})).await.unwrap();
    store.clock.pass(61);
    let due = storage.due(10, &[]).await.unwrap();
    assert_eq!((due[0].draft.file.clone(), &due[0].draft.content["url"]), (None, &"mxc://a/b".into()));
}

#[tokio::test]
async fn what_was_written_by_a_commit_whose_answer_was_lost_is_sent_after_a_moment() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let written = storage.say(vec![message("lost", None), message("known", None)]).await.unwrap();
    let known = written[1].id;
    assert!(storage.due(10, &[known]).await.unwrap().is_empty(), "it may be on its way to be handed over");
    store.clock.pass(6);
    let due = storage.due(10, &[written[0].id, known]).await.unwrap();
    assert!(due.is_empty(), "what is known is being sent");
    assert_eq!(steps(&storage.due(10, &[]).await.unwrap()), ["lost", "known"]);
}

#[tokio::test]
async fn what_became_of_a_step_is_told() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let written = storage.say(vec![message("a", None), message("b", None)]).await.unwrap();
    assert_eq!(storage.said("never").await.unwrap(), Said::Never);
    assert_eq!(storage.said("a").await.unwrap(), Said::Waits);
    let event = ruma::owned_event_id!("$sent");
    storage.sent(written[0].id, &event).await.unwrap();
    storage.parked(written[1].id, "for good").await.unwrap();
    assert_eq!(storage.said("a").await.unwrap(), Said::As(event));
    assert_eq!(storage.said("b").await.unwrap(), Said::Never);
}
