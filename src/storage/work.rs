//! A piece of work, held by a database transaction until it is concluded.

use ruma::RoomId;

use super::{ContentKind, Error, InboxRow, OutboxDraft, OutboxRow, Request};
use crate::model::{Commitment, Event, RequestNumber, Timestamp};

/// A claimed piece of work: a row of the inbox, or a queued request whose lock is free.
///
/// What its methods write is seen by nobody until [`Work::done`] (or [`Work::done_starting`]) commits
/// it, all at once. Dropped without that, nothing happened, and the work is there to be claimed again.
#[must_use = "work that is dropped is claimed again"]
pub struct Work {}

impl Work {
    /// The row of the inbox, where this is one.
    pub fn row(&self) -> Option<&InboxRow> {
        todo!()
    }

    /// The queued request, where this is one: to be decided anew, then started.
    pub fn queued(&self) -> Option<&Request> {
        todo!()
    }

    /// Whether this work failed three times for a reason other than the database: conclude it without
    /// trying it again (`command.unprocessable`, an answer, [`Work::done`]).
    pub fn is_poisoned(&self) -> bool {
        todo!()
    }

    /// The time of everything that this work writes.
    pub fn now(&self) -> Timestamp {
        todo!()
    }

    /// Keeps bytes that may have to be erased one day, and gives what an entry may say of them.
    pub fn content(&mut self, number: RequestNumber, kind: ContentKind, bytes: &[u8]) -> Commitment {
        let _ = (number, kind, bytes);
        todo!()
    }

    /// Records an entry.
    pub fn append(&mut self, request: Option<RequestNumber>, room: Option<&RoomId>, event: Event) {
        let _ = (request, room, event);
        todo!()
    }

    /// Has a message sent.
    pub fn send(&mut self, draft: OutboxDraft) {
        let _ = draft;
        todo!()
    }

    /// Concludes the work: one commit. Gives the messages that were written, leased to this process, to
    /// be sent at once.
    pub async fn done(self) -> Result<Vec<OutboxRow>, Error> {
        todo!()
    }

    /// Rolls everything back and counts the failure, in a commit of its own. Not for a database that is
    /// away: then drop the work and wait. Gives the number of failures so far; from the third on the
    /// work comes back as poisoned, and after the sixth it is passed over and recorded here.
    pub async fn failed(self, reason: &str) -> Result<i32, Error> {
        let _ = reason;
        todo!()
    }
}
