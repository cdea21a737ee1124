//! The tables of the log's tree: what waits for its leaf, the leaves, the full tiles, the head, the checkpoints.
//!
//! There may be logs that have ended, each with a tree of its own (`logs`); read and extended is that of the log which the
//! [`Storage`] is of, the last one where it is of none.
//!
//! The arithmetic is `audit`'s; here are the rows. Everything but `pending` and `head` is only ever added to.

use jiff_sqlx::Timestamp as SqlTime;
use sqlx::{PgConnection, Postgres, Transaction};

use super::{Error, Storage, error::Doing as _, sheaf::Sheaf};
use crate::model::{EntryId, Event, SignedDuration, Timestamp};

/// How large the tree is, and its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeHead {
    /// How many leaves.
    pub size: u64,
    /// Their root.
    pub root: Vec<u8>,
}

/// An entry that waits for its leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its place in the log.
    pub place: i64,
    /// Its identifier.
    pub id: EntryId,
    /// The bytes that are hashed.
    pub body: String,
}

/// What one commit adds to the tree.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    /// The entries that get a leaf, in order, with their leaves' hashes.
    pub leaves: Vec<(Pending, [u8; 32])>,
    /// The tiles that became full: level, number, hashes, root.
    pub tiles: Vec<(u8, u64, Vec<u8>, [u8; 32])>,
    /// The root of the tree that they make.
    pub root: [u8; 32],
}

/// A signed checkpoint as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The size of its tree.
    pub size: u64,
    /// The tree's root.
    pub root: Vec<u8>,
    /// The signed note.
    pub note: String,
    /// When it was signed.
    pub at: Timestamp,
}

/// The right to extend the tree, for one commit; another instance that wants to waits for its turn. A courtesy alone:
/// what keeps two from building on the same tree is the step of `head` in [`Turn::grow`].
pub struct Turn {
    tx: Transaction<'static, Postgres>,
    storage: Storage,
}

const DOING: &str = "extending the log's tree";

/// What the sequencers of one database agree on: a number of their own among advisory locks.
pub(super) const TURN: i64 = 0x7175_6172_7465_7264;

impl Storage {
    /// Takes the turn to extend the tree; `None` where another instance has it.
    pub async fn tree_turn(&self) -> Result<Option<Turn>, Error> {
        let mut tx = self.begin(DOING).await?;
        let has = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "has!""#, TURN)
            .fetch_one(&mut *tx)
            .await
            .doing(DOING)?;
        Ok(has.then(|| Turn { tx, storage: self.clone() }))
    }

    /// The tree as it stands in the database after a confirmed commit.
    pub async fn tree_head(&self) -> Result<TreeHead, Error> {
        let mut connection = self.pool().acquire().await.doing(DOING)?;
        head(&mut connection, self.log).await
    }

    /// The last checkpoint that was signed.
    pub async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        let row = sqlx::query!(
            r#"
            SELECT size, root, note, signed_at AS "at: SqlTime" FROM checkpoints
            WHERE log = coalesce($1, (SELECT max(number) FROM logs)) ORDER BY size DESC LIMIT 1
            "#,
            self.log
        )
        .fetch_optional(self.pool())
        .await
        .doing("reading the last checkpoint")?;
        Ok(row.map(|row| Checkpoint {
            size: row.size.cast_unsigned(),
            root: row.root,
            note: row.note,
            at: row.at.into(),
        }))
    }

    /// Keeps a checkpoint that was just signed, before anybody is shown it; gives the one that stands for this size:
    /// another instance may have been quicker.
    pub async fn keep_checkpoint(&self, size: u64, root: &[u8], note: &str) -> Result<String, Error> {
        const DOING: &str = "keeping a checkpoint";
        let now = SqlTime::from(self.now());
        sqlx::query!(
            "INSERT INTO checkpoints (log, size, root, note, signed_at)
             VALUES (coalesce($5, (SELECT max(number) FROM logs)), $1, $2, $3, $4)
             ON CONFLICT (log, size) DO NOTHING",
            size.cast_signed(),
            root,
            note,
            now as _,
            self.log
        )
        .execute(self.pool())
        .await
        .doing(DOING)?;
        sqlx::query_scalar!(
            "SELECT note FROM checkpoints WHERE size = $1 AND log = coalesce($2, (SELECT max(number) FROM logs))",
            size.cast_signed(),
            self.log
        )
        .fetch_one(self.pool())
        .await
        .doing(DOING)
    }

    /// The hashes of a tile in a tree of which it has `width`; fewer where there are not that many.
    pub async fn tile(&self, level: u8, index: u64, width: u64) -> Result<Vec<u8>, Error> {
        const DOING: &str = "reading a tile of the log's tree";
        if width >= 256 {
            let full = sqlx::query_scalar!(
                "SELECT hashes FROM tiles
                 WHERE level = $1 AND index = $2 AND log = coalesce($3, (SELECT max(number) FROM logs))",
                i16::from(level),
                index.cast_signed(),
                self.log
            )
            .fetch_optional(self.pool())
            .await
            .doing(DOING)?;
            return Ok(full.unwrap_or_default());
        }
        let mut connection = self.pool().acquire().await.doing(DOING)?;
        partial(&mut connection, self.log, level, index, width).await
    }

    /// Whether any entry waits for its leaf, or any leaf for a signature. Cheap: `pending` is empty but for what was just
    /// written.
    pub async fn tree_is_due(&self) -> Result<bool, Error> {
        sqlx::query_scalar!(
            r#"
            SELECT EXISTS (SELECT FROM pending)
                   OR (SELECT size FROM head WHERE log = coalesce($1, (SELECT max(number) FROM logs)))
                       > (SELECT coalesce(max(size), 0) FROM checkpoints
                          WHERE log = coalesce($1, (SELECT max(number) FROM logs))) AS "due!"
            "#,
            self.log
        )
        .fetch_one(self.pool())
        .await
        .doing("looking for entries without a leaf")
    }
}

impl Turn {
    /// The tree that this turn builds on.
    pub async fn head(&mut self) -> Result<TreeHead, Error> {
        head(&mut self.tx, self.storage.log).await
    }

    /// The hashes of the first `width` of a tile that is not full yet.
    pub async fn partial(&mut self, level: u8, index: u64, width: u64) -> Result<Vec<u8>, Error> {
        partial(&mut self.tx, self.storage.log, level, index, width).await
    }

    /// The entries that wait for their leaf, in order, so many at most.
    pub async fn pending(&mut self, limit: i64) -> Result<Vec<Pending>, Error> {
        let rows = sqlx::query!(
            "SELECT p.place, e.id, e.body FROM pending p JOIN entries e ON e.place = p.place
             ORDER BY p.place LIMIT $1",
            limit
        )
        .fetch_all(&mut *self.tx)
        .await
        .doing(DOING)?;
        let read =
            rows.into_iter().map(|row| Pending { place: row.place, id: EntryId(row.id), body: row.body });
        Ok(read.collect())
    }

    /// Writes a heartbeat where no entry was written for so long; says whether it did.
    pub async fn beat_where_silent(&mut self, silence: SignedDuration) -> Result<bool, Error> {
        let now = self.storage.now();
        let last =
            sqlx::query_scalar!(r#"SELECT at AS "at: SqlTime" FROM entries ORDER BY place DESC LIMIT 1"#)
                .fetch_optional(&mut *self.tx)
                .await
                .doing(DOING)?;
        if last.is_none_or(|last| now.duration_since(last.into()) < silence) {
            return Ok(false);
        }
        let mut sheaf = Sheaf::default();
        sheaf.append(None, None, Event::LogHeartbeat {});
        sheaf.write(&self.storage, &mut self.tx, now, None).await?;
        Ok(true)
    }

    /// Adds leaves to a tree of `from`, moves the head, and commits. An error leaves open whether it was done where the
    /// database went away meanwhile: whoever goes on reads the head anew.
    pub async fn grow(mut self, from: u64, growth: Growth) -> Result<(), Error> {
        let count = growth.leaves.len() as u64;
        let size = from + count;
        let (mut places, mut ids, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for (entry, hash) in growth.leaves {
            places.push(entry.place);
            ids.push(entry.id.0);
            hashes.push(hash.to_vec());
        }
        sqlx::query!(
            "INSERT INTO leaves (log, index, entry_id, hash)
             SELECT coalesce($4, (SELECT max(number) FROM logs)), $1 + l.nth - 1, l.id, l.hash
             FROM UNNEST($2::uuid[], $3::bytea[]) WITH ORDINALITY AS l (id, hash, nth)",
            from.cast_signed(),
            &ids,
            &hashes,
            self.storage.log
        )
        .execute(&mut *self.tx)
        .await
        .doing(DOING)?;
        for (level, index, hashes, root) in growth.tiles {
            sqlx::query!(
                "INSERT INTO tiles (log, level, index, hashes, root)
                 VALUES (coalesce($5, (SELECT max(number) FROM logs)), $1, $2, $3, $4)",
                i16::from(level),
                index.cast_signed(),
                hashes,
                root.as_slice(),
                self.storage.log
            )
            .execute(&mut *self.tx)
            .await
            .doing(DOING)?;
        }
        sqlx::query!("DELETE FROM pending WHERE place = ANY($1)", &places)
            .execute(&mut *self.tx)
            .await
            .doing(DOING)?;
        // The fence: whoever else built on the same size finds another one now.
        let moved = sqlx::query!(
            "UPDATE head SET size = $2, root = $3
             WHERE size = $1 AND log = coalesce($4, (SELECT max(number) FROM logs))",
            from.cast_signed(),
            size.cast_signed(),
            growth.root.as_slice(),
            self.storage.log
        )
        .execute(&mut *self.tx)
        .await
        .doing(DOING)?;
        if moved.rows_affected() != 1 {
            let reason = format!("another instance has extended the tree of {from} leaves meanwhile");
            return Err(Error::Unreadable { what: "the log's head", reason });
        }
        crate::model::fault::Point::BeforeTreeCommit.pass();
        self.tx.commit().await.doing(DOING)
    }

    /// Gives the turn back, and commits what was written beside the tree.
    pub async fn done(self) -> Result<(), Error> {
        self.tx.commit().await.doing(DOING)
    }
}

async fn head(connection: &mut PgConnection, log: Option<i32>) -> Result<TreeHead, Error> {
    let row = sqlx::query!(
        "SELECT size, root FROM head WHERE log = coalesce($1, (SELECT max(number) FROM logs))",
        log
    )
    .fetch_optional(connection)
    .await
    .doing("reading the log's head")?;
    row.map(|row| TreeHead { size: row.size.cast_unsigned(), root: row.root }).ok_or_else(|| {
        Error::Unreadable {
            what: "the log's head",
            reason: "its row is gone: restore the database".to_owned(),
        }
    })
}

async fn partial(
    connection: &mut PgConnection,
    log: Option<i32>,
    level: u8,
    index: u64,
    width: u64,
) -> Result<Vec<u8>, Error> {
    const DOING: &str = "reading the edge of the log's tree";
    let first = index.saturating_mul(256).cast_signed();
    let end = first.saturating_add(width.cast_signed());
    let hashes = match level.checked_sub(1) {
        None => {
            sqlx::query_scalar!(
                "SELECT hash FROM leaves
                 WHERE index >= $1 AND index < $2 AND log = coalesce($3, (SELECT max(number) FROM logs))
                 ORDER BY index",
                first,
                end,
                log
            )
            .fetch_all(connection)
            .await
        }
        // Each hash stands for a full tile below.
        Some(below) => {
            sqlx::query_scalar!(
                "SELECT root FROM tiles
                 WHERE level = $1 AND index >= $2 AND index < $3
                   AND log = coalesce($4, (SELECT max(number) FROM logs))
                 ORDER BY index",
                i16::from(below),
                first,
                end,
                log
            )
            .fetch_all(connection)
            .await
        }
    };
    Ok(hashes.doing(DOING)?.concat())
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}
