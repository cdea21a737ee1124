//! The log and its tree as they stand, page by page, for whoever checks them or copies them out.

use jiff_sqlx::Timestamp as SqlTime;
use ruma::OwnedRoomId;

use super::{Checkpoint, Error, Storage, error::Doing as _};
use crate::model::{Commitment, RequestNumber, Timestamp};

/// A leaf that is in a signed tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedLeaf {
    /// The log that it is in.
    pub log: i32,
    /// Its index there.
    pub index: u64,
    /// The entry's bytes.
    pub body: String,
}

/// A content with what it should hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentRow {
    /// Its name.
    pub commitment: Vec<u8>,
    /// Its salt.
    pub salt: Vec<u8>,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The request that it belongs to.
    pub request: i64,
    /// What it is: the name of a [`ContentKind`](super::ContentKind).
    pub kind: String,
}

/// Which leaves are copied out. What is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// Those of entries of this room.
    pub room: Option<OwnedRoomId>,
    /// Those of entries written then or later.
    pub since: Option<Timestamp>,
}

const DOING: &str = "reading the log's tree";

impl Storage {
    /// The indexes of the leaves of a cut, from this one on and below `end`, in order.
    pub async fn leaves_of(&self, cut: &Cut, from: u64, end: u64, limit: i64) -> Result<Vec<u64>, Error> {
        let rows = sqlx::query_scalar!(
            r#"
            SELECT l.index FROM leaves l JOIN entries e ON e.id = l.entry_id
            WHERE l.index >= $1 AND l.index < $2
              AND ($3::text IS NULL OR e.room_id = $3)
              AND ($4::timestamptz IS NULL OR e.at >= $4)
              AND l.log = coalesce($6, (SELECT max(number) FROM logs))
            ORDER BY l.index LIMIT $5
            "#,
            from.cast_signed(),
            end.cast_signed(),
            cut.room.as_ref().map(|room| room.as_str()),
            cut.since.map(SqlTime::from) as _,
            limit,
            self.log
        )
        .fetch_all(self.searches())
        .await
        .doing(DOING)?;
        Ok(rows.into_iter().map(i64::cast_unsigned).collect())
    }

    /// The last leaf of a request's entries that is signed.
    pub async fn signed_leaf_of(&self, request: RequestNumber) -> Result<Option<SignedLeaf>, Error> {
        let row = sqlx::query!(
            "SELECT l.log, l.index, e.body FROM entries e JOIN leaves l ON l.entry_id = e.id
             WHERE e.request = $1 AND l.index < (SELECT max(k.size) FROM checkpoints k WHERE k.log = l.log)
             ORDER BY l.log DESC, l.index DESC LIMIT 1",
            request.0
        )
        .fetch_optional(self.pool())
        .await
        .doing(DOING)?;
        Ok(row.map(|row| SignedLeaf { log: row.log, index: row.index.cast_unsigned(), body: row.body }))
    }

    /// Checkpoints of trees larger than `size`, in order.
    pub async fn checkpoints(&self, size: u64, limit: i64) -> Result<Vec<Checkpoint>, Error> {
        let rows = sqlx::query!(
            r#"
            SELECT size, root, note, signed_at AS "at: SqlTime" FROM checkpoints
            WHERE size > $1 AND log = coalesce($3, (SELECT max(number) FROM logs)) ORDER BY size LIMIT $2
            "#,
            size.cast_signed(),
            limit,
            self.log
        )
        .fetch_all(self.pool())
        .await
        .doing(DOING)?;
        let read = rows.into_iter().map(|row| Checkpoint {
            size: row.size.cast_unsigned(),
            root: row.root,
            note: row.note,
            at: row.at.into(),
        });
        Ok(read.collect())
    }

    /// A full tile's hashes and its root.
    pub async fn full_tile(&self, level: u8, index: u64) -> Result<Option<(Vec<u8>, Vec<u8>)>, Error> {
        let row = sqlx::query!(
            "SELECT hashes, root FROM tiles
             WHERE level = $1 AND index = $2 AND log = coalesce($3, (SELECT max(number) FROM logs))",
            i16::from(level),
            index.cast_signed(),
            self.log
        )
        .fetch_optional(self.pool())
        .await
        .doing(DOING)?;
        Ok(row.map(|row| (row.hashes, row.root)))
    }

    /// How many full tiles there are that a tree of this size does not have.
    pub async fn stray_tiles(&self, size: u64) -> Result<i64, Error> {
        sqlx::query_scalar!(
            r#"
            SELECT count(*) AS "count!" FROM tiles
            WHERE ((index + 1) << (8 * (level + 1))) > $1 AND log = coalesce($2, (SELECT max(number) FROM logs))
            "#,
            size.cast_signed(),
            self.log
        )
        .fetch_one(self.pool())
        .await
        .doing(DOING)
    }

    /// The first entry that has no leaf and does not wait for one, and how many wait.
    pub async fn without_leaf(&self) -> Result<(Option<String>, i64), Error> {
        // One statement, so that what becomes a leaf meanwhile is seen on one side or on the other.
        let row = sqlx::query!(
            r#"
            SELECT (SELECT e.id::text FROM entries e
                    WHERE NOT EXISTS (SELECT FROM leaves l WHERE l.entry_id = e.id)
                      AND NOT EXISTS (SELECT FROM pending p WHERE p.place = e.place)
                    ORDER BY e.place LIMIT 1) AS lost,
                   (SELECT count(*) FROM pending) AS "waiting!"
            "#
        )
        .fetch_one(self.searches())
        .await
        .doing(DOING)?;
        Ok((row.lost, row.waiting))
    }

    /// Contents after this name, in the order of their names.
    pub async fn contents_after(&self, after: &[u8], limit: i64) -> Result<Vec<ContentRow>, Error> {
        let rows = sqlx::query!(
            "SELECT commitment, salt, bytes, request, kind FROM contents
             WHERE commitment > $1 ORDER BY commitment LIMIT $2",
            after,
            limit
        )
        .fetch_all(self.pool())
        .await
        .doing("reading contents")?;
        let read = rows.into_iter().map(|row| ContentRow {
            commitment: row.commitment,
            salt: row.salt,
            bytes: row.bytes,
            request: row.request,
            kind: row.kind,
        });
        Ok(read.collect())
    }

    /// Those of these contents that are there.
    pub async fn contents_named(&self, names: &[Commitment]) -> Result<Vec<ContentRow>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<Vec<u8>> = names.iter().map(|name| name.0.as_bytes().to_vec()).collect();
        sqlx::query_as!(
            ContentRow,
            "SELECT commitment, salt, bytes, request, kind FROM contents WHERE commitment = ANY ($1)",
            &names
        )
        .fetch_all(self.pool())
        .await
        .doing("reading contents")
    }
}
