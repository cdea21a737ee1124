//! The audit log as it is read, and entries that stand by themselves.

use ruma::{OwnedRoomId, RoomId};

use jiff_sqlx::Timestamp as SqlTime;

use super::{ContentKind, Error, Storage, error::Doing as _, requests::digest, sheaf::Sheaf};
use crate::model::{Commitment, Entry, Event, RequestNumber, Timestamp};

/// Which entries are asked for. What is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this room.
    pub room: Option<OwnedRoomId>,
    /// Those of this request.
    pub request: Option<RequestNumber>,
    /// Those of this kind: `command.refused`, or a family: `command`.
    pub kind: Option<String>,
    /// Those of requests that this person sent, and of what this person did.
    pub sender: Option<String>,
    /// Those written then or later.
    pub since: Option<Timestamp>,
}

/// An entry as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its place: entries of one request rise in the order in which they were written.
    pub place: i64,
    /// The entry.
    pub entry: Entry,
    /// Who sent the request, where it belongs to one.
    pub sender: Option<String>,
}

/// A page of entries, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Recorded>,
    /// Give this for the page with the older ones; `None` where there are none.
    pub older: Option<i64>,
}

/// A content that an entry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What names it.
    pub commitment: Commitment,
    /// What it is.
    pub kind: ContentKind,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

pub(super) const DOING: &str = "reading the audit log";

impl Storage {
    /// A page of entries, newest first, `limit` at most; `before` is the last page's `older`. The caller
    /// records that it was read (`audit.read`): once a query, not a page.
    pub async fn entries(&self, filter: &Filter, before: Option<i64>, limit: i64) -> Result<Page, Error> {
        let limit = limit.clamp(1, 10_000);
        let rows = sqlx::query!(
            r#"
            SELECT e.place, e.body, r.sender AS "sender?"
            FROM entries e LEFT JOIN requests r ON r.number = e.request
            WHERE ($1::text IS NULL OR e.room_id = $1)
              AND ($2::bigint IS NULL OR e.request = $2)
              -- `command` is all of `command.…`.
              AND ($3::text IS NULL OR e.kind = $3 OR split_part(e.kind, '.', 1) = $3)
              AND ($4::text IS NULL OR e.who = $4 OR r.sender = $4)
              AND ($5::timestamptz IS NULL OR e.at >= $5)
              AND ($6::bigint IS NULL OR e.place < $6)
            ORDER BY e.place DESC
            -- One more, to know whether there are older ones.
            LIMIT $7
            "#,
            filter.room.as_ref().map(|room| room.as_str()),
            filter.request.map(|number| number.0),
            filter.kind,
            filter.sender,
            filter.since.map(SqlTime::from) as _,
            before,
            limit + 1,
        )
        .fetch_all(self.searches())
        .await
        .doing(DOING)?;
        let is_cut = i64::try_from(rows.len()).is_ok_and(|count| count > limit);
        let entries = rows
            .into_iter()
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .map(|row| recorded(row.place, &row.body, row.sender))
            .collect::<Result<Vec<_>, _>>()?;
        let older = if is_cut { entries.last().map(|last| last.place) } else { None };
        Ok(Page { entries, older })
    }

    /// All entries of a request, the oldest first, with the contents they name.
    pub async fn story(&self, number: RequestNumber) -> Result<(Vec<Recorded>, Vec<Content>), Error> {
        let rows = sqlx::query!(
            "SELECT e.place, e.body, r.sender
             FROM entries e JOIN requests r ON r.number = e.request
             WHERE e.request = $1 ORDER BY e.place",
            number.0
        )
        .fetch_all(self.pool())
        .await
        .doing(DOING)?;
        let entries = rows
            .into_iter()
            .map(|row| recorded(row.place, &row.body, Some(row.sender)))
            .collect::<Result<Vec<_>, _>>()?;
        let contents = sqlx::query!(
            // Parts of a long output are read one by one.
            "SELECT commitment, kind, bytes FROM contents WHERE request = $1 AND kind <> 'part'",
            number.0
        )
        .fetch_all(self.pool())
        .await
        .doing(DOING)?
        .into_iter()
        .map(|row| {
            let kind = row.kind.parse();
            Ok(Content {
                commitment: Commitment(digest(row.commitment)?),
                kind: kind.map_err(|reason| Error::Unreadable { what: "a content", reason })?,
                bytes: row.bytes,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
        Ok((entries, contents))
    }

    /// Records an entry in a commit of its own.
    pub async fn record(
        &self,
        request: Option<RequestNumber>,
        room: Option<&RoomId>,
        event: Event,
    ) -> Result<(), Error> {
        const DOING: &str = "recording an entry";
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let mut sheaf = Sheaf::default();
        sheaf.append(request, room, event);
        sheaf.write(self, &mut tx, now, None).await?;
        tx.commit().await.doing(DOING)
    }
}

pub(super) fn recorded(place: i64, body: &str, sender: Option<String>) -> Result<Recorded, Error> {
    let entry = serde_json::from_str(body).map_err(|error| Error::Unreadable {
        what: "an entry",
        reason: format!("entry {place}: {error} (was it written by a newer version of Quarterdeck?)"),
    })?;
    Ok(Recorded { place, entry, sender })
}
