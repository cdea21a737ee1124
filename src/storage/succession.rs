//! What a room leaves to the one that takes its place.

use jiff_sqlx::Timestamp as SqlTime;
use ruma::RoomId;
use sqlx::PgConnection;

use super::{
    Arrival, Error, Request, Work,
    error::Doing as _,
    inbox::enqueue,
    requests::{RequestColumns, read_request},
};
use crate::model::Timestamp;

/// The source of the row that tells of a room which another took the place of: its lane is the one, what it holds the other.
pub const SUCCESSION: &str = "succession";

/// Hands over what goes on: what is scheduled is said in the room that is there now. What waits for somebody's word waits for
/// it in a room where no word counts any more, and is ended in that room's order.
pub(super) async fn hand_over(
    connection: &mut PgConnection,
    before: &str,
    room: &RoomId,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE schedules SET room_id = $2 WHERE room_id = $1 AND ended_at IS NULL",
        before,
        room.as_str()
    )
    .execute(&mut *connection)
    .await
    .doing("handing over what is scheduled in a room")?;
    let arrival = Arrival {
        source: SUCCESSION.to_owned(),
        external_id: format!("{before}/{room}/{now}"),
        lane: before.to_owned(),
        claimed_at: None,
        raw: room.as_bytes().to_vec(),
    };
    enqueue(connection, &arrival, now).await
}

impl Work {
    /// The requests of a room that wait for somebody's word, held until this work ends.
    pub async fn waiting_requests_in(&mut self, room: &RoomId) -> Result<Vec<Request>, Error> {
        let rows = read_request!(
            " WHERE r.room_id = $1 AND r.state IN ('awaiting_confirmation', 'awaiting_approval')
              ORDER BY r.number FOR NO KEY UPDATE OF r",
            room.as_str()
        )
        .fetch_all(self.tx()?)
        .await
        .doing("looking for what waits in a room")?;
        let requests: Vec<Request> = rows.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        self.rooms.extend(requests.iter().map(|request| (request.number, request.room.clone())));
        Ok(requests)
    }
}
