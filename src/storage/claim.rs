//! Claiming work: a lane with its oldest row, or a queued request whose lock is free.

use jiff_sqlx::Timestamp as SqlTime;
use sqlx::{Postgres, Transaction};

use super::{
    Error, Request, Storage, Work,
    error::Doing as _,
    requests::{RequestColumns, read_request},
    work::{Subject, Unreadable},
};
use crate::model::{RequestNumber, Timestamp};

const DOING: &str = "claiming work";

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
        let mut tx = self.begin(DOING).await?;
        let mut claimed = None;
        if wanted == Wanted::Anything && self.inner.bell.is_queue_due() {
            claimed = queued(&mut tx).await.inspect_err(|_| self.inner.bell.look_at_queue())?;
            if claimed.is_some() {
                self.inner.bell.look_at_queue();
            }
        }
        if claimed.is_none() {
            claimed = row(&mut tx).await?;
        }
        let Some((subject, failures)) = claimed else {
            tx.rollback().await.doing(DOING)?;
            return Ok(None);
        };
        // Where there was something, there may be more: one other worker looks.
        self.inner.bell.next();
        Ok(Some(Work::new(self.clone(), tx, subject, failures)))
    }
}

/// A free lane that has something to do, and its oldest row.
async fn row(tx: &mut Transaction<'static, Postgres>) -> Result<Option<(Subject, i32)>, Error> {
    let row = sqlx::query!(
        r#"
        WITH RECURSIVE waiting AS (
            -- From one lane that has something to do to the next, by the index: what it costs has nothing to do
            -- with how many lanes there ever were.
            (SELECT i.lane, i.id FROM inbox i WHERE i.state = 'pending' ORDER BY i.lane, i.id LIMIT 1)
            UNION ALL
            SELECT next.lane, next.id FROM waiting w, LATERAL (
                SELECT i.lane, i.id FROM inbox i
                WHERE i.state = 'pending' AND i.lane > w.lane
                ORDER BY i.lane, i.id LIMIT 1
            ) AS next
        ), lane AS MATERIALIZED (
            -- The oldest that is free; LATERAL, so that lanes are tried one by one and exactly one is locked.
            -- No key update: the inbox's foreign key must still find the lane, or arrivals would wait for us.
            SELECT held.lane
            FROM (SELECT lane FROM waiting ORDER BY id) AS oldest,
            LATERAL (SELECT l.lane FROM lanes l WHERE l.lane = oldest.lane FOR NO KEY UPDATE SKIP LOCKED) AS held
            LIMIT 1
        )
        SELECT id, source, external_id, lane, claimed_at AS "claimed_at: SqlTime",
               received_at AS "received_at: SqlTime", raw AS "raw!", failures
        FROM inbox
        WHERE lane = (SELECT lane FROM lane) AND state = 'pending'
        ORDER BY id LIMIT 1
        -- Also locked, because what this statement sees may be older than the lane's lock: a row that was
        -- done in between is looked at again and passed. And a lost commit is read back by this lock.
        FOR NO KEY UPDATE
        "#
    )
    .fetch_optional(&mut **tx)
    .await
    .doing(DOING)?;
    Ok(row.map(|row| {
        let arrived = InboxRow {
            id: row.id,
            source: row.source,
            external_id: row.external_id,
            lane: row.lane,
            claimed_at: row.claimed_at.map(Into::into),
            received_at: row.received_at.into(),
            raw: row.raw,
        };
        (Subject::Row(arrived), row.failures)
    }))
}

/// The oldest queued request whose lock is free. Those that need the same lock come in their order.
async fn queued(tx: &mut Transaction<'static, Postgres>) -> Result<Option<(Subject, i32)>, Error> {
    let columns = read_request!(
        "
        WHERE r.state = 'queued'
          AND (r.lock IS NULL OR (
                NOT EXISTS (SELECT FROM locks WHERE name = r.lock)
                AND NOT EXISTS (SELECT FROM requests earlier WHERE earlier.state = 'queued'
                                AND earlier.lock = r.lock AND earlier.number < r.number)))
        ORDER BY r.number LIMIT 1
        FOR NO KEY UPDATE OF r SKIP LOCKED"
    )
    .fetch_optional(&mut **tx)
    .await
    .doing(DOING)?;
    let Some(columns) = columns else { return Ok(None) };
    let failures = columns.failures;
    let (number, room, event_id) = (columns.number, columns.room_id.clone(), columns.event_id.clone());
    // One that cannot be read must not hold up what can.
    let subject = match Request::try_from(columns) {
        Ok(request) => Subject::Queued(Box::new(request)),
        Err(error) => {
            let number = RequestNumber(number);
            Subject::Unreadable(Unreadable { number, room, event_id, reason: error.to_string() })
        }
    };
    Ok(Some((subject, failures)))
}
