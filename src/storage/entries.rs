//! The audit log as it is read, and entries that stand by themselves.

use ruma::{OwnedRoomId, RoomId};

use super::{ContentKind, Error, Storage};
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

impl Storage {
    /// A page of entries, newest first, `limit` at most; `before` is the last page's `older`. The caller
    /// records that it was read (`audit.read`): once a query, not a page.
    pub async fn entries(&self, filter: &Filter, before: Option<i64>, limit: i64) -> Result<Page, Error> {
        let _ = (filter, before, limit);
        todo!()
    }

    /// All entries of a request, the oldest first, with the contents they name.
    pub async fn story(&self, number: RequestNumber) -> Result<(Vec<Recorded>, Vec<Content>), Error> {
        let _ = number;
        todo!()
    }

    /// Records an entry in a commit of its own.
    pub async fn record(
        &self,
        request: Option<RequestNumber>,
        room: Option<&RoomId>,
        event: Event,
    ) -> Result<(), Error> {
        let _ = (request, room, event);
        todo!()
    }
}
