//! The table of what witnesses said of our checkpoints. Only ever added to.

use jiff_sqlx::Timestamp as SqlTime;

use super::{Checkpoint, Error, Storage, Work, error::Doing as _};
use crate::{
    model::{RequestNumber, Timestamp},
    policy::Permit,
};

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

/// Where an entry stands in what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The log that it is in, where that one has ended; `None` where it goes on.
    pub ended: Option<i32>,
    /// The size of the first signed tree that holds it.
    pub size: u64,
    /// When that was signed.
    pub at: Timestamp,
    /// Which witnesses have cosigned a tree that holds it: the public key of each, with the first such size and when it said so,
    /// by its own clock.
    pub witnesses: Vec<(String, u64, Timestamp)>,
}

const DOING: &str = "reading who has cosigned the log";

impl Work {
    /// Keeps a cosignature that was found to hold, and that somebody has given us whom the rules let: in the commit of their
    /// command.
    pub async fn keep_cosignature(
        &mut self,
        _permit: &Permit,
        size: u64,
        witness: &str,
        line: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.put_down_request().await?;
        sqlx::query!(
            "INSERT INTO cosignatures (log, size, witness, line, at)
             VALUES ((SELECT max(number) FROM logs), $1, $2, $3, $4) ON CONFLICT DO NOTHING",
            size.cast_signed(),
            witness,
            line,
            SqlTime::from(at) as _
        )
        .execute(self.tx()?)
        .await
        .doing("keeping a cosignature")?;
        Ok(())
    }
}

impl Storage {
    /// Where the last signed entry of a request stands; `None` where nothing of it is signed yet.
    pub async fn sealed(&self, request: RequestNumber) -> Result<Option<Sealed>, Error> {
        let first = sqlx::query!(
            r#"
            SELECT l.log, l.index, k.size, k.signed_at AS "at: SqlTime",
                   l.log < (SELECT max(number) FROM logs) AS "ended!"
            FROM entries e JOIN leaves l ON l.entry_id = e.id,
            LATERAL (SELECT size, signed_at FROM checkpoints WHERE log = l.log AND size > l.index
                     ORDER BY size LIMIT 1) AS k
            WHERE e.request = $1 ORDER BY l.log DESC, l.index DESC LIMIT 1
            "#,
            request.0
        )
        .fetch_optional(self.pool())
        .await
        .doing(DOING)?;
        let Some(first) = first else { return Ok(None) };
        // Each witness's name by a step over the index, and not by a look at all that it said.
        let witnesses = sqlx::query!(
            r#"
            WITH RECURSIVE names AS (
                SELECT min(witness) AS witness FROM cosignatures WHERE log = $2
                UNION ALL
                SELECT (SELECT min(c.witness) FROM cosignatures c WHERE c.log = $2 AND c.witness > n.witness)
                FROM names n WHERE n.witness IS NOT NULL
            )
            SELECT n.witness AS "witness!", c.size AS "size!", c.at AS "at!: SqlTime"
            FROM names n,
            LATERAL (SELECT size, at FROM cosignatures WHERE log = $2 AND witness = n.witness AND size > $1
                     ORDER BY size LIMIT 1) AS c
            ORDER BY n.witness
            "#,
            first.index,
            first.log
        )
        .fetch_all(self.pool())
        .await
        .doing(DOING)?;
        let witnesses =
            witnesses.into_iter().map(|row| (row.witness, row.size.cast_unsigned(), row.at.into())).collect();
        let ended = first.ended.then_some(first.log);
        Ok(Some(Sealed { ended, size: first.size.cast_unsigned(), at: first.at.into(), witnesses }))
    }

    /// The first checkpoint that holds this leaf and that most witnesses have cosigned, with their lines below it. Where
    /// nobody has, the last one.
    pub async fn checkpoint_for(&self, index: u64) -> Result<Option<Checkpoint>, Error> {
        let row = sqlx::query!(
            r#"
            SELECT k.size, k.root, k.signed_at AS "at: SqlTime",
                   k.note || coalesce((SELECT string_agg(c.line, '' ORDER BY c.witness)
                                       FROM cosignatures c WHERE c.log = k.log AND c.size = k.size), '') AS "note!"
            FROM checkpoints k
            WHERE k.log = coalesce($2, (SELECT max(number) FROM logs)) AND k.size = coalesce(
                -- Not among all that ever were.
                (SELECT s.size FROM (SELECT size FROM cosignatures
                                     WHERE log = coalesce($2, (SELECT max(number) FROM logs)) AND size > $1
                                     ORDER BY size LIMIT 500) AS s
                 GROUP BY s.size ORDER BY count(*) DESC, s.size LIMIT 1),
                (SELECT max(size) FROM checkpoints
                 WHERE log = coalesce($2, (SELECT max(number) FROM logs)) AND size > $1))
            "#,
            index.cast_signed(),
            self.log
        )
        .fetch_optional(self.pool())
        .await
        .doing(DOING)?;
        Ok(row.map(|row| Checkpoint {
            size: row.size.cast_unsigned(),
            root: row.root,
            note: row.note,
            at: row.at.into(),
        }))
    }

    /// The checkpoint of a tree of this size, with its cosignatures below it.
    pub async fn checkpoint_at(&self, size: u64) -> Result<Option<Checkpoint>, Error> {
        let row = sqlx::query!(
            r#"
            SELECT k.root, k.signed_at AS "at: SqlTime",
                   k.note || coalesce((SELECT string_agg(c.line, '' ORDER BY c.witness)
                                       FROM cosignatures c WHERE c.log = k.log AND c.size = k.size), '') AS "note!"
            FROM checkpoints k
            WHERE k.size = $1 AND k.log = coalesce($2, (SELECT max(number) FROM logs))
            "#,
            size.cast_signed(),
            self.log
        )
        .fetch_optional(self.pool())
        .await
        .doing(DOING)?;
        Ok(row.map(|row| Checkpoint { size, root: row.root, note: row.note, at: row.at.into() }))
    }

    /// The last checkpoint that anybody has cosigned.
    pub async fn last_witnessed(&self) -> Result<Option<u64>, Error> {
        let size = sqlx::query_scalar!(
            "SELECT max(size) FROM cosignatures WHERE log = coalesce($1, (SELECT max(number) FROM logs))",
            self.log
        )
        .fetch_one(self.pool())
        .await;
        Ok(size.doing(DOING)?.map(i64::cast_unsigned))
    }

    /// Keeps a cosignature that was found to hold. One by the same witness for the same checkpoint stays as it is.
    pub async fn keep_cosignature(
        &self,
        size: u64,
        witness: &str,
        line: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        sqlx::query!(
            "INSERT INTO cosignatures (log, size, witness, line, at)
             VALUES (coalesce($5, (SELECT max(number) FROM logs)), $1, $2, $3, $4) ON CONFLICT DO NOTHING",
            size.cast_signed(),
            witness,
            line,
            SqlTime::from(at) as _,
            self.log
        )
        .execute(self.pool())
        .await
        .doing("keeping a cosignature")?;
        Ok(())
    }

    /// The last cosignature by the witness with this public key.
    pub async fn last_cosignature(&self, witness: &str) -> Result<Option<Cosignature>, Error> {
        let row = sqlx::query!(
            "SELECT c.size, c.line, k.note
             FROM cosignatures c JOIN checkpoints k ON k.log = c.log AND k.size = c.size
             WHERE c.witness = $1 AND c.log = coalesce($2, (SELECT max(number) FROM logs))
             ORDER BY c.size DESC LIMIT 1",
            witness,
            self.log
        )
        .fetch_optional(self.pool())
        .await
        .doing("reading the last cosignature")?;
        Ok(row.map(|row| Cosignature { size: row.size.cast_unsigned(), note: row.note, line: row.line }))
    }
}
