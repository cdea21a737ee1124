//! From a permit to a warrant: the one place where a start is recorded, and where it becomes allowed.
//!
//! ```compile_fail,E0451
//! // A warrant cannot be made up,
//! use quarterdeck::storage::Warrant;
//! fn make(warrant: Warrant) -> Warrant {
//!     Warrant { attempt: warrant.attempt(), number: warrant.number(), command: todo!(), invocation: todo!(), by: todo!(), room: todo!() }
//! }
//! ```
//! ```compile_fail,E0599
//! // nor used twice,
//! use quarterdeck::storage::Warrant;
//! fn twice(warrant: &Warrant) -> Warrant {
//!     Warrant::clone(warrant)
//! }
//! ```
//! ```compile_fail,E0616
//! // nor taken out of a start that is not committed.
//! use quarterdeck::storage::{PendingWarrant, Warrant};
//! fn early(pending: PendingWarrant) -> Warrant {
//!     pending.warrant
//! }
//! ```

use std::sync::Arc;

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedUserId, UserId};

use super::{
    ContentKind, Error, OutboxRow, Work, error::Doing as _, opening::Attempted, read_back::read_back,
    work::Held,
};
use crate::{
    catalogue::Command,
    model::{
        AttemptId, Digest, Event, InParts, Invocation, Outcome, RequestNumber, Sandbox, State, fault::Point,
    },
    policy::Permit,
};

/// Leave to start exactly one process: it exists only if the commit that recorded its attempt is
/// confirmed. The executor uses it up.
#[must_use = "a warrant that is dropped leaves a request running without a run"]
#[derive(Debug)]
pub struct Warrant {
    attempt: AttemptId,
    number: RequestNumber,
    command: Arc<Command>,
    invocation: Invocation,
    by: OwnedUserId,
    room: String,
}

impl Warrant {
    /// The attempt that was recorded.
    pub const fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The request.
    pub const fn number(&self) -> RequestNumber {
        self.number
    }

    /// What is to be run.
    pub const fn command(&self) -> &Arc<Command> {
        &self.command
    }

    /// With which arguments.
    pub const fn invocation(&self) -> &Invocation {
        &self.invocation
    }

    /// For whom: whom the rules permitted it.
    pub fn by(&self) -> &UserId {
        &self.by
    }

    /// The key of the room that it was asked in.
    pub fn room(&self) -> &str {
        &self.room
    }
}

/// A start that is written and not yet committed. Only [`Work::done_starting`] makes a warrant of it.
#[must_use = "nothing starts until the work is done with it"]
#[derive(Debug)]
pub struct PendingWarrant {
    warrant: Warrant,
}

impl PendingWarrant {
    /// The attempt that is to be recorded.
    pub const fn attempt(&self) -> AttemptId {
        self.warrant.attempt
    }

    /// The request.
    pub const fn number(&self) -> RequestNumber {
        self.warrant.number
    }

    /// What would be run.
    pub const fn command(&self) -> &Arc<Command> {
        &self.warrant.command
    }

    /// With which arguments.
    pub const fn invocation(&self) -> &Invocation {
        &self.warrant.invocation
    }
}

/// What came of the wish to start.
#[must_use = "a start that is not carried on starts nothing"]
#[derive(Debug)]
pub enum Start {
    /// Written: conclude the work with [`Work::done_starting`].
    Pending(PendingWarrant),
    /// The lock is taken, or others have waited for it longer: the request stays queued, and comes back
    /// as work when it is free. Nothing was written; record `run.queued`, answer, conclude.
    Busy {
        /// The lock.
        lock: String,
    },
}

/// What a concluded work with a start gives.
#[must_use = "the warrant is what may be run"]
#[derive(Debug)]
pub struct Started {
    /// The warrant; `None` where the commit turned out not to have happened: the work is there to be
    /// claimed again.
    pub warrant: Option<Warrant>,
    /// The messages that were written, leased to this process.
    pub messages: Vec<OutboxRow>,
}

impl Work {
    /// Records that the rules permit an invocation: `received -> queued`, with what was decided under
    /// which versions, and `command.permitted`. A request that is queued already is decided anew so, and one
    /// that waited for somebody's word and has it waits no longer.
    /// `ops` is the ops folder's digest, `lock` the command's lock with its arguments filled in.
    pub async fn permitted(
        &mut self,
        number: RequestNumber,
        permit: &Permit,
        invocation: &Invocation,
        ops: Digest,
        lock: Option<&str>,
    ) -> Result<(), Error> {
        if !permit.is_for(invocation) {
            return Err(Error::ForeignPermit { number });
        }
        let json = serde_json::to_vec(invocation)
            .map_err(|error| Error::Unreadable { what: "an invocation", reason: error.to_string() })?;
        let (digest, rules) = (permit.invocation_digest(), permit.rules());
        // Whose permit it is can be told without a statement where this work has looked at the room.
        let room = self.opening(number).map(|opening| opening.new.room.clone());
        if room.is_some_and(|room| !self.keys.contains_key(&room)) {
            self.put_down_request().await?;
        }
        if self.opening(number).is_some() {
            self.bind_opening(number, permit, invocation, &json, ops, lock)?;
        } else {
            let bound = sqlx::query_scalar!(
                // The person and the room must be those of the permit as well.
                "UPDATE requests SET state = 'queued', command = $4, subject = $5, invocation = $6,
                    invocation_digest = $7, rules = $8, ops = $9, lock = $10
             WHERE number = $1 AND sender = $2
               AND state IN ('received', 'awaiting_confirmation', 'awaiting_approval', 'queued')
               AND room_id = (SELECT room_id FROM rooms WHERE key = $3)
             RETURNING number",
                number.0,
                permit.principal().as_str(),
                permit.room(),
                invocation.command,
                invocation.subject,
                json,
                digest.as_bytes(),
                rules.as_bytes(),
                ops.as_bytes(),
                lock,
            )
            .fetch_optional(self.tx()?)
            .await
            .doing("recording a permission")?;
            if bound.is_none() {
                return Err(match self.moved(number, State::Received, State::Queued).await {
                    Error::Moved { found, .. }
                        if ["received", "awaiting_confirmation", "awaiting_approval", "queued"]
                            .contains(&&*found) =>
                    {
                        Error::ForeignPermit { number }
                    }
                    other => other,
                });
            }
        }
        self.leaves_queued = true;
        let event = Event::CommandPermitted {
            command: invocation.command.clone(),
            subject: invocation.subject.clone(),
            dry: invocation.dry,
            invocation: self.content(number, ContentKind::Invocation, &json),
            inputs: self.content(number, ContentKind::Inputs, permit.inputs().as_str().as_bytes()),
            policies: permit.policies().to_vec(),
            rules: permit.rules(),
            elevated: permit.elevated().to_vec(),
        };
        let room = self.room_of(number).await?;
        self.append(Some(number), room.as_deref(), event);
        Ok(())
    }

    /// Uses up a permit: `queued -> running` with a fresh attempt and the lock, and `run.started`. What
    /// was recorded by [`Work::permitted`] must be what the permit is for.
    pub async fn start(
        &mut self,
        permit: Permit,
        number: RequestNumber,
        command: Arc<Command>,
        invocation: Invocation,
    ) -> Result<Start, Error> {
        if !permit.is_for(&invocation)
            || (&invocation.command, invocation.dry) != (&command.name, command.is_dry)
        {
            return Err(Error::ForeignPermit { number });
        }
        let attempt = AttemptId(self.storage.inner.random.uuid());
        let (by, room) = (permit.principal().to_owned(), permit.room().to_owned());
        let executor = command.run.kind.name();
        // Whether a lock is free is not known without looking, and the look must find the request.
        if self
            .opening(number)
            .is_some_and(|opening| opening.bound.as_ref().is_some_and(|it| it.lock.is_some()))
        {
            self.put_down_request().await?;
        }
        if self.opening(number).is_some() {
            self.start_opening(number, &permit, attempt, executor)?;
        } else if let Some(lock) = self.enter_running(&permit, number, attempt, executor).await? {
            return Ok(Start::Busy { lock });
        }
        let secrets = command.run.kind.secrets().into_iter().map(str::to_owned).collect();
        self.append_start(number, attempt, executor, secrets, command.run.kind.sandbox()).await?;
        let warrant = Warrant { attempt, number, command, invocation, by, room };
        Ok(Start::Pending(PendingWarrant { warrant }))
    }

    /// Uses up a permit for a built-in, whose outcome is known at once: its start and its end are
    /// recorded in the commit of its decision, with what was answered.
    pub async fn conclude(
        &mut self,
        permit: Permit,
        number: RequestNumber,
        outcome: &Outcome,
        kept: Option<&[u8]>,
    ) -> Result<(), Error> {
        const DOING: &str = "concluding a built-in command";
        let to = outcome.state();
        let attempt = AttemptId(self.storage.inner.random.uuid());
        let executor = "builtin";
        let ending = serde_json::to_string(&outcome.ending)
            .map_err(|error| Error::Unreadable { what: "an outcome", reason: error.to_string() })?;
        if self.opening(number).is_some() {
            self.start_opening(number, &permit, attempt, executor)?;
            if let Some(opening) = self.opening(number) {
                opening.step(State::Running, to)?;
                opening.attempt = Some(Attempted { id: attempt, executor, ending: Some(ending) });
            }
            return self.append_end(number, attempt, executor, outcome, kept).await;
        }
        if let Some(lock) = self.enter_running(&permit, number, attempt, executor).await? {
            return Err(Error::Unreadable {
                what: "a built-in command",
                reason: format!("it waits for lock {lock}, and built-in commands have none"),
            });
        }
        let ended = sqlx::query!(
            "WITH over AS (
                UPDATE attempts SET ended_at = $4, ending = $5, concluded_by = boot WHERE id = $2
             )
             UPDATE requests SET state = $3, ended_at = $4 WHERE number = $1 AND attempt = $2 AND state = 'running'",
            number.0,
            attempt.0,
            to.name(),
            SqlTime::from(self.now) as _,
            ending,
        )
        .execute(self.tx()?)
        .await
        .doing(DOING)?
        .rows_affected();
        if ended != 1 {
            return Err(self.moved(number, State::Running, to).await);
        }
        self.append_end(number, attempt, executor, outcome, kept).await
    }

    /// The entries of a start and of its end at once.
    async fn append_end(
        &mut self,
        number: RequestNumber,
        attempt: AttemptId,
        executor: &str,
        outcome: &Outcome,
        kept: Option<&[u8]>,
    ) -> Result<(), Error> {
        self.append_start(number, attempt, executor, Vec::new(), None).await?;
        let kept = kept.map(|bytes| self.content(number, ContentKind::Output, bytes));
        let Outcome { ending, took_ms, output } = outcome.clone();
        let event = Event::RunFinished { attempt, ending, took_ms, output, kept, parts: InParts::default() };
        let room = self.room_of(number).await?;
        self.append(Some(number), room.as_deref(), event);
        Ok(())
    }

    /// The guarded transition to `running`, with its attempt and its lock. Gives the lock where it is
    /// taken or others have waited for it longer; nothing is written then.
    async fn enter_running(
        &mut self,
        permit: &Permit,
        number: RequestNumber,
        attempt: AttemptId,
        executor: &str,
    ) -> Result<Option<String>, Error> {
        const DOING: &str = "recording a start";
        let (digest, rules) = (permit.invocation_digest(), permit.rules());
        let found = sqlx::query!(
            r#"
            WITH asked AS (
                -- The permit must be for what was recorded: person, invocation, rules.
                SELECT number, lock FROM requests
                WHERE number = $1 AND state = 'queued' AND attempt IS NULL AND sender = $2
                  AND invocation_digest = $3 AND rules = $4
                FOR NO KEY UPDATE
            ), allowed AS (
                SELECT number, lock FROM asked
                WHERE (lock IS NULL OR (
                    NOT EXISTS (SELECT FROM locks WHERE name = asked.lock)
                    AND NOT EXISTS (SELECT FROM requests earlier WHERE earlier.state = 'queued'
                                    AND earlier.lock = asked.lock AND earlier.number < asked.number)))
                  -- A boot that was declared dead starts nothing more: nobody would look after it.
                  AND EXISTS (SELECT FROM instances WHERE boot = $6 AND ended_at IS NULL)
            ), locked AS (
                -- Somebody who takes it at this moment is waited for.
                INSERT INTO locks (name, request, attempt, taken_at)
                SELECT lock, number, $5, $8 FROM allowed WHERE lock IS NOT NULL
                ON CONFLICT (name) DO NOTHING
                RETURNING request
            ), free AS (
                SELECT number FROM allowed WHERE lock IS NULL OR EXISTS (SELECT FROM locked)
            ), tried AS (
                INSERT INTO attempts (id, request, boot, executor, started_at)
                SELECT $5, number, $6, $7, $8 FROM free
                RETURNING id
            ), running AS (
                UPDATE requests SET state = 'running', attempt = $5
                WHERE number = (SELECT number FROM free) AND state = 'queued'
                RETURNING number
            )
            SELECT a.lock, EXISTS (SELECT FROM running) AS "running!" FROM asked a
            "#,
            number.0,
            permit.principal().as_str(),
            digest.as_bytes(),
            rules.as_bytes(),
            attempt.0,
            self.storage.boot().0,
            executor,
            SqlTime::from(self.now) as _,
        )
        .fetch_optional(self.tx()?)
        .await
        .doing(DOING)?;
        match found {
            Some(row) if row.running => {
                self.leaves_queued = false;
                Ok(None)
            }
            Some(row) => Ok(Some(row.lock.unwrap_or_else(|| "another server".to_owned()))),
            None => Err(match self.moved(number, State::Queued, State::Running).await {
                Error::Moved { found, .. } if found == State::Queued.name() => {
                    Error::ForeignPermit { number }
                }
                other => other,
            }),
        }
    }

    async fn append_start(
        &mut self,
        number: RequestNumber,
        attempt: AttemptId,
        executor: &str,
        secrets: Vec<String>,
        sandbox: Option<&Sandbox>,
    ) -> Result<(), Error> {
        let boot = self.storage.boot();
        let event = Event::RunStarted {
            attempt,
            boot,
            executor: executor.to_owned(),
            secrets,
            sandbox: sandbox.cloned(),
        };
        let room = self.room_of(number).await?;
        self.append(Some(number), room.as_deref(), event);
        Ok(())
    }

    /// Concludes the work with a start: one commit. Where the commit's answer is lost, it is read back
    /// until the database answers, however long that takes: only if our own attempt stands there, there
    /// is a warrant.
    pub async fn done_starting(mut self, pending: PendingWarrant) -> Result<Started, Error> {
        let PendingWarrant { warrant } = pending;
        if matches!(self.held, Held::Arriving(_)) {
            return self.done_arriving(warrant).await;
        }
        let messages = self.write().await?;
        Point::BeforeDecisionCommit.pass();
        let Self { storage, held: Held::Claimed(tx), subject, .. } = self else {
            return Err(Error::NotAlone);
        };
        let started = match tx.commit().await.doing("committing a start") {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(number = %warrant.number, attempt = %warrant.attempt, %error,
                    "the answer to the commit of a start was lost; reading it back");
                read_back(&storage, &subject, warrant.attempt).await
            }
        };
        Point::AfterDecisionCommit.pass();
        if started {
            Ok(Started { warrant: Some(warrant), messages })
        } else {
            // What it was to start is there to be claimed again.
            storage.inner.bell.ring();
            Ok(Started { warrant: None, messages: Vec::new() })
        }
    }

    /// The same for an event that is arriving: inbox, decision and start are one statement, which is its own commit.
    async fn done_arriving(mut self, warrant: Warrant) -> Result<Started, Error> {
        Point::BeforeDecisionCommit.pass();
        let messages = match self.write().await {
            Ok(messages) => messages,
            Err(error) if error.is_lost() => {
                tracing::warn!(number = %warrant.number, attempt = %warrant.attempt, %error,
                    "the answer to the commit of a start was lost; reading it back");
                let Held::Arriving(arriving) = &self.held else { return Err(error) };
                if !arriving.stands(&self.storage, warrant.attempt).await {
                    // It is in the inbox now, to be claimed.
                    return Err(Error::NotAlone);
                }
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        Point::AfterDecisionCommit.pass();
        Ok(Started { warrant: Some(warrant), messages })
    }
}
