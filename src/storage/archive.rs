//! What is old enough to go to a file, and its removal: in the commit of the entries that say where it went.

use std::collections::BTreeMap;

use jiff_sqlx::Timestamp as SqlTime;
use ruma::OwnedRoomId;
use serde_json::json;

use super::{Error, Storage, error::Doing as _, sheaf::Sheaf};
use crate::model::{Archived, Commitment, Event, RequestNumber, Timestamp, fault::Point};

const DOING: &str = "archiving contents";

/// A declared rule: which requests' contents go, and when. The first that fits a request counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Old {
    /// Those of these commands; of all where there is nothing.
    pub commands: Option<Vec<String>>,
    /// Those of these rooms; of all where there is nothing.
    pub rooms: Option<Vec<OwnedRoomId>>,
    /// Those that ended before; never where there is nothing.
    pub before: Option<Timestamp>,
}

/// A request whose contents are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub number: RequestNumber,
    /// When it ended.
    pub ended_at: Timestamp,
    /// By which of the rules, from 0.
    pub rule: usize,
    /// How many contents it has.
    pub contents: u64,
    /// How long they are together, in bytes.
    pub bytes: u64,
}

/// A leaf by which contents of these requests are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamingLeaf {
    /// The log that it is in.
    pub log: i32,
    /// Its index there.
    pub index: u64,
}

impl Storage {
    /// The requests whose contents are to go by these rules, after this one, the first ended first. What still runs or waits
    /// is none of them, nor what is still done again and again, nor one of which something is still to be said.
    pub async fn due_for_archive(
        &self,
        rules: &[Old],
        after: Option<&Due>,
        limit: i64,
    ) -> Result<Vec<Due>, Error> {
        let Some(before) = rules.iter().filter_map(|rule| rule.before).max() else { return Ok(Vec::new()) };
        let asked = rules.iter().map(
            |rule| json!({ "commands": rule.commands, "rooms": rule.rooms, "before": rule.before.map(|at| at.to_string()) }),
        );
        let asked = serde_json::Value::Array(asked.collect());
        let rows = sqlx::query!(
            r#"
            SELECT r.number, r.ended_at AS "ended_at!: SqlTime", first.n AS "rule!", kept.count AS "contents!",
                   kept.bytes AS "bytes!"
            FROM requests r
            CROSS JOIN LATERAL (
                SELECT o.n - 1 AS n, (o.rule ->> 'before')::timestamptz AS before
                FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS o (rule, n)
                WHERE (o.rule -> 'commands' = 'null' OR o.rule -> 'commands' ? r.command)
                  AND (o.rule -> 'rooms' = 'null' OR o.rule -> 'rooms' ? r.room_id)
                ORDER BY o.n LIMIT 1
            ) first
            CROSS JOIN LATERAL (
                SELECT count(*) AS count, coalesce(sum(octet_length(c.bytes)), 0)::bigint AS bytes
                FROM contents c WHERE c.request = r.number
            ) kept
            WHERE r.ended_at IS NOT NULL AND r.ended_at < $2 AND r.ended_at < first.before AND kept.count > 0
              AND ($3::timestamptz IS NULL OR (r.ended_at, r.number) > ($3, $4::bigint))
              AND NOT EXISTS (SELECT FROM schedules s WHERE s.request = r.number AND s.ended_at IS NULL)
              AND NOT EXISTS (SELECT FROM outbox o WHERE o.request = r.number AND o.state = 'waiting')
            ORDER BY r.ended_at, r.number LIMIT $5
            "#,
            asked,
            SqlTime::from(before) as _,
            after.map(|due| SqlTime::from(due.ended_at)) as _,
            after.map(|due| due.number.0),
            limit,
        )
        .fetch_all(self.searches())
        .await
        .doing("looking for contents that are old enough to be archived")?;
        let due = rows.into_iter().map(|row| Due {
            number: RequestNumber(row.number),
            ended_at: row.ended_at.into(),
            rule: usize::try_from(row.rule).unwrap_or_default(),
            contents: row.contents.unsigned_abs(),
            bytes: row.bytes.unsigned_abs(),
        });
        Ok(due.collect())
    }

    /// Every room that was ever bound under this key: a request keeps the room that it was asked in.
    pub async fn rooms_ever(&self, key: &str) -> Result<Vec<OwnedRoomId>, Error> {
        let rows = sqlx::query_scalar!(
            r#"
            SELECT room_id AS "room!" FROM rooms WHERE key = $1
            UNION
            SELECT e.body::jsonb ->> 'before' FROM entries e
            WHERE e.kind = 'room.adopted' AND e.body::jsonb ->> 'name' = $1
            "#,
            key
        )
        .fetch_all(self.pool())
        .await
        .doing("looking up the rooms of a key")?;
        let read = rows.into_iter().map(OwnedRoomId::try_from);
        read.collect::<Result<_, _>>()
            .map_err(|error| Error::Unreadable { what: "a room id", reason: error.to_string() })
    }

    /// The leaves of all entries of these requests, and of those that name a content of theirs; by log and index.
    pub async fn leaves_naming(&self, requests: &[RequestNumber]) -> Result<Vec<NamingLeaf>, Error> {
        let numbers: Vec<i64> = requests.iter().map(|number| number.0).collect();
        let rows = sqlx::query!(
            r#"
            SELECT l.log, l.index FROM entries e JOIN leaves l ON l.entry_id = e.id WHERE e.request = ANY ($1)
            UNION
            -- What an erasure was for is a content of the request that asked for it.
            SELECT l.log, l.index FROM entries e JOIN leaves l ON l.entry_id = e.id
            WHERE e.kind = 'content.erased' AND (e.body::jsonb ->> 'asked')::bigint = ANY ($1)
            ORDER BY 1, 2
            "#,
            &numbers
        )
        .fetch_all(self.searches())
        .await
        .doing("reading the log's tree")?;
        let leaves = rows.into_iter().filter_map(|row| Some((row.log?, row.index?)));
        Ok(leaves.map(|(log, index)| NamingLeaf { log, index: index.cast_unsigned() }).collect())
    }

    /// Whether an entry says that contents went to this file.
    pub async fn is_archived_in(&self, file: &str) -> Result<bool, Error> {
        sqlx::query_scalar!(
            r#"
            SELECT EXISTS (SELECT FROM entries e
                           WHERE e.kind = 'content.archived' AND e.body::jsonb ->> 'file' = $1) AS "is!"
            "#,
            file
        )
        .fetch_one(self.searches())
        .await
        .doing("looking whether anything was archived in a file")
    }

    /// Takes contents away that are safe in a file, each request's with the entry that says so: all in one commit. Gives
    /// `false`, and has done nothing, where something of it is not as it was when the file was written.
    pub async fn archive(
        &self,
        told: &Archived,
        contents: &BTreeMap<RequestNumber, Vec<Commitment>>,
    ) -> Result<bool, Error> {
        let now = self.now();
        let numbers: Vec<i64> = contents.keys().map(|number| number.0).collect();
        let mut tx = self.begin(DOING).await?;
        // In one order, as whoever erases does.
        let held = sqlx::query!(
            r#"
            SELECT r.number, r.room_id,
                   r.ended_at IS NOT NULL
                   AND NOT EXISTS (SELECT FROM schedules s WHERE s.request = r.number AND s.ended_at IS NULL)
                   AND NOT EXISTS (SELECT FROM outbox o WHERE o.request = r.number AND o.state = 'waiting') AS "over!"
            FROM requests r WHERE r.number = ANY ($1) ORDER BY r.number FOR NO KEY UPDATE OF r
            "#,
            &numbers
        )
        .fetch_all(&mut *tx)
        .await
        .doing(DOING)?;
        if held.len() != contents.len() || held.iter().any(|row| !row.over) {
            return Ok(false);
        }
        let mut sheaf = Sheaf::default();
        for row in &held {
            let number = RequestNumber(row.number);
            let room = OwnedRoomId::try_from(row.room_id.as_str());
            let room =
                room.map_err(|error| Error::Unreadable { what: "a room id", reason: error.to_string() })?;
            let names = contents.get(&number).cloned().unwrap_or_default();
            let event = Event::ContentArchived(Archived { contents: names, ..told.clone() });
            sheaf.append(Some(number), Some(&room), event);
        }
        sheaf.write(self, &mut tx, now, None).await?;
        for (number, names) in contents {
            let went = sqlx::query_scalar!(
                r#"
                SELECT erase_contents((SELECT id FROM entries WHERE request = $1 AND kind = 'content.archived'
                                       ORDER BY place DESC LIMIT 1)) AS "went!"
                "#,
                number.0
            )
            .fetch_one(&mut *tx)
            .await
            .doing(DOING)?;
            // Somebody erased one of them meanwhile: then the file holds what is to be nowhere.
            if usize::try_from(went).ok() != Some(names.len()) {
                return Ok(false);
            }
        }
        Point::BeforeArchiveCommit.pass();
        tx.commit().await.doing(DOING)?;
        Point::AfterArchiveCommit.pass();
        Ok(true)
    }

    /// The files to which contents of a request went, each with when, the first first.
    pub async fn archives_of(&self, request: RequestNumber) -> Result<Vec<(String, Timestamp)>, Error> {
        let rows = sqlx::query!(
            r#"
            SELECT e.body::jsonb ->> 'file' AS "file!", e.at AS "at: SqlTime" FROM entries e
            WHERE e.request = $1 AND e.kind = 'content.archived' ORDER BY e.place
            "#,
            request.0
        )
        .fetch_all(self.pool())
        .await
        .doing("looking up where a request's contents went")?;
        Ok(rows.into_iter().map(|row| (row.file, row.at.into())).collect())
    }
}
