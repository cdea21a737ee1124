//! The entries of what is done again and again.

use jiff::Timestamp;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

/// Something is to be done again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSet {
    /// As whom.
    pub by: OwnedUserId,
    /// Its name: `request/482`.
    pub schedule: String,
    /// When, as a cron expression.
    pub cron: String,
    /// In which time zone.
    pub zone: String,
}

/// It is done no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleEnded {
    /// By whom, where somebody ended it.
    pub by: Option<OwnedUserId>,
    /// Its name.
    pub schedule: String,
    /// `removed`: by somebody. `struck`: its person was taken out of a team.
    pub why: String,
}

/// It was due, and nobody looked until it was too late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleMissed {
    /// Its name.
    pub schedule: String,
    /// The first time that was missed.
    pub first: Timestamp,
    /// How many were.
    pub count: i64,
}
