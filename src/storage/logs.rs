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

impl Storage {
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
