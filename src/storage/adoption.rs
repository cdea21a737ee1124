//! What was done to systems, counted by week.

use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTime;

use super::{Error, Storage, error::Doing as _};

/// How many runs of a command acted on a system in a week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Whole weeks since Monday, 1970-01-05, in UTC.
    pub week: i64,
    /// The system's key.
    pub system: String,
    /// The command.
    pub command: String,
    /// How many.
    pub count: i64,
}

impl Storage {
    /// What was started on systems since then, among the last 100,000 requests.
    pub async fn done_on_systems(&self, since: Timestamp) -> Result<Vec<Done>, Error> {
        sqlx::query_as!(
            Done,
            r#"
            SELECT floor((extract(epoch FROM received_at) - 345600) / 604800)::bigint AS "week!",
                   split_part(subject, '@', 1) AS "system!", command AS "command!", count(*) AS "count!"
            FROM requests
            -- A look at the whole past would take longer the longer it is.
            WHERE number > (SELECT coalesce(max(number), 0) - 100000 FROM requests)
              AND attempt IS NOT NULL AND subject IS NOT NULL AND command IS NOT NULL AND received_at >= $1
              -- A dry run does nothing to anything.
              AND NOT coalesce((convert_from(invocation, 'UTF8')::json ->> 'dry')::boolean, false)
            GROUP BY 1, 2, 3
            ORDER BY 1 DESC, 2, 3
            "#,
            SqlTime::from(since) as _,
        )
        .fetch_all(self.searches())
        .await
        .doing("counting what was done to systems")
    }
}
