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
    Unreadable(Unreadable),
}

/// A queued request that this version cannot read: another wrote it, or somebody has changed it by hand.
#[derive(Debug, Clone)]
pub(super) struct Unreadable {
    pub(super) number: RequestNumber,
    pub(super) room: String,
    pub(super) event_id: Option<String>,
    pub(super) reason: String,
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
            Subject::Queued(_) | Subject::Unreadable(_) => None,
        }
    }

    /// The queued request, where this is one: to be decided anew, then started.
    pub fn queued(&self) -> Option<&Request> {
        match &self.subject {
            Subject::Row(_) | Subject::Unreadable(_) => None,
            Subject::Queued(request) => Some(request),
        }
    }

    /// Why nothing can be done with it, where it is a queued request that cannot be read: it is to be counted as failed,
    /// and so is set aside.
    pub fn unreadable(&self) -> Option<Error> {
        match &self.subject {
            Subject::Unreadable(it) => {
                Some(Error::Unreadable { what: "a queued request", reason: it.reason.clone() })
            }
            Subject::Row(_) | Subject::Queued(_) => None,
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
        match &self.subject {
            Subject::Row(row) => Ticket {
                of: Of::Row(row.id),
                room: row.lane.as_str().try_into().ok(),
                external_id: row.external_id.clone(),
            },
            Subject::Queued(request) => Ticket {
                of: Of::Request(request.number),
                room: Some(request.room.clone()),
                external_id: request
                    .event_id
                    .as_ref()
                    .map_or_else(|| request.number.to_string(), ToString::to_string),
            },
            Subject::Unreadable(it) => Ticket {
                of: Of::Request(it.number),
                room: it.room.as_str().try_into().ok(),
                external_id: it.event_id.clone().unwrap_or_else(|| it.number.to_string()),
            },
        }
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
pub struct Ticket {
    of: Of,
    /// The room it belongs to, if it is one.
    room: Option<OwnedRoomId>,
    /// Its event's id; its request's number where it has none.
    external_id: String,
}

#[derive(Debug, Clone, Copy)]
enum Of {
    /// A row of the inbox.
    Row(i64),
    /// A queued request.
    Request(RequestNumber),
}

impl Ticket {
    /// The room it belongs to, and what names it there: its event's id, or its request's number.
    pub fn place(&self) -> Option<(OwnedRoomId, String)> {
        let name = match self.of {
            Of::Row(_) => self.external_id.clone(),
            Of::Request(number) => number.to_string(),
        };
        Some((self.room.clone()?, name))
    }
}

impl Storage {
    /// As [`Work::failed`], for work that is dropped already.
    pub async fn count_failure(&self, ticket: &Ticket, reason: &str) -> Result<i32, Error> {
        const DOING: &str = "counting a failure";
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let (failures, request) = match ticket.of {
            Of::Row(id) => {
                let failures = sqlx::query_scalar!(
                    "UPDATE inbox SET failures = failures + 1, reason = $2,
                            state = CASE WHEN failures + 1 >= $3 THEN 'passed' ELSE state END,
                            done_at = CASE WHEN failures + 1 >= $3 THEN $4::timestamptz END
                     WHERE id = $1 AND state = 'pending'
                     RETURNING failures",
                    id,
                    reason,
                    PASSED,
                    SqlTime::from(now) as _,
                )
                .fetch_optional(&mut *tx)
                .await
                .doing(DOING)?;
                (failures, None)
            }
            Of::Request(number) => {
                let failures = sqlx::query_scalar!(
                    "UPDATE requests SET failures = failures + 1,
                            state = CASE WHEN failures + 1 >= $2 THEN 'refused' ELSE state END,
                            ended_at = CASE WHEN failures + 1 >= $2 THEN $3::timestamptz END
                     WHERE number = $1 AND state = 'queued'
                     RETURNING failures",
                    number.0,
                    PASSED,
                    SqlTime::from(now) as _,
                )
                .fetch_optional(&mut *tx)
                .await
                .doing(DOING)?;
                (failures, Some(number))
            }
        };
        // Not there any more: somebody else has concluded it.
        let failures = failures.unwrap_or_default();
        if failures >= PASSED {
            let mut sheaf = Sheaf::default();
            let event = Event::CommandUnprocessable {
                external_id: ticket.external_id.clone(),
                reason: reason.to_owned(),
            };
            sheaf.append(request, ticket.room.as_deref(), event);
            sheaf.write(self, &mut tx, now, None).await?;
        }
        tx.commit().await.doing(DOING)?;
        self.inner.bell.ring();
        Ok(failures)
    }
}
