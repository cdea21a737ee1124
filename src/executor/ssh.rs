//! The kind `ssh`: a program on other hosts, through the system's OpenSSH.
//!
//! `ssh` gets no terminal, no agent, nothing of anybody's configuration, one key and the declared keys of the host. The
//! program there begins only when its side has said that it is ready ([`wire`]), so what failed before that has started
//! nothing; a connection that is lost after it makes the outcome unknown, and nothing is begun a second time. The other
//! side ends its program when its input ends: at a cancel, at the time limit, and when we or the connection die.
//!
//! The key lies in a file of the attempt's own folder while the run lasts, because `ssh` reads it from nowhere else.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Executor, Left, Ran, Sink, kind::Kind, redact::Redactor, spool::Spool};
use crate::{
    catalogue::{Command, RunKind, SshRun},
    command::{SshCommand, ssh_command},
    model::{
        AttemptId, Ending, Invocation, Outcome, OutputSummary, Random as _, RequestNumber, Secret,
        SignedDuration, SystemRandom,
    },
};

mod host;
mod shown;
mod wire;

pub use host::SSH;
use host::{End, Errand};
use shown::{Shown, Voice};

/// A program to run on other hosts. Private to the executor, which makes it from a warrant.
pub(super) struct Remote {
    pub(super) attempt: AttemptId,
    number: RequestNumber,
    run: SshRun,
    built: Result<SshCommand, String>,
    timeout: SignedDuration,
}

impl Remote {
    /// What a warrant allows. `None` if its command is of another kind.
    pub(super) fn of(
        attempt: AttemptId,
        number: RequestNumber,
        command: &Command,
        invocation: &Invocation,
    ) -> Option<Self> {
        let RunKind::Ssh(run) = &command.run.kind else { return None };
        let built = ssh_command(run, command, invocation);
        Some(Self { attempt, number, run: (**run).clone(), built, timeout: command.run.timeout })
    }
}

impl Kind for Remote {
    fn attempt(&self) -> AttemptId {
        self.attempt
    }

    async fn run(self, executor: &Executor, cancel: &CancellationToken, sink: &dyn Sink) -> Ran {
        let begun = Instant::now();
        let ran = |ending, output, (kept, whole)| {
            let took_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
            Ran {
                number: self.number,
                attempt: self.attempt,
                outcome: Outcome { ending, took_ms, output },
                kept,
                whole,
                left: Left::default(),
            }
        };
        let prepared = match self.prepare(executor) {
            Ok(prepared) if !cancel.is_cancelled() => prepared,
            Ok(_) => return ran(Ending::Cancelled, OutputSummary::empty(), (Vec::new(), None)),
            Err(reason) => {
                return ran(Ending::NotStarted { reason }, OutputSummary::empty(), (Vec::new(), None));
            }
        };
        let shown = Shown::new(&prepared.spool, self.run.output, sink);
        let ending = prepared.run(&self, &shown, cancel).await;
        drop(prepared);
        let (kept, printed) = shown.finish().await;
        ran(ending, kept.summary(Some(printed)), (kept.bytes, kept.whole))
    }
}

impl Remote {
    /// All that can fail before anybody is connected to.
    fn prepare(&self, executor: &Executor) -> Result<Prepared<'_>, String> {
        let command = self.built.as_ref().map_err(Clone::clone)?;
        let secret = executor.secrets().resolve(&self.run.key).map_err(|missing| missing.to_string())?;
        // Tried here, so that it cannot fail later.
        Redactor::new([(self.run.key.as_str(), &secret)])?;
        let spool = executor.spool_of(self.attempt).create()?;
        let write = |name: &str, text: &str| {
            spool.spool().write_private(name, text.as_bytes()).map_err(|error| {
                format!(
                    "a file for ssh cannot be written into the spool folder: {error}; see that there is space"
                )
            })
        };
        // Without a newline at its end ssh does not take it for a key.
        let key = write("key", &format!("{}\n", secret.expose().trim_end()))?;
        let mut known = Vec::new();
        for (index, (name, host)) in command.hosts.iter().enumerate() {
            known.push(write(&format!("known.{index}"), &wire::known_hosts(name, host))?);
        }
        spool.spool().write_limit(self.run.output).map_err(|error| {
            format!("the spool folder cannot be written: {error}; see that there is space")
        })?;
        // An attempt is spent by its first start: the folder stays until the outcome is recorded.
        Ok(Prepared { command, key, known, secret, spool: spool.spend() })
    }
}

/// A run whose files are written. Dropped, the key is gone.
struct Prepared<'a> {
    command: &'a SshCommand,
    key: PathBuf,
    known: Vec<PathBuf>,
    secret: Secret,
    spool: Spool,
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.key) {
            tracing::error!(%error, path = %self.key.display(), "a private key could not be removed");
        }
    }
}

impl Prepared<'_> {
    async fn run(&self, remote: &Remote, shown: &Shown<'_>, cancel: &CancellationToken) -> Ending {
        let stop = CancellationToken::new();
        let limit = Duration::try_from(remote.timeout).unwrap_or(Duration::ZERO);
        let mut all = Box::pin(self.all(remote, shown, &stop));
        let stopped = tokio::select! {
            biased;
            () = cancel.cancelled() => Ending::Cancelled,
            ends = &mut all => return self.conclude(remote, shown, &ends, None),
            () = tokio::time::sleep(limit) => Ending::TimedOut { limit_s: remote.timeout.as_secs() },
        };
        stop.cancel();
        let ends = all.await;
        self.conclude(remote, shown, &ends, Some(stopped))
    }

    /// Every host, so many at once.
    async fn all(&self, remote: &Remote, shown: &Shown<'_>, stop: &CancellationToken) -> Vec<End> {
        let failed = &AtomicBool::new(false);
        let mut turns = Vec::new();
        for (index, ((name, host), known)) in self.command.hosts.iter().zip(&self.known).enumerate() {
            // Drawn for this connection, kept nowhere, and not the attempt's id, which people are shown: a program that
            // could print it would tell its own end.
            let word = SystemRandom.uuid().simple().to_string();
            let errand = Errand { name, host, words: &self.command.words, key: &self.key, known, word };
            turns.push(async move { (index, self.one(remote, shown, stop, errand, failed).await) });
        }
        let mut ends: Vec<_> =
            stream::iter(turns).buffer_unordered(remote.run.parallel.max(1)).collect().await;
        ends.sort_by_key(|(index, _)| *index);
        ends.into_iter().map(|(_, end)| end).collect()
    }

    /// One host, when its turn comes.
    async fn one(
        &self,
        remote: &Remote,
        shown: &Shown<'_>,
        stop: &CancellationToken,
        errand: Errand<'_>,
        failed: &AtomicBool,
    ) -> End {
        if stop.is_cancelled() || (failed.load(Ordering::Relaxed) && !remote.run.keep_going) {
            return End::NoTurn;
        }
        let redactor = match self.redactor(remote) {
            Ok(redactor) => redactor,
            Err(reason) => return End::NotStarted(reason),
        };
        let prefix = self.are_several().then(|| format!("{}: ", errand.name));
        let mut voice = Voice::new(shown, redactor, prefix);
        let end = host::run(&errand, &mut voice, stop).await;
        voice.finish();
        if end != End::Exited(0) {
            failed.store(true, Ordering::Relaxed);
        }
        end
    }

    const fn are_several(&self) -> bool {
        self.command.hosts.len() > 1
    }

    fn redactor(&self, remote: &Remote) -> Result<Redactor, String> {
        Redactor::new([(remote.run.key.as_str(), &self.secret)])
    }

    /// Says how each host's part ended, and what that makes of the whole.
    fn conclude(&self, remote: &Remote, shown: &Shown<'_>, ends: &[End], stopped: Option<Ending>) -> Ending {
        let named = || self.command.hosts.iter().map(|(name, _)| name).zip(ends);
        for (name, end) in named() {
            let line = match end {
                _ if !self.are_several() && *end != End::Cut => continue,
                End::Exited(0) => "succeeded".to_owned(),
                End::Exited(status) => format!("failed: exit status {status}"),
                End::Stopped => "stopped".to_owned(),
                End::Cut => "cut off, and did not say that the program was ended: look there".to_owned(),
                End::NotStarted(reason) => format!("not started: {}", self.masked(remote, reason)),
                End::Unknown(reason) => format!("outcome unknown: {}", self.masked(remote, reason)),
                End::NoTurn => "not begun".to_owned(),
            };
            shown.show(format!("{name}: {line}\n").as_bytes());
        }
        if let Some(stopped) = stopped {
            return stopped;
        }
        if let (false, Some((name, end))) = (self.are_several(), named().next()) {
            return match end {
                End::Exited(status) => Ending::Exited { status: *status },
                End::NotStarted(reason) => {
                    Ending::NotStarted { reason: format!("{name}: {}", self.masked(remote, reason)) }
                }
                End::Unknown(reason) => Ending::Unknown {
                    reason: format!("{name}: {}. It is not begun again", self.masked(remote, reason)),
                },
                End::Stopped | End::Cut | End::NoTurn => Ending::Cancelled,
            };
        }
        let of = |which: &dyn Fn(&End) -> bool| -> Vec<&str> {
            named().filter(|(_, end)| which(end)).map(|(name, _)| name.as_str()).collect()
        };
        let unknown = of(&|end| matches!(end, End::Unknown(_)));
        if !unknown.is_empty() {
            let reason = format!("the connection to {} was lost. It is not begun again", unknown.join(", "));
            return Ending::Unknown { reason };
        }
        let (well, count) = (of(&|end| *end == End::Exited(0)).len(), ends.len());
        if well == count {
            return Ending::Exited { status: 0 };
        }
        let started = of(&|end| matches!(end, End::Exited(_)));
        let bad = of(&|end| !matches!(end, End::Exited(0) | End::NoTurn));
        let reason = format!("{well} of {count} hosts succeeded; not {}", bad.join(", "));
        if started.is_empty() { Ending::NotStarted { reason } } else { Ending::Failed { reason } }
    }

    fn masked(&self, remote: &Remote, text: &str) -> String {
        let Ok(mut redactor) = self.redactor(remote) else { return "(not shown)".to_owned() };
        let mut masked = redactor.push(text.as_bytes());
        masked.extend(redactor.finish());
        String::from_utf8_lossy(&masked).into_owned()
    }
}
