//! Entries as a list, the newest first.

use super::words::{action, became, day, time, time_of_day, told};
use crate::{
    model::{Event, Message, RequestNumber, Span},
    storage::{Page, Recorded},
};

/// How many lines a room is shown: what a phone shows without much scrolling.
const LINES: usize = 15;

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

/// A page of entries for a room: all that is recorded of one request is one line, at its newest entry.
pub fn list(prefix: &str, page: &Page) -> Message {
    let Some(newest) = page.entries.first() else {
        return Message::plain().line([Span::text("Nothing is recorded of this room yet.")]);
    };
    let today = day(newest.entry.at);
    let mut told_of: Vec<RequestNumber> = Vec::new();
    let mut items = Vec::new();
    for (index, recorded) in page.entries.iter().enumerate() {
        let what = match recorded.entry.request {
            Some(number) if told_of.contains(&number) => continue,
            Some(number) => {
                told_of.push(number);
                let of_it = |it: &&Recorded| it.entry.request == Some(number);
                request(number, page.entries[index..].iter().filter(of_it))
            }
            None => told(&recorded.entry.event, &|_| None),
        };
        let at = recorded.entry.at;
        let at = if day(at) == today { time_of_day(at) } else { time(at) };
        items.push([vec![Span::text(format!("{at} · "))], what].concat());
        if items.len() == LINES {
            break;
        }
    }
    let message = Message::plain()
        .line([Span::text(format!("The last of this room, newest first. Times are UTC, {today}:"))])
        .list(items);
    match told_of.first() {
        Some(number) => {
            message.line([Span::text("All about one: "), Span::code(format!("{prefix}audit {number}"))])
        }
        None => message,
    }
}

/// A request in one line, from its entries, the newest first: whose, what, and what became of it.
fn request<'a>(number: RequestNumber, entries: impl Iterator<Item = &'a Recorded>) -> Vec<Span> {
    let (mut outcome, mut what, mut sender, mut besides) = (None, None, None, Vec::new());
    for recorded in entries {
        let event = &recorded.entry.event;
        outcome = outcome.or_else(|| became(event));
        sender = sender.or(recorded.sender.as_deref());
        match event {
            Event::CommandPermitted { command, subject, .. }
            | Event::ApprovalRequested { command, subject, .. }
            | Event::ConfirmationRequested { command, subject, .. }
            | Event::CommandRefused { command: Some(command), subject, .. } => {
                what = Some(action(command, subject.as_deref()));
            }
            Event::MessageEdited { .. } => besides.push(" · message edited afterwards".to_owned()),
            Event::MessageRedacted { .. } => besides.push(" · message removed afterwards".to_owned()),
            Event::AuditRead { query, .. } => besides.push(format!(" · read {query}")),
            Event::RunFinishedLate { .. } => besides.push(" · ended late".to_owned()),
            _ => {}
        }
    }
    let mut spans = vec![Span::code(number.to_string()), Span::text(" · ")];
    if let Some(sender) = sender {
        spans.extend([Span::strong(sender), Span::text(" · ")]);
    }
    if let Some(what) = what {
        spans.extend([what, Span::text(" · ")]);
    }
    spans.push(Span::text(outcome.unwrap_or_else(|| "see its story".to_owned())));
    // They came the newest first.
    spans.extend(besides.into_iter().rev().map(Span::text));
    spans
}
