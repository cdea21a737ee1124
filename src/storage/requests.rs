//! Requests: their rows, their guarded transitions, and looking them up.

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId};

use super::{Error, Storage, Work};
use crate::model::{AttemptId, Digest, Event, Invocation, RequestNumber, State, Timestamp};

/// A request to be opened. Opening it records `command.received`.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// The door it came through: `matrix`, ...
    pub door: String,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// The room.
    pub room: OwnedRoomId,
    /// The event that carried it. No two requests have the same.
    pub event_id: Option<OwnedEventId>,
    /// The thread it stands in, where it is in one.
    pub thread_root: Option<OwnedEventId>,
    /// When its sender's homeserver says that it was sent.
    pub claimed_at: Timestamp,
    /// When it arrived here.
    pub received_at: Timestamp,
    /// The text as it came.
    pub text: String,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its number.
    pub number: RequestNumber,
    /// Where it stands.
    pub state: State,
    /// The door it came through.
    pub door: String,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// The room.
    pub room: OwnedRoomId,
    /// The event that carried it.
    pub event_id: Option<OwnedEventId>,
    /// The thread it stands in, where it is in one.
    pub thread_root: Option<OwnedEventId>,
    /// When its sender's homeserver says that it was sent.
    pub claimed_at: Timestamp,
    /// When it arrived here.
    pub received_at: Timestamp,
    /// What was understood, once it was permitted.
    pub invocation: Option<Invocation>,
    /// The version of the rules it was decided under.
    pub rules: Option<Digest>,
    /// The version of the ops folder it was decided under.
    pub ops: Option<Digest>,
    /// The lock it needs.
    pub lock: Option<String>,
    /// Its attempt, once it was started.
    pub attempt: Option<AttemptId>,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it got its final state.
    pub ended_at: Option<Timestamp>,
}

/// How much is not yet finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Rows of the inbox that nobody has decided.
    pub inbox: i64,
    /// Requests that wait for their lock or a free place.
    pub queued: i64,
    /// Requests that run.
    pub running: i64,
    /// Messages that are not sent yet.
    pub outbox: i64,
    /// Messages that were given up.
    pub parked: i64,
}

impl Storage {
    /// A request by its number.
    pub async fn request(&self, number: RequestNumber) -> Result<Option<Request>, Error> {
        let _ = number;
        todo!()
    }

    /// The request that an event of this room carried. An event id from another room gives nothing away.
    pub async fn request_by_event(&self, room: &RoomId, event: &EventId) -> Result<Option<Request>, Error> {
        let _ = (room, event);
        todo!()
    }

    /// How much is not yet finished.
    pub async fn unfinished(&self) -> Result<Unfinished, Error> {
        todo!()
    }
}

impl Work {
    /// Opens a request in state `received`, and records `command.received` with its text.
    pub async fn open_request(&mut self, new: NewRequest) -> Result<RequestNumber, Error> {
        let _ = new;
        todo!()
    }

    /// The request that an event of this room carried, held until this work ends.
    pub async fn request_by_event(
        &mut self,
        room: &RoomId,
        event: &EventId,
    ) -> Result<Option<Request>, Error> {
        let _ = (room, event);
        todo!()
    }

    /// Takes a request from one state to another and records why. It must be in `from`, and the table
    /// of transitions must have the step. Entering `running` is [`Work::start`]'s alone.
    pub async fn transition(
        &mut self,
        number: RequestNumber,
        from: State,
        to: State,
        event: Event,
    ) -> Result<(), Error> {
        let _ = (number, from, to, event);
        todo!()
    }
}
