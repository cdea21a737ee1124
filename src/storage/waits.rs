//! What requests wait for: somebody's word, until a time; and the times at which somebody must look.

use ruma::{EventId, OwnedUserId, RoomId, UserId};

use jiff_sqlx::Timestamp as SqlTime;

use super::{
    Error, Request, Storage, Work,
    bell::HURRY,
    error::Doing as _,
    requests::{RequestColumns, digest, read_request},
};
use crate::{
    model::{Digest, Event, Invocation, RequestNumber, State, Timestamp},
    policy::Permit,
};

/// The source of rows that a due time puts into the inbox.
pub const TIMER: &str = "timer";

/// What a request waits for, or has waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What is approved.
    pub digest: Digest,
    /// Which prompt is the present one, counted from 1.
    pub round: i32,
    /// Until when.
    pub until: Timestamp,
    /// What the requester's own word was given for, if it was given.
    pub confirmed: Option<Digest>,
    /// When it had all that it waited for.
    pub satisfied_at: Option<Timestamp>,
}

/// A request that begins to wait, or to wait for something else.
#[derive(Debug)]
pub struct NewWait<'a> {
    /// What was understood.
    pub invocation: &'a Invocation,
    /// The rules that ask for somebody's word.
    pub rules: Digest,
    /// The version of the ops folder.
    pub ops: Digest,
    /// The lock that it will need.
    pub lock: Option<&'a str>,
    /// What is approved.
    pub digest: Digest,
    /// Until when it waits.
    pub until: Timestamp,
    /// When people are reminded.
    pub remind_at: Option<Timestamp>,
}

/// What an event is among the prompts of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// We sent it, as this prompt of this request.
    Sent {
        /// The request.
        number: RequestNumber,
        /// Which of its prompts.
        round: i32,
    },
    /// We sent it, to show this request as it runs.
    Live(RequestNumber),
    /// We do not know it, but a prompt of this room is on its way, and may have been seen before we heard of it.
    PerhapsOnItsWay,
    /// It is none of ours.
    None,
}

/// What a due time asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// The request.
    pub number: RequestNumber,
    /// The prompt that it was set with.
    pub round: i32,
}

impl Timer {
    /// Reads the identity of a row whose source is [`TIMER`].
    pub fn of(external_id: &str) -> Option<Self> {
        let mut parts = external_id.split('/');
        let (number, round) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { number, round })
    }
}

impl Work {
    /// Has a request wait, or wait for something else: the guarded transition with what was understood, a prompt
    /// more, and `event`. Gives the number of the prompt. A confirmation for the same digest stays.
    pub async fn wait(
        &mut self,
        number: RequestNumber,
        (from, to): (State, State),
        new: &NewWait<'_>,
        event: Event,
    ) -> Result<i32, Error> {
        const DOING: &str = "having a request wait";
        if from != to && !from.may_become(to) {
            return Err(Error::NoSuchTransition { from, to });
        }
        // What is waited for is written beside the request's row.
        self.put_down_request().await?;
        let json = serde_json::to_vec(new.invocation)
            .map_err(|error| Error::Unreadable { what: "an invocation", reason: error.to_string() })?;
        let invocation_digest = new.invocation.digest();
        let moved = sqlx::query!(
            "UPDATE requests SET state = $3, command = $4, subject = $5, invocation = $6, invocation_digest = $7,
                    rules = $8, ops = $9, lock = $10
             WHERE number = $1 AND state = $2",
            number.0,
            from.name(),
            to.name(),
            new.invocation.command,
            new.invocation.subject,
            json,
            invocation_digest.as_bytes(),
            new.rules.as_bytes(),
            new.ops.as_bytes(),
            new.lock,
        )
        .execute(self.tx()?)
        .await
        .doing(DOING)?
        .rows_affected();
        if moved != 1 {
            return Err(self.moved(number, from, to).await);
        }
        let round = sqlx::query_scalar!(
            "INSERT INTO waits (request, digest, round, asked_at, until, remind_at, due_at)
             VALUES ($1, $2, 1, $3, $4::timestamptz, $5::timestamptz, coalesce($5::timestamptz, $4::timestamptz))
             ON CONFLICT (request) DO UPDATE SET
                digest = excluded.digest, round = waits.round + 1, asked_at = excluded.asked_at,
                until = excluded.until, remind_at = excluded.remind_at, due_at = excluded.due_at, satisfied_at = NULL,
                -- What the requester confirmed was another thing.
                confirmed_event = CASE WHEN waits.confirmed_digest = excluded.digest THEN waits.confirmed_event END,
                confirmed_at = CASE WHEN waits.confirmed_digest = excluded.digest THEN waits.confirmed_at END,
                confirmed_digest =
                    CASE WHEN waits.confirmed_digest = excluded.digest THEN waits.confirmed_digest END
             RETURNING round",
            number.0,
            new.digest.as_bytes(),
            SqlTime::from(self.now) as _,
            SqlTime::from(new.until) as _,
            new.remind_at.map(SqlTime::from) as _,
        )
        .fetch_one(self.tx()?)
        .await
        .doing(DOING)?;
        let room = self.room_of(number).await?;
        self.append(Some(number), room.as_deref(), event);
        Ok(round)
    }

    /// What a request waits for, or has waited for.
    pub async fn waiting(&mut self, number: RequestNumber) -> Result<Option<Waiting>, Error> {
        let row = sqlx::query!(
            r#"SELECT digest, round, until AS "until: SqlTime", confirmed_digest,
                      satisfied_at AS "satisfied_at: SqlTime"
               FROM waits WHERE request = $1"#,
            number.0
        )
        .fetch_optional(self.tx()?)
        .await
        .doing("looking up what a request waits for")?;
        row.map(|row| {
            Ok(Waiting {
                digest: digest(row.digest)?,
                round: row.round,
                until: row.until.into(),
                confirmed: row.confirmed_digest.map(digest).transpose()?,
                satisfied_at: row.satisfied_at.map(Into::into),
            })
        })
        .transpose()
    }

    /// Notes the requester's own word, and records it.
    pub async fn confirm(
        &mut self,
        number: RequestNumber,
        event_id: &EventId,
        by: &UserId,
        digest: Digest,
    ) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE waits SET confirmed_event = $2, confirmed_digest = $3, confirmed_at = $4 WHERE request = $1",
            number.0,
            event_id.as_str(),
            digest.as_bytes(),
            SqlTime::from(self.now) as _,
        )
        .execute(self.tx()?)
        .await
        .doing("noting a confirmation")?;
        let room = self.room_of(number).await?;
        let event = Event::ConfirmationGiven { by: by.to_owned(), event_id: event_id.to_owned(), digest };
        self.append(Some(number), room.as_deref(), event);
        Ok(())
    }

    /// Notes that a request has all that it waited for.
    pub async fn satisfied(&mut self, number: RequestNumber) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE waits SET satisfied_at = $2 WHERE request = $1",
            number.0,
            SqlTime::from(self.now) as _
        )
        .execute(self.tx()?)
        .await
        .doing("noting that a request waits no longer")?;
        Ok(())
    }

    /// A request of this room, or of one whose place it took, by its number, held until this work ends. A number of another
    /// room's request gives nothing away.
    pub async fn request_by_number(
        &mut self,
        room: &RoomId,
        number: RequestNumber,
    ) -> Result<Option<Request>, Error> {
        let row = read_request!(
            " WHERE r.number = $1
                AND (r.room_id = $2 OR EXISTS (SELECT FROM rooms_before b JOIN rooms n ON n.key = b.key
                                               WHERE n.room_id = $2 AND b.room_id = r.room_id))
              FOR NO KEY UPDATE OF r",
            number.0,
            room.as_str()
        )
        .fetch_optional(self.tx()?)
        .await
        .doing("looking up a request")?;
        let request: Option<Request> = row.map(TryInto::try_into).transpose()?;
        if let Some(request) = &request {
            self.rooms.insert(request.number, request.room.clone());
        }
        Ok(request)
    }

    /// The requests that a thread of this room is about: those that wait, are queued or run in it; where there are none, the
    /// one whose command is its root.
    pub async fn requests_of_thread(
        &mut self,
        room: &RoomId,
        root: &EventId,
    ) -> Result<Vec<RequestNumber>, Error> {
        let found = sqlx::query!(
            r#"SELECT number, ended_at IS NOT NULL AS "has_ended!" FROM requests
               WHERE room_id = $1
                 AND (event_id = $2
                      OR (thread_root = $2 AND ended_at IS NULL
                          AND state IN ('awaiting_confirmation', 'awaiting_approval', 'queued', 'running')))
               ORDER BY number LIMIT 20"#,
            room.as_str(),
            root.as_str(),
        )
        .fetch_all(self.tx()?)
        .await
        .doing("looking up the requests of a thread")?;
        // A thread may have begun with a command that has ended long since.
        let live = found.iter().any(|row| !row.has_ended);
        Ok(found.iter().filter(|row| !live || !row.has_ended).map(|row| RequestNumber(row.number)).collect())
    }

    /// What an event of this room is among our prompts.
    pub async fn prompt(&mut self, room: &RoomId, event: &EventId) -> Result<Prompt, Error> {
        const DOING: &str = "looking up a prompt";
        let step = sqlx::query_scalar!(
            r#"SELECT step AS "step!" FROM outbox
               WHERE event_id = $1 AND room_id = $2 AND event_id IS NOT NULL AND step LIKE 'request/%/prompt/%'
               -- By an index of its own.
               UNION ALL
               SELECT step FROM outbox
               WHERE event_id = $1 AND room_id = $2 AND event_id IS NOT NULL AND step LIKE 'request/%/live'"#,
            event.as_str(),
            room.as_str(),
        )
        .fetch_optional(self.tx()?)
        .await
        .doing(DOING)?;
        if let Some(step) = step {
            let live = step.strip_prefix("request/").and_then(|step| step.strip_suffix("/live"));
            if let Some(number) = live.and_then(|number| number.parse().ok()) {
                return Ok(Prompt::Live(RequestNumber(number)));
            }
            // `request/482/prompt/1`, and more where it was shown once more.
            let mut parts = step.split('/').skip(1).step_by(2).map_while(|part| part.parse::<i64>().ok());
            let found = parts.next().zip(parts.next().and_then(|round| i32::try_from(round).ok()));
            return Ok(found.map_or(Prompt::None, |(number, round)| Prompt::Sent {
                number: RequestNumber(number),
                round,
            }));
        }
        let on_its_way = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                SELECT FROM outbox
                WHERE state = 'waiting' AND room_id = $1
                  AND (step LIKE 'request/%/prompt/%' OR step LIKE 'request/%/live')
            ) AS "on_its_way!""#,
            room.as_str()
        )
        .fetch_one(self.tx()?)
        .await
        .doing(DOING)?;
        Ok(if on_its_way { Prompt::PerhapsOnItsWay } else { Prompt::None })
    }

    /// Notes that somebody, whom the rules permit it, wants a running request stopped, records it, and tells the instances.
    /// Says whether it was the first to want it.
    pub async fn wish_to_cancel(&mut self, permit: &Permit, number: RequestNumber) -> Result<bool, Error> {
        const DOING: &str = "noting a wish to cancel";
        let by = permit.principal();
        let noted = sqlx::query!(
            "UPDATE requests SET cancel_requested_at = $2, cancel_requested_by = $3
             WHERE number = $1 AND state = 'running' AND cancel_requested_at IS NULL",
            number.0,
            SqlTime::from(self.now) as _,
            by.as_str(),
        )
        .execute(self.tx()?)
        .await
        .doing(DOING)?
        .rows_affected();
        sqlx::query!("SELECT pg_notify($1, '') AS told", HURRY).fetch_one(self.tx()?).await.doing(DOING)?;
        if noted > 0 {
            let room = self.room_of(number).await?;
            self.append(Some(number), room.as_deref(), Event::RunCancelRequested { by: by.to_owned() });
        }
        Ok(noted > 0)
    }
}

impl Storage {
    /// Puts a row into the inbox for each time that is due: what follows is decided in its room's order, like
    /// everything else. Several instances may do so at once. Says how many there were.
    pub async fn ring_timers(&self) -> Result<u64, Error> {
        let rung = sqlx::query!(
            r#"
            WITH due AS (
                SELECT w.request, w.round, w.until <= $1 AS is_over, r.room_id
                FROM waits w JOIN requests r ON r.number = w.request
                WHERE w.due_at <= $1 ORDER BY w.due_at LIMIT 100
                FOR NO KEY UPDATE OF w SKIP LOCKED
            ), next AS (
                -- After the reminder comes the end.
                UPDATE waits w SET due_at = CASE WHEN due.is_over THEN NULL ELSE w.until END
                FROM due WHERE w.request = due.request
            ), opened AS (
                INSERT INTO lanes (lane) SELECT DISTINCT room_id FROM due ON CONFLICT DO NOTHING
            )
            INSERT INTO inbox (source, external_id, lane, received_at, raw)
            SELECT $2, format('%s/%s/%s', request, round, CASE WHEN is_over THEN 'end' ELSE 'reminder' END), room_id, $1, '{}'
            FROM due
            ON CONFLICT (source, external_id) DO NOTHING
            "#,
            SqlTime::from(self.now()) as _,
            TIMER,
        )
        .execute(self.pool())
        .await
        .doing("looking for times that are due")?
        .rows_affected();
        if rung > 0 {
            self.inner.bell.ring();
        }
        Ok(rung)
    }

    /// The running requests of this boot that somebody wants stopped, and who.
    pub async fn wishes_to_cancel(&self) -> Result<Vec<(RequestNumber, OwnedUserId)>, Error> {
        let rows = sqlx::query!(
            r#"SELECT r.number, r.cancel_requested_by AS "by!"
               FROM requests r JOIN attempts a ON a.id = r.attempt
               WHERE r.state = 'running' AND r.cancel_requested_at IS NOT NULL AND a.boot = $1"#,
            self.boot().0
        )
        .fetch_all(self.pool())
        .await
        .doing("looking for wishes to cancel")?;
        rows.into_iter()
            .map(|row| {
                let by = OwnedUserId::try_from(row.by);
                let by = by.map_err(|error| Error::Unreadable {
                    what: "a wish to cancel",
                    reason: error.to_string(),
                })?;
                Ok((RequestNumber(row.number), by))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timers_row_says_what_it_is_about() {
        assert_eq!(Timer::of("482/2/end"), Some(Timer { number: RequestNumber(482), round: 2 }));
        assert_eq!(Timer::of("$event"), None);
    }
}
