//! The table of what witnesses said of our checkpoints. Only ever added to.

use jiff_sqlx::Timestamp as SqlTime;

use super::{Error, Storage, error::Doing as _};
use crate::model::Timestamp;

/// A cosignature as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// The size of the checkpoint that it stands below.
    pub size: u64,
    /// That checkpoint.
    pub note: String,
    /// Its line.
    pub line: String,
}

impl Storage {
    /// Keeps a cosignature that was found to hold. One by the same witness for the same checkpoint stays as it is.
    pub async fn keep_cosignature(
        &self,
        size: u64,
        witness: &str,
        line: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        sqlx::query!(
            "INSERT INTO cosignatures (size, witness, line, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            size.cast_signed(),
            witness,
            line,
            SqlTime::from(at) as _
        )
        .execute(self.pool())
        .await
        .doing("keeping a cosignature")?;
        Ok(())
    }

    /// The last cosignature by the witness with this public key.
    pub async fn last_cosignature(&self, witness: &str) -> Result<Option<Cosignature>, Error> {
        let row = sqlx::query!(
            "SELECT c.size, c.line, k.note FROM cosignatures c JOIN checkpoints k ON k.size = c.size
             WHERE c.witness = $1 ORDER BY c.size DESC LIMIT 1",
            witness
        )
        .fetch_optional(self.pool())
        .await
        .doing("reading the last cosignature")?;
        Ok(row.map(|row| Cosignature { size: row.size.cast_unsigned(), note: row.note, line: row.line }))
    }
}
