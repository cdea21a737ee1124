//! The rooms that are bound by id, and the mirror of who is in them with which power.

use std::collections::BTreeSet;

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use jiff_sqlx::Timestamp as SqlTime;
use sqlx::PgExecutor;

use super::{Error, Storage, Work, error::Doing as _, sheaf::Sheaf, succession::hand_over, work::Held};
use crate::model::{Event, RequestNumber, Timestamp};

/// Somebody's membership of a room, as Matrix names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Membership {
    /// Is in it.
    Join,
    /// Was invited.
    Invite,
    /// Asked to come in.
    Knock,
    /// Left, or was removed.
    Leave,
    /// Was banned.
    Ban,
}

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: OwnedUserId,
    /// How.
    pub membership: Membership,
}

/// Somebody's standing in a room that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The room's key in the ops folder.
    pub key: String,
    /// The membership; of somebody who was never there, `None`.
    pub membership: Option<Membership>,
    /// The power level; of a room's creators, 2^53 - 1.
    pub power_level: i64,
    /// The teams that they are in for a while, at this moment, by key.
    pub elevated: BTreeSet<String>,
}

impl Membership {
    /// The name in Matrix and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Invite => "invite",
            Self::Knock => "knock",
            Self::Leave => "leave",
            Self::Ban => "ban",
        }
    }
}

impl std::str::FromStr for Membership {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Join, Self::Invite, Self::Knock, Self::Leave, Self::Ban]
            .into_iter()
            .find(|membership| membership.name() == text)
            .ok_or_else(|| format!("no membership `{text}`"))
    }
}

/// The power of a creator, who stands above all levels: the greatest integer of canonical JSON.
pub(super) const CREATOR: i64 = (1 << 53) - 1;

impl Storage {
    /// Binds a room of the ops folder to a room id. From now on commands count there, and nowhere else
    /// under that key.
    pub async fn bind_room(&self, key: &str, room: &RoomId) -> Result<(), Error> {
        const DOING: &str = "binding a room";
        let mut tx = self.begin(DOING).await?;
        // The id under another key, and the key with another id, are bound no longer.
        let gone = sqlx::query!(
            "DELETE FROM rooms WHERE (room_id = $2 AND key <> $1) OR (key = $1 AND room_id <> $2)
             RETURNING key, room_id",
            key,
            room.as_str(),
        )
        .fetch_all(&mut *tx)
        .await
        .doing(DOING)?;
        sqlx::query!(
            "INSERT INTO rooms (key, room_id, bound_at) VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING",
            key,
            room.as_str(),
            SqlTime::from(self.now()) as _,
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
        for before in gone.iter().filter(|row| row.key == key) {
            hand_over(&mut tx, key, (&before.room_id, room), self.now()).await?;
        }
        tx.commit().await.doing(DOING)
    }

    /// Binds a key to the room that takes the place of `before`, and records it in the same commit. Says whether the
    /// key was still bound to `before`; where it was not, nothing happens.
    pub async fn adopt_room(
        &self,
        key: &str,
        before: &RoomId,
        room: &RoomId,
        event: Event,
    ) -> Result<bool, Error> {
        const DOING: &str = "binding a room in the place of another";
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let gone = sqlx::query!(
            "-- A room that is bound under another key, one that is declared no longer, is taken from it.
             DELETE FROM rooms WHERE (key = $1 AND room_id = $2) OR (key <> $1 AND room_id = $3) RETURNING key",
            key,
            before.as_str(),
            room.as_str(),
        )
        .fetch_all(&mut *tx)
        .await
        .doing(DOING)?;
        if !gone.iter().any(|row| row.key == key) {
            return Ok(false);
        }
        sqlx::query!(
            "INSERT INTO rooms (key, room_id, bound_at) VALUES ($1, $2, $3)",
            key,
            room.as_str(),
            SqlTime::from(now) as _,
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
        hand_over(&mut tx, key, (before.as_str(), room), now).await?;
        let mut sheaf = Sheaf::default();
        sheaf.append(None, Some(room), event);
        sheaf.write(self, &mut tx, now, None).await?;
        tx.commit().await.doing(DOING)?;
        Ok(true)
    }

    /// The bound rooms: key and id.
    pub async fn bound_rooms(&self) -> Result<Vec<(String, OwnedRoomId)>, Error> {
        let rows = sqlx::query!("SELECT key, room_id FROM rooms ORDER BY key").fetch_all(self.pool()).await;
        let read = |room: String| OwnedRoomId::try_from(room).map_err(unreadable);
        rows.doing("reading the rooms")?.into_iter().map(|row| Ok((row.key, read(row.room_id)?))).collect()
    }

    /// The key of a bound room.
    pub async fn room_by_id(&self, room: &RoomId) -> Result<Option<String>, Error> {
        sqlx::query_scalar!("SELECT key FROM rooms WHERE room_id = $1", room.as_str())
            .fetch_optional(self.pool())
            .await
            .doing("looking up a room")
    }

    /// Replaces the mirror of a bound room's members.
    pub async fn set_members(&self, room: &RoomId, members: &[Member]) -> Result<(), Error> {
        sqlx::query!(
            "WITH given AS (
                SELECT * FROM UNNEST($2::text[], $3::text[]) AS g (user_id, membership)
             ), gone AS (
                DELETE FROM members WHERE room_id = $1 AND user_id NOT IN (SELECT user_id FROM given)
             )
             INSERT INTO members (room_id, user_id, membership)
             SELECT rooms.room_id, given.user_id, given.membership FROM given, rooms WHERE rooms.room_id = $1
             ON CONFLICT (room_id, user_id) DO UPDATE SET membership = excluded.membership
             WHERE members.membership <> excluded.membership",
            room.as_str(),
            &members.iter().map(|member| member.user.to_string()).collect::<Vec<_>>(),
            &members.iter().map(|member| member.membership.name().to_owned()).collect::<Vec<_>>(),
        )
        .execute(self.pool())
        .await
        .doing("writing a room's members")?;
        Ok(())
    }

    /// The mirror of a bound room's members.
    pub async fn members(&self, room: &RoomId) -> Result<Vec<Member>, Error> {
        let rows = sqlx::query!(
            "SELECT user_id, membership FROM members WHERE room_id = $1 ORDER BY user_id",
            room.as_str()
        )
        .fetch_all(self.pool())
        .await
        .doing("reading a room's members")?;
        rows.into_iter()
            .map(|row| {
                let user = OwnedUserId::try_from(row.user_id).map_err(unreadable)?;
                Ok(Member { user, membership: row.membership.parse().map_err(unreadable)? })
            })
            .collect()
    }

    /// Keeps the content of `m.room.power_levels`, and the creators that stand above it (room version
    /// 12 and later; empty before).
    pub async fn set_power(
        &self,
        room: &RoomId,
        power_levels: &serde_json::Value,
        creators: &[OwnedUserId],
    ) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE rooms SET power_levels = $2, creators = $3 WHERE room_id = $1",
            room.as_str(),
            power_levels.to_string().into_bytes(),
            &creators.iter().map(ToString::to_string).collect::<Vec<_>>(),
        )
        .execute(self.pool())
        .await
        .doing("writing a room's power levels")?;
        Ok(())
    }

    /// Somebody's standing in a room; `None` where the room is not ours.
    pub async fn standing(&self, room: &RoomId, user: &UserId) -> Result<Option<Standing>, Error> {
        Ok(look(self.pool(), room, user, self.now(), false).await?.map(|found| found.standing))
    }
}

impl Work {
    /// As [`Storage::standing`], within the transaction of this work. Whoever has left, been kicked or been banned
    /// by an event that has arrived and only waits for its turn in the room's lane is not there any more.
    pub async fn standing(&mut self, room: &RoomId, user: &UserId) -> Result<Option<Standing>, Error> {
        self.look(room, user, false).await
    }

    /// As [`Work::standing`], of somebody whose request is opened next: its number is drawn in the same breath.
    pub async fn standing_to_ask(&mut self, room: &RoomId, user: &UserId) -> Result<Option<Standing>, Error> {
        self.look(room, user, true).await
    }

    async fn look(&mut self, room: &RoomId, user: &UserId, to_ask: bool) -> Result<Option<Standing>, Error> {
        let found = match &mut self.held {
            Held::Claimed(tx) => look(&mut **tx, room, user, self.now, to_ask).await?,
            Held::Arriving(_) => {
                let mut near = self.storage.near("looking who asks").await?;
                let found = look(&mut *near, room, user, self.now, to_ask).await?;
                near.keep();
                // What came before it has its turn first.
                if found.as_ref().is_some_and(|found| found.is_busy) {
                    return Err(Error::NotAlone);
                }
                found
            }
        };
        let Some(Found { standing, waiting, number, .. }) = found else { return Ok(None) };
        self.number = number.map(RequestNumber);
        self.keys.insert(room.to_owned(), standing.key.clone());
        if standing.membership != Some(Membership::Join) {
            return Ok(Some(standing));
        }
        let membership = waiting.iter().find_map(|raw| membership_in(raw, user));
        Ok(Some(Standing { membership: membership.or(standing.membership), ..standing }))
    }

    /// Who is in a room, each with their standing.
    pub async fn joined(&mut self, room: &RoomId) -> Result<Vec<(OwnedUserId, Standing)>, Error> {
        let now = SqlTime::from(self.now);
        let rows = sqlx::query!(
            r#"SELECT m.user_id, r.key, r.power_levels, m.user_id = ANY (r.creators) AS "is_creator!",
                      ARRAY (SELECT team FROM elevations e
                             WHERE e.user_id = m.user_id AND e.ended_at IS NULL AND e.until > $2) AS "elevated!"
               FROM members m JOIN rooms r ON r.room_id = m.room_id
               WHERE m.room_id = $1 AND m.membership = 'join' ORDER BY m.user_id"#,
            room.as_str(),
            now as _,
        )
        .fetch_all(self.tx()?)
        .await
        .doing("reading who is in a room")?;
        let levels = rows.first().and_then(|row| row.power_levels.as_deref()).map(serde_json::from_slice);
        let levels = levels.transpose().map_err(unreadable)?.unwrap_or_default();
        rows.into_iter()
            .map(|row| {
                let user = OwnedUserId::try_from(row.user_id).map_err(unreadable)?;
                let power_level = if row.is_creator { CREATOR } else { power_level(&levels, &user) };
                let (membership, elevated) = (Some(Membership::Join), row.elevated.into_iter().collect());
                Ok((user, Standing { key: row.key, membership, power_level, elevated }))
            })
            .collect()
    }

    /// Notes a change of membership in the mirror. Rooms that are not ours are passed over.
    pub async fn set_member(&mut self, room: &RoomId, member: &Member) -> Result<(), Error> {
        sqlx::query!(
            "INSERT INTO members (room_id, user_id, membership)
             SELECT room_id, $2, $3 FROM rooms WHERE room_id = $1
             ON CONFLICT (room_id, user_id) DO UPDATE SET membership = excluded.membership",
            room.as_str(),
            member.user.as_str(),
            member.membership.name(),
        )
        .execute(self.tx()?)
        .await
        .doing("writing a membership")?;
        Ok(())
    }

    /// Notes new power levels in the mirror. Rooms that are not ours are passed over.
    pub async fn set_power_levels(
        &mut self,
        room: &RoomId,
        power_levels: &serde_json::Value,
    ) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE rooms SET power_levels = $2 WHERE room_id = $1",
            room.as_str(),
            power_levels.to_string().into_bytes(),
        )
        .execute(self.tx()?)
        .await
        .doing("writing a room's power levels")?;
        Ok(())
    }
}

/// The membership that an event gives a user, if that is what it does.
pub(super) fn membership_in(raw: &[u8], user: &UserId) -> Option<Membership> {
    let event: serde_json::Value = serde_json::from_slice(raw).ok()?;
    if event["type"] != "m.room.member" || event["state_key"] != user.as_str() {
        return None;
    }
    event["content"]["membership"].as_str()?.parse().ok()
}

/// What one look at the mirror and the inbox gives.
struct Found {
    standing: Standing,
    /// Events of this room that have arrived, are not decided, and may tell of this user's membership; newest first.
    waiting: Vec<Vec<u8>>,
    /// Whether anything of this room is not decided.
    is_busy: bool,
    /// A fresh request's number, where one was asked for.
    number: Option<i64>,
}

async fn look(
    executor: impl PgExecutor<'_>,
    room: &RoomId,
    user: &UserId,
    now: Timestamp,
    to_ask: bool,
) -> Result<Option<Found>, Error> {
    let row = sqlx::query!(
        r#"SELECT r.key, r.power_levels, $2 = ANY (r.creators) AS "is_creator!", m.membership AS "membership?",
                  ARRAY (
                      SELECT raw FROM inbox
                      WHERE lane = $1 AND state = 'pending'
                        -- Few events tell of a membership, and fewer name this user: only those are worth reading.
                        AND position('m.room.member'::bytea IN raw) > 0
                        AND position(convert_to($2, 'UTF8') IN raw) > 0
                      ORDER BY id DESC
                  ) AS "waiting!: Vec<Vec<u8>>",
                  EXISTS (SELECT FROM inbox WHERE lane = $1 AND state = 'pending') AS "is_busy!",
                  CASE WHEN $3 THEN nextval('requests_number_seq') END AS number,
                  -- By the time of the decision, whether its end was written already or not.
                  ARRAY (SELECT team FROM elevations e
                         WHERE e.user_id = $2 AND e.ended_at IS NULL AND e.until > $4) AS "elevated!"
           FROM rooms r LEFT JOIN members m ON m.room_id = r.room_id AND m.user_id = $2
           WHERE r.room_id = $1"#,
        room.as_str(),
        user.as_str(),
        to_ask,
        SqlTime::from(now) as _,
    )
    .fetch_optional(executor)
    .await
    .doing("looking up somebody's standing")?;
    let Some(row) = row else { return Ok(None) };
    let power_level = if row.is_creator {
        CREATOR
    } else {
        let levels = row.power_levels.map(|json| serde_json::from_slice(&json)).transpose();
        power_level(&levels.map_err(unreadable)?.unwrap_or_default(), user)
    };
    let membership = row.membership.map(|name| name.parse()).transpose().map_err(unreadable)?;
    let elevated = row.elevated.into_iter().collect();
    let standing = Standing { key: row.key, membership, power_level, elevated };
    Ok(Some(Found { standing, waiting: row.waiting, is_busy: row.is_busy, number: row.number }))
}

/// The level that `m.room.power_levels` gives somebody: their own, else the default, else 0.
pub(super) fn power_level(content: &serde_json::Value, user: &UserId) -> i64 {
    let own = content.get("users").and_then(|users| users.get(user.as_str()));
    let level = own.and_then(serde_json::Value::as_i64);
    level.or_else(|| content.get("users_default")?.as_i64()).unwrap_or_default().clamp(-CREATOR, CREATOR)
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Unreadable { what: "a room", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_level_is_ones_own_or_the_default_or_none() {
        let user = UserId::parse("@alice:example.org").unwrap();
        let content = serde_json::json!({"users": {"@alice:example.org": 50}, "users_default": 5});
        assert_eq!(power_level(&content, &user), 50);
        assert_eq!(power_level(&content, &UserId::parse("@bob:example.org").unwrap()), 5);
        assert_eq!(power_level(&serde_json::json!({}), &user), 0);
    }

    #[test]
    fn memberships_read_back() {
        for name in ["join", "invite", "knock", "leave", "ban"] {
            assert_eq!(name.parse::<Membership>().unwrap().name(), name);
        }
    }
}
