//! The executor with the real binary. What a run does is tested in `src/executor/tests`.

use std::{
    io::Write as _,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
    sync::Arc,
};

use quarterdeck::{
    executor::{Executor, Secrets},
    model::{AttemptId, Ending, Random as _, SystemClock, SystemRandom},
};

const QUARTERDECK: &str = env!("CARGO_BIN_EXE_quarterdeck");

#[tokio::test]
async fn the_binary_starts_itself_in_the_way_in_which_all_programs_start() {
    let folder = tempfile::tempdir().unwrap();
    let executor = Executor::new(
        folder.path().join("spool"),
        QUARTERDECK.into(),
        Secrets::default(),
        Arc::new(SystemClock),
    );
    executor.warm();
    for _ in 0..2 {
        let attempt = AttemptId(SystemRandom.uuid());
        let ran = executor.probe(attempt, quarterdeck::model::Sandbox::None).await;
        assert_eq!(ran.outcome.ending, Ending::Exited { status: 0 });
        assert_eq!(ran.kept, format!("quarterdeck {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
        executor.forget(attempt).unwrap();
    }
    assert!(std::fs::read_dir(folder.path().join("spool")).unwrap().next().is_none());
}

#[test]
fn exec_run_does_nothing_for_people() {
    let output = Command::new(QUARTERDECK).arg("exec-run").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not by hand"));
    let help = Command::new(QUARTERDECK).arg("--help").output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains("exec-run"));
}

#[test]
fn exec_run_leaves_when_quarterdeck_is_gone_or_says_what_it_does_not_mean() {
    for said in [b"".as_slice(), &[0, 0], &[0, 0, 0, 9, b'{'], &[0xff; 16]] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut child = Command::new(QUARTERDECK)
            .arg("exec-run")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        ours.write_all(said).unwrap();
        drop(ours);
        assert!(!child.wait().unwrap().success(), "{said:?}");
    }
}
