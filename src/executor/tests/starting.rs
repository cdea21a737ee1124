//! What a program gets: its arguments, its environment, and nothing else.

use super::*;

#[tokio::test]
async fn each_argument_arrives_as_exactly_one_element_whatever_it_holds() {
    let deck = Deck::new();
    let mut job = deck.script("for argument in \"$@\"; do printf '<%s>\\n' \"$argument\"; done");
    let arguments = [
        "plain",
        "two words",
        "\"'",
        "$(id)",
        "`id`",
        "; rm -rf /",
        "a\nb",
        "--flag",
        "",
        "*",
        "~",
        "\\",
        "😀",
    ];
    job.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let ran = deck.run(job).await;
    let expected = arguments.map(|argument| ["<", argument, ">\n"].concat()).concat();
    assert_eq!(text(&ran), expected);
    assert_eq!(ran.outcome.ending, Ending::Exited { status: 0 });
    assert_eq!(ran.outcome.output.bytes, i64::try_from(expected.len()).expect("small"));
    assert_eq!(ran.outcome.output.digest, crate::model::Digest::of(&ran.kept));
}

#[tokio::test]
async fn the_environment_holds_what_is_declared_and_the_credentials_and_nothing_else() {
    let deck = Deck::with_secrets(&[("deploy-token", "hunter2-hunter2\n")]);
    let mut job = deck.program(Path::new("/usr/bin/env"));
    job.environment.insert("STAGE".to_owned(), "a b=c".to_owned());
    assert_eq!(text(&deck.run(job.clone()).await), "STAGE=a b=c\n");
    job.attempt = deck.program(Path::new("/")).attempt;
    job.credentials.insert("DEPLOY_TOKEN".to_owned(), "deploy-token".to_owned());
    assert_eq!(text(&deck.run(job).await), "DEPLOY_TOKEN=[secret deploy-token]\nSTAGE=a b=c\n");
}

#[tokio::test]
async fn a_credential_reaches_the_program_whole_and_never_its_arguments() {
    let deck = Deck::with_secrets(&[("deploy-token", "hunter2-hunter2\n")]);
    let mut job = deck.script(
        "[ \"$DEPLOY_TOKEN\" = hunter2-hunter2 ] && echo whole\ntr '\\0' ' ' </proc/$$/cmdline | grep -c hunter2",
    );
    job.credentials.insert("DEPLOY_TOKEN".to_owned(), "deploy-token".to_owned());
    assert_eq!(text(&deck.run(job).await), "whole\n0\n");
}

#[tokio::test]
async fn a_missing_secret_is_a_run_that_never_started() {
    let deck = Deck::new();
    let mut job = deck.script("echo started");
    job.credentials.insert("TOKEN".to_owned(), "deploy-token".to_owned());
    let ran = deck.run(job).await;
    assert!(reason(&ran).contains("secrets/deploy-token.toml"), "{}", reason(&ran));
    assert_eq!(ran.outcome.state(), State::Failed);
    assert!(ran.kept.is_empty());
}

#[tokio::test]
async fn standard_input_is_empty_and_no_other_file_is_open() {
    let deck = Deck::new();
    // Left open on purpose, without close-on-exec, as a careless parent of serve would.
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    let job = deck.script("cat\nls /proc/$$/fd\nreadlink /proc/$$/fd/0");
    let ran = deck.run(job).await;
    drop((reader, writer));
    // The shell has its script open as number 10; bash would take 255.
    let lines: Vec<&str> = text(&ran).lines().filter(|line| !matches!(*line, "10" | "255")).collect();
    assert_eq!(lines, ["0", "1", "2", "/dev/null"]);
}

#[tokio::test]
async fn it_works_in_an_empty_folder_of_its_own_unless_one_is_declared() {
    let deck = Deck::new();
    let job = deck.script("ls -A | wc -l\npwd\numask\n> left-behind\nls -l left-behind | cut -c1-10");
    let attempt = job.attempt;
    let ran = deck.run(job).await;
    let work = deck.path("spool").join(attempt.to_string()).join("work");
    assert_eq!(text(&ran), format!("0\n{}\n0077\n-rw-------\n", work.display()));
    deck.executor.forget(attempt).expect("forgotten");
    assert!(!work.exists());

    let mut job = deck.script("pwd");
    job.folder = Some(PathBuf::from("/usr"));
    assert_eq!(text(&deck.run(job).await), "/usr\n");
    let mut job = deck.script("pwd");
    job.folder = Some(PathBuf::from("/no/such/folder"));
    assert!(reason(&deck.run(job).await).contains("`/no/such/folder` does not exist"));
}

#[tokio::test]
async fn it_leads_a_session_of_its_own_and_can_gain_no_privileges() {
    let deck = Deck::new();
    let ran = deck.run(deck.script("cut -d' ' -f1,5,6 /proc/$$/stat\ngrep NoNewPrivs /proc/$$/status")).await;
    let (ids, privileges) = text(&ran).split_once('\n').expect("two lines");
    let ids: Vec<&str> = ids.split(' ').collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "pid, group and session differ: {ids:?}");
    assert_eq!(privileges, "NoNewPrivs:\t1\n");
}

#[tokio::test]
async fn signals_that_quarterdeck_ignores_are_not_ignored_by_the_program() {
    let deck = Deck::new();
    let ran = deck.run(deck.script("grep SigIgn /proc/$$/status\nkill -PIPE $$\necho survived")).await;
    assert_eq!(ran.outcome.ending, Ending::Killed { signal: 13 }, "{}", text(&ran));
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_says_why_and_how_to_mend_it() {
    let deck = Deck::new();
    let missing = deck.run(deck.program(Path::new("/no/such/program"))).await;
    assert!(reason(&missing).contains("`/no/such/program` does not exist"), "{}", reason(&missing));

    let relative = deck.run(deck.program(Path::new("ls"))).await;
    assert!(reason(&relative).contains("no absolute path"), "{}", reason(&relative));

    let plain = deck.path("plain");
    fs::write(&plain, "#!/bin/sh\n").expect("written");
    let forbidden = deck.run(deck.program(&plain)).await;
    assert!(reason(&forbidden).contains("chmod +x"), "{}", reason(&forbidden));

    let orphan = deck.path("orphan");
    write_executable(&orphan, "#!/no/such/interpreter -x\n");
    let orphaned = deck.run(deck.program(&orphan)).await;
    assert!(reason(&orphaned).contains("`/no/such/interpreter`"), "{}", reason(&orphaned));

    // execvp would hand this one to a shell.
    let shell = deck.path("shell");
    write_executable(&shell, "echo a shell ran this\n");
    let refused = deck.run(deck.program(&shell)).await;
    assert!(reason(&refused).contains("`#!`"), "{}", reason(&refused));
    assert!(refused.kept.is_empty());

    let folder = deck.run(deck.program(Path::new("/usr"))).await;
    assert!(reason(&folder).contains("`/usr`"), "{}", reason(&folder));
}

#[tokio::test]
async fn a_user_that_the_host_does_not_know_is_a_run_that_never_started() {
    let deck = Deck::new();
    let mut job = deck.script("echo started");
    job.user = Some("no-such-user".to_owned());
    assert!(reason(&deck.run(job).await).contains("no-such-user"));
}

#[tokio::test]
async fn it_runs_as_the_declared_user_or_says_that_quarterdeck_cannot_change_to_it() {
    let deck = Deck::new();
    fs::set_permissions(deck.folder.path(), fs::Permissions::from_mode(0o755)).expect("changed");
    let mut job = deck.script("id -un\nid -G | wc -w\ntouch here && pwd >/dev/null && echo works");
    job.user = Some("nobody".to_owned());
    let ran = deck.run(job).await;
    if nix::unistd::geteuid().is_root() {
        assert_eq!(text(&ran), "nobody\n1\nworks\n");
    } else {
        assert!(reason(&ran).contains("cannot change to it"), "{}", reason(&ran));
    }
}

#[tokio::test]
async fn an_attempt_starts_once() {
    let deck = Deck::new();
    let job = deck.script("echo started");
    assert_eq!(text(&deck.run(job.clone()).await), "started\n");
    assert!(reason(&deck.run(job).await).contains("started before"));
}

#[tokio::test]
async fn a_missing_exec_run_is_a_run_that_never_started() {
    let deck = Deck::new();
    let executor = Executor::new(
        deck.path("other-spool"),
        deck.path("no-such-binary"),
        Secrets::default(),
        Arc::new(SystemClock),
    );
    let ran = executor.run_job(deck.script("echo started"), &CancellationToken::new(), &NoSink).await;
    assert!(reason(&ran).contains("exec-run"), "{}", reason(&ran));
}

#[tokio::test]
async fn a_spare_child_waits_for_the_next_run_and_goes_with_its_executor() {
    let deck = Deck::new();
    deck.executor.warm();
    let waiting = || deck.executor.spare.lock().expect("unpoisoned").as_ref().expect("a spare").pid;
    let first = waiting();
    assert_eq!(text(&deck.run(deck.script("echo $$")).await), format!("{first}\n"));
    deck.executor.warm();
    let second = waiting();
    assert_ne!(first, second);
    // One that died in the meantime is not missed.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(second), nix::sys::signal::Signal::SIGKILL)
        .expect("killed");
    while lives(second) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(text(&deck.run(deck.script("echo well")).await), "well\n");
    deck.executor.warm();
    let third = waiting();
    drop(deck);
    let begun = Instant::now();
    while lives(third) {
        assert!(begun.elapsed() < Duration::from_secs(10), "it waits on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_child_that_is_made_ready_runs_nothing_until_it_is_told_and_else_leaves_nothing() {
    let deck = Deck::new();
    let ran = deck.path("ran");
    let job = deck.script(&format!("echo here; echo yes >'{}'", ran.display()));
    let poised = process::poise(&deck.executor, &job).await.expect("ready");
    let pid = poised.pid();
    assert!(lives(pid));
    drop(poised);
    let begun = Instant::now();
    while lives(pid) {
        assert!(begun.elapsed() < Duration::from_secs(10), "it still waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!ran.exists());
    assert!(deck.executor.leftovers().expect("read").is_empty());
    // The attempt was not spent: it can still be run, in a child that is made ready for it.
    let poised = process::poise(&deck.executor, &job).await.expect("ready");
    let pid = poised.pid();
    let told = deck.executor.run_poised(job, Some(poised), &CancellationToken::new(), &NoSink).await;
    assert_eq!(told.outcome.ending, Ending::Exited { status: 0 });
    assert_eq!(text(&told), "here\n");
    assert!(ran.exists() && !lives(pid));
}

#[tokio::test]
async fn a_child_that_was_made_ready_for_another_attempt_is_not_taken() {
    let deck = Deck::new();
    let other = deck.script("echo other");
    let poised = process::poise(&deck.executor, &other).await.expect("ready");
    let job = deck.script("echo mine");
    let told = deck.executor.run_poised(job, Some(poised), &CancellationToken::new(), &NoSink).await;
    assert_eq!(text(&told), "mine\n");
}
