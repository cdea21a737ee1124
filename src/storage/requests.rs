//! Requests: their rows, their guarded transitions, and looking them up.

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId};

use jiff_sqlx::Timestamp as SqlTime;

use super::{ContentKind, Error, Storage, Work, error::Doing as _, opening::Opening};
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
    /// Whether it waits, or has waited, for somebody's word.
    pub waited: bool,
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
    /// When the oldest event arrived that nobody has decided.
    pub oldest: Option<Timestamp>,
}

/// The row of a request, as it stands in the database.
pub(super) struct RequestColumns {
    pub number: i64,
    pub state: String,
    pub door: String,
    pub sender: String,
    pub room_id: String,
    pub event_id: Option<String>,
    pub thread_root: Option<String>,
    pub claimed_at: SqlTime,
    pub received_at: SqlTime,
    pub invocation: Option<Vec<u8>>,
    pub rules: Option<Vec<u8>>,
    pub ops: Option<Vec<u8>>,
    pub lock: Option<String>,
    pub attempt: Option<uuid::Uuid>,
    pub started_at: Option<SqlTime>,
    pub ended_at: Option<SqlTime>,
    pub failures: i32,
    pub waited: bool,
}

/// Reads requests: the one list of columns, with the caller's own conditions.
macro_rules! read_request {
    ($conditions:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            RequestColumns,
            r#"SELECT r.number, r.state, r.door, r.sender, r.room_id, r.event_id, r.thread_root,
                      r.claimed_at AS "claimed_at: SqlTime", r.received_at AS "received_at: SqlTime",
                      r.invocation, r.rules, r.ops, r.lock, r.attempt, a.started_at AS "started_at?: SqlTime",
                      r.ended_at AS "ended_at: SqlTime", r.failures,
                      EXISTS (SELECT FROM waits w WHERE w.request = r.number) AS "waited!"
               FROM requests r LEFT JOIN attempts a ON a.id = r.attempt"# + $conditions
            $(, $argument)*
        )
    };
}
pub(super) use read_request;

impl TryFrom<RequestColumns> for Request {
    type Error = Error;

    fn try_from(row: RequestColumns) -> Result<Self, Error> {
        fn read<T, E: std::fmt::Display>(read: Result<T, E>) -> Result<T, Error> {
            read.map_err(|error| Error::Unreadable { what: "a request", reason: error.to_string() })
        }
        Ok(Self {
            number: RequestNumber(row.number),
            state: read(row.state.parse())?,
            door: row.door,
            sender: read(OwnedUserId::try_from(row.sender))?,
            room: read(OwnedRoomId::try_from(row.room_id))?,
            event_id: read(row.event_id.map(OwnedEventId::try_from).transpose())?,
            thread_root: read(row.thread_root.map(OwnedEventId::try_from).transpose())?,
            claimed_at: row.claimed_at.into(),
            received_at: row.received_at.into(),
            invocation: read(row.invocation.map(|json| serde_json::from_slice(&json)).transpose())?,
            rules: row.rules.map(digest).transpose()?,
            ops: row.ops.map(digest).transpose()?,
            lock: row.lock,
            attempt: row.attempt.map(AttemptId),
            started_at: row.started_at.map(Into::into),
            ended_at: row.ended_at.map(Into::into),
            waited: row.waited,
        })
    }
}

/// A digest of the database: 32 bytes.
pub(super) fn digest(bytes: Vec<u8>) -> Result<Digest, Error> {
    let bytes = <[u8; 32]>::try_from(bytes).map_err(|bytes| Error::Unreadable {
        what: "a digest",
        reason: format!("it has {} bytes, not 32", bytes.len()),
    })?;
    Ok(Digest::from_bytes(bytes))
}

impl Storage {
    /// A request by its number.
    pub async fn request(&self, number: RequestNumber) -> Result<Option<Request>, Error> {
        let row = read_request!(" WHERE r.number = $1", number.0).fetch_optional(self.pool()).await;
        row.doing("looking up a request")?.map(TryInto::try_into).transpose()
    }

    /// The request that an event of this room carried. An event id from another room gives nothing away.
    pub async fn request_by_event(&self, room: &RoomId, event: &EventId) -> Result<Option<Request>, Error> {
        let row = read_request!(" WHERE r.event_id = $1 AND r.room_id = $2", event.as_str(), room.as_str())
            .fetch_optional(self.pool())
            .await;
        row.doing("looking up a request by its event")?.map(TryInto::try_into).transpose()
    }

    /// How much is not yet finished.
    pub async fn unfinished(&self) -> Result<Unfinished, Error> {
        let counted = sqlx::query!(
            r#"
            SELECT (SELECT count(*) FROM inbox WHERE state = 'pending') AS "inbox!",
                   (SELECT count(*) FROM requests WHERE state = 'queued' AND ended_at IS NULL) AS "queued!",
                   (SELECT count(*) FROM requests WHERE state = 'running' AND ended_at IS NULL) AS "running!",
                   (SELECT count(*) FROM outbox WHERE state = 'waiting') AS "outbox!",
                   (SELECT count(*) FROM outbox WHERE state = 'parked') AS "parked!",
                   (SELECT min(received_at) FROM inbox WHERE state = 'pending') AS "oldest: SqlTime"
            "#
        )
        .fetch_one(self.pool())
        .await
        .doing("counting what is unfinished")?;
        Ok(Unfinished {
            inbox: counted.inbox,
            queued: counted.queued,
            running: counted.running,
            outbox: counted.outbox,
            parked: counted.parked,
            oldest: counted.oldest.map(Into::into),
        })
    }
}

impl Work {
    /// Opens a request in state `received`, and records `command.received` with its text. It is written when the
    /// work is concluded; what must find its row before that calls [`Work::put_down_request`].
    pub async fn open_request(&mut self, new: NewRequest) -> Result<RequestNumber, Error> {
        let number = match self.number.take() {
            Some(number) => number,
            None => RequestNumber(
                sqlx::query_scalar!(r#"SELECT nextval('requests_number_seq') AS "number!""#)
                    .fetch_one(self.tx()?)
                    .await
                    .doing("drawing a request's number")?,
            ),
        };
        let text = self.content(number, ContentKind::Text, new.text.as_bytes());
        self.append(
            Some(number),
            Some(&new.room),
            Event::CommandReceived {
                sender: new.sender.clone(),
                event_id: new.event_id.clone(),
                door: new.door.clone(),
                claimed_at: new.claimed_at,
                received_at: new.received_at,
                text,
            },
        );
        self.rooms.insert(number, new.room.clone());
        // A work opens one; were there another, it would be written first.
        self.put_down_request().await?;
        self.opening = Some(Opening::new(number, new));
        Ok(number)
    }

    /// The request that an event of this room carried, held until this work ends.
    pub async fn request_by_event(
        &mut self,
        room: &RoomId,
        event: &EventId,
    ) -> Result<Option<Request>, Error> {
        let row = read_request!(
            " WHERE r.event_id = $1 AND r.room_id = $2 FOR NO KEY UPDATE OF r",
            event.as_str(),
            room.as_str()
        )
        .fetch_optional(self.tx()?)
        .await;
        let request: Option<Request> =
            row.doing("looking up a request by its event")?.map(TryInto::try_into).transpose()?;
        if let Some(request) = &request {
            self.rooms.insert(request.number, request.room.clone());
        }
        Ok(request)
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
        if !from.may_become(to) || to == State::Running {
            return Err(Error::NoSuchTransition { from, to });
        }
        if let Some(opening) = self.opening(number) {
            opening.step(from, to)?;
            let room = self.room_of(number).await?;
            self.append(Some(number), room.as_deref(), event);
            return Ok(());
        }
        let ended_at = to.is_terminal().then(|| SqlTime::from(self.now));
        let moved = sqlx::query!(
            "UPDATE requests SET state = $3, ended_at = $4 WHERE number = $1 AND state = $2",
            number.0,
            from.name(),
            to.name(),
            ended_at as _,
        )
        .execute(self.tx()?)
        .await
        .doing("changing a request's state")?
        .rows_affected();
        if moved != 1 {
            return Err(self.moved(number, from, to).await);
        }
        let room = self.room_of(number).await?;
        self.append(Some(number), room.as_deref(), event);
        Ok(())
    }

    /// The error for a guarded update that found the request elsewhere.
    pub(super) async fn moved(&mut self, number: RequestNumber, from: State, to: State) -> Error {
        let tx = match self.tx() {
            Ok(tx) => tx,
            Err(error) => return error,
        };
        let found = sqlx::query_scalar!("SELECT state FROM requests WHERE number = $1", number.0)
            .fetch_optional(tx)
            .await;
        match found {
            Ok(found) => {
                let found = found.unwrap_or_else(|| "not there".to_owned());
                Error::Moved { number, from, to, found }
            }
            Err(source) => Error::sort("looking up a request's state", source),
        }
    }

    /// The room of a request; known without asking where this work opened or read it.
    pub(super) async fn room_of(&mut self, number: RequestNumber) -> Result<Option<OwnedRoomId>, Error> {
        if let Some(room) = self.rooms.get(&number) {
            return Ok(Some(room.clone()));
        }
        let room = sqlx::query_scalar!("SELECT room_id FROM requests WHERE number = $1", number.0)
            .fetch_optional(self.tx()?)
            .await
            .doing("looking up a request's room")?;
        Ok(room.and_then(|room| OwnedRoomId::try_from(room).ok()))
    }
}
