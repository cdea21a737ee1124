//! Starts: one warrant, one holder of a lock, and never another's permit.

use quarterdeck::{
    model::{Ending, Event, State},
    storage::{Error, Start, Wanted},
};

use super::support::{Store, alice, bob, invocation, outcome, started};

#[tokio::test]
async fn a_start_gives_one_warrant_and_is_on_the_record() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, number, start) = store.starting(&storage, "look", "web").await;
    assert_eq!(store.count("SELECT count(*) FROM attempts").await, 0, "nothing stands before the commit");
    let warrant = started(work, start).await.warrant.unwrap();
    assert_eq!((warrant.number(), warrant.invocation()), (number, &invocation("look", "web")));
    let request = storage.request(number).await.unwrap().unwrap();
    assert_eq!((request.state, request.attempt), (State::Running, Some(warrant.attempt())));
    let (entries, _) = storage.story(number).await.unwrap();
    let kinds: Vec<_> = entries.iter().map(|recorded| recorded.entry.event.kind()).collect();
    assert_eq!(kinds, ["command.received", "command.permitted", "run.started"]);
}

#[tokio::test]
async fn two_starts_of_one_request_give_one_warrant() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (mut work, number, start) = store.starting(&storage, "look", "web").await;
    // In the same work,
    let invoked = invocation("look", "web");
    let permit = store.permit(&alice(), &invoked);
    let again = work.start(permit, number, store.command("look"), invoked.clone()).await;
    assert!(matches!(again, Err(Error::Moved { .. })), "{again:?}");
    let warrant = started(work, start).await.warrant.unwrap();
    // and from another piece of work afterwards.
    let (mut other, _) = store.opened(&storage).await;
    let permit = store.permit(&alice(), &invoked);
    let again = other.start(permit, number, store.command("look"), invoked).await;
    assert!(matches!(again, Err(Error::Moved { .. })), "{again:?}");
    drop(other);
    assert_eq!(store.count("SELECT count(*) FROM attempts").await, 1);
    assert_eq!(storage.request(number).await.unwrap().unwrap().attempt, Some(warrant.attempt()));
}

#[tokio::test]
async fn a_permit_for_something_else_starts_nothing() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (mut work, number) = store.opened(&storage).await;
    let (mine, other) = (invocation("look", "web"), invocation("look", "api"));
    let ops = store.ops.digest;
    // Another invocation,
    let permit = store.permit(&alice(), &other);
    let foreign = work.permitted(number, &permit, &mine, ops, None).await;
    assert!(matches!(foreign, Err(Error::ForeignPermit { .. })));
    // another person,
    let permit = store.permit(&bob(), &mine);
    let foreign = work.permitted(number, &permit, &mine, ops, None).await;
    assert!(matches!(foreign, Err(Error::ForeignPermit { .. })));
    // and, once permitted, a start with another's permit.
    store.permitted(&mut work, number, &mine).await;
    let foreign = work.start(store.permit(&bob(), &mine), number, store.command("look"), mine.clone()).await;
    assert!(matches!(foreign, Err(Error::ForeignPermit { .. })));
    let foreign = work.start(store.permit(&alice(), &other), number, store.command("look"), other).await;
    assert!(matches!(foreign, Err(Error::ForeignPermit { .. })));
}

#[tokio::test]
async fn a_lock_is_held_by_one_and_the_next_starts_when_it_is_free() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let first = store.running(&storage, "deploy", "web").await;
    let (mut work, second, start) = store.starting(&storage, "deploy", "web").await;
    let Start::Busy { lock } = start else { panic!("the lock is taken") };
    assert_eq!(lock, "deploy-web");
    work.append(Some(second), None, Event::RunQueued { lock });
    work.done().await.unwrap();
    assert!(storage.claim(Wanted::Anything).await.unwrap().is_none(), "its lock is taken");
    // Another lock is nobody's concern.
    let other = store.running(&storage, "deploy", "api").await;

    storage
        .finish(
            (first.number(), &super::support::room()),
            first.attempt(),
            &outcome(Ending::Exited { status: 0 }),
            None,
            vec![],
        )
        .await
        .unwrap();
    let mut work = storage.claim(Wanted::Anything).await.unwrap().unwrap();
    assert_eq!(work.queued().unwrap().number, second);
    let start = store.start(&mut work, second, "deploy", "web").await;
    assert!(started(work, start).await.warrant.is_some());
    drop(other);
    assert_eq!(store.count("SELECT count(*) FROM locks").await, 2);
}

#[tokio::test]
async fn those_who_wait_for_a_lock_get_it_in_their_order() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let mut holder = store.running(&storage, "deploy", "web").await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let (work, number, start) = store.starting(&storage, "deploy", "web").await;
        assert!(matches!(start, Start::Busy { .. }));
        work.done().await.unwrap();
        waiting.push(number);
    }
    for number in waiting {
        storage
            .finish(
                (holder.number(), &super::support::room()),
                holder.attempt(),
                &outcome(Ending::Exited { status: 0 }),
                None,
                vec![],
            )
            .await
            .unwrap();
        // Whoever comes at this moment stands at the end of the line.
        let (late, _, start) = store.starting(&storage, "deploy", "web").await;
        assert!(matches!(start, Start::Busy { .. }));
        drop(late);
        let mut work = storage.claim(Wanted::Anything).await.unwrap().unwrap();
        assert_eq!(work.queued().unwrap().number, number);
        let start = store.start(&mut work, number, "deploy", "web").await;
        holder = started(work, start).await.warrant.unwrap();
        // Rows of the inbox that were dropped above are put away.
        while let Some(row) = storage.claim(Wanted::Rows).await.unwrap() {
            row.done().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_built_in_command_is_decided_started_and_ended_in_one_commit() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (mut work, number) = store.opened(&storage).await;
    let invoked = invocation("look", "web");
    store.permitted(&mut work, number, &invoked).await;
    let permit = store.permit(&alice(), &invoked);
    work.conclude(permit, number, &outcome(Ending::Exited { status: 0 }), Some(b"answer")).await.unwrap();
    work.done().await.unwrap();
    assert_eq!(storage.request(number).await.unwrap().unwrap().state, State::Succeeded);
    let (entries, contents) = storage.story(number).await.unwrap();
    let kinds: Vec<_> = entries.iter().map(|recorded| recorded.entry.event.kind()).collect();
    assert_eq!(kinds, ["command.received", "command.permitted", "run.started", "run.finished"]);
    assert!(contents.iter().any(|content| content.bytes == b"answer"));
}
