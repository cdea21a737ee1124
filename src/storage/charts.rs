//! Requests counted by day, for charts: of given rooms, since a time, and no more than a table holds.

use jiff_sqlx::Timestamp as SqlTime;
use ruma::OwnedRoomId;

use super::{Error, Storage, error::Doing as _};
use crate::model::Timestamp;

/// How many requests are counted at most: the newest.
pub const COUNTED: i64 = 100_000;

/// A number of requests that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// What: `outcome`, `command` or `person`.
    pub what: String,
    /// The day, UTC: `2026-11-23`. Empty where all days are counted together.
    pub day: String,
    /// Which: a state, a command, or who asked.
    pub which: String,
    /// How many.
    pub count: i64,
}

/// How long what ran on a day had waited: from its arrival to its start, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited {
    /// The day, UTC.
    pub day: String,
    /// Half of them waited no longer.
    pub median_ms: i64,
    /// The longest.
    pub longest_ms: i64,
    /// How many ran.
    pub count: i64,
}

const DOING: &str = "counting requests";

impl Storage {
    /// Outcomes by day, and commands and people of all days, of the requests of these rooms that came since then.
    pub async fn counts(&self, rooms: &[OwnedRoomId], since: Timestamp) -> Result<Vec<Count>, Error> {
        let rooms: Vec<String> = rooms.iter().map(ToString::to_string).collect();
        sqlx::query_as!(
            Count,
            r#"
            WITH seen AS (
                SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, state, command, who
                FROM trail WHERE room_id = ANY ($1) AND request IS NOT NULL AND at >= $2
                -- A look at everything would take longer the more there is.
                ORDER BY at DESC LIMIT $3
            ), commands AS (
                SELECT command, count(*) AS count FROM seen WHERE command IS NOT NULL
                GROUP BY command ORDER BY count(*) DESC, command LIMIT 12
            ), people AS (
                SELECT who, count(*) AS count FROM seen WHERE who IS NOT NULL
                GROUP BY who ORDER BY count(*) DESC, who LIMIT 12
            )
            SELECT 'outcome' AS "what!", day AS "day!", coalesce(state, '') AS "which!", count(*) AS "count!"
            FROM seen GROUP BY day, state
            UNION ALL SELECT 'command', '', command, count FROM commands
            UNION ALL SELECT 'person', '', who, count FROM people
            ORDER BY 1, 2, 4 DESC, 3
            "#,
            &rooms,
            SqlTime::from(since) as _,
            COUNTED,
        )
        .fetch_all(self.searches())
        .await
        .doing(DOING)
    }

    /// How long what ran had waited, by day, of the same requests.
    pub async fn waited(&self, rooms: &[OwnedRoomId], since: Timestamp) -> Result<Vec<Waited>, Error> {
        let rooms: Vec<String> = rooms.iter().map(ToString::to_string).collect();
        sqlx::query_as!(
            Waited,
            r#"
            WITH seen AS (
                SELECT request FROM trail WHERE room_id = ANY ($1) AND request IS NOT NULL AND at >= $2
                ORDER BY at DESC LIMIT $3
            ), ran AS (
                SELECT to_char(r.received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,
                       (1000 * greatest(extract(epoch FROM a.started_at - r.received_at), 0))::bigint AS ms
                FROM seen s JOIN requests r ON r.number = s.request JOIN attempts a ON a.id = r.attempt
            )
            SELECT day AS "day!", (percentile_disc(0.5) WITHIN GROUP (ORDER BY ms)) AS "median_ms!",
                   max(ms) AS "longest_ms!", count(*) AS "count!"
            FROM ran GROUP BY day ORDER BY day
            "#,
            &rooms,
            SqlTime::from(since) as _,
            COUNTED,
        )
        .fetch_all(self.searches())
        .await
        .doing(DOING)
    }
}
