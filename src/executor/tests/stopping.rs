//! Ends: by itself, by a signal, by the time limit, by somebody's wish.

use super::*;

#[tokio::test]
async fn a_signal_that_was_not_ours_is_told_apart_from_an_exit_status() {
    let deck = Deck::new();
    assert_eq!(deck.run(deck.script("kill -SEGV $$")).await.outcome.ending, Ending::Killed { signal: 11 });
    assert_eq!(deck.run(deck.script("exit 139")).await.outcome.ending, Ending::Exited { status: 139 });
}

#[tokio::test]
async fn the_time_limit_ends_the_whole_group_with_a_grandchild_that_ignores_sigterm() {
    let deck = Deck::new();
    let pids = deck.path("pids");
    let mut job = deck.script(&format!(
        "(trap '' TERM; sleep 300 & echo $! >{pids}; wait) & \nwhile [ ! -s {pids} ]; do sleep 0.01; done\necho before\nsleep 300",
        pids = pids.display()
    ));
    job.timeout = SignedDuration::from_secs(1);
    let begun = Instant::now();
    let ran = deck.run(job).await;
    assert_eq!(ran.outcome.ending, Ending::TimedOut { limit_s: 1 });
    assert_eq!(ran.outcome.state(), State::TimedOut);
    assert_eq!(text(&ran), "before\n");
    assert!(!lives(appears(&pids).await.parse().expect("a pid")));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_program_that_ends_at_sigterm_may_say_its_last_words() {
    let deck = Deck::new();
    let mut job = deck.script("trap 'echo tidied up; exit 0' TERM\necho begun\nwhile :; do sleep 0.05; done");
    job.timeout = SignedDuration::from_secs(1);
    let ran = deck.run(job).await;
    assert_eq!(ran.outcome.ending, Ending::TimedOut { limit_s: 1 });
    // Its shell may also say that the sleep was terminated.
    assert!(text(&ran).starts_with("begun\n") && text(&ran).ends_with("tidied up\n"), "{}", text(&ran));
}

#[tokio::test]
async fn an_hour_of_silence_ends_nothing_and_costs_nothing() {
    let deck = Deck::new();
    let (begun, on) = (deck.path("begun"), deck.path("on"));
    let mut job = deck.script(&format!(
        "echo before\necho $$ >{}\nwhile [ ! -e {} ]; do sleep 0.02; done\necho after",
        begun.display(),
        on.display()
    ));
    job.timeout = SignedDuration::from_hours(2);
    let (ran, ()) = tokio::join!(deck.run(job), async {
        let pid: i32 = appears(&begun).await.parse().expect("a pid");
        tokio::time::pause();
        for _ in 0..60 {
            tokio::time::advance(Duration::from_mins(1)).await;
            assert!(lives(pid));
        }
        tokio::time::resume();
        fs::write(&on, "").expect("written");
    });
    assert_eq!(ran.outcome.ending, Ending::Exited { status: 0 });
    assert_eq!(text(&ran), "before\nafter\n");
    assert!(ran.outcome.took_ms >= 3_600_000, "{}", ran.outcome.took_ms);
}

#[tokio::test]
async fn the_time_limit_comes_after_an_hour_of_silence_as_well() {
    let deck = Deck::new();
    let begun = deck.path("begun");
    let mut job = deck.script(&format!("echo before\necho $$ >{}\nexec sleep 300", begun.display()));
    job.timeout = SignedDuration::from_hours(1);
    let (ran, pid) = tokio::join!(deck.run(job), async {
        let pid: i32 = appears(&begun).await.parse().expect("a pid");
        tokio::time::pause();
        tokio::time::advance(Duration::from_mins(59)).await;
        assert!(lives(pid));
        tokio::time::advance(Duration::from_mins(2)).await;
        tokio::time::resume();
        pid
    });
    assert_eq!(ran.outcome.ending, Ending::TimedOut { limit_s: 3_600 });
    assert_eq!(text(&ran), "before\n");
    assert!(!lives(pid));
}

#[tokio::test]
async fn a_cancel_ends_it_and_is_said_to_be_one() {
    let deck = Deck::new();
    let marker = deck.path("marker");
    let job = deck.script(&format!("echo $$ >{}\necho at work\nsleep 300", marker.display()));
    let cancel = CancellationToken::new();
    let (ran, pid) = tokio::join!(deck.executor.run_job(job, &cancel, &NoSink), async {
        let pid: i32 = appears(&marker).await.parse().expect("a pid");
        cancel.cancel();
        pid
    });
    assert_eq!(ran.outcome.ending, Ending::Cancelled);
    assert_eq!(text(&ran), "at work\n");
    assert!(!lives(pid));
}

#[tokio::test]
async fn what_was_cancelled_beforehand_does_not_start() {
    let deck = Deck::new();
    let marker = deck.path("marker");
    let job = deck.script(&format!("echo started >{}", marker.display()));
    let cancel = CancellationToken::new();
    cancel.cancel();
    let ran = deck.executor.run_job(job, &cancel, &NoSink).await;
    assert_eq!(ran.outcome.ending, Ending::Cancelled);
    assert!(!marker.exists());
}

#[tokio::test]
async fn nothing_in_the_session_outlives_its_leader() {
    let deck = Deck::new();
    let pids = deck.path("pids");
    // In the group, and in a group of its own within the session: both hold the output open.
    let job = deck.script(&format!(
        "bash -c 'set -m; sleep 300 & echo $!' >{pids}.other &\nwait\nsleep 300 &\necho $! | cat - {pids}.other >{pids}\necho done",
        pids = pids.display()
    ));
    let begun = Instant::now();
    let ran = deck.run(job).await;
    assert_eq!(ran.outcome.ending, Ending::Exited { status: 0 });
    assert_eq!(text(&ran), "done\n");
    let pids = fs::read_to_string(&pids).expect("the pids");
    assert_eq!(pids.lines().count(), 2);
    for pid in pids.lines() {
        assert!(!lives(pid.parse().expect("a pid")), "{pid} lives");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_service_that_left_the_session_does_not_hold_up_the_answer() {
    let deck = Deck::new();
    let marker = deck.path("marker");
    let job = deck.script(&format!(
        "setsid sh -c 'echo $$ >{}; exec sleep 300' &\nwhile [ ! -s {} ]; do sleep 0.01; done\necho started",
        marker.display(),
        marker.display()
    ));
    let begun = Instant::now();
    let ran = deck.run(job).await;
    assert_eq!(ran.outcome.ending, Ending::Exited { status: 0 });
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let pid: i32 = appears(&marker).await.parse().expect("a pid");
    // The gap that docs/threats.md names: who leaves the session is not followed.
    assert!(lives(pid));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
        .expect("ended");
}

#[tokio::test]
async fn a_run_that_is_dropped_in_its_middle_leaves_nothing() {
    let deck = Deck::new();
    let marker = deck.path("marker");
    let job = deck.script(&format!("echo $$ >{}\nsleep 300", marker.display()));
    let cancel = CancellationToken::new();
    let pid: i32 = tokio::select! {
        _ = deck.executor.run_job(job, &cancel, &NoSink) => panic!("it ended"),
        pid = appears(&marker) => pid.parse().expect("a pid"),
    };
    let begun = Instant::now();
    while lives(pid) {
        assert!(begun.elapsed() < Duration::from_secs(5), "it lives on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
