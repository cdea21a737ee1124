//! How a run ended.

use serde::{Deserialize, Serialize};

use super::{Commitment, Digest, State};

/// What ended a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ending {
    /// The program ended by itself with this exit status. What is no program gives 0 for success.
    Exited {
        /// The exit status, 0 for success.
        status: i32,
    },
    /// A signal ended the program, and it was not ours.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// The time limit was reached; the whole process group was ended.
    TimedOut {
        /// The limit in seconds.
        limit_s: i64,
    },
    /// Somebody asked for its end, or Quarterdeck was stopped and the grace period ran out.
    Cancelled,
    /// The program could not be started, so it had no effect.
    NotStarted {
        /// What was tried and why it failed.
        reason: String,
    },
    /// Started, and the outcome is not known.
    Interrupted,
    /// It was done, and it failed: for what is no program and has no exit status.
    Failed {
        /// What went wrong.
        reason: String,
    },
    /// It was begun, and what became of it cannot be learned, though nothing happened to Quarterdeck.
    Unknown {
        /// What was done, and what is missing.
        reason: String,
    },
}

/// How a run ended, with what it printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What ended it.
    pub ending: Ending,
    /// From start to end, in milliseconds.
    pub took_ms: i64,
    /// What it printed.
    pub output: OutputSummary,
}

impl Ending {
    /// The same ending without the words in which another host or service said why: they are to be read by those alone who
    /// may read what was printed.
    #[must_use]
    pub fn without_reason(&self) -> Self {
        let reason = || "why is told with what it printed".to_owned();
        match self {
            Self::Failed { .. } => Self::Failed { reason: reason() },
            Self::Unknown { .. } => Self::Unknown { reason: reason() },
            other => other.clone(),
        }
    }
}

impl Outcome {
    /// The state that a request with this outcome is in.
    pub const fn state(&self) -> State {
        match self.ending {
            Ending::Exited { status: 0 } => State::Succeeded,
            Ending::Exited { .. }
            | Ending::Killed { .. }
            | Ending::NotStarted { .. }
            | Ending::Failed { .. } => State::Failed,
            Ending::TimedOut { .. } => State::TimedOut,
            Ending::Cancelled => State::Cancelled,
            Ending::Interrupted | Ending::Unknown { .. } => State::Interrupted,
        }
    }
}

/// The facts about a run's output that the audit log keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSummary {
    /// How many bytes the program printed, kept or not.
    pub bytes: i64,
    /// Whether the output was longer than the limit, and its middle was dropped.
    pub truncated: bool,
    /// The digest of the bytes that were kept.
    pub digest: Digest,
}

impl OutputSummary {
    /// The summary of no output at all.
    pub fn empty() -> Self {
        Self { bytes: 0, truncated: false, digest: Digest::of(b"") }
    }
}

/// What of a run is kept in parts, by what lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InParts {
    /// What lists the parts of a long output, which together are all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Commitment>,
    /// What names each file that it left in its out folder, says its digest and lists its parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Commitment>,
}
