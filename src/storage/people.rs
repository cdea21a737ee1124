//! Who is in a room at one moment, and the mark by which a later moment is told from it.

use ruma::{OwnedUserId, RoomId};
use uuid::Uuid;

use super::{
    Error, Storage,
    error::Doing as _,
    rooms::{CREATOR, power_level},
};

/// Who is in a room, as far as the database knows: who is in its mirror, and who has come by an event that has arrived
/// and only waits for its turn.
#[derive(Debug, Clone)]
pub struct People {
    /// When.
    pub mark: PeopleMark,
    /// The room's key in the ops folder; `None` where it is not ours any more, and then nobody is known.
    pub key: Option<String>,
    /// Each with their power level. Our own users are among them.
    pub joined: Vec<(OwnedUserId, i64)>,
}

/// A moment in the coming and going of a room's people. As long as it stays the same, they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeopleMark {
    /// The mark of the mirror.
    pub(super) mirror: Option<Uuid>,
    /// The last event of the room that waits and may tell of a membership; 0 where there is none.
    pub(super) waiting: i64,
}

impl Storage {
    /// Who is in a room now.
    pub async fn people(&self, room: &RoomId) -> Result<People, Error> {
        let row = sqlx::query!(
            r#"SELECT r.people AS "mirror?", r.key AS "key?", r.power_levels AS "power_levels?",
                      r.creators AS "creators?",
                      ARRAY (SELECT user_id FROM members
                             WHERE room_id = $1 AND membership = 'join' ORDER BY user_id) AS "joined!",
                      ARRAY (SELECT raw FROM inbox
                             WHERE lane = $1 AND state = 'pending' AND position('m.room.member'::bytea IN raw) > 0)
                          AS "waiting!: Vec<Vec<u8>>",
                      COALESCE ((SELECT max(id) FROM inbox
                                 WHERE lane = $1 AND state = 'pending' AND position('m.room.member'::bytea IN raw) > 0), 0)
                          AS "last!"
               FROM (SELECT 1) AS always LEFT JOIN rooms r ON r.room_id = $1"#,
            room.as_str(),
        )
        .fetch_one(self.pool())
        .await
        .doing("reading who is in a room")?;
        let mark = PeopleMark { mirror: row.mirror, waiting: row.last };
        let creators = row.creators.unwrap_or_default();
        let levels = row.power_levels.map(|json| serde_json::from_slice(&json)).transpose();
        let levels: serde_json::Value = levels.map_err(unreadable)?.unwrap_or_default();
        let known = row.joined.into_iter().map(|user| OwnedUserId::try_from(user).map_err(unreadable));
        let mut joined = known.collect::<Result<Vec<_>, _>>()?;
        joined.extend(row.waiting.iter().filter_map(|raw| comes(raw)));
        joined.sort();
        joined.dedup();
        let with_power = |user: OwnedUserId| {
            let stands_above = creators.iter().any(|creator| *creator == user);
            let level = if stands_above { CREATOR } else { power_level(&levels, &user) };
            (user, level)
        };
        Ok(People { mark, key: row.key, joined: joined.into_iter().map(with_power).collect() })
    }
}

/// Who comes into the room by an event, if that is what it tells.
fn comes(raw: &[u8]) -> Option<OwnedUserId> {
    let event: serde_json::Value = serde_json::from_slice(raw).ok()?;
    let joins = event["type"] == "m.room.member" && event["content"]["membership"] == "join";
    joins.then(|| event["state_key"].as_str()?.try_into().ok())?
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Unreadable { what: "a room's people", reason: error.to_string() }
}
