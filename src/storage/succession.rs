//! What a room leaves to the one that takes its place: what goes on, and its record.

use std::collections::BTreeMap;

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedRoomId, RoomId};
use sqlx::PgConnection;

use super::{
    Arrival, Error, Request, Storage, Work,
    error::Doing as _,
    inbox::enqueue,
    requests::{RequestColumns, read_request},
};
use crate::model::Timestamp;

/// The source of the row that tells of a room which another took the place of: its lane is the one, what it holds the other.
pub const SUCCESSION: &str = "succession";

/// Rooms by their keys, each with all ids that it has had, the present one first.
pub type RoomIds = BTreeMap<String, Vec<OwnedRoomId>>;

/// Hands over what goes on: what is scheduled is said in the room that is there now. What waits for somebody's word waits for
/// it in a room where no word counts any more, and is ended in that room's order.
pub(super) async fn hand_over(
    connection: &mut PgConnection,
    key: &str,
    (before, room): (&str, &RoomId),
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "WITH again AS (DELETE FROM rooms_before WHERE room_id = $4)
         INSERT INTO rooms_before (room_id, key, until) VALUES ($1, $2, $3)",
        before,
        key,
        SqlTime::from(now) as _,
        room.as_str(),
    )
    .execute(&mut *connection)
    .await
    .doing("noting whose place a room takes")?;
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

impl Storage {
    /// These rooms, each with those whose place it took.
    pub async fn with_those_before(
        &self,
        rooms: impl IntoIterator<Item = (String, OwnedRoomId)>,
    ) -> Result<RoomIds, Error> {
        let mut ids: RoomIds = rooms.into_iter().map(|(key, room)| (key, vec![room])).collect();
        let keys: Vec<String> = ids.keys().cloned().collect();
        let rows = sqlx::query!(
            "SELECT key, room_id FROM rooms_before WHERE key = ANY ($1) ORDER BY key, until DESC",
            &keys
        )
        .fetch_all(self.pool())
        .await
        .doing("reading whose place rooms took")?;
        for row in rows {
            let unreadable =
                |error: ruma::IdParseError| Error::Unreadable { what: "a room", reason: error.to_string() };
            let room = OwnedRoomId::try_from(row.room_id).map_err(unreadable)?;
            ids.entry(row.key).or_default().push(room);
        }
        Ok(ids)
    }

    /// Whether `then` is this room, or one whose place it took.
    pub async fn is_place(&self, room: &RoomId, then: &RoomId) -> Result<bool, Error> {
        if room == then {
            return Ok(true);
        }
        sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM rooms_before b JOIN rooms r ON r.key = b.key
                              WHERE r.room_id = $1 AND b.room_id = $2) AS "is!""#,
            room.as_str(),
            then.as_str(),
        )
        .fetch_one(self.pool())
        .await
        .doing("looking up whose place a room took")
    }
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
