//! Searching the log: what was asked and what happened, the newest first, page by page.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedRoomId, OwnedUserId};
use tokio::time::Instant;

use super::{
    Error, Recorded, Storage,
    entries::{DOING, recorded},
    error::Doing as _,
};
use crate::model::{RequestNumber, Timestamp};

/// How many leaves are taken into the trail by one call.
const STEP: i64 = 2_000;
/// How long the database looks for one page, in milliseconds. Whoever waits for it holds up their room.
const PATIENCE: i32 = 5_000;
/// For how long a search takes in what is not in the trail yet.
const CATCHING_UP: Duration = Duration::from_secs(5);
/// What the index of tags takes of a value; the migration cuts as well.
const LONGEST: usize = 300;

/// What is searched for: all of it. What is `None` or empty does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// What belongs to one of these rooms. `None` is everything, what belongs to no room included.
    pub rooms: Option<BTreeSet<OwnedRoomId>>,
    /// The request of this number.
    pub request: Option<RequestNumber>,
    /// What this person asked for, or did to it: an MXID, or a user of the operating system.
    pub by: Option<String>,
    /// What one of these people asked for, or did to it: a team.
    pub team: Option<BTreeSet<OwnedUserId>>,
    /// What people of this homeserver asked for.
    pub server: Option<String>,
    /// Requests of this command.
    pub command: Option<String>,
    /// Requests that act on this system: `web@production`, or `web` for all its environments.
    pub system: Option<String>,
    /// Requests with this argument bound to this value.
    pub argument: Option<(String, String)>,
    /// Requests in this state; or `waiting`, for all that do.
    pub outcome: Option<String>,
    /// What this rule decided, or was part of deciding.
    pub rule: Option<String>,
    /// What has an entry of this kind: `run.started`, or of this family: `approval`.
    pub kind: Option<String>,
    /// What began then or later.
    pub since: Option<Timestamp>,
    /// What began before that.
    pub until: Option<Timestamp>,
    /// Words of what was typed, of arguments, or of what was printed, as a web search reads them: `"a phrase"`, `-not`, `or`.
    pub words: Option<String>,
}

impl Search {
    /// What must be among the tags.
    fn tags(&self) -> Vec<String> {
        let kind =
            self.kind.as_ref().map(|kind| (if kind.contains('.') { "kind" } else { "family" }, kind.clone()));
        let argument = self.argument.as_ref().map(|(name, value)| ("argument", format!("{name}={value}")));
        let named = [
            ("by", &self.by),
            ("server", &self.server),
            ("command", &self.command),
            ("system", &self.system),
            ("outcome", &self.outcome),
            ("rule", &self.rule),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        named.chain(kind).chain(argument).map(|(name, value)| tag(name, &value)).collect()
    }
}

fn tag(name: &str, value: &str) -> String {
    format!("{name}:{}", value.chars().take(LONGEST).collect::<String>())
}

/// Where a page ends: the next one begins behind it. Two things never have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When it began.
    pub at: Timestamp,
    /// Its place.
    pub place: i64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.as_microsecond(), self.place)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no place in a list: copy the line that the list gave");
        let (at, place) = text.split_once('.').ok_or_else(wrong)?;
        let at = at.parse().ok().and_then(|at| Timestamp::from_microsecond(at).ok());
        Ok(Self { at: at.ok_or_else(wrong)?, place: place.parse().map_err(|_| wrong())? })
    }
}

/// Something that was found: a request, or an entry that belongs to none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it stands.
    pub cursor: Cursor,
    /// The request.
    pub request: Option<RequestNumber>,
    /// Its room.
    pub room: Option<OwnedRoomId>,
    /// Who asked; or whose doing the entry is.
    pub who: Option<String>,
    /// The command, where it was understood.
    pub command: Option<String>,
    /// The system it acts on.
    pub subject: Option<String>,
    /// The request's state, by name.
    pub state: Option<String>,
    /// Whether only what was printed has the words that were searched for: not to be told to whom may not read that.
    pub only_printed: bool,
}

impl Storage {
    /// Takes into the trail what was recorded since: at most one step of it. Gives how many leaves are left.
    pub async fn extend_trail(&self) -> Result<i64, Error> {
        const DOING: &str = "taking the newest entries into the trail";
        // Most often there is nothing, and then nobody need wait for anybody.
        let behind = sqlx::query_scalar!(
            r#"
            SELECT EXISTS (SELECT FROM head h, trail_head t WHERE (h.log, h.size) > (t.log, t.leaf))
                   OR EXISTS (SELECT FROM pending) AS "behind!"
            "#
        )
        .fetch_one(self.pool())
        .await
        .doing(DOING)?;
        if !behind {
            return Ok(0);
        }
        sqlx::query_scalar!(r#"SELECT extend_trail($1) AS "left!""#, STEP)
            .fetch_one(self.searches())
            .await
            .doing(DOING)
    }

    /// Takes in all that was recorded up to now, so that a search sees everything that was committed before it. Says whether
    /// it is through: it gives up after a few seconds where very much is not in the trail yet, after an upgrade for example.
    pub async fn catch_up(&self) -> Result<bool, Error> {
        let begun = Instant::now();
        while self.extend_trail().await? > 0 {
            if begun.elapsed() > CATCHING_UP {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A page of what is found in the trail, the newest first: at most `limit`, of what comes behind `after`. What was taken
    /// in is seen ([`Self::catch_up`]). The caller records that it was read, and leaves out what its reader may not see.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] where the database would look for more than a few seconds.
    pub async fn search(
        &self,
        search: &Search,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Vec<Found>, Error> {
        const DOING: &str = "searching the log";
        let rooms: Option<Vec<String>> =
            search.rooms.as_ref().map(|rooms| rooms.iter().map(ToString::to_string).collect());
        let team: Option<Vec<String>> =
            search.team.as_ref().map(|team| team.iter().map(|user| tag("by", user.as_str())).collect());
        let mut tx = self.searches().begin().await.doing(DOING)?;
        sqlx::query_scalar!("SELECT set_config('statement_timeout', $1, true)", PATIENCE.to_string())
            .fetch_one(&mut *tx)
            .await
            .doing(DOING)?;
        let rows = sqlx::query!(
            r#"
            SELECT t.place, t.at AS "at: SqlTime", t.request, t.room_id, t.who, t.command, t.subject, t.state,
                   $6::text IS NOT NULL AND NOT t.said @@ websearch_to_tsquery('pg_catalog.simple', $6) AS "only_printed!"
            FROM trail t
            WHERE ($1::text[] IS NULL OR t.room_id = ANY ($1))
              AND ($2::bigint IS NULL OR t.request = $2)
              AND (cardinality($3::text[]) = 0 OR t.tags @> $3)
              AND ($4::text[] IS NULL OR t.tags && $4)
              AND ($5::timestamptz IS NULL OR t.at >= $5)
              AND ($6 IS NULL OR t.said @@ websearch_to_tsquery('pg_catalog.simple', $6)
                              OR t.printed @@ websearch_to_tsquery('pg_catalog.simple', $6))
              AND ($7::timestamptz IS NULL OR t.at < $7)
              AND ($8::timestamptz IS NULL OR (t.at, t.place) < ($8, $9::bigint))
            ORDER BY t.at DESC, t.place DESC
            LIMIT $10
            "#,
            rooms.as_deref(),
            search.request.map(|number| number.0),
            &search.tags(),
            team.as_deref(),
            search.since.map(SqlTime::from) as _,
            search.words,
            search.until.map(SqlTime::from) as _,
            after.map(|after| SqlTime::from(after.at)) as _,
            after.map(|after| after.place),
            limit.clamp(1, 10_001),
        )
        .fetch_all(&mut *tx)
        .await
        .map_err(|error| if was_stopped(&error) { Error::TooLong } else { Error::sort(DOING, error) })?;
        tx.commit().await.doing(DOING)?;
        let found = rows.into_iter().map(|row| {
            let room = row.room_id.map(OwnedRoomId::try_from).transpose();
            Ok(Found {
                cursor: Cursor { at: row.at.into(), place: row.place },
                request: row.request.map(RequestNumber),
                room: room
                    .map_err(|error| Error::Unreadable { what: "a room id", reason: error.to_string() })?,
                who: row.who,
                command: row.command,
                subject: row.subject,
                state: row.state,
                only_printed: row.only_printed,
            })
        });
        found.collect()
    }

    /// The entries of what was found, in its order; those of a request the newest first.
    pub async fn entries_of(&self, found: &[Found]) -> Result<Vec<Vec<Recorded>>, Error> {
        let numbers: Vec<i64> = found.iter().filter_map(|it| Some(it.request?.0)).collect();
        let alone = found.iter().filter(|it| it.request.is_none());
        let places: Vec<i64> = alone.map(|it| it.cursor.place).collect();
        let rows = sqlx::query!(
            r#"
            SELECT e.place, e.body, e.request, r.sender AS "sender?"
            FROM entries e LEFT JOIN requests r ON r.number = e.request
            WHERE e.request = ANY ($1) OR e.place = ANY ($2)
            ORDER BY e.place DESC
            "#,
            &numbers,
            &places
        )
        .fetch_all(self.searches())
        .await
        .doing(DOING)?;
        let mut entries: Vec<Vec<Recorded>> = vec![Vec::new(); found.len()];
        for row in rows {
            let of_it = |it: &Found| match it.request {
                Some(number) => row.request == Some(number.0),
                None => row.place == it.cursor.place,
            };
            if let Some(index) = found.iter().position(of_it) {
                entries[index].push(recorded(row.place, &row.body, row.sender)?);
            }
        }
        Ok(entries)
    }
}

/// Whether the database stopped a statement that took longer than it may (`query_canceled`).
fn was_stopped(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "57014")
}
