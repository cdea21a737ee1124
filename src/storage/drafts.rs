//! What a commit carries along: contents, entries, and messages for the outbox.

use ruma::{OwnedRoomId, OwnedUserId};

use crate::model::{RequestNumber, Timestamp};

/// What a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentKind {
    /// The text of a command, as it came or as it was edited.
    Text,
    /// An invocation: the command with its arguments, as JSON.
    Invocation,
    /// What the rules were given: Cedar's request and entities, as JSON.
    Inputs,
    /// Why it is not run, in words.
    Reason,
    /// What a run printed; of a long output both ends.
    Output,
    /// What lists the parts of a long output.
    Whole,
    /// A part of a long output.
    Part,
}

impl std::str::FromStr for ContentKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Text, Self::Invocation, Self::Inputs, Self::Reason, Self::Output, Self::Whole, Self::Part]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("no kind of content `{text}`"))
    }
}

impl ContentKind {
    /// The name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Invocation => "invocation",
            Self::Inputs => "inputs",
            Self::Reason => "reason",
            Self::Output => "output",
            Self::Whole => "whole",
            Self::Part => "part",
        }
    }
}

/// A message to be sent, written in the commit of what it tells of.
#[derive(Debug, Clone)]
pub struct OutboxDraft {
    /// Its step key: unique for ever, and what its transaction id is made of. A step that was written
    /// before is not written again.
    pub step: String,
    /// Where it goes.
    pub to: To,
    /// The request it answers; its messages are sent in the order in which they were written.
    pub request: Option<RequestNumber>,
    /// The event's type: `m.room.message`, `m.reaction`, ...
    pub kind: String,
    /// The event's content.
    pub content: serde_json::Value,
    /// A file to upload first; the sender puts its address into the content.
    pub file: Option<File>,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Into a room.
    Room(OwnedRoomId),
    /// To a person, in the room with them alone, which is opened where there is none.
    Person(OwnedUserId),
}

impl std::fmt::Display for To {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Room(room) => f.write_str(room.as_str()),
            Self::Person(user) => f.write_str(user.as_str()),
        }
    }
}

impl From<OwnedRoomId> for To {
    fn from(room: OwnedRoomId) -> Self {
        Self::Room(room)
    }
}

impl std::str::FromStr for To {
    type Err = ruma::IdParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with('@') {
            return text.try_into().map(Self::Person);
        }
        text.try_into().map(Self::Room)
    }
}

/// A file that a message carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl OutboxDraft {
    /// The lane: the messages to one person, of one request, else of one room, go out one after the other. A room that
    /// cannot be opened for somebody holds up nothing else.
    pub(super) fn lane(&self) -> String {
        match (&self.to, self.request) {
            (To::Room(_), Some(number)) => Self::lane_of(number),
            (to, _) => to.to_string(),
        }
    }

    /// The lane of what is said of a request in its room.
    pub fn lane_of(number: RequestNumber) -> String {
        format!("request {number}")
    }
}

/// A message that waits in the outbox, leased to this process.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// Its number.
    pub id: i64,
    /// What is to be sent.
    pub draft: OutboxDraft,
    /// The messages of one lane are sent one after the other, by rising id.
    pub lane: String,
    /// When it was written.
    pub written_at: Timestamp,
    /// How often sending it has failed.
    pub failures: i32,
}
