//! A piece of work, held by a database transaction until it is concluded.

use std::collections::HashMap;

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedRoomId, RoomId};
use sqlx::{PgConnection, Postgres, Transaction};

use super::{
    Arrival, ContentKind, Error, InboxRow, OutboxDraft, OutboxRow, Request, Storage, arriving::Arriving,
    error::Doing as _, inbox::enqueue, opening::Opening, sheaf::Sheaf,
};
use crate::model::{Commitment, Event, RequestNumber, Timestamp};

/// From this many failures on, work is to be concluded without trying it again.
const POISON: i32 = 3;
/// At this many failures even that did not succeed, and the work is passed over: a lane must not stand still.
pub const PASSED: i32 = 6;

/// A claimed piece of work: a row of the inbox, or a queued request whose lock is free.
///
/// What its methods write is seen by nobody until [`Work::done`] (or [`Work::done_starting`]) commits
/// it, all at once. Dropped without that, nothing happened, and the work is there to be claimed again.
#[must_use = "work that is dropped is claimed again"]
pub struct Work {
    pub(super) storage: Storage,
    pub(super) held: Held,
    pub(super) subject: Subject,
    pub(super) now: Timestamp,
    pub(super) sheaf: Sheaf,
    /// The rooms of the requests that this work opened or read.
    pub(super) rooms: HashMap<RequestNumber, OwnedRoomId>,
    /// The keys of the rooms that it looked at.
    pub(super) keys: HashMap<OwnedRoomId, String>,
    /// The number of the request that it opens next, where that was drawn already.
    pub(super) number: Option<RequestNumber>,
    /// The request that it has opened, until that is written.
    pub(super) opening: Option<Opening>,
    /// Whether it leaves a request queued, whose lock may be free when this is committed.
    pub(super) leaves_queued: bool,
    failures: i32,
}

/// What holds the work.
pub(super) enum Held {
    /// A database transaction, with the locks of what was claimed.
    Claimed(Transaction<'static, Postgres>),
    /// Nothing yet: its event is not even in the inbox, and gets there in the statement that concludes the work.
    Arriving(Box<Arriving>),
}

/// What was claimed.
#[derive(Debug)]
pub(super) enum Subject {
    Row(InboxRow),
    Queued(Box<Request>),
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl Work {
    pub(super) fn new(
        storage: Storage,
        tx: Transaction<'static, Postgres>,
        subject: Subject,
        failures: i32,
    ) -> Self {
        Self { failures, ..Self::hold(storage, Held::Claimed(tx), subject) }
    }

    /// Work on something, held in one way or the other.
    pub(super) fn hold(storage: Storage, held: Held, subject: Subject) -> Self {
        let now = storage.now();
        let mut rooms = HashMap::new();
        if let Subject::Queued(request) = &subject {
            rooms.insert(request.number, request.room.clone());
        }
        Self {
            storage,
            held,
            subject,
            now,
            sheaf: Sheaf::default(),
            rooms,
            keys: HashMap::new(),
            number: None,
            opening: None,
            leaves_queued: false,
            failures: 0,
        }
    }

    /// The transaction of this work. An event that is only arriving has none: it goes through the inbox then.
    pub(super) fn tx(&mut self) -> Result<&mut PgConnection, Error> {
        match &mut self.held {
            Held::Claimed(tx) => Ok(tx),
            Held::Arriving(_) => Err(Error::NotAlone),
        }
    }

    /// The row of the inbox, where this is one.
    pub const fn row(&self) -> Option<&InboxRow> {
        match &self.subject {
            Subject::Row(row) => Some(row),
            Subject::Queued(_) => None,
        }
    }

    /// The queued request, where this is one: to be decided anew, then started.
    pub fn queued(&self) -> Option<&Request> {
        match &self.subject {
            Subject::Row(_) => None,
            Subject::Queued(request) => Some(request),
        }
    }

    /// Whether this work failed three times for a reason other than the database: conclude it without
    /// trying it again (`command.unprocessable`, an answer, [`Work::done`]).
    pub const fn is_poisoned(&self) -> bool {
        self.failures >= POISON
    }

    /// The time of everything that this work writes.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Keeps bytes that may have to be erased one day, and gives what an entry may say of them.
    pub fn content(&mut self, number: RequestNumber, kind: ContentKind, bytes: &[u8]) -> Commitment {
        self.sheaf.content(&self.storage, number, kind, bytes)
    }

    /// Records an entry.
    pub fn append(&mut self, request: Option<RequestNumber>, room: Option<&RoomId>, event: Event) {
        self.sheaf.append(request, room, event);
    }

    /// Has a message sent.
    pub fn send(&mut self, draft: OutboxDraft) {
        self.sheaf.send(draft);
    }

    /// Concludes the work: one commit. Gives the messages that were written, leased to this process, to
    /// be sent at once.
    pub async fn done(mut self) -> Result<Vec<OutboxRow>, Error> {
        let messages = self.write().await?;
        if let Held::Claimed(tx) = self.held {
            tx.commit().await.doing("committing a decision")?;
        }
        if self.leaves_queued {
            self.storage.inner.bell.look_at_queue();
        }
        Ok(messages)
    }

    /// Writes what was gathered. For claimed work that is not its commit; for an event that is arriving it is.
    pub(super) async fn write(&mut self) -> Result<Vec<OutboxRow>, Error> {
        let row = self.row().map(|row| row.id);
        let sheaf = std::mem::take(&mut self.sheaf);
        match (&mut self.held, &self.opening) {
            (Held::Claimed(tx), None) => sheaf.write(&self.storage, tx, self.now, row).await,
            (Held::Claimed(tx), Some(opening)) => {
                sheaf.write_opening(&self.storage, tx, self.now, row, opening).await
            }
            (Held::Arriving(arriving), Some(opening)) => {
                sheaf.write_arriving(&self.storage, self.now, arriving, opening).await
            }
            // Nothing was asked: it takes the way of everything else.
            (Held::Arriving(_), None) => Err(Error::NotAlone),
        }
    }

    /// Rolls everything back and counts the failure, in a commit of its own. Not for a database that is
    /// away: then drop the work and wait. Gives the number of failures so far; from the third on the
    /// work comes back as poisoned, and after the sixth it is passed over and recorded here.
    pub async fn failed(self, reason: &str) -> Result<i32, Error> {
        let (storage, ticket) = (self.storage.clone(), self.ticket());
        match self.held {
            Held::Claimed(tx) => tx.rollback().await.doing("counting a failure")?,
            Held::Arriving(_) => return Err(Error::NotAlone),
        }
        storage.count_failure(&ticket, reason).await
    }

    /// What names this work after it was dropped: for [`Storage::count_failure`].
    pub fn ticket(&self) -> Ticket {
        Ticket(match &self.subject {
            Subject::Row(row) => Subject::Row(InboxRow { raw: Vec::new(), ..row.clone() }),
            Subject::Queued(request) => Subject::Queued(request.clone()),
        })
    }

    /// Puts a further row into the inbox, in this work's commit: what somebody said with one command in
    /// the place of several. A row that is there already is not put there again.
    pub async fn enqueue(&mut self, arrival: &Arrival) -> Result<(), Error> {
        let now = self.now;
        enqueue(self.tx()?, arrival, now).await
    }
}

/// Names a piece of work that was dropped by an error.
#[derive(Debug)]
pub struct Ticket(Subject);

impl Ticket {
    /// The room it belongs to, and what names it there: its event's id, or its request's number.
    pub fn place(&self) -> Option<(OwnedRoomId, String)> {
        match &self.0 {
            Subject::Row(row) => Some((row.lane.as_str().try_into().ok()?, row.external_id.clone())),
            Subject::Queued(request) => Some((request.room.clone(), request.number.to_string())),
        }
    }
}

impl Storage {
    /// As [`Work::failed`], for work that is dropped already.
    pub async fn count_failure(&self, ticket: &Ticket, reason: &str) -> Result<i32, Error> {
        const DOING: &str = "counting a failure";
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let (failures, identity, request, room) = match &ticket.0 {
            Subject::Row(row) => {
                let failures = sqlx::query_scalar!(
                    "UPDATE inbox SET failures = failures + 1, reason = $2,
                            state = CASE WHEN failures + 1 >= $3 THEN 'passed' ELSE state END,
                            done_at = CASE WHEN failures + 1 >= $3 THEN $4::timestamptz END
                     WHERE id = $1 AND state = 'pending'
                     RETURNING failures",
                    row.id,
                    reason,
                    PASSED,
                    SqlTime::from(now) as _,
                )
                .fetch_optional(&mut *tx)
                .await
                .doing(DOING)?;
                let room = OwnedRoomId::try_from(row.lane.as_str()).ok();
                (failures, row.external_id.clone(), None, room)
            }
            Subject::Queued(request) => {
                let failures = sqlx::query_scalar!(
                    "UPDATE requests SET failures = failures + 1,
                            state = CASE WHEN failures + 1 >= $2 THEN 'refused' ELSE state END,
                            ended_at = CASE WHEN failures + 1 >= $2 THEN $3::timestamptz END
                     WHERE number = $1 AND state = 'queued'
                     RETURNING failures",
                    request.number.0,
                    PASSED,
                    SqlTime::from(now) as _,
                )
                .fetch_optional(&mut *tx)
                .await
                .doing(DOING)?;
                let identity =
                    request.event_id.as_ref().map_or_else(|| request.number.to_string(), ToString::to_string);
                (failures, identity, Some(request.number), Some(request.room.clone()))
            }
        };
        // Not there any more: somebody else has concluded it.
        let failures = failures.unwrap_or_default();
        if failures >= PASSED {
            let mut sheaf = Sheaf::default();
            let event = Event::CommandUnprocessable { external_id: identity, reason: reason.to_owned() };
            sheaf.append(request, room.as_deref(), event);
            sheaf.write(self, &mut tx, now, None).await?;
        }
        tx.commit().await.doing(DOING)?;
        self.inner.bell.ring();
        Ok(failures)
    }
}
