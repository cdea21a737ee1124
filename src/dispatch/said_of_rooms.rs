//! What is said of rooms, and of Quarterdeck's own absence.

use jiff::{Timestamp, tz::TimeZone};
use ruma::{OwnedRoomId, OwnedUserId, RoomId};

use super::answers;
use crate::{
    model::{BootId, Message, RequestNumber, Span, StateMark},
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

/// Where something was given up, and not even its own answer could be written.
pub fn passed(room: OwnedRoomId, name: &str) -> OutboxDraft {
    let message = Message::marked(StateMark::Refused).line([
        Span::text("Not run: "),
        Span::code(name),
        Span::text(", which was sent here, could not be processed. It is recorded; tell the operators."),
    ]);
    answers::in_room(room, format!("passed/{name}"), &message)
}

/// A time in which Quarterdeck was not there.
#[derive(Debug, Clone, Copy)]
pub struct Absence {
    /// The life that ended it.
    pub boot: BootId,
    /// When an earlier one was last seen.
    pub from: Timestamp,
    /// When this one began.
    pub to: Timestamp,
}

/// How many of the commands that were too old are named.
const NAMED: usize = 10;

/// After an absence: the line for one room, with the requests in it that had become too old to run.
pub fn away(room: &RoomId, absence: &Absence, stale: &[(RequestNumber, OwnedUserId)]) -> OutboxDraft {
    let time = |at: Timestamp, format: &str| at.to_zoned(TimeZone::UTC).strftime(format).to_string();
    let same_day = time(absence.from, "%F") == time(absence.to, "%F");
    let format = if same_day { "%H:%M" } else { "%F %H:%M" };
    let mut spans = vec![Span::text(format!(
        "Quarterdeck was away from {} to {} UTC. ",
        time(absence.from, format),
        time(absence.to, format),
    ))];
    match stale.len() {
        0 => spans.push(Span::text("Nothing that was sent meanwhile was too old to run.")),
        1 => spans.push(Span::text("One command was too old and was not run: ")),
        count => spans.push(Span::text(format!("{count} commands were too old and were not run: "))),
    }
    for (index, (number, sender)) in stale.iter().take(NAMED).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        spans.extend([
            Span::text(comma),
            Span::code(number.to_string()),
            Span::text(" of "),
            Span::strong(sender.as_str()),
        ]);
    }
    if stale.len() > NAMED {
        spans.push(Span::text(format!(" and {} more", stale.len() - NAMED)));
    }
    if !stale.is_empty() {
        spans.push(Span::text(". Send again what is still wanted."));
    }
    let step = format!("back/{}/{room}", absence.boot);
    answers::in_room(room.to_owned(), step, &Message::plain().line(spans))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stale: i64) -> String {
        let absence = Absence {
            boot: BootId(uuid::Uuid::nil()),
            from: "2026-11-22T23:10:00Z".parse().unwrap(),
            to: "2026-11-23T08:05:30Z".parse().unwrap(),
        };
        let bob = ruma::owned_user_id!("@bob:example.org");
        let stale: Vec<_> = (0..stale).map(|number| (RequestNumber(480 + number), bob.clone())).collect();
        let draft = away(ruma::room_id!("!r:example.org"), &absence, &stale);
        draft.content["body"].as_str().unwrap().to_owned()
    }

    #[test]
    fn an_absence_is_told_with_what_became_too_old() {
        let nothing = said(0);
        assert!(
            nothing
                .starts_with("Quarterdeck was away from 2026-11-22 23:10 to 2026-11-23 08:05 UTC. Nothing"),
            "{nothing}"
        );
        let one = said(1);
        assert!(
            one.contains(
                "One command was too old and was not run: `480` of **@bob:example.org**. Send again"
            ),
            "{one}"
        );
        let two = said(2);
        assert!(
            two.contains("2 commands were too old and were not run: `480` of **@bob:example.org**, `481` of"),
            "{two}"
        );
        let many = said(13);
        assert!(many.contains("`489` of **@bob:example.org** and 3 more. Send again"), "{many}");
    }
}
