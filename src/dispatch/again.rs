//! `!again ID`: what was asked for before, once more. It becomes work of its own, said by who asks now, and is decided like
//! everything else; the door through which it came says what it repeats.

use super::{about::Verb, builtin::spoken, pipeline::Asked};
use crate::{
    command::Line,
    model::{Invocation, Message, RequestNumber, Span, StateMark},
    storage::{Arrival, ContentKind, Error, InboxRow, Work},
};

/// What the door of a repeated request begins with: `again 482`.
const AGAIN: &str = "again ";

/// Has a request of this room run once more.
pub async fn again(
    asked: &Asked<'_>,
    work: &mut Work,
    row: &InboxRow,
    number: RequestNumber,
) -> Result<Message, Error> {
    let not = |why: &str| {
        let of = Span::code(number.to_string());
        Ok(Message::marked(StateMark::Refused).line([of, Span::text(format!(" is not run again: {why}"))]))
    };
    let storage = &asked.house.storage;
    // A request of another room is none of this room's business, and does not even exist here.
    let Some(request) = asked.request_of_here(number).await? else {
        return not("there is no such request in this room.");
    };
    let bound = match request.invocation {
        Some(invocation) => Some(invocation),
        // Of what was refused only the record has it.
        None => of_record(storage.story(number).await?.1),
    };
    let Some(bound) = bound else {
        let message = not("what it asked for was never understood, or was erased.");
        return match super::archived::words(storage, number).await? {
            Some(archived) => not(&archived),
            None => message,
        };
    };
    if Verb::of(&bound.command).is_some() {
        return not("it was a word to another request. Say it to the one that you mean.");
    }
    let prefix = &asked.in_force.ops.settings.prefix;
    // What names another, or itself, would go round and round.
    if bound.command == "again" {
        let message = not("it is an \u{201c}again\u{201d} itself.")?;
        let meant = Span::code(format!("{prefix}{bound}"));
        return Ok(message.line([Span::text("Send the same: "), meant]));
    }
    let line = bound.to_string();
    match asked.read(&Line::typed(line.clone()), work.now()) {
        Err(mistake) => {
            let message = not("the commands have changed since.")?;
            let mut mistake = mistake.message(prefix);
            return Ok(Message {
                blocks: [message.blocks, std::mem::take(&mut mistake.blocks)].concat(),
                ..message
            });
        }
        Ok(parsed) if parsed.invocation != bound => {
            let message = not("the commands have changed since, and it would be another thing now.")?;
            let now = Span::code(format!("{prefix}{}", parsed.invocation));
            return Ok(message.line([Span::text("To run that, send "), now]));
        }
        Ok(_) => {}
    }
    let Some(raw) = spoken(&row.raw, &format!("{prefix}{line}")) else {
        return not("what asked for it cannot be read.");
    };
    let arrival = Arrival {
        source: format!("{AGAIN}{number}"),
        external_id: format!("{}/again", row.external_id),
        lane: row.lane.clone(),
        claimed_at: row.claimed_at,
        raw,
    };
    work.enqueue(&arrival).await?;
    // Its answer is the answer; whoever asked on the host is told where it is.
    if asked.address.event.is_none() {
        let line = Span::text(format!(
            "{number} is run again, as a request of its own: its room and the log tell of it."
        ));
        return Ok(Message::marked(StateMark::Succeeded).line([line]));
    }
    Ok(Message::plain())
}

/// The last invocation among a request's contents.
fn of_record(contents: Vec<crate::storage::Content>) -> Option<Invocation> {
    let last = contents.into_iter().rfind(|content| content.kind == ContentKind::Invocation)?;
    serde_json::from_slice(&last.bytes).ok()
}
