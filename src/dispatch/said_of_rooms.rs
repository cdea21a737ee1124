//! What is said of rooms, and of Quarterdeck's own absence.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use ruma::{OwnedRoomId, RoomId};

use super::answers;
use crate::{
    model::{BootId, Message, Span, StateMark},
    storage::OutboxDraft,
};

/// Why an invitation is declined.
pub fn not_here(rooms: &[&str]) -> String {
    format!(
        "Quarterdeck works in the rooms it keeps itself: {}. Only its administrators can invite it elsewhere.",
        rooms.join(", ")
    )
}

/// In a room that somebody has encrypted.
pub fn cannot_read(room: OwnedRoomId) -> OutboxDraft {
    let message = Message::marked(StateMark::Refused).line([Span::text(
        "This room is encrypted, and Quarterdeck cannot read what is written encrypted: such commands are not run. \
         Encryption cannot be turned off in a room; its keepers must let Quarterdeck make a new one.",
    )]);
    let step = format!("encrypted/{room}");
    answers::in_room(room, step, &message)
}

/// After an absence: the line for one room.
pub fn away(
    room: &RoomId,
    boot: BootId,
    from: Timestamp,
    to: Timestamp,
    stale_after: SignedDuration,
) -> OutboxDraft {
    let time = |at: Timestamp, format: &str| at.to_zoned(TimeZone::UTC).strftime(format).to_string();
    let same_day = time(from, "%F") == time(to, "%F");
    let from_format = if same_day { "%H:%M" } else { "%F %H:%M" };
    let message = Message::plain().line([Span::text(format!(
        "Quarterdeck was away from {} to {} UTC. What was sent meanwhile is being answered; commands older than \
         {stale_after:#} are not run and are told so.",
        time(from, from_format),
        time(to, from_format),
    ))]);
    answers::in_room(room.to_owned(), format!("back/{boot}/{room}"), &message)
}
