//! The outbox: what is to be said, in order, once.

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{EventId, OwnedEventId, OwnedRoomId};

use super::{
    Error, File, OutboxDraft, OutboxRow, Storage,
    error::Doing as _,
    sheaf::{LEASE, Sheaf},
};
use crate::model::{Event, RequestNumber, SignedDuration, Timestamp};

const DOING: &str = "reading the outbox";
/// How long after it was written a message must have been handed over to be sent.
const LOST: SignedDuration = SignedDuration::from_secs(5);

impl Storage {
    /// Has messages sent that belong to no other commit: decorations, notes about rooms. A step that
    /// was written before is not written again. Gives those that this process may send at once.
    pub async fn say(&self, drafts: Vec<OutboxDraft>) -> Result<Vec<OutboxRow>, Error> {
        const DOING: &str = "writing messages";
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let mut sheaf = Sheaf::default();
        for draft in drafts {
            sheaf.send(draft);
        }
        let messages = sheaf.write(self, &mut tx, now, None).await?;
        tx.commit().await.doing(DOING)?;
        Ok(messages)
    }

    /// Leases to this process the messages whose time has come and that nobody else holds: those never
    /// leased, those whose lease ran out or whose holder is dead. Of a lane either all that wait, in
    /// order, or none. A lease lasts a minute.
    ///
    /// What this process holds already it does not get again before its lease has run out, but for what it does not
    /// know (`known`: the rows that it has) although it has had it for a while: there a commit's answer was lost.
    pub async fn due(&self, limit: i64, known: &[i64]) -> Result<Vec<OutboxRow>, Error> {
        let now = self.now();
        let lost = SqlTime::from(now + LEASE - LOST);
        let rows = sqlx::query_as!(
            Columns,
            r#"
            WITH waiting AS (
                SELECT o.id, o.lane,
                       -- Free: nobody's, or left over.
                       (o.leased_by IS NULL OR o.leased_until <= $1
                        OR (o.leased_by = $3 AND o.leased_until <= $5 AND NOT o.id = ANY($6))
                        OR EXISTS (SELECT FROM instances i WHERE i.boot = o.leased_by AND i.ended_at IS NOT NULL))
                       AND (o.not_before IS NULL OR o.not_before <= $1) AS free
                FROM outbox o WHERE o.state = 'waiting'
            ), lanes AS (
                SELECT lane FROM waiting GROUP BY lane HAVING bool_and(free) ORDER BY min(id) LIMIT $2
            ), taken AS (
                -- Two instances that look at the same moment: the second passes over what the first has.
                SELECT o.id FROM outbox o JOIN lanes USING (lane) WHERE o.state = 'waiting'
                FOR NO KEY UPDATE OF o SKIP LOCKED
            )
            UPDATE outbox o SET leased_by = $3, leased_until = $4
            FROM taken
            -- What was leased or sent since this statement's snapshot was taken is passed over as well.
            WHERE o.id = taken.id AND o.state = 'waiting'
              AND (o.leased_by IS NULL OR o.leased_until <= $1
                   OR (o.leased_by = $3 AND o.leased_until <= $5 AND NOT o.id = ANY($6))
                   OR EXISTS (SELECT FROM instances i WHERE i.boot = o.leased_by AND i.ended_at IS NOT NULL))
            RETURNING o.id, o.step, o.lane, o.request, o.room_id, o.kind, o.content AS "content!", o.file_name,
                      o.file_type, o.written_at AS "written_at: SqlTime", o.failures
            "#,
            SqlTime::from(now) as _,
            limit,
            self.boot().0,
            SqlTime::from(now + LEASE) as _,
            lost as _,
            known,
        )
        .fetch_all(self.pool())
        .await
        .doing(DOING)?;
        read(rows)
    }

    /// Leases steps that this process has just written, after a commit whose answer was lost.
    pub(super) async fn lease_steps(&self, steps: &[String]) -> Result<Vec<OutboxRow>, Error> {
        let now = self.now();
        let rows = sqlx::query_as!(
            Columns,
            r#"
            UPDATE outbox SET leased_by = $2, leased_until = $4
            WHERE step = ANY($1) AND state = 'waiting'
              AND (leased_by IS NULL OR leased_by = $2 OR leased_until <= $3)
            RETURNING id, step, lane, request, room_id, kind, content AS "content!", file_name, file_type,
                      written_at AS "written_at: SqlTime", failures
            "#,
            steps,
            self.boot().0,
            SqlTime::from(now) as _,
            SqlTime::from(now + LEASE) as _,
        )
        .fetch_all(self.pool())
        .await
        .doing(DOING)?;
        read(rows)
    }

    /// Notes that a message was sent. A second note changes nothing.
    pub async fn sent(&self, id: i64, event_id: &EventId) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE outbox SET state = 'sent', event_id = $2, concluded_at = $3, content = NULL,
                    file_bytes = NULL, leased_by = NULL, leased_until = NULL
             WHERE id = $1 AND state = 'waiting'",
            id,
            event_id.as_str(),
            SqlTime::from(self.now()) as _,
        )
        .execute(self.pool())
        .await
        .doing("noting that a message was sent")?;
        Ok(())
    }

    /// Keeps the content of a message whose file was uploaded: it now names the file's address, so that
    /// the file is not uploaded again.
    pub async fn uploaded(&self, id: i64, content: &serde_json::Value) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE outbox SET content = $2, file_name = NULL, file_type = NULL, file_bytes = NULL
             WHERE id = $1 AND state = 'waiting'",
            id,
            content.to_string().into_bytes(),
        )
        .execute(self.pool())
        .await
        .doing("noting that a file was uploaded")?;
        Ok(())
    }

    /// Gives a message up, for a reason that waiting does not mend; records `answer.parked`.
    pub async fn parked(&self, id: i64, reason: &str) -> Result<(), Error> {
        const DOING: &str = "giving a message up";
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let parked = sqlx::query!(
            "UPDATE outbox SET state = 'parked', reason = $2, concluded_at = $3, leased_by = NULL,
                    leased_until = NULL
             WHERE id = $1 AND state = 'waiting'
             RETURNING step, request, room_id",
            id,
            reason,
            SqlTime::from(now) as _,
        )
        .fetch_optional(&mut *tx)
        .await
        .doing(DOING)?;
        if let Some(row) = parked {
            let event = Event::AnswerParked { step: row.step, reason: reason.to_owned() };
            let room = OwnedRoomId::try_from(row.room_id).ok();
            let mut sheaf = Sheaf::default();
            sheaf.append(row.request.map(RequestNumber), room.as_deref(), event);
            sheaf.write(self, &mut tx, now, None).await?;
        }
        tx.commit().await.doing(DOING)
    }

    /// Gives the lease back until `when`, for the message and all that follow it in its lane, so that
    /// the order is kept; counts a failure of this message.
    pub async fn retry_at(&self, id: i64, when: Timestamp) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE outbox o
             SET leased_by = NULL, leased_until = NULL, not_before = $2,
                 failures = o.failures + CASE WHEN o.id = $1 THEN 1 ELSE 0 END
             FROM outbox failed
             WHERE failed.id = $1 AND o.lane = failed.lane AND o.id >= failed.id AND o.state = 'waiting'
               AND (o.leased_by IS NULL OR o.leased_by = $3)",
            id,
            SqlTime::from(when) as _,
            self.boot().0,
        )
        .execute(self.pool())
        .await
        .doing("putting a message off")?;
        Ok(())
    }

    /// What became of a step.
    pub async fn said(&self, step: &str) -> Result<Said, Error> {
        let row = sqlx::query!("SELECT state, event_id FROM outbox WHERE step = $1", step)
            .fetch_optional(self.pool())
            .await
            .doing(DOING)?;
        let Some(row) = row else { return Ok(Said::Never) };
        Ok(match row.event_id {
            Some(event) => Said::As(OwnedEventId::try_from(event).map_err(unreadable)?),
            None if row.state == "waiting" => Said::Waits,
            None => Said::Never,
        })
    }

    /// The bytes of a message's file, if it is not uploaded yet: read when its turn comes, because many files may wait.
    pub async fn file_bytes(&self, id: i64) -> Result<Option<Vec<u8>>, Error> {
        let bytes = sqlx::query_scalar!("SELECT file_bytes FROM outbox WHERE id = $1", id)
            .fetch_optional(self.pool())
            .await
            .doing("reading a file of the outbox")?;
        Ok(bytes.flatten())
    }

    /// The event that a step became, once it was sent: what an edit, a reaction or a redaction points to.
    pub async fn event_of_step(&self, step: &str) -> Result<Option<OwnedEventId>, Error> {
        let event = sqlx::query_scalar!("SELECT event_id FROM outbox WHERE step = $1", step)
            .fetch_optional(self.pool())
            .await
            .doing(DOING)?;
        event.flatten().map(OwnedEventId::try_from).transpose().map_err(unreadable)
    }
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It was never written, or was given up.
    Never,
    /// It waits to be sent.
    Waits,
    /// It was sent.
    As(OwnedEventId),
}

/// A message as it stands in the database, without the bytes of its file.
struct Columns {
    id: i64,
    step: String,
    lane: String,
    request: Option<i64>,
    room_id: String,
    kind: String,
    content: Vec<u8>,
    file_name: Option<String>,
    file_type: Option<String>,
    written_at: SqlTime,
    failures: i32,
}

fn read(rows: Vec<Columns>) -> Result<Vec<OutboxRow>, Error> {
    let mut rows = rows.into_iter().map(OutboxRow::try_from).collect::<Result<Vec<_>, _>>()?;
    rows.sort_by_key(|row| row.id);
    Ok(rows)
}

impl TryFrom<Columns> for OutboxRow {
    type Error = Error;

    fn try_from(row: Columns) -> Result<Self, Error> {
        let file = row.file_name.zip(row.file_type);
        Ok(Self {
            id: row.id,
            lane: row.lane,
            draft: OutboxDraft {
                step: row.step,
                to: row.room_id.parse().map_err(unreadable)?,
                request: row.request.map(RequestNumber),
                kind: row.kind,
                content: serde_json::from_slice(&row.content).map_err(unreadable)?,
                file: file.map(|(name, media_type)| File { name, media_type, bytes: Vec::new() }),
            },
            written_at: row.written_at.into(),
            failures: row.failures,
        })
    }
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Unreadable { what: "the outbox", reason: error.to_string() }
}
