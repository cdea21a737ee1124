//! Where somebody stands, in all our rooms at once: what decides what they see.

use std::collections::BTreeSet;

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedRoomId, UserId};

use super::{
    Error, Membership, Standing, Storage,
    error::Doing as _,
    rooms::{CREATOR, membership_in, power_level},
};

impl Storage {
    /// The rooms in which somebody is now, with their standing. Whoever has left one, been kicked or been banned by an event
    /// that has arrived and only waits for its turn is not there any more.
    pub async fn standings_of(&self, user: &UserId) -> Result<Vec<(OwnedRoomId, Standing)>, Error> {
        let rows = sqlx::query!(
            r#"SELECT r.room_id, r.key, r.power_levels, $1 = ANY (r.creators) AS "is_creator!",
                      ARRAY (
                          SELECT raw FROM inbox
                          WHERE lane = r.room_id AND state = 'pending'
                            AND position('m.room.member'::bytea IN raw) > 0
                            AND position(convert_to($1, 'UTF8') IN raw) > 0
                          ORDER BY id DESC
                      ) AS "waiting!: Vec<Vec<u8>>",
                      ARRAY (SELECT team FROM elevations e
                             WHERE e.user_id = $1 AND e.ended_at IS NULL AND e.until > $2) AS "elevated!"
               FROM members m JOIN rooms r ON r.room_id = m.room_id
               WHERE m.user_id = $1 AND m.membership = 'join'"#,
            user.as_str(),
            SqlTime::from(self.now()) as _,
        )
        .fetch_all(self.pool())
        .await
        .doing("looking up where somebody stands")?;
        let mut standings = Vec::new();
        for row in rows {
            let waiting = row.waiting.iter().find_map(|raw| membership_in(raw, user));
            if waiting.is_some_and(|membership| membership != Membership::Join) {
                continue;
            }
            let room = OwnedRoomId::try_from(row.room_id).map_err(|error| unreadable(&error))?;
            let power_level = if row.is_creator {
                CREATOR
            } else {
                let levels = row.power_levels.map(|json| serde_json::from_slice(&json)).transpose();
                power_level(&levels.map_err(|error| unreadable(&error))?.unwrap_or_default(), user)
            };
            let elevated: BTreeSet<String> = row.elevated.into_iter().collect();
            let membership = Some(Membership::Join);
            standings.push((room, Standing { key: row.key, membership, power_level, elevated }));
        }
        Ok(standings)
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Error {
    Error::Unreadable { what: "where somebody stands", reason: error.to_string() }
}
