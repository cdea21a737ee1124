//! Entries as a list, the newest first.

use super::{
    search::{Finds, Given},
    words::{action, became, day, time, time_of_day, told},
};
use crate::{
    model::{Archived, Event, Message, RequestNumber, Span},
    storage::{Found, Recorded},
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

/// Something that was found in a line without its time: a request with what became of it, or an entry by itself.
pub fn summary(found: &Found, entries: &[Recorded]) -> Vec<Span> {
    match (found.request, entries.first()) {
        (Some(number), _) => request(number, entries.iter()),
        (None, Some(recorded)) => told(&recorded.entry.event, &|_| None),
        (None, None) => Vec::new(),
    }
}

/// Whether a request is one of a dry run, by its entries.
pub fn is_dry(entries: &[Recorded]) -> bool {
    entries.iter().any(|recorded| {
        matches!(
            recorded.entry.event,
            Event::CommandPermitted { dry: true, .. }
                | Event::ApprovalRequested { dry: true, .. }
                | Event::ConfirmationRequested { dry: true, .. }
                | Event::CommandRefused { dry: true, .. }
        )
    })
}

/// A page of what was found, for a room: a line each. `given` is what was searched for, `hint` what to say of it where
/// nothing is found.
pub fn list(prefix: &str, given: &Given, finds: &Finds, hint: Option<String>) -> Message {
    let Some((newest, _)) = finds.found.first() else {
        let nothing = match (given.before(), given.is_narrow()) {
            (Some(_), _) => "Nothing older is recorded of that in this room.",
            (None, true) => "Nothing of that is recorded in this room.",
            (None, false) => "Nothing is recorded of this room yet.",
        };
        // What was not looked at may well be there.
        if let Some(short) = finds.short {
            return Message::plain().line([Span::text(short.words())]);
        }
        let hint = hint.map(|hint| Span::text(format!(" {hint}")));
        return Message::plain().line([Span::text(nothing)].into_iter().chain(hint));
    };
    let today = day(newest.cursor.at);
    let items = finds.found.iter().map(|(found, entries)| {
        let at = found.cursor.at;
        let at = if day(at) == today { time_of_day(at) } else { time(at) };
        [vec![Span::text(format!("{at} · "))], summary(found, entries)].concat()
    });
    let what =
        if given.is_narrow() { "What is recorded of that in this room" } else { "The last of this room" };
    let mut message = Message::plain()
        .line([Span::text(format!("{what}, newest first. Times are UTC, {today}:"))])
        .list(items.collect());
    if let Some(number) = finds.found.iter().find_map(|(found, _)| found.request) {
        message =
            message.line([Span::text("All about one: "), Span::code(format!("{prefix}audit {number}"))]);
    }
    if let Some(short) = finds.short {
        message = message.line([Span::text(short.words())]);
    }
    match finds.older {
        Some(cursor) => message.line([
            Span::text("Older ones: "),
            Span::code(format!("{prefix}audit{}", given.behind(cursor).line())),
        ]),
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
            Event::CommandPermitted { command, subject, dry, .. }
            | Event::ApprovalRequested { command, subject, dry, .. }
            | Event::ConfirmationRequested { command, subject, dry, .. }
            | Event::CommandRefused { command: Some(command), subject, dry, .. } => {
                what = Some(action(command, subject.as_deref(), *dry));
            }
            Event::MessageEdited { .. } => besides.push(" · message edited afterwards".to_owned()),
            Event::MessageRedacted { .. } => besides.push(" · message removed afterwards".to_owned()),
            Event::ContentErased { .. } => besides.push(" · erased afterwards".to_owned()),
            Event::ContentArchived(Archived { file, .. }) => {
                besides.push(format!(" · archived to {file}"));
            }
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
