//! What a kind of executor is: what it is to do, taken out of a warrant, and how it is done.
//!
//! A kind is a module of this floor, a variant of [`RunKind`](crate::catalogue::RunKind) with a reader of its section,
//! and an arm in `run.rs`. It gets all that it may use as values, and gives an ending whatever happens.

use tokio_util::sync::CancellationToken;

use super::{Executor, Poised, Ran, Sink, job::Job, process};
use crate::model::AttemptId;

/// Something that can be run once, for one attempt.
pub(super) trait Kind: Send {
    /// The attempt that it spends.
    fn attempt(&self) -> AttemptId;

    /// Does it, to its end. What it shows and keeps is masked. When `cancel` is cancelled it ends soon, with
    /// [`Ending::Cancelled`](crate::model::Ending::Cancelled) unless it ended by itself.
    fn run(
        self,
        executor: &Executor,
        cancel: &CancellationToken,
        sink: &dyn Sink,
    ) -> impl Future<Output = Ran> + Send;
}

/// The kind `process`: a program of this host.
pub(super) struct Program {
    /// What is run.
    pub(super) job: Job,
    /// The child that was made ready for it.
    pub(super) poised: Option<Poised>,
}

impl Kind for Program {
    fn attempt(&self) -> AttemptId {
        self.job.attempt
    }

    fn run(
        self,
        executor: &Executor,
        cancel: &CancellationToken,
        sink: &dyn Sink,
    ) -> impl Future<Output = Ran> + Send {
        process::run(executor, self.job, self.poised, cancel, sink)
    }
}
