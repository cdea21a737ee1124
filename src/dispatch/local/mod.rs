//! The door of this host: what `quarterdeck run` sends to a socket takes the same way as what is said in a room.
//!
//! Whoever connects is known by the kernel: the socket's other end has a user's number, and a team's file says whose that
//! is. The line becomes a row of the inbox; from there on it is decided, recorded and run like any other, and its answer
//! goes to its room as well. Matrix need not be there for that: memberships are known from the mirror.

mod door;
mod protocol;
mod words;

use ruma::{OwnedEventId, OwnedUserId};
use serde_json::{Value, json};

pub use door::{Door, open};
pub use protocol::{Ask, Told};

use super::{
    answers::Address,
    event::Incoming,
    in_force::InForce,
    pipeline::{Asked, No, plain},
    schedule,
};
use crate::{
    appservice,
    catalogue::Answers,
    matrix::render::Placement,
    model::{Message, RequestNumber, Span, StateMark},
    storage::{Error, InboxRow, Work},
};

/// The source of its rows.
pub const SOURCE: &str = "local";
/// What the ids of its rows' events begin with. There is no such event in the room.
pub const EVENT: &str = "$local/";
/// The key of the content that holds the number of the user who asked.
const ASKED_BY: &str = "org.quarterdeck.local";

/// Whether a row has no event in its room that could be answered.
fn is_local(row: &InboxRow, incoming: &Incoming) -> bool {
    row.source != appservice::SOURCE && incoming.event_id.as_str().starts_with(EVENT)
}

/// The event that a row of this door holds: as it would have been said in the room.
fn event(name: &str, room: &ruma::RoomId, sender: &OwnedUserId, at_ms: i64, line: &str, uid: u32) -> Vec<u8> {
    json!({
        "event_id": format!("{EVENT}{name}"),
        "room_id": room,
        "sender": sender,
        "origin_server_ts": at_ms,
        "type": "m.room.message",
        "content": { "msgtype": "m.text", "body": line, ASKED_BY: { "uid": uid } },
    })
    .to_string()
    .into_bytes()
}

/// Whose a user's number is.
pub fn user_of(in_force: &InForce, uid: u32) -> Option<&OwnedUserId> {
    in_force.ops.teams.values().find_map(|team| team.local.get(&uid))
}

/// The root of the thread in which an event may be answered, where there is an event.
pub fn thread_root(row: &InboxRow, incoming: &Incoming, content: &Value) -> Option<OwnedEventId> {
    if is_local(row, incoming) { None } else { Placement::thread_root(&incoming.event_id, content) }
}

/// Where the answers to a row go.
pub fn address(
    row: &InboxRow,
    incoming: &Incoming,
    root: Option<&OwnedEventId>,
    answers: Answers,
) -> Address {
    let (room, sender) = (incoming.room_id.clone(), incoming.sender.clone());
    if is_local(row, incoming) {
        return Address { room, sender, event: None, place: Placement::Timeline, of: None };
    }
    Address::of_event(room, sender, incoming.event_id.clone(), root, answers)
}

/// Notes which request a row of this door became, and says in its room what was asked: nobody there has seen it.
pub async fn note(
    work: &mut Work,
    row: &InboxRow,
    number: RequestNumber,
    address: &Address,
    content: &Value,
) -> Result<(), Error> {
    if row.source == schedule::SOURCE {
        let line = content["body"].as_str().unwrap_or_default();
        let message = schedule::said(number, &address.sender, line);
        work.send(address.note(format!("{}/{number}", schedule::SOURCE), Some(number), &message));
    }
    if row.source != SOURCE {
        return Ok(());
    }
    work.asked_locally(&row.external_id, number).await?;
    let line = content["body"].as_str().unwrap_or_default();
    let message = Message::plain().line([
        Span::strong(address.sender.as_str()),
        Span::text(" asks on the server's host: "),
        Span::code(line),
        Span::text(" · "),
        Span::code(number.to_string()),
    ]);
    work.send(address.note(format!("local/{number}"), Some(number), &message));
    Ok(())
}

/// A user's number whose team's file says otherwise by now is nobody's.
pub fn barred(asked: &Asked<'_>, row: &InboxRow, content: &Value) -> Option<No> {
    if row.source != SOURCE {
        return None;
    }
    let uid = content[ASKED_BY]["uid"].as_u64().and_then(|uid| u32::try_from(uid).ok());
    let is = uid.and_then(|uid| user_of(asked.in_force, uid)).is_some_and(|user| user == asked.sender);
    (!is).then(|| {
        let message = Message::marked(StateMark::Refused)
            .line([Span::text("Not run: no team names this user of the host any more.")]);
        No::plain("local", Some(message))
    })
}

impl Asked<'_> {
    /// What is kept of a built-in's answer: it can be read in the room, except by whoever asked from this host.
    pub fn kept(&self, message: &Message) -> Option<Vec<u8>> {
        self.address.event.is_none().then(|| plain(message).into_bytes())
    }
}
