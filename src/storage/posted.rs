//! The table of checkpoints that were posted to the log room. Only ever added to.

use jiff_sqlx::Timestamp as SqlTime;

use super::{Error, OutboxDraft, OutboxRow, Storage, error::Doing as _, sheaf::Sheaf};
use crate::model::Timestamp;

const DOING: &str = "posting a checkpoint";

impl Storage {
    /// The size of the last checkpoint of this log that was posted, and when.
    pub async fn last_posted(&self, log: i32) -> Result<Option<(u64, Timestamp)>, Error> {
        let row = sqlx::query!(
            r#"SELECT size, posted_at AS "at: SqlTime" FROM posted WHERE log = $1 ORDER BY size DESC LIMIT 1"#,
            log
        )
        .fetch_optional(self.pool())
        .await
        .doing("looking up the last posted checkpoint")?;
        Ok(row.map(|row| (row.size.cast_unsigned(), row.at.into())))
    }

    /// Has a checkpoint posted that goes on from the one of `after` entries, in one commit with its message. Nothing where another
    /// instance has posted one meanwhile.
    pub async fn post(
        &self,
        log: i32,
        after: u64,
        size: u64,
        draft: OutboxDraft,
    ) -> Result<Vec<OutboxRow>, Error> {
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let posted = sqlx::query!(
            "INSERT INTO posted (log, size, after, posted_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            log,
            size.cast_signed(),
            after.cast_signed(),
            SqlTime::from(now) as _
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
        if posted.rows_affected() == 0 {
            tx.rollback().await.doing(DOING)?;
            return Ok(Vec::new());
        }
        let mut sheaf = Sheaf::default();
        sheaf.send(draft);
        let messages = sheaf.write(self, &mut tx, now, None).await?;
        tx.commit().await.doing(DOING)?;
        Ok(messages)
    }
}
