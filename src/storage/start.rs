//! From a permit to a warrant: the one place where a start is recorded, and where it becomes allowed.

use std::sync::Arc;

use super::OutboxRow;
use crate::{
    catalogue::Command,
    model::{AttemptId, Invocation, RequestNumber},
};

/// Leave to start exactly one process: it exists only if the commit that recorded its attempt is
/// confirmed. The executor uses it up.
#[must_use = "a warrant that is dropped leaves a request running without a run"]
#[derive(Debug)]
pub struct Warrant {
    attempt: AttemptId,
    number: RequestNumber,
    command: Arc<Command>,
    invocation: Invocation,
}

impl Warrant {
    /// The attempt that was recorded.
    pub const fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The request.
    pub const fn number(&self) -> RequestNumber {
        self.number
    }

    /// What is to be run.
    pub const fn command(&self) -> &Arc<Command> {
        &self.command
    }

    /// With which arguments.
    pub const fn invocation(&self) -> &Invocation {
        &self.invocation
    }
}

/// A start that is written and not yet committed. Only [`super::Work::done_starting`] makes a warrant of it.
#[must_use = "nothing starts until the work is done with it"]
#[derive(Debug)]
pub struct PendingWarrant {
    warrant: Warrant,
}

/// What came of the wish to start.
#[must_use = "a start that is not carried on starts nothing"]
#[derive(Debug)]
pub enum Start {
    /// Written: conclude the work with [`super::Work::done_starting`].
    Pending(PendingWarrant),
    /// The lock is taken, or others have waited for it longer: the request stays queued, and comes back
    /// as work when it is free. Nothing was written; record `run.queued`, answer, conclude.
    Busy {
        /// The lock.
        lock: String,
    },
}

/// What a concluded work with a start gives.
#[must_use = "the warrant is what may be run"]
#[derive(Debug)]
pub struct Started {
    /// The warrant; `None` where the commit turned out not to have happened: the work is there to be
    /// claimed again.
    pub warrant: Option<Warrant>,
    /// The messages that were written, leased to this process.
    pub messages: Vec<OutboxRow>,
}

// To come as soon as `policy::Permit` is there (the lead writes dispatch against these):
//
// impl Work {
//     /// received -> queued (or queued -> queued, decided anew): binds the invocation and the versions, records `command.permitted`
//     /// with the contents of invocation and inputs. `ops` is the folder's digest, `lock` the filled lock template.
//     pub async fn permitted(&mut self, number: RequestNumber, permit: &Permit, invocation: &Invocation, ops: Digest, lock: Option<&str>) -> Result<(), Error>;
//     /// queued -> running with a fresh attempt and the lock; records `run.started`. Busy: nothing was written.
//     pub async fn start(&mut self, permit: Permit, number: RequestNumber, command: Arc<Command>, invocation: Invocation) -> Result<Start, Error>;
//     /// A built-in: queued -> running -> its outcome's state within this commit; records `run.started`, `run.finished`, keeps the output.
//     pub async fn conclude(&mut self, permit: Permit, number: RequestNumber, outcome: &Outcome, kept: Option<&[u8]>) -> Result<(), Error>;
//     /// Commits; an ambiguous commit is read back until the database answers.
//     pub async fn done_starting(self, pending: PendingWarrant) -> Result<Started, Error>;
// }
