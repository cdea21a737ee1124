//! The table of logs: the one that goes on, and those that ended before it.

use jiff_sqlx::Timestamp as SqlTime;

use super::{Error, Storage, error::Doing as _};
use crate::model::Timestamp;

/// A log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its number, from 1.
    pub number: i32,
    /// Its name; `None` for the first, whose name is in the settings.
    pub origin: Option<String>,
    /// When a restored backup was gone on from with it; `None` for the first.
    pub begun_at: Option<Timestamp>,
}

/// The places where a log went on with another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// The index of the entry that says so.
    pub index: u64,
    /// The public key until there.
    pub from: String,
    /// The one from there on, if the log was signed over to it.
    pub to: String,
}

impl Storage {
    /// Where this log went on with another key, or was to, in order. It is for whoever checks the log to see that both
    /// signed.
    pub async fn key_changes(&self) -> Result<Vec<KeyChange>, Error> {
        let rows = sqlx::query!(
            r#"
            SELECT l.index, e.body::jsonb ->> 'from' AS "from!", e.body::jsonb ->> 'to' AS "to!"
            FROM entries e JOIN leaves l ON l.entry_id = e.id
            WHERE e.kind = 'log.key_changed' AND l.log = coalesce($1, (SELECT max(number) FROM logs))
            ORDER BY l.index
            "#,
            self.log
        )
        .fetch_all(self.pool())
        .await
        .doing("looking up the log's keys")?;
        let read = rows.into_iter();
        Ok(read
            .map(|row| KeyChange { index: row.index.cast_unsigned(), from: row.from, to: row.to })
            .collect())
    }

    /// All logs, the first one first. The last one goes on.
    pub async fn logs(&self) -> Result<Vec<Log>, Error> {
        let rows =
            sqlx::query!(r#"SELECT number, origin, begun_at AS "at: SqlTime" FROM logs ORDER BY number"#)
                .fetch_all(self.pool())
                .await
                .doing("looking up the logs")?;
        let read = rows.into_iter().map(|row| Log {
            number: row.number,
            origin: row.origin,
            begun_at: row.at.map(Into::into),
        });
        Ok(read.collect())
    }

    /// The log that goes on.
    pub async fn log(&self) -> Result<Log, Error> {
        let reason = "its row is gone: restore the database".to_owned();
        self.logs().await?.pop().ok_or(Error::Unreadable { what: "the log", reason })
    }

    /// The same database, for the tree of one log: what is read and written of a tree is that one's. One that has ended can
    /// only be read.
    #[must_use]
    pub fn of_log(&self, number: i32) -> Self {
        Self { log: Some(number), ..self.clone() }
    }
}
