//! Entries as a list, the newest first.

use super::words::{time, told};
use crate::{
    model::{Message, Span},
    storage::{Page, Recorded},
};

/// An entry as a line: when, which request, whose, and what.
pub fn line(recorded: &Recorded) -> Vec<Span> {
    let entry = &recorded.entry;
    let mut spans = vec![Span::text(format!("{} UTC · ", time(entry.at)))];
    if let Some(number) = entry.request {
        spans.extend([Span::code(number.to_string()), Span::text(" · ")]);
    }
    let what = told(&entry.event, &|_| None);
    // Whose request it is, where the entry does not name somebody itself.
    if let Some(sender) = &recorded.sender
        && !what.iter().any(|span| matches!(span, Span::Strong(_)))
    {
        spans.extend([Span::strong(sender), Span::text(" · ")]);
    }
    spans.extend(what);
    spans
}

/// A page of entries for a room.
pub fn list(prefix: &str, page: &Page) -> Message {
    let Some(newest) = page.entries.first() else {
        return Message::plain().line([Span::text("Nothing is recorded of this room yet.")]);
    };
    let items: Vec<_> = page.entries.iter().map(line).collect();
    let message = Message::plain()
        .line([Span::text(format!("The last {} entries of this room, the newest first:", items.len()))])
        .list(items);
    let example = page.entries.iter().find_map(|recorded| recorded.entry.request).or(newest.entry.request);
    match example {
        Some(number) => message
            .line([Span::text("The whole story of one: "), Span::code(format!("{prefix}audit {number}"))]),
        None => message,
    }
}
