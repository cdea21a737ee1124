//! What is done again and again: set, fired once each time by one of all instances, ended.

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use sqlx::PgConnection;

use super::{
    Arrival, Error, OutboxDraft, OutboxRow, Storage, Work, error::Doing as _, inbox::enqueue, sheaf::Sheaf,
};
use crate::{
    model::{Event, RequestNumber, ScheduleEnded, ScheduleSet, Timestamp},
    policy::Permit,
};

/// How many are looked at together.
const MANY: i64 = 100;

/// Something that is done again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// Its name: `request/482`, or `file/NAME`.
    pub key: String,
    /// As whom.
    pub sender: OwnedUserId,
    /// In which room.
    pub room: OwnedRoomId,
    /// What is said there, without prefix.
    pub line: String,
    /// When, as a cron expression.
    pub cron: String,
    /// In which time zone.
    pub zone: String,
    /// When next.
    pub next: Timestamp,
}

/// What becomes of something that is due.
#[derive(Debug, Default)]
pub struct Firing {
    /// The row that it becomes, where it is not too late.
    pub arrival: Option<Arrival>,
    /// What is recorded and said of times that were missed.
    pub missed: Option<(Event, OutboxDraft)>,
}

struct Columns {
    key: String,
    sender: String,
    room_id: String,
    line: String,
    cron: String,
    zone: String,
    next_at: SqlTime,
}

impl TryFrom<Columns> for Scheduled {
    type Error = Error;

    fn try_from(row: Columns) -> Result<Self, Error> {
        let unreadable =
            |error: ruma::IdParseError| Error::Unreadable { what: "a schedule", reason: error.to_string() };
        Ok(Self {
            key: row.key,
            sender: row.sender.try_into().map_err(unreadable)?,
            room: row.room_id.try_into().map_err(unreadable)?,
            line: row.line,
            cron: row.cron,
            zone: row.zone,
            next: row.next_at.into(),
        })
    }
}

impl Work {
    /// Sets what somebody asked for in a request, whom the rules permitted to, and records it.
    pub async fn schedule(
        &mut self,
        permit: &Permit,
        number: RequestNumber,
        new: &Scheduled,
    ) -> Result<(), Error> {
        self.put_down_request().await?;
        let by = permit.principal();
        sqlx::query!(
            "INSERT INTO schedules (key, request, sender, room_id, line, cron, zone, set_at, next_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            new.key,
            number.0,
            by.as_str(),
            new.room.as_str(),
            new.line,
            new.cron,
            new.zone,
            SqlTime::from(self.now) as _,
            SqlTime::from(new.next) as _,
        )
        .execute(self.tx()?)
        .await
        .doing("setting a schedule")?;
        let (schedule, cron, zone) = (new.key.clone(), new.cron.clone(), new.zone.clone());
        let event = Event::ScheduleSet(ScheduleSet { by: by.to_owned(), schedule, cron, zone });
        self.append(Some(number), Some(&new.room), event);
        Ok(())
    }

    /// How many somebody has.
    pub async fn schedules_of(&mut self, sender: &UserId) -> Result<i64, Error> {
        sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM schedules WHERE ended_at IS NULL AND sender = $1 AND request IS NOT NULL"#,
            sender.as_str()
        )
        .fetch_one(self.tx()?)
        .await
        .doing("counting somebody's schedules")
    }

    /// Ends one that was set in this room. Says whether there was one.
    pub async fn unschedule(
        &mut self,
        permit: &Permit,
        room: &RoomId,
        set_by: RequestNumber,
    ) -> Result<bool, Error> {
        self.put_down_request().await?;
        let ended = sqlx::query!(
            "UPDATE schedules SET ended_at = $3, why = 'removed'
             WHERE request = $1 AND room_id = $2 AND ended_at IS NULL RETURNING key",
            set_by.0,
            room.as_str(),
            SqlTime::from(self.now) as _,
        )
        .fetch_optional(self.tx()?)
        .await
        .doing("ending a schedule")?;
        if let Some(ended) = &ended {
            let by = permit.principal().to_owned();
            let event = Event::ScheduleEnded(ScheduleEnded {
                by: Some(by),
                schedule: ended.key.clone(),
                why: "removed".to_owned(),
            });
            self.append(Some(set_by), Some(room), event);
        }
        Ok(ended.is_some())
    }
}

impl Storage {
    /// What is done again and again in a room, what comes next first.
    pub async fn schedules_in(&self, room: &RoomId) -> Result<Vec<Scheduled>, Error> {
        let rows = sqlx::query_as!(
            Columns,
            r#"SELECT key, sender, room_id, line, cron, zone, next_at AS "next_at: SqlTime"
               FROM schedules WHERE ended_at IS NULL AND room_id = $1 ORDER BY next_at, key LIMIT $2"#,
            room.as_str(),
            MANY,
        )
        .fetch_all(self.pool())
        .await
        .doing("listing what is scheduled in a room")?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Puts in force what the files of the version in force declare: what is new or changed gets its next time, what they
    /// have no more ends. What is the same stays, so that nothing is missed by loading the folder anew.
    pub async fn declare_schedules(&self, declared: &[Scheduled]) -> Result<(), Error> {
        const DOING: &str = "putting the files' schedules in force";
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let mut keys = Vec::new();
        for one in declared {
            keys.push(one.key.clone());
            sqlx::query!(
                "INSERT INTO schedules (key, sender, room_id, line, cron, zone, set_at, next_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (key) DO UPDATE SET
                    sender = excluded.sender, room_id = excluded.room_id, line = excluded.line, cron = excluded.cron,
                    zone = excluded.zone, ended_at = NULL, why = NULL,
                    next_at = CASE WHEN schedules.ended_at IS NULL AND schedules.cron = excluded.cron
                                        AND schedules.zone = excluded.zone
                                   THEN schedules.next_at ELSE excluded.next_at END",
                one.key,
                one.sender.as_str(),
                one.room.as_str(),
                one.line,
                one.cron,
                one.zone,
                SqlTime::from(now) as _,
                SqlTime::from(one.next) as _,
            )
            .execute(&mut *tx)
            .await
            .doing(DOING)?;
        }
        sqlx::query!(
            "UPDATE schedules SET ended_at = $2, why = 'gone'
             WHERE ended_at IS NULL AND request IS NULL AND NOT key = ANY ($1)",
            &keys,
            SqlTime::from(now) as _,
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
        tx.commit().await.doing(DOING)
    }

    /// What is due.
    pub async fn due_schedules(&self) -> Result<Vec<Scheduled>, Error> {
        let rows = sqlx::query_as!(
            Columns,
            r#"SELECT key, sender, room_id, line, cron, zone, next_at AS "next_at: SqlTime"
               FROM schedules WHERE ended_at IS NULL AND next_at <= $1 ORDER BY next_at LIMIT $2"#,
            SqlTime::from(self.now()) as _,
            MANY,
        )
        .fetch_all(self.pool())
        .await
        .doing("looking for schedules that are due")?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Moves one that is due on to its next time, with what it becomes, in one commit. Where another instance has done so,
    /// nothing is written.
    pub async fn fire(
        &self,
        due: &Scheduled,
        next: Timestamp,
        firing: Firing,
    ) -> Result<Vec<OutboxRow>, Error> {
        const DOING: &str = "firing a schedule";
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let moved = sqlx::query!(
            "UPDATE schedules SET next_at = $3 WHERE key = $1 AND next_at = $2 AND ended_at IS NULL",
            due.key,
            SqlTime::from(due.next) as _,
            SqlTime::from(next) as _,
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?
        .rows_affected();
        if moved != 1 {
            return Ok(Vec::new());
        }
        if let Some(arrival) = &firing.arrival {
            enqueue(&mut tx, arrival, now).await?;
        }
        let mut sheaf = Sheaf::default();
        if let Some((event, draft)) = firing.missed {
            sheaf.append(None, Some(&due.room), event);
            sheaf.send(draft);
        }
        let messages = sheaf.write(self, &mut tx, now, None).await?;
        crate::model::fault::Point::BeforeFiringCommit.pass();
        tx.commit().await.doing(DOING)?;
        crate::model::fault::Point::AfterFiringCommit.pass();
        self.inner.bell.ring();
        Ok(messages)
    }
}

/// Ends what people set who were taken out of a team.
pub(super) async fn end_of_struck(
    connection: &mut PgConnection,
    sheaf: &mut Sheaf,
    now: Timestamp,
    users: &[String],
) -> Result<(), Error> {
    let rows = sqlx::query!(
        r#"UPDATE schedules SET ended_at = $1, why = 'struck'
           WHERE sender = ANY ($2) AND ended_at IS NULL AND request IS NOT NULL
           RETURNING key, request AS "request!", room_id"#,
        SqlTime::from(now) as _,
        users,
    )
    .fetch_all(connection)
    .await
    .doing("ending the schedules of people who were taken out of a team")?;
    for row in rows {
        let room = OwnedRoomId::try_from(row.room_id).ok();
        let event =
            Event::ScheduleEnded(ScheduleEnded { by: None, schedule: row.key, why: "struck".to_owned() });
        sheaf.append(Some(RequestNumber(row.request)), room.as_deref(), event);
    }
    Ok(())
}
