//! What is said in the rooms when a restored backup is gone on from: what is not known, and that nothing was run.

use jiff::tz::TimeZone;

use super::answers::{self, Address};
use crate::{
    catalogue::Ops,
    matrix::render::Loudness,
    model::{BootId, Invocation, Message, Span, State, StateMark, Timestamp},
    storage::{Error, OutboxDraft, Request, Storage},
};

/// What is said: in each room that is kept, and to each request that was unfinished. `ends` is the time of the backup's last entry.
pub async fn drafts(
    storage: &Storage,
    ops: &Ops,
    unfinished: &[Request],
    ends: Option<Timestamp>,
) -> Result<Vec<OutboxDraft>, Error> {
    let mut drafts = Vec::new();
    let bound = storage.bound_rooms().await?;
    for request in unfinished {
        let room = bound.iter().find(|(_, id)| *id == request.room).and_then(|(key, _)| ops.rooms.get(key));
        // One that is kept no longer is told nothing.
        let Some(room) = room else { continue };
        let address = Address::of_request(request, room.answers);
        let message = interrupted(&ops.settings.prefix, request);
        drafts.push(address.answer(request.number, State::Interrupted, &message, Loudness::Text));
    }
    for (key, room) in bound {
        if ops.rooms.contains_key(&key) {
            let of_it = unfinished.iter().filter(|request| request.room == room).count();
            let step = step(storage.boot(), &key);
            drafts.push(answers::in_room(room, step, &told(of_it, ends)));
        }
    }
    Ok(drafts)
}

fn step(boot: BootId, room: &str) -> String {
    format!("restored/{boot}/{room}")
}

/// One line for a room.
fn told(unfinished: usize, ends: Option<Timestamp>) -> Message {
    let since = ends.map_or_else(
        || "of everything before".to_owned(),
        |at| format!("of what happened after {} UTC", at.to_zoned(TimeZone::UTC).strftime("%F %H:%M")),
    );
    let unfinished = match unfinished {
        0 => "No request of this room was unfinished in it.".to_owned(),
        1 => "One request of this room was unfinished in it: its outcome is not known.".to_owned(),
        count => {
            format!("{count} requests of this room were unfinished in it: their outcomes are not known.")
        }
    };
    Message::marked(StateMark::Unknown).line([Span::text(format!(
        "Quarterdeck's database was restored from a backup: the record {since} is gone, what is above here stays. {unfinished} \
         Nothing was run again."
    ))])
}

/// The answer to a request that was unfinished.
fn interrupted(prefix: &str, request: &Request) -> Message {
    let command = request.invocation.as_ref().map_or("a command".to_owned(), Invocation::typed);
    Message::marked(StateMark::Unknown)
        .line([
            Span::text("Quarterdeck's database was restored from a backup in which "),
            Span::code(request.number.to_string()),
            Span::text(format!(
                " ({command}) was unfinished: what became of it is not known, and it is not run again."
            )),
        ])
        .line([
            Span::text("Look at how things stand ("),
            Span::code(format!("{prefix}status")),
            Span::text(") before you send it once more."),
        ])
}
