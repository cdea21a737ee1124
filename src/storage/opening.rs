//! A request that a work has opened: gathered step by step, and written once, in the state that it has reached.
//!
//! Whoever asks waits for each statement, so the receipt, the decision and the start of a request that waits for
//! nothing are one: the row is inserted together with its entries, contents and messages.

use jiff_sqlx::Timestamp as SqlTime;
use uuid::Uuid;

use super::{Error, NewRequest, Work, error::Doing as _};
use crate::{
    model::{AttemptId, Digest, Invocation, RequestNumber, State, Timestamp},
    policy::Permit,
};

/// A request that is not written yet.
#[derive(Debug)]
pub(super) struct Opening {
    pub number: RequestNumber,
    pub new: NewRequest,
    pub state: State,
    pub bound: Option<Bound>,
    pub attempt: Option<Attempted>,
}

/// What it was bound to by the rules' permission.
#[derive(Debug)]
pub(super) struct Bound {
    pub command: String,
    pub subject: Option<String>,
    pub invocation: Vec<u8>,
    pub digest: Digest,
    pub rules: Digest,
    pub ops: Digest,
    pub lock: Option<String>,
}

/// Its attempt; of a built-in command also how it ended.
#[derive(Debug)]
pub(super) struct Attempted {
    pub id: AttemptId,
    pub executor: &'static str,
    pub ending: Option<String>,
}

impl Opening {
    /// A request as it arrived.
    pub(super) const fn new(number: RequestNumber, new: NewRequest) -> Self {
        Self { number, new, state: State::Received, bound: None, attempt: None }
    }

    /// Takes it from one state to another, if it is there and the table has the step.
    pub(super) fn step(&mut self, from: State, to: State) -> Result<(), Error> {
        if self.state != from {
            let found = self.state.name().to_owned();
            return Err(Error::Moved { number: self.number, from, to, found });
        }
        if !from.may_become(to) {
            return Err(Error::NoSuchTransition { from, to });
        }
        self.state = to;
        Ok(())
    }

    /// As the columns of its row and of its attempt's.
    pub(super) fn columns(&self, now: Timestamp) -> Columns<'_> {
        let bound = self.bound.as_ref();
        let attempt = self.attempt.as_ref();
        let ending = attempt.and_then(|attempt| attempt.ending.as_deref());
        Columns {
            number: self.number.0,
            state: self.state.name(),
            door: &self.new.door,
            sender: self.new.sender.as_str(),
            room_id: self.new.room.as_str(),
            event_id: self.new.event_id.as_ref().map(|id| id.as_str()),
            thread_root: self.new.thread_root.as_ref().map(|id| id.as_str()),
            claimed_at: self.new.claimed_at.into(),
            received_at: self.new.received_at.into(),
            command: bound.map(|bound| bound.command.as_str()),
            subject: bound.and_then(|bound| bound.subject.as_deref()),
            invocation: bound.map(|bound| bound.invocation.as_slice()),
            digest: bound.map(|bound| &bound.digest.as_bytes()[..]),
            rules: bound.map(|bound| &bound.rules.as_bytes()[..]),
            ops: bound.map(|bound| &bound.ops.as_bytes()[..]),
            lock: bound.and_then(|bound| bound.lock.as_deref()),
            attempt: attempt.map(|attempt| attempt.id.0),
            executor: attempt.map(|attempt| attempt.executor),
            ending,
            ended_at: self.state.is_terminal().then(|| now.into()),
        }
    }
}

/// An [`Opening`] as columns.
pub(super) struct Columns<'a> {
    pub number: i64,
    pub state: &'a str,
    pub door: &'a str,
    pub sender: &'a str,
    pub room_id: &'a str,
    pub event_id: Option<&'a str>,
    pub thread_root: Option<&'a str>,
    pub claimed_at: SqlTime,
    pub received_at: SqlTime,
    pub command: Option<&'a str>,
    pub subject: Option<&'a str>,
    pub invocation: Option<&'a [u8]>,
    pub digest: Option<&'a [u8]>,
    pub rules: Option<&'a [u8]>,
    pub ops: Option<&'a [u8]>,
    pub lock: Option<&'a str>,
    pub attempt: Option<Uuid>,
    pub executor: Option<&'a str>,
    pub ending: Option<&'a str>,
    pub ended_at: Option<SqlTime>,
}

impl Work {
    /// Writes the request that this work has opened, if it is not written yet: for what must find its row within
    /// the work's own transaction.
    pub async fn put_down_request(&mut self) -> Result<(), Error> {
        if self.opening.is_none() {
            return Ok(());
        }
        // The transaction first: without one the request stays as it is.
        self.tx()?;
        let Some(opening) = self.opening.take() else { return Ok(()) };
        let c = opening.columns(self.now);
        if c.attempt.is_some() {
            // Its attempt is written with it, by the statement that concludes the work.
            let reason = format!("request {} was started and is to be changed again", opening.number);
            return Err(Error::Unreadable { what: "a work", reason });
        }
        sqlx::query!(
            "INSERT INTO requests (number, state, door, sender, room_id, event_id, thread_root, claimed_at, received_at,
                                   command, subject, invocation, invocation_digest, rules, ops, lock, ended_at)
             OVERRIDING SYSTEM VALUE
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            c.number,
            c.state,
            c.door,
            c.sender,
            c.room_id,
            c.event_id,
            c.thread_root,
            c.claimed_at as _,
            c.received_at as _,
            c.command,
            c.subject,
            c.invocation,
            c.digest,
            c.rules,
            c.ops,
            c.lock,
            c.ended_at as _,
        )
        .execute(self.tx()?)
        .await
        .doing("opening a request")?;
        Ok(())
    }

    /// The request of this number, where this work has opened it and it is not written yet.
    pub(super) fn opening(&mut self, number: RequestNumber) -> Option<&mut Opening> {
        self.opening.as_mut().filter(|opening| opening.number == number)
    }

    /// Binds a request that is not written yet, as the statement for one that is: the person and the room must be
    /// those of the permit.
    pub(super) fn bind_opening(
        &mut self,
        number: RequestNumber,
        permit: &Permit,
        invocation: &Invocation,
        json: &[u8],
        ops: Digest,
        lock: Option<&str>,
    ) -> Result<(), Error> {
        let Self { opening: Some(opening), keys, .. } = self else {
            return Err(Error::ForeignPermit { number });
        };
        let key = keys.get(&opening.new.room).map(String::as_str);
        if permit.principal() != opening.new.sender || key != Some(permit.room()) {
            return Err(Error::ForeignPermit { number });
        }
        if opening.state != State::Queued {
            opening.step(State::Received, State::Queued)?;
        }
        opening.bound = Some(Bound {
            command: invocation.command.clone(),
            subject: invocation.subject.clone(),
            invocation: json.to_owned(),
            digest: permit.invocation_digest(),
            rules: permit.rules(),
            ops,
            lock: lock.map(ToOwned::to_owned),
        });
        Ok(())
    }

    /// As [`Work::enter_running`], for a request that is not written yet and needs no lock.
    pub(super) fn start_opening(
        &mut self,
        number: RequestNumber,
        permit: &Permit,
        attempt: AttemptId,
        executor: &'static str,
    ) -> Result<(), Error> {
        let Some(opening) = self.opening(number) else { return Err(Error::ForeignPermit { number }) };
        // The permit must be for what was recorded: person, invocation, rules.
        let is_for = opening.bound.as_ref().is_some_and(|bound| {
            permit.principal() == opening.new.sender
                && bound.digest == permit.invocation_digest()
                && bound.rules == permit.rules()
        });
        if !is_for && opening.state == State::Queued {
            return Err(Error::ForeignPermit { number });
        }
        opening.step(State::Queued, State::Running)?;
        opening.attempt = Some(Attempted { id: attempt, executor, ending: None });
        self.leaves_queued = false;
        Ok(())
    }
}
