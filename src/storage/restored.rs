//! Going on from a restored backup: what was unfinished is interrupted, and another log begins. With the owner's role alone.

use jiff_sqlx::Timestamp as SqlTime;
use sqlx::PgConnection;

use super::{
    Error, OutboxDraft, Request, Storage,
    error::Doing as _,
    instances::LOCK_CLASS,
    requests::{RequestColumns, read_request},
    sheaf::Sheaf,
    tree::TURN,
};
use crate::model::{Ending, Event, InParts, OutputSummary, State, Timestamp};

const DOING: &str = "going on from a restored backup";

/// What [`Storage::recover`] writes.
#[derive(Debug)]
pub struct Recovery<'a> {
    /// `log.recovered`: the first entry of the new log.
    pub first: Event,
    /// The new log's name.
    pub origin: &'a str,
    /// All requests that are not finished, as [`Storage::all_unfinished`] gave them.
    pub unfinished: &'a [Request],
    /// What is said in the rooms.
    pub drafts: Vec<OutboxDraft>,
}

impl Storage {
    /// All requests that are not finished, wherever they stand.
    pub async fn all_unfinished(&self) -> Result<Vec<Request>, Error> {
        let rows = read_request!(" WHERE r.ended_at IS NULL ORDER BY r.number")
            .fetch_all(self.pool())
            .await
            .doing("looking for unfinished requests")?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Ends the log where it stands and begins another, in one commit: nothing of it is there before it, or all. Starts nothing.
    ///
    /// # Errors
    ///
    /// Where a `serve` uses this database, or a request was finished or opened meanwhile.
    pub async fn recover(&self, recovery: Recovery<'_>) -> Result<(), Error> {
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        nobody_serves(&mut tx).await?;
        sqlx::query!(
            "INSERT INTO instances (boot, instance, started_at, ended_at, ended_by) VALUES ($1, $2, $3, $3, $1)",
            self.boot().0,
            self.instance(),
            SqlTime::from(now) as _
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
        sqlx::query!(
            "UPDATE instances SET ended_at = $1, ended_by = $2 WHERE ended_at IS NULL",
            SqlTime::from(now) as _,
            self.boot().0
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?;

        let mut first = Sheaf::default();
        first.append(None, None, recovery.first);
        first.write(self, &mut tx, now, None).await?;
        begin(&mut tx, recovery.origin, now).await?;

        let mut sheaf = Sheaf::default();
        for request in recovery.unfinished {
            let event = self.interrupt(&mut tx, request, now).await?;
            sheaf.append(Some(request.number), Some(&request.room), event);
        }
        for draft in recovery.drafts {
            sheaf.send(draft);
        }
        sheaf.write(self, &mut tx, now, None).await?;
        // Nobody here sends them: the next `serve` does, at once.
        sqlx::query!(
            "UPDATE outbox SET leased_by = NULL, leased_until = NULL WHERE leased_by = $1",
            self.boot().0
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
        let left = sqlx::query_scalar!(r#"SELECT count(*) AS "left!" FROM requests WHERE ended_at IS NULL"#)
            .fetch_one(&mut *tx)
            .await
            .doing(DOING)?;
        if left != 0 {
            let reason = format!("{left} were opened meanwhile: something uses the database");
            return Err(Error::Unreadable { what: "the requests", reason });
        }
        tx.commit().await.doing(DOING)
    }

    /// Makes a request interrupted, wherever it stands; gives the entry that says so.
    async fn interrupt(
        &self,
        connection: &mut PgConnection,
        request: &Request,
        now: Timestamp,
    ) -> Result<Event, Error> {
        let ended = sqlx::query!(
            "UPDATE requests SET state = 'interrupted', ended_at = $3
             WHERE number = $1 AND state = $2 AND ended_at IS NULL",
            request.number.0,
            request.state.name(),
            SqlTime::from(now) as _
        )
        .execute(&mut *connection)
        .await
        .doing(DOING)?;
        if ended.rows_affected() != 1 {
            let reason =
                format!("request {} has moved on meanwhile: something uses the database", request.number);
            return Err(Error::Unreadable { what: "a request", reason });
        }
        Ok(match request.attempt.filter(|_| request.state == State::Running) {
            None => Event::CommandInterrupted { was: request.state },
            Some(attempt) => {
                let ending = serde_json::to_string(&Ending::Interrupted)
                    .map_err(|error| Error::Unreadable { what: "an ending", reason: error.to_string() })?;
                sqlx::query!(
                    "UPDATE attempts SET ended_at = $2, ending = $3, concluded_by = $4
                     WHERE id = $1 AND ended_at IS NULL",
                    attempt.0,
                    SqlTime::from(now) as _,
                    ending,
                    self.boot().0
                )
                .execute(&mut *connection)
                .await
                .doing(DOING)?;
                let took = request.started_at.map_or(0, |at| now.duration_since(at).as_millis());
                Event::RunFinished {
                    attempt,
                    ending: Ending::Interrupted,
                    took_ms: i64::try_from(took).unwrap_or(i64::MAX),
                    output: OutputSummary::empty(),
                    kept: None,
                    parts: InParts::default(),
                }
            }
        })
    }

    /// When the last entry was written: where the backup ends.
    pub async fn last_entry_at(&self) -> Result<Option<Timestamp>, Error> {
        let at =
            sqlx::query_scalar!(r#"SELECT at AS "at: SqlTime" FROM entries ORDER BY place DESC LIMIT 1"#)
                .fetch_optional(self.pool())
                .await;
        Ok(at.doing("looking up the last entry")?.map(Into::into))
    }
}

/// As long as it lives, no server that was there before comes back.
pub struct Quiet {
    _tx: sqlx::Transaction<'static, sqlx::Postgres>,
}

impl Storage {
    /// Makes sure that no server uses the database, and keeps those away that did.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`] where one does.
    pub async fn quiet(&self) -> Result<Quiet, Error> {
        const DOING: &str = "making sure that no server runs";
        let mut tx = self.begin(DOING).await?;
        // A living instance holds its name.
        let free = sqlx::query_scalar!(
            r#"
            SELECT coalesce(bool_and(pg_try_advisory_xact_lock($1, hashtext(i.instance))), true) AS "free!"
            FROM (SELECT DISTINCT instance FROM instances WHERE ended_at IS NULL) AS i
            "#,
            LOCK_CLASS
        )
        .fetch_one(&mut *tx)
        .await
        .doing(DOING)?;
        if !free {
            let reason = "a `quarterdeck serve` uses it: stop it first, on every host".to_owned();
            return Err(Error::Unreadable { what: "the database", reason });
        }
        Ok(Quiet { _tx: tx })
    }
}

/// Makes sure that nobody uses the database, for as long as this transaction lasts.
async fn nobody_serves(connection: &mut PgConnection) -> Result<(), Error> {
    // A living instance holds its name, and one that extends the tree its turn.
    let free = sqlx::query_scalar!(
        r#"
        SELECT pg_try_advisory_xact_lock($2)
               AND coalesce(bool_and(pg_try_advisory_xact_lock($1, hashtext(i.instance))), true) AS "free!"
        FROM (SELECT DISTINCT instance FROM instances WHERE ended_at IS NULL) AS i
        "#,
        LOCK_CLASS,
        TURN
    )
    .fetch_one(connection)
    .await
    .doing(DOING)?;
    if !free {
        let reason = "a `quarterdeck serve` uses it: stop it first, on every host".to_owned();
        return Err(Error::Unreadable { what: "the database", reason });
    }
    Ok(())
}

/// Begins a log of this name with the entry that was just written.
async fn begin(connection: &mut PgConnection, origin: &str, now: Timestamp) -> Result<(), Error> {
    let log = sqlx::query_scalar!(
        r#"INSERT INTO logs (number, origin, begun_at)
           SELECT max(number) + 1, $1, $2 FROM logs RETURNING number"#,
        origin,
        SqlTime::from(now) as _
    )
    .fetch_one(&mut *connection)
    .await
    .doing(DOING)?;
    // What waited for a leaf in the backup gets it in the new log, after this one.
    let begun = sqlx::query!(
        r"
        WITH entry AS (
            SELECT e.id, p.place, sha256('\x00'::bytea || convert_to(e.body, 'UTF8')) AS hash
            FROM entries e JOIN pending p ON p.place = e.place
            WHERE e.kind = 'log.recovered' ORDER BY e.place DESC LIMIT 1
        ), leaf AS (
            INSERT INTO leaves (log, index, entry_id, hash) SELECT $1, 0, id, hash FROM entry
        )
        -- The root of a tree of one leaf is that leaf's hash: RFC 6962, section 2.1.
        INSERT INTO head (log, size, root) SELECT $1, 1, hash FROM entry
        ",
        log
    )
    .execute(&mut *connection)
    .await
    .doing(DOING)?;
    sqlx::query!(
        "DELETE FROM pending WHERE place = (SELECT e.place FROM leaves l JOIN entries e ON e.id = l.entry_id
                                            WHERE l.log = $1 AND l.index = 0)",
        log
    )
    .execute(&mut *connection)
    .await
    .doing(DOING)?;
    if begun.rows_affected() != 1 {
        let reason = "its first entry was not written".to_owned();
        return Err(Error::Unreadable { what: "the new log", reason });
    }
    Ok(())
}
