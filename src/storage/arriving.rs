//! An event that is decided as it arrives: inbox, decision and start in one statement.
//!
//! The short way, for an event that is alone in its room. Nothing of it is in the inbox until it is decided, and then
//! it is there as done, in the same commit. Where anything is in the way (the room has others that wait, the event is
//! known, what it asks for needs more than one statement), nothing is written, [`Error::NotAlone`] says so, and the
//! event goes through the inbox like all others.

use sqlx::PgConnection;

use super::{
    Error, InboxRow, OutboxRow, Storage, Transaction, Work,
    error::Doing as _,
    opening::Opening,
    read_back::{FIRST_PAUSE, LONGEST_PAUSE},
    sheaf::{Sheaf, write_sheaf},
    work::{Held, Subject},
};
use crate::model::{AttemptId, Timestamp};

const DOING: &str = "deciding an event as it arrives";

/// A transaction with one event, which is not stored yet.
#[derive(Debug)]
pub(super) struct Arriving {
    pub transaction: Transaction,
}

impl Storage {
    /// Work on the one event of a transaction that is not stored yet. `None` where it has none, or several.
    pub fn arriving(&self, transaction: &Transaction) -> Option<Work> {
        let [arrival] = &transaction.arrivals[..] else { return None };
        let row = InboxRow {
            id: 0,
            source: arrival.source.clone(),
            external_id: arrival.external_id.clone(),
            lane: arrival.lane.clone(),
            claimed_at: arrival.claimed_at,
            received_at: self.now(),
            raw: arrival.raw.clone(),
        };
        let held = Held::Arriving(Box::new(Arriving { transaction: transaction.clone() }));
        Some(Work::hold(self.clone(), held, Subject::Row(row)))
    }
}

impl Arriving {
    /// Puts the event into the inbox, however long the database is away, and says whether the attempt of its decision
    /// stands there already. Storing it waits for a statement that may still be on its way: no two have the same event.
    pub(super) async fn stands(&self, storage: &Storage, attempt: AttemptId) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            let stands = async {
                storage.store_transaction(&self.transaction).await?;
                sqlx::query_scalar!("SELECT id FROM attempts WHERE id = $1", attempt.0)
                    .fetch_optional(storage.pool())
                    .await
                    .doing("reading a start back")
            };
            match stands.await {
                Ok(found) => return found.is_some(),
                Err(error) => {
                    tracing::warn!(%attempt, %error, "could not yet read back whether a start was committed");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

impl Sheaf {
    /// Writes everything with a request that was opened, and concludes the row of the inbox that asked for it.
    pub(super) async fn write_opening(
        self,
        storage: &Storage,
        connection: &mut PgConnection,
        now: Timestamp,
        row: Option<i64>,
        opening: &Opening,
    ) -> Result<Vec<OutboxRow>, Error> {
        let (columns, o) = (self.columns(storage, now)?, opening.columns(now));
        let written = write_sheaf!(
            r#"
            WITH concluded AS (
                -- The raw event goes with the row: what counts of it stands in entries and contents.
                UPDATE inbox SET state = 'done', raw = NULL, done_at = $1
                WHERE id = $24 AND state = 'pending'
                RETURNING id
            ), go AS (
                INSERT INTO requests (number, state, door, sender, room_id, event_id, thread_root, claimed_at,
                                      received_at, command, subject, invocation, invocation_digest, rules, ops, lock,
                                      attempt, ended_at)
                OVERRIDING SYSTEM VALUE
                SELECT $25::bigint, $26::text, $27::text, $28::text, $29::text, $30::text, $31::text, $32::timestamptz,
                       $33::timestamptz, $34::text, $35::text, $36::bytea, $37::bytea, $38::bytea, $39::bytea, $40::text,
                       $41::uuid, $44::timestamptz
                FROM concluded
                -- A boot that was declared dead starts nothing more: nobody would look after it.
                WHERE $41::uuid IS NULL OR EXISTS (SELECT FROM instances WHERE boot = $23 AND ended_at IS NULL)
                RETURNING number, attempt
            ), tried AS (
                INSERT INTO attempts (id, request, boot, executor, started_at, ended_at, ending, concluded_by)
                SELECT attempt, number, $23, $42::text, $1, $44::timestamptz, $43::text,
                       CASE WHEN $43::text IS NOT NULL THEN $23 END
                FROM go WHERE attempt IS NOT NULL
            )
            "#,
            columns,
            row,
            o.number,
            o.state,
            o.door,
            o.sender,
            o.room_id,
            o.event_id,
            o.thread_root,
            o.claimed_at as _,
            o.received_at as _,
            o.command,
            o.subject,
            o.invocation,
            o.digest,
            o.rules,
            o.ops,
            o.lock,
            o.attempt,
            o.executor,
            o.ending,
            o.ended_at as _,
        )
        .fetch_all(connection)
        .await
        .doing("writing a decision")?;
        if !written.iter().any(|row| row.went) {
            return Err(Error::DeclaredDead);
        }
        Ok(self.ours(now, written))
    }

    /// Writes everything: the event's row of the inbox, done at once, its request, its attempt, and what is recorded
    /// and said. One statement, which is its own commit.
    pub(super) async fn write_arriving(
        self,
        storage: &Storage,
        now: Timestamp,
        arriving: &Arriving,
        opening: &Opening,
    ) -> Result<Vec<OutboxRow>, Error> {
        let (columns, o) = (self.columns(storage, now)?, opening.columns(now));
        let transaction = &arriving.transaction;
        let Some(arrival) = transaction.arrivals.first() else { return Err(Error::NotAlone) };
        let mut near = storage.near(DOING).await?;
        let written = write_sheaf!(
            r#"
            WITH alone AS (
                -- The room's lane is free and empty; of a room that never had an event there is none yet.
                SELECT l.lane FROM lanes l
                WHERE l.lane = $45 AND NOT EXISTS (SELECT FROM inbox i WHERE i.lane = l.lane AND i.state = 'pending')
                FOR NO KEY UPDATE OF l SKIP LOCKED
            ), arrived AS (
                INSERT INTO inbox (source, external_id, lane, claimed_at, received_at, raw, state, done_at)
                SELECT $24, $46, lane, $47::timestamptz, $1, NULL, 'done', $1
                FROM alone
                -- A boot that was declared dead starts nothing more: nobody would look after it.
                WHERE ($41::uuid IS NULL OR EXISTS (SELECT FROM instances WHERE boot = $23 AND ended_at IS NULL))
                  -- Who has left meanwhile is not there any more.
                  AND ($41::uuid IS NULL OR EXISTS (
                      SELECT FROM members WHERE room_id = $29 AND user_id = $28 AND membership = 'join'))
                ON CONFLICT (source, external_id) DO NOTHING
                RETURNING id
            ), known AS (
                INSERT INTO transactions (homeserver, id, digest, received_at, to_device)
                SELECT $48, $49, $50, $1, $51 FROM arrived
                ON CONFLICT DO NOTHING
            ), go AS (
                INSERT INTO requests (number, state, door, sender, room_id, event_id, thread_root, claimed_at,
                                      received_at, command, subject, invocation, invocation_digest, rules, ops, lock,
                                      attempt, ended_at)
                OVERRIDING SYSTEM VALUE
                SELECT $25::bigint, $26::text, $27::text, $28::text, $29::text, $30::text, $31::text, $32::timestamptz,
                       $33::timestamptz, $34::text, $35::text, $36::bytea, $37::bytea, $38::bytea, $39::bytea, $40::text,
                       $41::uuid, $44::timestamptz
                FROM arrived
                RETURNING number, attempt
            ), tried AS (
                INSERT INTO attempts (id, request, boot, executor, started_at, ended_at, ending, concluded_by)
                SELECT attempt, number, $23, $42::text, $1, $44::timestamptz, $43::text,
                       CASE WHEN $43::text IS NOT NULL THEN $23 END
                FROM go WHERE attempt IS NOT NULL
            )
            "#,
            columns,
            arrival.source,
            o.number,
            o.state,
            o.door,
            o.sender,
            o.room_id,
            o.event_id,
            o.thread_root,
            o.claimed_at as _,
            o.received_at as _,
            o.command,
            o.subject,
            o.invocation,
            o.digest,
            o.rules,
            o.ops,
            o.lock,
            o.attempt,
            o.executor,
            o.ending,
            o.ended_at as _,
            arrival.lane,
            arrival.external_id,
            arrival.claimed_at.map(jiff_sqlx::Timestamp::from) as _,
            transaction.homeserver.as_str(),
            transaction.id.as_str(),
            transaction.digest.as_bytes(),
            transaction.to_device,
        )
        .fetch_all(&mut *near)
        .await
        .doing(DOING)?;
        near.keep();
        if !written.iter().any(|row| row.went) {
            return Err(Error::NotAlone);
        }
        Ok(self.ours(now, written))
    }
}
