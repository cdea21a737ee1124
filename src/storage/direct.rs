//! The rooms with one person alone.

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use uuid::Uuid;

use super::{Error, Storage, error::Doing as _, sheaf::Sheaf};
use crate::model::{DirectOpened, Event};

/// The room with a person, made already or to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectRoom {
    /// What its alias ends with.
    pub token: Uuid,
    /// The room, where it was made and that was noted.
    pub room: Option<OwnedRoomId>,
}

impl Storage {
    /// The room with a person. Where there never was one, its token is drawn and kept now.
    pub async fn direct_room(&self, user: &UserId) -> Result<DirectRoom, Error> {
        const DOING: &str = "looking up the room with somebody";
        if let Some(known) = self.known_direct_room(user).await? {
            return Ok(known);
        }
        sqlx::query!(
            "INSERT INTO direct_rooms (user_id, token) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING",
            user.as_str(),
            self.inner.random.uuid(),
        )
        .execute(self.pool())
        .await
        .doing(DOING)?;
        // Another server may have been first: then its token is the one.
        let known = self.known_direct_room(user).await?;
        known.ok_or_else(|| unreadable("the row that was just written is not there"))
    }

    async fn known_direct_room(&self, user: &UserId) -> Result<Option<DirectRoom>, Error> {
        let row = sqlx::query!("SELECT token, room_id FROM direct_rooms WHERE user_id = $1", user.as_str())
            .fetch_optional(self.pool())
            .await
            .doing("looking up the room with somebody")?;
        row.map(|row| {
            let room = row.room_id.map(OwnedRoomId::try_from).transpose().map_err(unreadable)?;
            Ok(DirectRoom { token: row.token, room })
        })
        .transpose()
    }

    /// Notes that the room with this token was made, and records it. Noted already, nothing happens.
    pub async fn direct_room_made(&self, user: &UserId, token: Uuid, room: &RoomId) -> Result<(), Error> {
        const DOING: &str = "noting the room with somebody";
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let noted = sqlx::query!(
            "UPDATE direct_rooms SET room_id = $3, made_at = $4
             WHERE user_id = $1 AND token = $2 AND room_id IS NULL",
            user.as_str(),
            token,
            room.as_str(),
            SqlTime::from(now) as _,
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
        if noted.rows_affected() == 0 {
            return Ok(());
        }
        let mut sheaf = Sheaf::default();
        sheaf.append(None, Some(room), opened(user, "made"));
        sheaf.write(self, &mut tx, now, None).await?;
        tx.commit().await.doing(DOING)
    }

    /// Records that a person was invited into their room, for the first time or again.
    pub async fn direct_room_invited(&self, user: &UserId, room: &RoomId) -> Result<(), Error> {
        self.record(None, Some(room), opened(user, "invited")).await
    }

    /// Gives a room up that cannot be used any more, so that another is made. Records why.
    pub async fn direct_room_given_up(
        &self,
        user: &UserId,
        known: &DirectRoom,
        why: &str,
    ) -> Result<(), Error> {
        const DOING: &str = "giving up the room with somebody";
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let given_up = sqlx::query!(
            "UPDATE direct_rooms SET token = $3, room_id = NULL, made_at = NULL WHERE user_id = $1 AND token = $2",
            user.as_str(),
            known.token,
            self.inner.random.uuid(),
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
        if given_up.rows_affected() == 0 {
            return Ok(());
        }
        let mut sheaf = Sheaf::default();
        sheaf.append(None, known.room.as_deref(), opened(user, &format!("given up: {why}")));
        sheaf.write(self, &mut tx, now, None).await?;
        tx.commit().await.doing(DOING)
    }
}

fn opened(user: &UserId, how: &str) -> Event {
    Event::DirectOpened(DirectOpened { user: OwnedUserId::from(user), how: how.to_owned() })
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Unreadable { what: "the room with somebody", reason: error.to_string() }
}
