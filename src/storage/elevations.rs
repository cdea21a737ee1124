//! Membership of a team for a while: given, counted while its time lasts, ended.

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedRoomId, OwnedUserId};
use sqlx::PgConnection;

use super::{ContentKind, Error, OutboxDraft, OutboxRow, Storage, Work, error::Doing as _, sheaf::Sheaf};
use crate::{
    model::{Event, RequestNumber, Timestamp},
    policy::Permit,
};

/// An elevation whose time is over.
#[derive(Debug, Clone)]
pub struct Over {
    /// The request that it was asked for in.
    pub request: RequestNumber,
    /// Who.
    pub user: OwnedUserId,
    /// The team.
    pub team: String,
    /// Where it was asked for.
    pub room: OwnedRoomId,
}

impl Work {
    /// Puts somebody into a team until a time, and records it: the one whom the rules permitted to ask for it.
    pub async fn elevate(
        &mut self,
        permit: &Permit,
        number: RequestNumber,
        room: &ruma::RoomId,
        team: &str,
        until: Timestamp,
        reason: &str,
    ) -> Result<(), Error> {
        self.put_down_request().await?;
        let (user, now) = (permit.principal(), self.now);
        sqlx::query!(
            "INSERT INTO elevations (request, user_id, team, room_id, given_at, until) VALUES ($1, $2, $3, $4, $5, $6)",
            number.0,
            user.as_str(),
            team,
            room.as_str(),
            SqlTime::from(now) as _,
            SqlTime::from(until) as _,
        )
        .execute(self.tx()?)
        .await
        .doing("recording an elevation")?;
        let reason = self.content(number, ContentKind::Reason, reason.as_bytes());
        let event = Event::ElevationGiven { user: user.to_owned(), team: team.to_owned(), until, reason };
        self.append(Some(number), Some(room), event);
        Ok(())
    }
}

impl Storage {
    /// Ends the elevations whose time is over: each with its entry and what is said of it, in one commit.
    pub async fn end_elevations(
        &self,
        say: &(dyn Fn(&Over) -> OutboxDraft + Sync),
    ) -> Result<Vec<OutboxRow>, Error> {
        const DOING: &str = "ending elevations";
        let now = self.now();
        let due = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM elevations WHERE ended_at IS NULL AND until <= $1) AS "due!""#,
            SqlTime::from(now) as _,
        )
        .fetch_one(self.pool())
        .await
        .doing(DOING)?;
        if !due {
            return Ok(Vec::new());
        }
        let mut tx = self.begin(DOING).await?;
        let rows = sqlx::query!(
            "UPDATE elevations SET ended_at = $1, why = 'over'
             WHERE request IN (SELECT request FROM elevations WHERE ended_at IS NULL AND until <= $1
                               ORDER BY request FOR NO KEY UPDATE SKIP LOCKED)
             RETURNING request, user_id, team, room_id",
            SqlTime::from(now) as _,
        )
        .fetch_all(&mut *tx)
        .await
        .doing(DOING)?;
        let mut sheaf = Sheaf::default();
        for row in rows {
            let unreadable = |reason: String| Error::Unreadable { what: "an elevation", reason };
            let over = Over {
                request: RequestNumber(row.request),
                user: row
                    .user_id
                    .try_into()
                    .map_err(|error: ruma::IdParseError| unreadable(error.to_string()))?,
                team: row.team,
                room: row
                    .room_id
                    .try_into()
                    .map_err(|error: ruma::IdParseError| unreadable(error.to_string()))?,
            };
            let event = ended(over.user.clone(), over.team.clone(), "over");
            sheaf.append(Some(over.request), Some(&over.room), event);
            sheaf.send(say(&over));
        }
        let messages = sheaf.write(self, &mut tx, now, None).await?;
        tx.commit().await.doing(DOING)?;
        Ok(messages)
    }
}

/// Ends what people have who were taken out of a team.
pub(super) async fn end_of_struck(
    connection: &mut PgConnection,
    sheaf: &mut Sheaf,
    now: Timestamp,
    users: &[String],
) -> Result<(), Error> {
    let rows = sqlx::query!(
        "UPDATE elevations SET ended_at = $1, why = 'struck'
         WHERE user_id = ANY ($2) AND ended_at IS NULL AND until > $1
         RETURNING request, user_id, team, room_id",
        SqlTime::from(now) as _,
        users,
    )
    .fetch_all(connection)
    .await
    .doing("ending the elevations of people who were taken out of a team")?;
    for row in rows {
        let Ok(user) = OwnedUserId::try_from(row.user_id) else { continue };
        let room = OwnedRoomId::try_from(row.room_id).ok();
        sheaf.append(Some(RequestNumber(row.request)), room.as_deref(), ended(user, row.team, "struck"));
    }
    Ok(())
}

fn ended(user: OwnedUserId, team: String, why: &str) -> Event {
    Event::ElevationEnded { user, team, why: why.to_owned() }
}
