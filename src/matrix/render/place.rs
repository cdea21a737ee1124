//! Where an answer stands: in a thread, as a reply, or by itself.

use ruma::{EventId, OwnedEventId};
use serde_json::{Value, json};

use crate::catalogue::Answers;

/// Where a message stands in its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// In a thread, as an answer to one of its events.
    Thread {
        /// The event that the thread hangs on.
        root: OwnedEventId,
        /// What it answers, for clients that show no threads.
        reply_to: OwnedEventId,
    },
    /// In the main timeline, as a reply.
    Reply {
        /// What it answers.
        to: OwnedEventId,
    },
    /// In the main timeline, by itself.
    Timeline,
}

impl Placement {
    /// Where the answer to a command belongs. `root` is the command's [`Placement::thread_root`].
    ///
    /// A room may have its answers in the main timeline; a command that was itself sent in a thread is
    /// answered there all the same, where its sender looks.
    pub fn answer(command: &EventId, root: Option<&EventId>, answers: Answers) -> Self {
        match (root, answers) {
            (Some(root), Answers::Timeline) if root == command => Self::Reply { to: command.to_owned() },
            (Some(root), _) => Self::Thread { root: root.to_owned(), reply_to: command.to_owned() },
            (None, _) => Self::Reply { to: command.to_owned() },
        }
    }

    /// The root of the thread in which an event is answered: the event itself, or the root of the thread that it
    /// was sent in. An event with another relation can be no root (specification, "Threading"), and is in no thread.
    pub fn thread_root(event: &EventId, content: &Value) -> Option<OwnedEventId> {
        let relation = &content["m.relates_to"];
        match relation["rel_type"].as_str() {
            None => Some(event.to_owned()),
            // An id with a control character is none, whatever its type lets pass.
            Some("m.thread") => {
                relation["event_id"].as_str().filter(|id| !id.contains(char::is_control))?.try_into().ok()
            }
            Some(_) => None,
        }
    }

    pub(super) fn relation(&self) -> Option<Value> {
        match self {
            Self::Thread { root, reply_to } => Some(json!({
                "rel_type": "m.thread",
                "event_id": root,
                "is_falling_back": true,
                "m.in_reply_to": { "event_id": reply_to },
            })),
            Self::Reply { to } => Some(json!({ "m.in_reply_to": { "event_id": to } })),
            Self::Timeline => None,
        }
    }
}
