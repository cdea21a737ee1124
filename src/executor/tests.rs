//! Real processes, started in the real way: this test binary plays `quarterdeck exec-run` to itself.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    catalogue::SecretSource,
    model::{Ending, State, SystemClock},
};

mod crash;
mod git;
mod handed;
mod left;
mod limits;
mod output;
mod remote;
mod requests;
mod sandboxed;
mod starting;
mod stopping;

/// A folder with an executor in it, which is gone at the end.
struct Deck {
    folder: tempfile::TempDir,
    executor: Executor,
}

/// A script for exec-run's place: this binary, running the one ignored "test" below.
const LAUNCHER: &str =
    "#!/bin/sh\nexec 'BINARY' executor::tests::plays_exec_run --exact --ignored --nocapture >/dev/null\n";

#[test]
#[ignore = "is no test: the child's side of the others"]
fn plays_exec_run() {
    // What libtest has to say went to /dev/null; from here on both streams are one, as in production.
    let both = fs::File::options().write(true).open("/proc/self/fd/2").expect("standard error");
    nix::unistd::dup2_stdout(&both).expect("standard output");
    drop(both);
    let _ = become_program();
    std::process::exit(125);
}

impl Deck {
    fn new() -> Self {
        Self::with_secrets(&[])
    }

    fn with_secrets(secrets: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let binary = std::env::current_exe().expect("this binary");
        let launcher = folder.path().join("exec-run");
        write_executable(&launcher, &LAUNCHER.replace("BINARY", &binary.display().to_string()));
        let mut sources = BTreeMap::new();
        for (name, value) in secrets {
            let path = folder.path().join(format!("secret-{name}"));
            fs::write(&path, value).expect("written");
            sources.insert((*name).to_owned(), SecretSource::File(path));
        }
        let spool = folder.path().join("spool");
        let executor = Executor::new(spool, launcher, Secrets::by(sources), Arc::new(SystemClock));
        Self { folder, executor }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A job that runs a shell script, as an operator's program may be one.
    fn script(&self, text: &str) -> Job {
        let program = self.path("program");
        write_executable(&program, &format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{text}\n"));
        self.program(&program)
    }

    fn program(&self, program: &Path) -> Job {
        assert!(self.folder.path().exists());
        Job {
            attempt: AttemptId(crate::model::Random::uuid(&crate::model::SystemRandom)),
            number: RequestNumber(482),
            program: program.to_owned(),
            arguments: Vec::new(),
            folder: None,
            environment: BTreeMap::new(),
            credentials: BTreeMap::new(),
            credential_files: BTreeMap::new(),
            credential_input: None,
            user: None,
            limits: Limits::default(),
            sandbox: Sandbox::None,
            out: false,
            timeout: SignedDuration::from_secs(60),
        }
    }

    async fn run(&self, job: Job) -> Ran {
        self.executor.run_job(job, &CancellationToken::new(), &NoSink).await
    }
}

/// Writes a program through another process: a file that this one had open for writing cannot be executed by a
/// child that another test's thread forked at that moment.
fn write_executable(path: &Path, text: &str) {
    let mut child = std::process::Command::new("/bin/sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("a shell");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("written");
    assert!(child.wait().expect("its end").success());
    assert_eq!(fs::metadata(path).expect("written").permissions().mode() & 0o777, 0o755);
}

fn text(ran: &Ran) -> &str {
    std::str::from_utf8(&ran.kept).expect("text")
}

/// Why it was not started.
fn reason(ran: &Ran) -> &str {
    match &ran.outcome.ending {
        Ending::NotStarted { reason } => reason,
        other => panic!("it was started: {other:?}, {}", String::from_utf8_lossy(&ran.kept)),
    }
}

/// Whether the process runs.
fn lives(pid: i32) -> bool {
    group::Process::look(pid).is_some_and(|process| process.is_alive())
}

/// Waits until a file holds something, and gives that.
async fn appears(path: &Path) -> String {
    let begun = Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ if begun.elapsed() > Duration::from_secs(30) => panic!("{} did not appear", path.display()),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
