//! Removing what is only kept to know a repeated event by.

use jiff_sqlx::Timestamp as SqlTime;

use super::{Error, Storage, error::Doing as _};
use crate::model::Timestamp;

const DOING: &str = "removing old rows of the inbox";

/// Where a walk through the inbox stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Walk {
    /// The last row that was looked at.
    pub at: i64,
    /// How many rows were removed on the way.
    pub removed: u64,
    /// Whether nothing old is left beyond: the next walk begins at the beginning.
    pub over: bool,
}

impl Storage {
    /// One step of a walk: looks at the next `rows` rows of the inbox and removes those that were done before `before`.
    ///
    /// A row whose event carried a request stays, and so does one that was passed over: the schema sees to it as well.
    /// Several instances may walk at once; what one has removed the other does not find.
    pub async fn prune_inbox(&self, walk: Walk, before: Timestamp, rows: i64) -> Result<Walk, Error> {
        let step = sqlx::query!(
            r#"
            WITH looked AS (
                SELECT id, received_at FROM inbox WHERE id > $1 ORDER BY id LIMIT $2
            ), gone AS (
                DELETE FROM inbox i USING looked
                WHERE i.id = looked.id AND i.state = 'done' AND i.done_at < $3 AND i.received_at < $3
                  -- Of other doors only the row knows what was done before.
                  AND (i.source LIKE 'matrix%' OR i.source LIKE 'status%')
                  AND NOT EXISTS (SELECT FROM requests r WHERE r.event_id = i.external_id)
                RETURNING i.id
            )
            SELECT max(id) AS at, count(*) AS "looked!", COALESCE(bool_or(received_at >= $3), false) AS "young!",
                   (SELECT count(*) FROM gone) AS "gone!"
            FROM looked
            "#,
            walk.at,
            rows,
            SqlTime::from(before) as _,
        )
        .fetch_one(self.pool())
        .await
        .doing(DOING)?;
        Ok(Walk {
            at: step.at.unwrap_or(walk.at),
            removed: walk.removed + u64::try_from(step.gone).unwrap_or_default(),
            over: step.young || step.looked < rows,
        })
    }

    /// Removes transactions that arrived before `before`, `rows` at most; gives how many. Those with to-device messages
    /// stay: nobody has read these yet.
    pub async fn prune_transactions(&self, before: Timestamp, rows: i64) -> Result<u64, Error> {
        let gone = sqlx::query!(
            "DELETE FROM transactions t
             USING (SELECT homeserver, id, digest FROM transactions
                    WHERE to_device IS NULL AND received_at < $1 ORDER BY received_at LIMIT $2) AS old
             WHERE t.homeserver = old.homeserver AND t.id = old.id AND t.digest = old.digest",
            SqlTime::from(before) as _,
            rows,
        )
        .execute(self.pool())
        .await
        .doing("removing old transactions")?;
        Ok(gone.rows_affected())
    }
}
