//! What the log keeps for looking back: versions of the ops folder, and decisions with what they were made of.

use std::collections::BTreeMap;

use jiff_sqlx::Timestamp as SqlTime;

use super::{Error, Storage, error::Doing as _, requests::digest};
use crate::model::{Digest, RequestNumber, Timestamp};

/// A version of the ops folder that was in force.
#[derive(Debug, Clone)]
pub struct KeptVersion {
    /// The folder's digest.
    pub folder: Digest,
    /// Since when it was in force.
    pub since: Timestamp,
    /// Its files by path, secrets excepted.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A decision that the rules made on a command.
#[derive(Debug, Clone)]
pub struct KeptDecision {
    /// Its entry's place in the log.
    pub place: i64,
    /// The request.
    pub number: RequestNumber,
    /// Who asked.
    pub sender: String,
    /// When it was decided.
    pub at: Timestamp,
    /// The kind of entry: `command.permitted`, `command.refused`, ...
    pub kind: String,
    /// The rules that decided, by name.
    pub policies: Vec<String>,
    /// The invocation, as JSON.
    pub invocation: Vec<u8>,
    /// What the rules were given, as JSON.
    pub inputs: Vec<u8>,
}

impl Storage {
    /// The version of the ops folder that was in force then, whole.
    pub async fn version_at(&self, at: Timestamp) -> Result<Option<KeptVersion>, Error> {
        const DOING: &str = "reading a version of the ops folder";
        let found = sqlx::query!(
            r#"
            SELECT v.folder, e.at AS "at: SqlTime"
            FROM entries e JOIN ops_versions v ON v.folder = decode(e.body::jsonb ->> 'folder', 'hex')
            WHERE e.kind = 'rules.loaded' AND e.at <= $1
            ORDER BY e.place DESC LIMIT 1
            "#,
            SqlTime::from(at) as _,
        )
        .fetch_optional(self.pool())
        .await
        .doing(DOING)?;
        let Some(found) = found else { return Ok(None) };
        let files = sqlx::query!("SELECT path, bytes FROM ops_files WHERE folder = $1", found.folder)
            .fetch_all(self.pool())
            .await
            .doing(DOING)?;
        Ok(Some(KeptVersion {
            folder: digest(found.folder)?,
            since: found.at.into(),
            files: files.into_iter().map(|file| (file.path, file.bytes)).collect(),
        }))
    }

    /// The decisions on commands since then whose contents are still kept, after `place`, the oldest first.
    pub async fn decisions(
        &self,
        since: Timestamp,
        place: i64,
        limit: i64,
    ) -> Result<Vec<KeptDecision>, Error> {
        let rows = sqlx::query!(
            r#"
            SELECT e.place, e.kind, e.at AS "at: SqlTime", r.number, r.sender,
                   ARRAY(SELECT jsonb_array_elements_text(e.body::jsonb -> 'policies')) AS "policies!",
                   v.bytes AS invocation, i.bytes AS inputs
            FROM entries e
            JOIN requests r ON r.number = e.request
            -- What was erased cannot be decided again, and an entry that names neither was no decision of the rules.
            JOIN contents v ON v.commitment = decode(e.body::jsonb ->> 'invocation', 'hex')
            JOIN contents i ON i.commitment = decode(e.body::jsonb ->> 'inputs', 'hex')
            WHERE e.at >= $1 AND e.place > $2
              AND e.kind IN ('command.permitted', 'command.refused', 'approval.requested', 'confirmation.requested')
            ORDER BY e.place LIMIT $3
            "#,
            SqlTime::from(since) as _,
            place,
            limit,
        )
        .fetch_all(self.pool())
        .await
        .doing("reading the decisions of the log")?;
        let read = rows.into_iter().map(|row| KeptDecision {
            place: row.place,
            number: RequestNumber(row.number),
            sender: row.sender,
            at: row.at.into(),
            kind: row.kind,
            policies: row.policies,
            invocation: row.invocation,
            inputs: row.inputs,
        });
        Ok(read.collect())
    }
}
