//! The end of a run: its outcome, its entry, its answer and its lock, in one commit.

use ruma::{OwnedRoomId, RoomId};

use super::{
    ContentKind, Error, OutboxDraft, OutboxRow, PeopleMark, Storage,
    bell::CHANNEL,
    error::Doing as _,
    sheaf::{Sheaf, write_sheaf},
};
use crate::model::{AttemptId, Commitment, Event, InParts, Outcome, RequestNumber, State, fault::Point};

const DOING: &str = "recording an outcome";

/// What came of recording an outcome.
#[derive(Debug)]
pub enum Finished {
    /// It is the request's final state. The messages are leased to this process.
    Recorded(Vec<OutboxRow>),
    /// Another final state was committed first, and stays; this outcome is an entry of its own
    /// (`run.finished_late`), and nothing of it is said.
    AlreadyEnded(State),
    /// Nothing was written: other people are in the room than those for whom it was decided who may see it.
    OthersAreThere,
}

/// What is told of an outcome.
#[derive(Debug, Clone, Default)]
pub struct Telling {
    /// The messages.
    pub drafts: Vec<OutboxDraft>,
    /// What is recorded beside the outcome itself.
    pub event: Option<Event>,
    /// For which people of the room it was decided who may see what. Where nothing may be seen, there is no need to know.
    pub people: Option<PeopleMark>,
    /// What lists the parts of a long output: [`Storage::keep_whole`] gave it.
    pub whole: Option<Commitment>,
    /// What lists the parts of each file that it left.
    pub files: Vec<Commitment>,
}

impl From<Vec<OutboxDraft>> for Telling {
    fn from(drafts: Vec<OutboxDraft>) -> Self {
        Self { drafts, ..Self::default() }
    }
}

impl Storage {
    /// Records how an attempt of request `number` in `room` ended, with what was kept of its output and what is to
    /// be told: one statement, which is its own commit. May be called again after an error: what was recorded
    /// already is not recorded twice. What was decided for certain people is written only while they are those in the room.
    pub async fn finish(
        &self,
        (number, room): (RequestNumber, &RoomId),
        attempt: AttemptId,
        outcome: &Outcome,
        kept: Option<&[u8]>,
        telling: impl Into<Telling>,
    ) -> Result<Finished, Error> {
        let Telling { drafts, event: besides, people, whole, files } = telling.into();
        let now = self.now();
        let ending = serde_json::to_string(&outcome.ending).map_err(unreadable)?;
        let mut sheaf = Sheaf::default();
        let kept = kept.map(|bytes| sheaf.content(self, number, ContentKind::Output, bytes));
        let Outcome { ending: ended, took_ms, output } = outcome.clone();
        let event = Event::RunFinished {
            attempt,
            ending: ended,
            took_ms,
            output,
            kept,
            parts: InParts { whole, files },
        };
        sheaf.append(Some(number), Some(room), event);
        if let Some(event) = besides {
            sheaf.append(Some(number), Some(room), event);
        }
        for draft in drafts {
            sheaf.send(draft);
        }
        let columns = sheaf.columns(self, now)?;
        let mut near = self.near(DOING).await?;
        Point::BeforeOutcomeCommit.pass();
        let written = write_sheaf!(
            r#"
            WITH over AS (
                -- Nobody has ended them yet; the lock goes by a trigger.
                UPDATE attempts SET ended_at = $1, ending = $26, concluded_by = $23
                WHERE id = $24 AND request = $28 AND ended_at IS NULL
                  -- Who has come since it was decided who may see it is known by the mark of the room's people, or by an
                  -- event that waits.
                  AND ($30::bigint IS NULL OR (
                      (SELECT people FROM rooms WHERE room_id = $31) IS NOT DISTINCT FROM $29::uuid
                      AND COALESCE ((SELECT max(i.id) FROM inbox i
                                     WHERE i.lane = $31 AND i.state = 'pending'
                                       AND position('m.room.member'::bytea IN i.raw) > 0), 0) = $30))
                RETURNING request
            ), go AS (
                UPDATE requests SET state = $25, ended_at = $1
                FROM over
                WHERE number = over.request AND attempt = $24 AND state = 'running'
                -- In this commit, and here, where it is evaluated whether anybody reads it or not.
                RETURNING CASE WHEN lock IS NOT NULL
                    AND EXISTS (SELECT FROM instances WHERE ended_at IS NULL AND boot <> $23)
                    THEN pg_notify($27, '')::text END
            )
            "#,
            columns,
            attempt.0,
            outcome.state().name(),
            ending,
            CHANNEL,
            number.0,
            people.and_then(|mark| mark.mirror),
            people.map(|mark| mark.waiting),
            room.as_str(),
        )
        .fetch_all(&mut *near)
        .await
        .doing(DOING)?;
        near.keep();
        Point::AfterOutcomeCommit.pass();
        if !written.iter().any(|row| row.went) {
            return self.finish_again(attempt, outcome, &ending, people.is_some(), sheaf.steps()).await;
        }
        // Its lock is free. Who rings for that does it when the answer is on its way.
        self.inner.bell.look_at_queue();
        Ok(Finished::Recorded(sheaf.ours(now, written)))
    }

    /// The attempt is over already: by this very call, whose commit's answer was lost, or by another.
    async fn finish_again(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        ending: &str,
        guarded: bool,
        steps: Vec<String>,
    ) -> Result<Finished, Error> {
        let found = sqlx::query!(
            "SELECT r.number, r.state, r.room_id, a.ending, a.concluded_by, a.ended_at IS NULL AS \"is_open!\"
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
            return Ok(Finished::Recorded(self.lease_steps(&steps).await?));
        }
        if guarded && found.is_open {
            return Ok(Finished::OthersAreThere);
        }
        let room = OwnedRoomId::try_from(found.room_id).map_err(unreadable)?;
        let event = Event::RunFinishedLate { attempt, ending: outcome.ending.clone() };
        self.record(Some(RequestNumber(found.number)), Some(&room), event).await?;
        Ok(Finished::AlreadyEnded(found.state.parse().map_err(unreadable)?))
    }
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Unreadable { what: "an outcome", reason: error.to_string() }
}
