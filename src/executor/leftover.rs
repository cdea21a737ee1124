//! What an earlier life of Quarterdeck left behind: its processes are found, ended and reported.

use std::{io, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::Instant;

use super::{
    group::{self, Process},
    process::GRACE,
    spool::{Meta, Spool},
    whole::Whole,
};
use crate::model::{OutputSummary, RequestNumber};

/// How long SIGKILL may take.
const UNKILLABLE: Duration = Duration::from_secs(5);
/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(25);

/// What was left of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The request's number, where it was written down.
    pub number: Option<RequestNumber>,
    /// What it had printed, masked, as far as it was spooled; of a long output both ends.
    pub kept: Vec<u8>,
    /// Where all of a long output lies.
    pub whole: Option<Whole>,
    /// The facts about that.
    pub output: OutputSummary,
    /// Whether it left something in its out folder, of which nothing is kept: nobody knows any more what is to be masked in it.
    pub left: bool,
    /// How many processes of it still ran, and were ended.
    pub ended: usize,
}

/// Ends what is left of an attempt and reads what it had printed.
pub(super) async fn end(spool: &Spool) -> io::Result<Leftover> {
    let Some(meta) = spool.read_meta()? else {
        // Never written down: a process that was never told to go, so that `exec-run` left by itself; or what is no
        // process of ours, and ended with us.
        let Some(limit) = spool.read_limit()? else {
            let output = OutputSummary::empty();
            return Ok(Leftover {
                number: None,
                kept: Vec::new(),
                whole: None,
                output,
                left: false,
                ended: 0,
            });
        };
        return Leftover::of(None, spool, limit, 0);
    };
    let ended = end_processes(&meta).await?;
    Leftover::of(Some(meta.number), spool, meta.limit, ended)
}

impl Leftover {
    fn of(number: Option<RequestNumber>, spool: &Spool, limit: usize, ended: usize) -> io::Result<Self> {
        let kept = spool.kept(limit)?;
        let left = spool.out().left_anything();
        Ok(Self { number, output: kept.summary(None), kept: kept.bytes, whole: kept.whole, left, ended })
    }
}

/// The living processes that are certainly of this attempt.
fn of(meta: &Meta) -> Vec<Process> {
    if meta.machine_boot != group::machine_boot() {
        return Vec::new();
    }
    let others = || group::members(meta.pid).into_iter();
    match Process::look(meta.pid) {
        // It leads its session still. Before `setsid` it is in ours, so it is named itself.
        Some(leader) if leader.started == meta.started => {
            let mut all: Vec<Process> = others().filter(|process| process.pid != leader.pid).collect();
            if leader.is_alive() {
                all.push(leader);
            }
            all
        }
        // The id was used again, which the kernel only does when group and session are empty.
        Some(_) => Vec::new(),
        // The leader is gone. Its session's number cannot be another's while somebody is in it; that it is not
        // used again by a later leader that is gone as well, the confinement shows.
        None => others().filter(|process| process.started >= meta.started && process.is_confined()).collect(),
    }
}

/// SIGTERM, a while, SIGKILL until nobody is left.
async fn end_processes(meta: &Meta) -> io::Result<usize> {
    let send = |signal: Signal| {
        let processes = of(meta);
        for process in &processes {
            // It may have ended in this moment, which is what is wanted.
            let _ = kill(Pid::from_raw(process.pid), signal);
        }
        processes.len()
    };
    let count = send(Signal::SIGTERM);
    let kill_at = Instant::now() + GRACE;
    while !of(meta).is_empty() {
        if Instant::now() >= kill_at + UNKILLABLE {
            return Err(io::Error::other(format!(
                "processes of the session {} do not end at SIGKILL: look at `ps -s {}`",
                meta.pid, meta.pid
            )));
        }
        if Instant::now() >= kill_at {
            send(Signal::SIGKILL);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(count)
}
