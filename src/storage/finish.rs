//! The end of a run: its outcome, its entry, its answer and its lock, in one commit.

use jiff_sqlx::Timestamp as SqlTime;
use ruma::OwnedRoomId;
use sqlx::PgConnection;

use super::{
    ContentKind, Error, OutboxDraft, OutboxRow, Storage, bell::CHANNEL, error::Doing as _, sheaf::Sheaf,
};
use crate::model::{AttemptId, Event, Outcome, RequestNumber, State, Timestamp, fault::Point};

const DOING: &str = "recording an outcome";

/// What came of recording an outcome.
#[derive(Debug)]
pub enum Finished {
    /// It is the request's final state. The messages are leased to this process.
    Recorded(Vec<OutboxRow>),
    /// Another final state was committed first, and stays; this outcome is an entry of its own
    /// (`run.finished_late`), and nothing of it is said.
    AlreadyEnded(State),
}

impl Storage {
    /// Records how an attempt ended, with what was kept of its output and what is to be said. May be
    /// called again after an error: what was recorded already is not recorded twice.
    pub async fn finish(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        kept: Option<&[u8]>,
        drafts: Vec<OutboxDraft>,
    ) -> Result<Finished, Error> {
        let now = self.now();
        let ending = serde_json::to_string(&outcome.ending).map_err(unreadable)?;
        let mut tx = self.begin(DOING).await?;
        let Some(ended) = self.end(&mut tx, attempt, outcome.state(), &ending, now).await? else {
            drop(tx);
            return self.finish_again(attempt, outcome, &ending, drafts).await;
        };
        let mut sheaf = Sheaf::default();
        let kept = kept.map(|bytes| sheaf.content(self, ended.number, ContentKind::Output, bytes));
        let Outcome { ending, took_ms, output } = outcome.clone();
        let event = Event::RunFinished { attempt, ending, took_ms, output, kept };
        sheaf.append(Some(ended.number), Some(&ended.room), event);
        for draft in drafts {
            sheaf.send(draft);
        }
        let messages = sheaf.write(self, &mut tx, now, None).await?;
        Point::BeforeOutcomeCommit.pass();
        tx.commit().await.doing(DOING)?;
        Point::AfterOutcomeCommit.pass();
        // A lock and a place are free.
        self.inner.bell.ring();
        Ok(Finished::Recorded(messages))
    }

    /// Ends the attempt and its request, if nobody has ended them yet; the lock goes by a trigger.
    async fn end(
        &self,
        connection: &mut PgConnection,
        attempt: AttemptId,
        to: State,
        ending: &str,
        now: Timestamp,
    ) -> Result<Option<Ended>, Error> {
        let row = sqlx::query!(
            r#"
            WITH over AS (
                UPDATE attempts SET ended_at = $3, ending = $4, concluded_by = $5
                WHERE id = $1 AND ended_at IS NULL
                RETURNING request
            ), ended AS (
                UPDATE requests SET state = $2, ended_at = $3
                FROM over
                WHERE number = over.request AND attempt = $1 AND state = 'running'
                RETURNING number, room_id, lock
            ), told AS (
                SELECT pg_notify($6, '') FROM ended
                WHERE ended.lock IS NOT NULL
                  AND EXISTS (SELECT FROM instances WHERE ended_at IS NULL AND boot <> $5)
            )
            SELECT number, room_id, (SELECT count(*) FROM told) AS told FROM ended
            "#,
            attempt.0,
            to.name(),
            SqlTime::from(now) as _,
            ending,
            self.boot().0,
            CHANNEL,
        )
        .fetch_optional(connection)
        .await
        .doing(DOING)?;
        let Some(row) = row else { return Ok(None) };
        let room = OwnedRoomId::try_from(row.room_id).map_err(unreadable)?;
        Ok(Some(Ended { number: RequestNumber(row.number), room }))
    }

    /// The attempt is over already: by this very call, whose commit's answer was lost, or by another.
    async fn finish_again(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        ending: &str,
        drafts: Vec<OutboxDraft>,
    ) -> Result<Finished, Error> {
        let found = sqlx::query!(
            "SELECT r.number, r.state, r.room_id, a.ending, a.concluded_by
             FROM attempts a JOIN requests r ON r.number = a.request
             WHERE a.id = $1",
            attempt.0
        )
        .fetch_optional(self.pool())
        .await
        .doing(DOING)?;
        let Some(found) = found else {
            let reason = format!("attempt {attempt} was never recorded");
            return Err(Error::Unreadable { what: "an outcome", reason });
        };
        if found.ending.as_deref() == Some(ending) && found.concluded_by == Some(self.boot().0) {
            let steps: Vec<_> = drafts.into_iter().map(|draft| draft.step).collect();
            return Ok(Finished::Recorded(self.lease_steps(&steps).await?));
        }
        let room = OwnedRoomId::try_from(found.room_id).map_err(unreadable)?;
        let event = Event::RunFinishedLate { attempt, ending: outcome.ending.clone() };
        self.record(Some(RequestNumber(found.number)), Some(&room), event).await?;
        Ok(Finished::AlreadyEnded(found.state.parse().map_err(unreadable)?))
    }
}

/// A request that was ended just now.
struct Ended {
    number: RequestNumber,
    room: OwnedRoomId,
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Unreadable { what: "an outcome", reason: error.to_string() }
}
