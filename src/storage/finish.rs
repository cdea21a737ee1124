//! The end of a run: its outcome, its entry, its answer and its lock, in one commit.

use super::{Error, OutboxDraft, OutboxRow, Storage};
use crate::model::{AttemptId, Outcome, State};

/// What came of recording an outcome.
#[derive(Debug)]
pub enum Finished {
    /// It is the request's final state. The messages are leased to this process.
    Recorded(Vec<OutboxRow>),
    /// Another final state was committed first, and stays; this outcome is an entry of its own
    /// (`run.finished_late`), and nothing of it is said.
    AlreadyEnded(State),
}

impl Storage {
    /// Records how an attempt ended, with what was kept of its output and what is to be said. May be
    /// called again after an error: what was recorded already is not recorded twice.
    pub async fn finish(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        kept: Option<&[u8]>,
        drafts: Vec<OutboxDraft>,
    ) -> Result<Finished, Error> {
        let _ = (attempt, outcome, kept, drafts);
        todo!()
    }
}
