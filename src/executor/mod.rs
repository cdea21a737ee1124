//! Consumes a warrant and runs what it allows.
//!
//! `dispatch` hands over a [`Warrant`](crate::storage::Warrant), which `storage` made when a permitted start was committed, and
//! gets back how the run ended. This floor alone starts processes. Each kind of executor is a module:
//! `process` for programs of this host, `ssh` for those of others, `http` for requests to services, `rpc` for methods of
//! endpoints.
//!
//! It refuses: a shell, an inherited environment, a second start of an attempt, a secret in an
//! argument, an output that is written nowhere or held whole in memory. It never fails towards its caller: what could not be started is an
//! ending like any other, with the reason and the mend.

mod become_program;
mod definition;
mod git;
mod group;
mod handed;
mod help;
mod http;
mod job;
mod kind;
mod launch;
mod left;
mod leftover;
mod mirror;
mod process;
mod redact;
mod rpc;
mod run;
mod sandbox;
mod secrets;
mod spec;
mod spool;
mod ssh;
#[cfg(test)]
mod tests;
mod whole;

use std::{
    collections::HashSet,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use tokio_util::sync::CancellationToken;

pub use become_program::become_program;
pub use definition::definition;
pub use git::{GitError, clean_commit};
pub use help::help_of;
pub use left::{Left, LeftFile};
pub use leftover::Leftover;
pub use mirror::{Found, Mirror};
pub use process::Poised;
pub use sandbox::{bare_sandbox, find_bubblewrap, in_force as sandbox_in_force};
pub use secrets::{MissingSecret, Secrets};
pub use ssh::SSH;
pub use whole::{PART, Whole};

use self::{job::Job, kind::Kind, launch::Running, spool::Spool};
use crate::{
    catalogue::Limits,
    model::{AttemptId, Clock, Outcome, RequestNumber, Sandbox, SignedDuration},
};

/// The program that runs now, even when another version was installed in its place meanwhile: what
/// [`Executor::new`] takes as `exec_run` in production.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// Gets the output of a run as it comes, masked. It must not wait.
pub trait Sink: Send + Sync {
    /// Some more output.
    fn output(&self, bytes: &[u8]);
}

/// A sink that shows nothing to nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSink;

impl Sink for NoSink {
    fn output(&self, _: &[u8]) {}
}

/// How a run ended, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an outcome that is not recorded is unknown for ever"]
pub struct Ran {
    /// The request.
    pub number: RequestNumber,
    /// The attempt that is spent.
    pub attempt: AttemptId,
    /// How it ended.
    pub outcome: Outcome,
    /// What it printed, masked; of a long output both ends.
    pub kept: Vec<u8>,
    /// Where all that was kept of a long output lies, until the attempt is forgotten.
    pub whole: Option<Whole>,
    /// What it left in its out folder.
    pub left: Left,
}

/// Runs what warrants allow.
pub struct Executor {
    spool: PathBuf,
    exec_run: PathBuf,
    secrets: RwLock<Arc<Secrets>>,
    clock: Arc<dyn Clock>,
    ours: Mutex<HashSet<AttemptId>>,
    spare: Mutex<Option<Running>>,
}

impl Executor {
    /// An executor that spools into the folder `spool`, which is this instance's own, and starts
    /// children through the program `exec_run`: [`OWN_PROGRAM`], or Quarterdeck's binary in tests.
    pub fn new(spool: PathBuf, exec_run: PathBuf, secrets: Secrets, clock: Arc<dyn Clock>) -> Self {
        Self {
            spool,
            exec_run,
            secrets: RwLock::new(Arc::new(secrets)),
            clock,
            ours: Mutex::new(HashSet::new()),
            spare: Mutex::new(None),
        }
    }

    /// Puts other declarations of secrets in force, for the runs that start from now on.
    pub fn replace_secrets(&self, secrets: Secrets) {
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(secrets);
    }

    /// Starts a child that waits for the next run, so that nobody waits for the child: loading our own
    /// program takes longer than most of what it is asked to run. One is kept from each run to the next.
    pub fn warm(&self) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_none() {
            // Where it fails, the next run tries again and says why.
            *spare = launch::spawn(&self.exec_run).ok();
        }
    }

    /// Runs Quarterdeck's own `--version` in the way in which all programs are run, to show that it works.
    /// In a sandbox it is `/bin/date` instead, with the nanoseconds since 1970: our own program lies where no run sees it, and
    /// this one tells when it began.
    pub async fn probe(&self, attempt: AttemptId, sandbox: Sandbox) -> Ran {
        let (program, arguments) = match sandbox {
            Sandbox::None => (self.exec_run.clone(), vec!["--version".to_owned()]),
            Sandbox::Bubblewrap { .. } => (PathBuf::from("/bin/date"), vec!["+%s%N".to_owned()]),
        };
        let job = Job {
            attempt,
            number: RequestNumber(0),
            program,
            arguments,
            folder: None,
            environment: std::collections::BTreeMap::new(),
            credentials: std::collections::BTreeMap::new(),
            credential_files: std::collections::BTreeMap::new(),
            credential_input: None,
            user: None,
            limits: Limits::default(),
            sandbox,
            out: false,
            timeout: SignedDuration::from_secs(10),
        };
        self.run_job(job, &CancellationToken::new(), &NoSink).await
    }

    /// The attempts in the spool that this executor did not start: an earlier life's.
    pub fn leftovers(&self) -> io::Result<Vec<AttemptId>> {
        let attempts = Spool::attempts(&self.spool)?;
        let ours = self.ours();
        Ok(attempts.into_iter().filter(|attempt| !ours.contains(attempt)).collect())
    }

    /// Ends what still runs of an earlier life's attempt (by pid *and* time of start, never by name),
    /// with its whole session, and reads what it had printed. `None` if the spool does not know it.
    pub async fn end_leftover(&self, attempt: AttemptId) -> io::Result<Option<Leftover>> {
        if self.ours().contains(&attempt) {
            return Err(io::Error::other(format!("the attempt {attempt} is this executor's own")));
        }
        if !Spool::attempts(&self.spool)?.contains(&attempt) {
            return Ok(None);
        }
        leftover::end(&self.spool_of(attempt)).await.map(Some)
    }

    /// Removes what is spooled of an attempt whose outcome is recorded.
    pub fn forget(&self, attempt: AttemptId) -> io::Result<()> {
        self.spool_of(attempt).remove()?;
        self.ours().remove(&attempt);
        Ok(())
    }

    async fn run_job(&self, job: Job, cancel: &CancellationToken, sink: &dyn Sink) -> Ran {
        self.run_poised(job, None, cancel, sink).await
    }

    async fn run_poised(
        &self,
        job: Job,
        poised: Option<Poised>,
        cancel: &CancellationToken,
        sink: &dyn Sink,
    ) -> Ran {
        // What was poised for another attempt is none of this one's.
        let poised = poised.filter(|poised| poised.attempt() == job.attempt);
        self.run_kind(kind::Program { job, poised }, cancel, sink).await
    }

    async fn run_kind(&self, kind: impl Kind, cancel: &CancellationToken, sink: &dyn Sink) -> Ran {
        self.ours().insert(kind.attempt());
        kind.run(self, cancel, sink).await
    }

    fn spool_of(&self, attempt: AttemptId) -> Spool {
        Spool::of(&self.spool, attempt)
    }

    fn take_spare(&self) -> Option<Running> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn ours(&self) -> MutexGuard<'_, HashSet<AttemptId>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
