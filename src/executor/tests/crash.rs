//! Quarterdeck dies and comes back.

use super::*;
use crate::executor::{group::Process, spool::Meta};

/// Another life of the same instance.
fn next_life(deck: &Deck) -> Executor {
    Executor::new(deck.path("spool"), deck.path("exec-run"), Secrets::default(), Arc::new(SystemClock))
}

/// What an earlier life would have left: a process in a session of its own, and its spool.
fn leave(deck: &Deck, program: &str, forge: impl FnOnce(&mut Meta)) -> (AttemptId, std::process::Child) {
    let child =
        std::process::Command::new("/usr/bin/setsid").args(["sh", "-c", program]).spawn().expect("started");
    let pid = i32::try_from(child.id()).expect("a pid");
    let job = deck.program(Path::new("/"));
    let spool = deck.executor.spool_of(job.attempt);
    let spool = spool.create().expect("made").spend();
    let mut meta = Meta {
        attempt: job.attempt,
        number: job.number,
        machine_boot: group::machine_boot(),
        pid,
        started: Process::look(pid).expect("it runs").started,
        at: deck.executor.clock.now(),
        limit: 1024,
    };
    forge(&mut meta);
    spool.write_meta(&meta).expect("written");
    let mut keeper = spool.keep(1024);
    keeper.push(b"2 of 4 steps\n");
    (job.attempt, child)
}

#[tokio::test]
async fn a_leftover_of_an_earlier_life_is_found_ended_and_reported() {
    let deck = Deck::new();
    let marker = deck.path("marker");
    let program = format!("trap '' TERM; sleep 300 & echo $! >{}; wait; exit 1", marker.display());
    let (attempt, mut child) = leave(&deck, &program, |_| {});
    let grandchild: i32 = appears(&marker).await.parse().expect("a pid");
    let executor = next_life(&deck);
    assert_eq!(executor.leftovers().expect("read"), [attempt]);
    let leftover = executor.end_leftover(attempt).await.expect("ended").expect("known");
    assert_eq!(leftover.number, Some(RequestNumber(482)));
    assert_eq!(leftover.kept, b"2 of 4 steps\n");
    assert_eq!(leftover.output.bytes, 13);
    assert_eq!(leftover.ended, 2);
    assert!(!lives(grandchild));
    assert!(!child.wait().expect("its end").success());
    // Once more does no harm; and it stays until it is recorded.
    assert_eq!(executor.end_leftover(attempt).await.expect("ended").expect("known").ended, 0);
    executor.forget(attempt).expect("forgotten");
    assert!(executor.leftovers().expect("read").is_empty());
    assert!(executor.end_leftover(attempt).await.expect("nothing").is_none());
}

#[tokio::test]
async fn a_process_that_only_has_the_same_pid_is_left_alone() {
    let deck = Deck::new();
    let (attempt, mut child) = leave(&deck, "exec sleep 300", |meta| meta.started -= 1);
    let leftover = next_life(&deck).end_leftover(attempt).await.expect("read").expect("known");
    assert_eq!(leftover.ended, 0);
    assert_eq!(leftover.kept, b"2 of 4 steps\n");
    assert!(child.try_wait().expect("looked").is_none(), "it was ended");

    let (attempt, mut other) =
        leave(&deck, "exec sleep 300", |meta| "another start".clone_into(&mut meta.machine_boot));
    assert_eq!(next_life(&deck).end_leftover(attempt).await.expect("read").expect("known").ended, 0);
    assert!(other.try_wait().expect("looked").is_none(), "it was ended");
    for child in [&mut child, &mut other] {
        child.kill().expect("ended");
        child.wait().expect("its end");
    }
}

#[tokio::test]
async fn an_attempt_that_never_got_a_process_is_reported_as_one_without_output() {
    let deck = Deck::new();
    let job = deck.program(Path::new("/"));
    let _spent = deck.executor.spool_of(job.attempt).create().expect("made").spend();
    let leftover = next_life(&deck).end_leftover(job.attempt).await.expect("read").expect("known");
    assert_eq!((leftover.number, leftover.ended, leftover.kept.len()), (None, 0, 0));
}

#[tokio::test]
async fn ones_own_runs_are_no_leftovers() {
    let deck = Deck::new();
    let job = deck.script("echo done");
    let attempt = job.attempt;
    let _ = deck.run(job).await;
    assert!(deck.executor.leftovers().expect("read").is_empty());
    assert!(deck.executor.end_leftover(attempt).await.is_err());
    assert_eq!(next_life(&deck).leftovers().expect("read"), [attempt]);
}

#[tokio::test]
async fn without_the_byte_the_child_exits_and_nothing_has_run() {
    let deck = Deck::new();
    let marker = deck.path("marker");
    let job = deck.script(&format!("echo started >{}", marker.display()));
    let spool = deck.executor.spool_of(job.attempt);
    let spool = spool.create().expect("made").spend();
    let at = deck.executor.clock.now();
    let running = launch::launch(&deck.executor.exec_run, None, &job, &[], &spool, at).await.expect("ready");
    let meta = spool.read_meta().expect("read").expect("written before the byte");
    assert_eq!(meta.pid, running.pid);
    assert_eq!(Some(meta.started), Process::look(running.pid).map(|process| process.started));
    let launch::Running { mut child, control, output, .. } = running;
    drop((control, output));
    let status = child.wait().await.expect("its end");
    assert!(!status.success());
    assert!(!marker.exists());
}
