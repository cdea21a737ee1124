//! The versions of the ops folder that were in force, kept whole.

use jiff_sqlx::Timestamp as SqlTime;

use super::{Error, Storage, error::Doing as _, sheaf::Sheaf};
use crate::{
    catalogue::Ops,
    model::{Digest, Event},
};

impl Storage {
    /// Keeps this version, and records `rules.loaded` if another one was in force before. Says whether
    /// it did.
    pub async fn keep_version(&self, ops: &Ops, rules: Digest) -> Result<bool, Error> {
        const DOING: &str = "keeping a version of the ops folder";
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let new = sqlx::query!(
            "INSERT INTO ops_versions (folder, commit_id, first_kept) VALUES ($1, $2, $3)
             ON CONFLICT (folder) DO NOTHING",
            ops.digest.as_bytes(),
            ops.commit,
            SqlTime::from(now) as _,
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?
        .rows_affected();
        if new == 1 {
            sqlx::query!(
                "INSERT INTO ops_files (folder, path, bytes)
                 SELECT $1, f.path, f.bytes FROM UNNEST($2::text[], $3::bytea[]) AS f (path, bytes)",
                ops.digest.as_bytes(),
                &ops.files.keys().cloned().collect::<Vec<_>>(),
                &ops.files.values().cloned().collect::<Vec<_>>(),
            )
            .execute(&mut *tx)
            .await
            .doing(DOING)?;
        }
        let event = Event::RulesLoaded { folder: ops.digest, rules, commit: ops.commit.clone() };
        let last = sqlx::query_scalar!(
            "SELECT body FROM entries WHERE kind = 'rules.loaded' ORDER BY place DESC LIMIT 1"
        )
        .fetch_optional(&mut *tx)
        .await
        .doing(DOING)?;
        let last = last.and_then(|body| serde_json::from_str::<crate::model::Entry>(&body).ok());
        let changed = last.is_none_or(|entry| entry.event != event);
        if changed {
            let mut sheaf = Sheaf::default();
            sheaf.append(None, None, event);
            sheaf.write(self, &mut tx, now, None).await?;
        }
        tx.commit().await.doing(DOING)?;
        Ok(changed)
    }
}
