//! What runs and what waits to: of a room, for a lock, and how much of it is somebody's.

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedUserId, RoomId, UserId};

use super::{Error, Storage, Work, error::Doing as _};
use crate::{
    catalogue::MostRuns,
    model::{Invocation, RequestNumber, State, Timestamp},
};

/// How many requests of a room are listed.
const LISTED: i64 = 50;

/// Who stands before a request that waits for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// The request that has the lock, where it is of the same room: another room's is none of this one's business.
    pub holder: Option<RequestNumber>,
    /// How many wait for it longer.
    pub before: i64,
    /// Whether anybody has it.
    pub is_held: bool,
}

/// A limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// As many of this person's run, or wait to, as may.
    Person(i64),
    /// As many of this room's.
    Room(i64),
    /// As many as may at all.
    All(i64),
}

/// A request that has not ended.
#[derive(Debug, Clone)]
pub struct Unended {
    /// Its number.
    pub number: RequestNumber,
    /// Where it stands.
    pub state: State,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// What was understood.
    pub invocation: Invocation,
    /// The lock that it needs, and how many wait for it longer.
    pub lock: Option<(String, i64)>,
    /// Since when it runs; since when it waits.
    pub since: Timestamp,
    /// Until when it waits for somebody's word.
    pub until: Option<Timestamp>,
}

impl Work {
    /// Who stands before a request that waits for this lock.
    pub async fn ahead(&mut self, number: RequestNumber, room: &RoomId, lock: &str) -> Result<Ahead, Error> {
        let row = sqlx::query!(
            r#"SELECT (SELECT r.number FROM locks l JOIN requests r ON r.number = l.request
                       WHERE l.name = $2 AND r.room_id = $3) AS holder,
                      (SELECT count(*) FROM requests WHERE state = 'queued' AND ended_at IS NULL
                                                       AND lock = $2 AND number < $1) AS "before!",
                      EXISTS (SELECT 1 FROM locks WHERE name = $2) AS "held!""#,
            number.0,
            lock,
            room.as_str(),
        )
        .fetch_one(self.tx()?)
        .await
        .doing("looking up who waits for a lock")?;
        Ok(Ahead { holder: row.holder.map(RequestNumber), before: row.before, is_held: row.held })
    }

    /// The limit that stands against a request's start, if one does. Where there are limits, no other request starts on
    /// any instance until this work has ended, so that what is found stays so.
    pub async fn over(
        &mut self,
        number: RequestNumber,
        (room, sender): (&RoomId, &UserId),
        most: MostRuns,
    ) -> Result<Option<Reached>, Error> {
        const DOING: &str = "counting what runs";
        if !most.is_any() {
            return Ok(None);
        }
        // A statement of its own: the next one sees what those before us have committed.
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('quarterdeck starts'))")
            .execute(self.tx()?)
            .await
            .doing(DOING)?;
        let counted = sqlx::query!(
            r#"SELECT count(*) FILTER (WHERE sender = $2) AS "person!", count(*) FILTER (WHERE room_id = $3) AS "room!",
                      count(*) AS "all!"
               FROM requests
               WHERE ended_at IS NULL AND number <> $1
                 -- Those that waited before it come first; those after it are looked at when their turn comes.
                 AND (state = 'running' OR (state = 'queued' AND number < $1))"#,
            number.0,
            sender.as_str(),
            room.as_str(),
        )
        .fetch_one(self.tx()?)
        .await
        .doing(DOING)?;
        let reached = |most: Option<i64>, count: i64| most.filter(|most| count >= *most);
        Ok(reached(most.person, counted.person)
            .map(Reached::Person)
            .or_else(|| reached(most.room, counted.room).map(Reached::Room))
            .or_else(|| reached(most.all, counted.all).map(Reached::All)))
    }
}

impl Storage {
    /// What runs and what waits in a room, the oldest first. What was never understood is not among it.
    pub async fn unended_in(&self, room: &RoomId) -> Result<Vec<Unended>, Error> {
        let rows = sqlx::query!(
            r#"SELECT r.number, r.state, r.sender, r.invocation AS "invocation!", r.lock,
                      coalesce(a.started_at, r.received_at) AS "since!: SqlTime",
                      CASE WHEN r.state LIKE 'awaiting%' THEN w.until END AS "until: SqlTime",
                      (SELECT count(*) FROM requests e WHERE e.state = 'queued' AND e.ended_at IS NULL
                                                         AND e.lock = r.lock AND e.number < r.number) AS "before!"
               FROM requests r LEFT JOIN attempts a ON a.id = r.attempt LEFT JOIN waits w ON w.request = r.number
               WHERE r.ended_at IS NULL AND r.room_id = $1 AND r.invocation IS NOT NULL
                 AND r.state IN ('awaiting_confirmation', 'awaiting_approval', 'queued', 'running')
               ORDER BY r.number LIMIT $2"#,
            room.as_str(),
            LISTED,
        )
        .fetch_all(self.pool())
        .await
        .doing("looking up what runs and waits in a room")?;
        let unreadable = |reason: String| Error::Unreadable { what: "a request", reason };
        rows.into_iter()
            .map(|row| {
                Ok(Unended {
                    number: RequestNumber(row.number),
                    state: row.state.parse().map_err(unreadable)?,
                    sender: OwnedUserId::try_from(row.sender)
                        .map_err(|error| unreadable(error.to_string()))?,
                    invocation: serde_json::from_slice(&row.invocation)
                        .map_err(|error| unreadable(error.to_string()))?,
                    lock: row.lock.map(|lock| (lock, row.before)),
                    since: row.since.into(),
                    until: row.until.map(Into::into),
                })
            })
            .collect()
    }
}
