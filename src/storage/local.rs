//! What came through the local socket, and what became of it; and what waits of people who were taken out of a team.

use std::collections::BTreeSet;

use jiff_sqlx::Timestamp as SqlTime;
use ruma::OwnedUserId;

use super::{
    Error, Request, Storage, Work,
    error::Doing as _,
    requests::{RequestColumns, read_request},
};
use crate::model::{RequestNumber, State};

/// How far something is that came through the local socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It waits in the inbox.
    Waits,
    /// It is a request.
    Request(RequestNumber, State),
    /// It could not be made a request.
    PassedOver,
}

impl Work {
    /// Notes which request a row of the local socket became.
    pub async fn asked_locally(&mut self, external_id: &str, number: RequestNumber) -> Result<(), Error> {
        self.put_down_request().await?;
        sqlx::query!(
            "INSERT INTO asked_locally (external_id, request) VALUES ($1, $2)",
            external_id,
            number.0
        )
        .execute(self.tx()?)
        .await
        .doing("noting what was asked at the local socket")?;
        Ok(())
    }

    /// The requests of these people that wait for something, held until this work ends.
    pub async fn waiting_requests_of(
        &mut self,
        users: &BTreeSet<OwnedUserId>,
    ) -> Result<Vec<Request>, Error> {
        let users: Vec<String> = users.iter().map(ToString::to_string).collect();
        let rows = read_request!(
            " WHERE r.sender = ANY ($1) AND r.state IN ('awaiting_confirmation', 'awaiting_approval', 'queued')
              ORDER BY r.number FOR NO KEY UPDATE OF r",
            &users
        )
        .fetch_all(self.tx()?)
        .await
        .doing("looking for what waits of somebody")?;
        let requests: Vec<Request> = rows.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        self.rooms.extend(requests.iter().map(|request| (request.number, request.room.clone())));
        Ok(requests)
    }
}

impl Storage {
    /// How far something is that came through the local socket.
    pub async fn progress_of(&self, source: &str, external_id: &str) -> Result<Progress, Error> {
        let row = sqlx::query!(
            r#"SELECT i.state AS inbox, r.number AS "number?", r.state AS "state?"
               FROM inbox i
               LEFT JOIN asked_locally a ON a.external_id = i.external_id
               LEFT JOIN requests r ON r.number = a.request
               WHERE i.source = $1 AND i.external_id = $2"#,
            source,
            external_id,
        )
        .fetch_optional(self.pool())
        .await
        .doing("looking up what was asked at the local socket")?;
        let Some(row) = row else { return Ok(Progress::PassedOver) };
        match (row.number, row.state) {
            (Some(number), Some(state)) => {
                let unreadable = |reason: String| Error::Unreadable { what: "a request", reason };
                let state = state.parse().map_err(unreadable)?;
                Ok(Progress::Request(RequestNumber(number), state))
            }
            _ if row.inbox == "pending" => Ok(Progress::Waits),
            _ => Ok(Progress::PassedOver),
        }
    }
}
