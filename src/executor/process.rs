//! The kind `process`: a program on this host.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use nix::sys::signal::Signal;
use tokio::{io::AsyncReadExt, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Executor, Left, Ran, Sink, group,
    group::Process,
    handed::Given,
    job::Job,
    launch::{self, Running},
    redact::Redactor,
    sandbox::{first_of, told_an_end, why_not},
    spec::FAILED,
    spool::{Keeper, Spool, Unspent},
    whole::Kept,
};
use crate::model::{AttemptId, Ending, Outcome, OutputSummary, Sandbox, fault::Point};

/// How long a program may take to end after SIGTERM, before SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(3);
/// How long SIGKILL may take, beyond which something is wrong with the machine.
const UNKILLABLE: Duration = Duration::from_secs(10);
/// How long output is still read when the whole group has ended and something that left it holds the pipe.
const AFTERTHOUGHT: Duration = Duration::from_millis(200);
/// How much output is written without a thread of its own, in bytes.
const A_FEW_LINES: usize = 4 << 10;
/// How often a sandbox that was ended is looked at: the kernel needs a moment for all of it.
const LOOK_SOON: Duration = Duration::from_millis(1);
/// How often it is looked how much lies in an out folder.
const WEIGH: Duration = Duration::from_secs(1);
/// How often a group that should end is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// A child to which every limit is applied, and which waits for the byte. Dropped, it ends without having run
/// anything, and nothing is left of it.
pub struct Poised {
    attempt: AttemptId,
    // Ended before its folder goes.
    running: Running,
    redactor: Redactor,
    spool: Unspent,
}

impl Poised {
    /// The attempt that it waits for.
    pub(super) const fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The child.
    #[cfg(test)]
    pub(super) const fn pid(&self) -> i32 {
        self.running.pid
    }
}

impl std::fmt::Debug for Poised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poised").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

/// All that can be done for a job before it may start.
pub(super) async fn poise(executor: &Executor, job: &Job) -> Result<Poised, String> {
    let secrets = resolve(executor, job)?;
    let redactor = Redactor::new(secrets.iter().map(|given| (given.name.as_str(), &given.value)))?;
    let spool = executor.spool_of(job.attempt).create()?;
    let at = executor.clock.now();
    let running =
        launch::launch(&executor.exec_run, executor.take_spare(), job, &secrets, spool.spool(), at).await?;
    Ok(Poised { attempt: job.attempt, running, redactor, spool })
}

/// Runs a job to its end, whatever that is.
pub(super) async fn run(
    executor: &Executor,
    job: Job,
    poised: Option<Poised>,
    cancel: &CancellationToken,
    sink: &dyn Sink,
) -> Ran {
    let begun = Instant::now();
    let (ending, kept, printed, left) = match attempt(executor, &job, poised, cancel, sink).await {
        Ok(Ended { ending, kept, printed, left }) => (ending, kept, Some(printed), left),
        Err(ending) => (ending, None, None, Left::default()),
    };
    let output = kept.as_ref().map_or_else(OutputSummary::empty, |kept| kept.summary(printed));
    let took_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
    let (kept, whole) = kept.map(|kept| (kept.bytes, kept.whole)).unwrap_or_default();
    Ran {
        number: job.number,
        attempt: job.attempt,
        outcome: Outcome { ending, took_ms, output },
        kept,
        whole,
        left,
    }
}

/// A program that ran and ended.
struct Ended {
    ending: Ending,
    kept: Option<Kept>,
    printed: u64,
    left: Left,
}

/// The steps. `Err` is an end without a start.
async fn attempt(
    executor: &Executor,
    job: &Job,
    poised: Option<Poised>,
    cancel: &CancellationToken,
    sink: &dyn Sink,
) -> Result<Ended, Ending> {
    let not_started = |reason: String| Ending::NotStarted { reason };
    let poised = if let Some(poised) = poised {
        poised
    } else {
        tokio::select! {
            poised = poise(executor, job) => poised.map_err(not_started)?,
            () = cancel.cancelled() => return Err(Ending::Cancelled),
        }
    };
    if cancel.is_cancelled() {
        launch::end(poised.running).await;
        return Err(Ending::Cancelled);
    }
    let Poised { mut running, redactor, spool, .. } = poised;
    if let Err(reason) = launch::go(&mut running).await {
        launch::end(running).await;
        return Err(not_started(reason));
    }
    let spool = spool.spend();
    Point::AfterProcessStart.pass();
    let collector = Collector { redactor, keeper: Some(spool.keep(job.limits.output)), printed: 0, sink };
    let ended = supervise(running, job, cancel, collector, &spool).await;
    Point::AfterProcessEnd.pass();
    ended
}

/// The values of the credentials. One that cannot be had is a run that does not start.
fn resolve(executor: &Executor, job: &Job) -> Result<Vec<Given>, String> {
    let known = executor.secrets();
    job.secrets()
        .into_iter()
        .map(|(way, name)| {
            let value = known.resolve(name).map_err(|missing| missing.to_string())?;
            Ok(Given { way, name: name.to_owned(), value })
        })
        .collect()
}

/// Where output goes: masked, kept, shown.
struct Collector<'a> {
    redactor: Redactor,
    keeper: Option<Keeper>,
    printed: u64,
    sink: &'a dyn Sink,
}

impl Collector<'_> {
    async fn push(&mut self, bytes: &[u8]) {
        self.printed += bytes.len() as u64;
        let shown = self.redactor.push(bytes);
        self.show(shown).await;
    }

    async fn show(&mut self, shown: Vec<u8>) {
        if shown.is_empty() {
            return;
        }
        self.sink.output(&shown);
        // A few lines go into the kernel's memory at once; another thread would take longer to wake.
        if shown.len() <= A_FEW_LINES
            && let Some(keeper) = &mut self.keeper
        {
            keeper.push(&shown);
            return;
        }
        // More is written on a thread that may wait for the disk.
        if let Some(mut keeper) = self.keeper.take() {
            self.keeper = tokio::task::spawn_blocking(move || {
                keeper.push(&shown);
                keeper
            })
            .await
            .ok();
        }
    }

    /// What was kept of it, how much there was, and what its files are masked with.
    async fn finish(mut self, job: &Job, spool: &Spool) -> (Option<Kept>, u64, Redactor) {
        let rest = self.redactor.finish();
        self.show(rest).await;
        if let Some(kept) = self.keeper.as_mut().and_then(Keeper::take_whole) {
            return (Some(kept), self.printed, self.redactor);
        }
        let spool = spool.clone();
        let limit = job.limits.output;
        let read =
            tokio::task::spawn_blocking(move || spool.kept(limit)).await.map_err(std::io::Error::other);
        let failed = self.keeper.as_ref().map_or(Some("a thread died"), Keeper::failed).map(str::to_owned);
        let (mut kept, failed) = match read.flatten() {
            Ok(kept) => (kept, failed),
            Err(error) => (Kept::lost(), Some(error.to_string())),
        };
        if let Some(failed) = failed {
            tracing::error!(run.number = %job.number, error = failed, "the output of a run could not be kept whole");
            kept.is_cut(&failed);
        }
        (Some(kept), self.printed, self.redactor)
    }
}

/// Ends the whole session when the run is dropped in its middle, as when a test or the runtime ends.
struct Guard {
    leader: i32,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.armed {
            group::signal(self.leader, Signal::SIGKILL);
        }
    }
}

/// Reads, waits, and ends what must be ended, until nothing of the run is left.
async fn supervise(
    mut running: Running,
    job: &Job,
    cancel: &CancellationToken,
    mut collector: Collector<'_>,
    spool: &Spool,
) -> Result<Ended, Ending> {
    let leader = running.pid;
    let sandboxed = matches!(job.sandbox, Sandbox::Bubblewrap { .. });
    let mut guard = Guard { leader, armed: true };
    let timeout = Duration::try_from(job.timeout).unwrap_or(Duration::ZERO);
    // A limit beyond what a clock can count is none that anybody lives to see.
    let deadline = Instant::now()
        .checked_add(timeout)
        .unwrap_or_else(|| Instant::now() + Duration::from_hours(24 * 365));
    // What ended it, if that was us.
    let mut stopped: Option<Ending> = None;
    let mut status: Option<ExitStatus> = None;
    let mut ended_at = deadline;
    let mut kill_at: Option<Instant> = None;
    let mut give_up_at: Option<Instant> = None;
    let mut said = Vec::new();
    let mut weigh_at = Instant::now() + WEIGH;
    let (mut control_open, mut output_open) = (true, true);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let now = Instant::now();
        if status.is_some()
            && !control_open
            && nothing_left(leader, first_of(&said))
            && (!output_open || now >= ended_at + AFTERTHOUGHT)
        {
            break;
        }
        if give_up_at.is_some_and(|give_up_at| now >= give_up_at) {
            tracing::error!(run.number = %job.number, run.pid = leader, "a process does not end at SIGKILL");
            break;
        }
        tokio::select! {
            read = running.control.read_buf(&mut said), if control_open => {
                control_open = read.is_ok_and(|count| count > 0);
            }
            read = running.output.read(&mut buffer), if output_open => match read {
                Ok(count) if count > 0 => collector.push(&buffer[..count]).await,
                _ => output_open = false,
            },
            exited = running.child.wait(), if status.is_none() => {
                status = Some(exited.unwrap_or_else(|_| ExitStatus::from_raw(0)));
                ended_at = Instant::now();
                // Nothing of a run outlives it, but what left its session on purpose.
                if kill_at.is_none() && !nothing_left(leader, first_of(&said)) {
                    if sandboxed {
                        group::kill_at_once(leader);
                    } else {
                        group::signal(leader, Signal::SIGTERM);
                    }
                    kill_at = Some(Instant::now() + GRACE);
                }
            }
            () = tokio::time::sleep_until(deadline), if stopped.is_none() && status.is_none() => {
                stopped = Some(Ending::TimedOut { limit_s: job.timeout.as_secs() });
                group::signal(leader, Signal::SIGTERM);
                kill_at = Some(Instant::now() + GRACE);
            }
            () = cancel.cancelled(), if stopped.is_none() && status.is_none() => {
                stopped = Some(Ending::Cancelled);
                group::signal(leader, Signal::SIGTERM);
                kill_at = Some(Instant::now() + GRACE);
            }
            () = tokio::time::sleep_until(weigh_at), if job.out && stopped.is_none() && status.is_none() => {
                if is_too_much(spool).await {
                    let reason = "its out folder held more than 256 MiB".to_owned();
                    stopped = Some(Ending::Failed { reason });
                    group::signal(leader, Signal::SIGTERM);
                    kill_at = Some(Instant::now() + GRACE);
                }
                weigh_at = Instant::now() + WEIGH;
            }
            () = tokio::time::sleep_until(kill_at.unwrap_or(deadline)), if kill_at.is_some() => {
                group::signal(leader, Signal::SIGKILL);
                // Again at the next look: what forked in this moment is caught then.
                kill_at = Some(Instant::now() + LOOK);
                give_up_at.get_or_insert(Instant::now() + UNKILLABLE);
            }
            () = tokio::time::sleep(if sandboxed { LOOK_SOON } else { LOOK }), if status.is_some() => {}
        }
    }
    guard.armed = false;
    let (kept, printed, redactor) = collector.finish(job, spool).await;
    if sandboxed
        && stopped.is_none()
        && status.is_some_and(|it| it.code().is_some())
        && said.first() != Some(&FAILED)
        && !told_an_end(&said)
    {
        return Err(Ending::NotStarted { reason: why_not(kept.as_ref().map_or(&[], |kept| &kept.bytes)) });
    }
    if said.first() == Some(&FAILED) {
        return Err(Ending::NotStarted { reason: String::from_utf8_lossy(&said[1..]).into_owned() });
    }
    let by_itself = || match status {
        Some(status) => status.signal().map_or_else(
            || Ending::Exited { status: status.code().unwrap_or(-1) },
            |signal| Ending::Killed { signal },
        ),
        None => Ending::Interrupted,
    };
    let left = if job.out { left_by(job, spool, redactor).await } else { Left::default() };
    Ok(Ended { ending: stopped.unwrap_or_else(by_itself), kept, printed, left })
}

/// Takes what it left in its out folder. It has ended, whatever becomes of that.
async fn left_by(job: &Job, spool: &Spool, mut redactor: Redactor) -> Left {
    let (out, user) = (spool.out(), job.user.clone());
    let taken = tokio::task::spawn_blocking(move || {
        let owner = user.and_then(|user| launch::find_user(&user).ok()).map(|user| user.uid);
        out.take(&mut redactor, owner)
    });
    match taken.await.map_err(std::io::Error::other).flatten() {
        Ok(left) => left,
        Err(error) => {
            tracing::error!(run.number = %job.number, %error, "what a run left in its out folder could not be read");
            let lost = format!("what it left could not be read: {error}");
            Left { files: Vec::new(), refused: vec![lost] }
        }
    }
}

async fn is_too_much(spool: &Spool) -> bool {
    let out = spool.out();
    tokio::task::spawn_blocking(move || out.is_too_much()).await.unwrap_or(true)
}

/// Whether nobody of the session lives any more. The cheap question first: it nearly always suffices.
///
/// Of a sandbox only its first process is looked at: the kernel lets that one end when all others in it have ended.
fn nothing_left(leader: i32, first: Option<i32>) -> bool {
    group::is_empty(leader)
        || first.map_or_else(
            || group::members(leader).is_empty(),
            |first| !Process::look(first).is_some_and(|it| it.session == leader && it.is_alive()),
        )
}
