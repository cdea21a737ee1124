//! The end of a run: the first final state wins, and what is late is said to be late.

use quarterdeck::{
    model::{Ending, State},
    storage::Finished,
};

use super::support::{Store, message, outcome};

#[tokio::test]
async fn an_outcome_comes_with_its_entry_its_output_its_answer_and_a_free_lock() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let warrant = store.running(&storage, "deploy", "web").await;
    let number = warrant.number();
    let answer = message("answer/1", Some(number));
    let finished = storage
        .finish(
            (warrant.number(), &super::support::room()),
            warrant.attempt(),
            &outcome(Ending::Exited { status: 2 }),
            Some(b"printed"),
            vec![answer],
        )
        .await
        .unwrap();
    let Finished::Recorded(messages) = finished else { panic!("{finished:?}") };
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].draft.step, "answer/1");
    assert_eq!(storage.request(number).await.unwrap().unwrap().state, State::Failed);
    assert_eq!(store.count("SELECT count(*) FROM locks").await, 0);
    let (entries, contents) = storage.story(number).await.unwrap();
    assert_eq!(entries.last().unwrap().entry.event.kind(), "run.finished");
    assert!(contents.iter().any(|content| content.bytes == b"printed"));
}

#[tokio::test]
async fn the_first_final_state_wins_and_a_later_outcome_is_an_entry_of_its_own() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let warrant = store.running(&storage, "look", "web").await;
    let first = outcome(Ending::Interrupted);
    storage
        .finish((warrant.number(), &super::support::room()), warrant.attempt(), &first, None, vec![])
        .await
        .unwrap();
    let late = storage
        .finish(
            (warrant.number(), &super::support::room()),
            warrant.attempt(),
            &outcome(Ending::Exited { status: 0 }),
            Some(b"late"),
            vec![message("answer/late", Some(warrant.number()))],
        )
        .await
        .unwrap();
    assert!(matches!(late, Finished::AlreadyEnded(State::Interrupted)), "{late:?}");
    assert_eq!(storage.request(warrant.number()).await.unwrap().unwrap().state, State::Interrupted);
    let (entries, _) = storage.story(warrant.number()).await.unwrap();
    assert_eq!(entries.last().unwrap().entry.event.kind(), "run.finished_late");
    assert_eq!(store.count("SELECT count(*) FROM outbox").await, 0, "nothing late is said");
}

#[tokio::test]
async fn an_outcome_that_is_recorded_again_is_recorded_once() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let warrant = store.running(&storage, "look", "web").await;
    let ended = outcome(Ending::Exited { status: 0 });
    let drafts =
        || vec![message("answer/1", Some(warrant.number())), message("answer/2", Some(warrant.number()))];
    for _ in 0..3 {
        // As after a commit whose answer was lost.
        let finished = storage
            .finish(
                (warrant.number(), &super::support::room()),
                warrant.attempt(),
                &ended,
                Some(b"out"),
                drafts(),
            )
            .await
            .unwrap();
        let Finished::Recorded(messages) = finished else { panic!("{finished:?}") };
        let steps: Vec<_> = messages.iter().map(|message| message.draft.step.as_str()).collect();
        assert_eq!(steps, ["answer/1", "answer/2"]);
    }
    assert_eq!(store.count("SELECT count(*) FROM entries WHERE kind LIKE 'run.finished%'").await, 1);
    assert_eq!(store.count("SELECT count(*) FROM outbox").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_outcomes_at_once_one_is_recorded() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    for _ in 0..20 {
        let warrant = store.running(&storage, "look", "web").await;
        let (number, attempt) = (warrant.number(), warrant.attempt());
        let [succeeded, cancelled] = [Ending::Exited { status: 0 }, Ending::Cancelled].map(outcome);
        let room = super::support::room();
        let (one, two) = tokio::join!(
            storage.finish((number, &room), attempt, &succeeded, None, vec![]),
            storage.finish((number, &room), attempt, &cancelled, None, vec![]),
        );
        let recorded =
            [one.unwrap(), two.unwrap()].iter().filter(|f| matches!(f, Finished::Recorded(_))).count();
        assert_eq!(recorded, 1);
    }
    assert_eq!(store.count("SELECT count(*) FROM entries WHERE kind = 'run.finished'").await, 20);
    assert_eq!(store.count("SELECT count(*) FROM entries WHERE kind = 'run.finished_late'").await, 20);
}
