//! Whether a start was committed, where the answer to its commit was lost.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::{Error, Storage, error::Doing as _, work::Subject};
use crate::model::AttemptId;

/// The first and the longest pause between two attempts to read a start back.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Asks until it is answered whether an attempt stands in the database.
pub(super) async fn read_back(storage: &Storage, subject: &Subject, attempt: AttemptId) -> bool {
    let mut pause = FIRST_PAUSE;
    loop {
        match stands(storage, subject, attempt).await {
            Ok(stands) => return stands,
            Err(error) => {
                tracing::warn!(%attempt, %error, "could not yet read back whether a start was committed");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Whether an attempt stands in the database, on a connection of its own.
async fn stands(storage: &Storage, subject: &Subject, attempt: AttemptId) -> Result<bool, Error> {
    const DOING: &str = "reading a start back";
    let mut connection = PgConnection::connect_with(&storage.inner.options).await.doing(DOING)?;
    let mut tx = connection.begin().await.doing(DOING)?;
    // The lost transaction may still be open on the server, its COMMIT on the way. It holds the row that
    // we held: once that can be locked, the transaction is over, one way or the other.
    match subject {
        Subject::Row(row) => {
            sqlx::query!("SELECT id FROM inbox WHERE id = $1 FOR NO KEY UPDATE", row.id)
                .fetch_optional(&mut *tx)
                .await
                .doing(DOING)?;
        }
        Subject::Queued(request) => {
            sqlx::query!("SELECT number FROM requests WHERE number = $1 FOR NO KEY UPDATE", request.number.0)
                .fetch_optional(&mut *tx)
                .await
                .doing(DOING)?;
        }
        // Nothing of it was started.
        Subject::Unreadable(_) => {}
    }
    let found = sqlx::query_scalar!("SELECT id FROM attempts WHERE id = $1", attempt.0)
        .fetch_optional(&mut *tx)
        .await
        .doing(DOING)?;
    tx.rollback().await.doing(DOING)?;
    Ok(found.is_some())
}
