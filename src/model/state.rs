//! The states of a request and the transitions between them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Taken from the inbox and not yet decided.
    Received,
    /// Not permitted, unreadable, stale, or sent by somebody who has left. Final.
    Refused,
    /// Waits for its requester to confirm.
    AwaitingConfirmation,
    /// Waits for approvals.
    AwaitingApproval,
    /// Permitted, and proved not started: it waits for a lock or a free place.
    Queued,
    /// Started, by a recorded attempt.
    Running,
    /// Ended well. Final.
    Succeeded,
    /// Ended badly. Final.
    Failed,
    /// Ended by its time limit. Final.
    TimedOut,
    /// Ended by somebody. Final.
    Cancelled,
    /// Its outcome is not known: it was started, or it was unfinished in a database that was restored from a backup. Final;
    /// never silently run again.
    Interrupted,
    /// Refused by an approver. Final.
    Denied,
    /// Waited too long. Final.
    Expired,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 13] = [
        Self::Received,
        Self::Refused,
        Self::AwaitingConfirmation,
        Self::AwaitingApproval,
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Interrupted,
        Self::Denied,
        Self::Expired,
    ];

    /// The states that may follow this one: the one table of transitions.
    pub const fn followers(self) -> &'static [Self] {
        use State::{
            AwaitingApproval, AwaitingConfirmation, Cancelled, Denied, Expired, Failed, Interrupted, Queued,
            Received, Refused, Running, Succeeded, TimedOut,
        };
        match self {
            Received => &[Refused, AwaitingConfirmation, AwaitingApproval, Queued, Interrupted],
            AwaitingConfirmation => {
                &[AwaitingApproval, Queued, Refused, Denied, Expired, Cancelled, Interrupted]
            }
            AwaitingApproval => &[Queued, Refused, Denied, Expired, Cancelled, Interrupted],
            Queued => &[Running, AwaitingApproval, Refused, Cancelled, Interrupted],
            Running => &[Succeeded, Failed, TimedOut, Cancelled, Interrupted],
            Refused | Succeeded | Failed | TimedOut | Cancelled | Interrupted | Denied | Expired => &[],
        }
    }

    /// Whether `next` may follow this state.
    pub fn may_become(self, next: Self) -> bool {
        self.followers().contains(&next)
    }

    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        self.followers().is_empty()
    }

    /// The name in the database, in entries and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Refused => "refused",
            Self::AwaitingConfirmation => "awaiting_confirmation",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Denied => "denied",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| format!("no state `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table written a second time, as DESIGN tells it in words, so that a slip in one is seen.
    fn told(from: State, to: State) -> bool {
        use State::*;
        matches!(
            (from, to),
            (Received, Refused | AwaitingConfirmation | AwaitingApproval | Queued)
                | (AwaitingConfirmation | AwaitingApproval, Queued | Refused | Denied | Expired | Cancelled)
                // A confirmed request may still need approvals.
                | (AwaitingConfirmation, AwaitingApproval)
                | (Queued, Running | AwaitingApproval | Refused | Cancelled)
                | (Running, Succeeded | Failed | TimedOut | Cancelled | Interrupted)
                // Nobody knows what became of it since the backup that was restored.
                | (Received | AwaitingConfirmation | AwaitingApproval | Queued, Interrupted)
        )
    }

    #[test]
    fn every_pair_of_states_is_a_transition_or_barred_as_told() {
        for from in State::ALL {
            for to in State::ALL {
                assert_eq!(from.may_become(to), told(from, to), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn names_read_back() {
        for state in State::ALL {
            assert_eq!(state.name().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
