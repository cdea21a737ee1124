//! Claiming work: a lane with its oldest row, or a queued request whose lock is free.

use super::{Error, Storage, Work};
use crate::model::Timestamp;

/// What a worker can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Queued requests first, then rows of the inbox.
    Anything,
    /// Rows of the inbox alone: there is no free place to start another run in.
    Rows,
}

/// A row of the inbox.
#[derive(Debug, Clone)]
pub struct InboxRow {
    /// Its number.
    pub id: i64,
    /// Where it came from: `matrix`, ...
    pub source: String,
    /// Its identity there: an event id.
    pub external_id: String,
    /// Its lane: a room id.
    pub lane: String,
    /// When its sender's server says that it was sent.
    pub claimed_at: Option<Timestamp>,
    /// When it arrived here.
    pub received_at: Timestamp,
    /// The event as it came, byte for byte.
    pub raw: Vec<u8>,
}

impl Storage {
    /// Claims the oldest piece of work that nobody else works on. It is held until the [`Work`] is
    /// done, failed or dropped; while it is held, nobody gets another row of the same lane.
    pub async fn claim(&self, wanted: Wanted) -> Result<Option<Work>, Error> {
        let _ = wanted;
        todo!()
    }
}
