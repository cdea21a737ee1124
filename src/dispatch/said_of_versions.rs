//! What is said of a version of the ops folder that was to come into force.

use ruma::UserId;

use super::versions::{NotLoaded, Version};
use crate::model::{Block, Message, Span, StateMark};

/// How many mistakes are shown in a room; `quarterdeck check` shows all.
const MISTAKES: usize = 8;

/// It did not: why, and that nothing changed.
pub fn not_loaded(error: &NotLoaded) -> Message {
    let message = Message::marked(StateMark::Failed)
        .line([Span::strong("Nothing was changed:"), Span::text(" the version in force stays.")]);
    let NotLoaded::Mistakes(mistakes) = error else { return message.line([Span::text(error.to_string())]) };
    let shown = mistakes.iter().take(MISTAKES).map(|mistake| vec![Span::text(mistake.to_string())]);
    let mut items: Vec<_> = shown.collect();
    if let Some(more) = mistakes.len().checked_sub(MISTAKES).filter(|more| *more > 0) {
        items.push(vec![
            Span::text(format!("and {more} more: ")),
            Span::code("quarterdeck check"),
            Span::text(" shows all"),
        ]);
    }
    message.list(items)
}

/// It did: which one, and what is different now. `changed` is false where it was in force already.
pub fn in_force(version: &Version, changes: Vec<Vec<Span>>, changed: bool) -> Message {
    let ops = &version.in_force.ops;
    let mut line = if changed {
        vec![Span::strong("In force now:"), Span::text(" version ")]
    } else {
        vec![Span::strong("In force already:"), Span::text(" version ")]
    };
    line.push(Span::code(ops.digest.short().clone()));
    if let Some(commit) = &ops.commit {
        line.extend([Span::text(" · commit "), Span::code(commit.get(..12).unwrap_or(commit))]);
    }
    if let Some(reference) = version.reference.as_ref().filter(|name| Some(*name) != ops.commit.as_ref()) {
        line.extend([Span::text(" ("), Span::code(reference.clone()), Span::text(")")]);
    }
    if let Some(signer) = &version.signer {
        line.extend([Span::text(" · signed by "), Span::strong(signer.clone())]);
    }
    let mut message = Message::marked(StateMark::Succeeded).line(line).list(changes);
    if !version.without.is_empty() {
        let names = version.without.join(", ");
        message = message.line([Span::text(format!(
            "Without what these endpoints offer, with which it is not right: {names}. They are asked again."
        ))]);
    }
    if version.need_a_restart.is_empty() {
        return message;
    }
    let names = version.need_a_restart.join(", ");
    message.line([Span::text(format!("These settings differ and count after a restart only: {names}"))])
}

/// The same, with who had it done: for a room that did not see it asked.
pub fn by_whom(message: &Message, by: &UserId) -> Message {
    let mut message = message.clone();
    if let Some(Block::Line(line)) = message.blocks.first_mut() {
        line.push(Span::text(format!(" · {by}")));
    }
    message
}
