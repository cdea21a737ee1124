//! The story of one request, from its arrival to its end.

use std::collections::HashMap;

use super::words::{time, told};
use crate::{
    model::{Commitment, Event, Message, Span, State, StateMark},
    storage::{Content, ContentKind, Recorded, Request},
};

/// How much of an output is shown with its story.
const OUTPUT: usize = 2_000;

/// Everything that is recorded of a request, the oldest first, with the words of its contents.
pub fn story(request: &Request, entries: &[Recorded], contents: &[Content]) -> Message {
    let by_name: HashMap<Commitment, &Content> =
        contents.iter().map(|content| (content.commitment, content)).collect();
    let text = |commitment: Commitment| {
        by_name.get(&commitment).map(|content| String::from_utf8_lossy(&content.bytes).into_owned())
    };
    let mut head = vec![
        Span::code(request.number.to_string()),
        Span::text(" by "),
        Span::strong(request.sender.as_str()),
        Span::text(format!(" · {}", shown(request.state))),
    ];
    if let Some(invocation) = &request.invocation {
        head.extend([Span::text(" · "), Span::code(invocation.to_string())]);
    }
    let items = entries
        .iter()
        .map(|recorded| {
            let mut spans = vec![Span::text(format!("{} UTC · ", time(recorded.entry.at)))];
            spans.extend(told(&recorded.entry.event, &text));
            spans
        })
        .collect();
    let mut message = Message { mark: Some(mark(request.state)), blocks: Vec::new() }.line(head).list(items);
    if let (Some(rules), Some(ops)) = (request.rules, request.ops) {
        message = message.line([
            Span::text("Decided under rules "),
            Span::code(rules.short()),
            Span::text(" of ops folder "),
            Span::code(ops.short()),
        ]);
    }
    for recorded in entries {
        if let Event::RunFinished { kept: Some(kept), parts, .. } = &recorded.entry.event
            && let Some(content) = by_name
                .get(kept)
                .filter(|content| content.kind == ContentKind::Output && !content.bytes.is_empty())
        {
            let output = String::from_utf8_lossy(&content.bytes);
            message = message.line([Span::text("What it printed:")]).verbatim(end(&output));
            if parts.whole.is_some() {
                message = message.line([
                    Span::text("This is the end of it. All of it, on Quarterdeck's host: "),
                    Span::code(format!("quarterdeck audit output {}", request.number)),
                ]);
            }
        }
    }
    message
}

/// What each entry of a request tells, the oldest first, with the words of its contents.
pub fn steps<'a>(entries: &'a [Recorded], contents: &[Content]) -> Vec<(&'a Recorded, Vec<Span>)> {
    let by_name: HashMap<Commitment, &Content> =
        contents.iter().map(|content| (content.commitment, content)).collect();
    let text = |commitment: Commitment| {
        by_name.get(&commitment).map(|content| String::from_utf8_lossy(&content.bytes).into_owned())
    };
    entries.iter().map(|recorded| (recorded, told(&recorded.entry.event, &text))).collect()
}

/// The end of a text, where it is too long, from the beginning of a line.
fn end(text: &str) -> String {
    let text = text.trim_end();
    if text.len() <= OUTPUT {
        return text.to_owned();
    }
    let cut = text.ceil_char_boundary(text.len() - OUTPUT);
    let tail = &text[cut..];
    let tail = tail.split_once('\n').map_or(tail, |(_, rest)| rest);
    format!("… the last {} of {} bytes:\n{tail}", tail.len(), text.len())
}

/// A state in words.
pub const fn shown(state: State) -> &'static str {
    match state {
        State::Received => "not yet decided",
        State::Refused => "not run",
        State::AwaitingConfirmation => "waits for its sender to confirm",
        State::AwaitingApproval => "waits for approval",
        State::Queued => "waits to start",
        State::Running => "runs",
        State::Succeeded => "succeeded",
        State::Failed => "failed",
        State::TimedOut => "ended at its time limit",
        State::Cancelled => "cancelled",
        State::Interrupted => "interrupted: its outcome is not known",
        State::Denied => "denied",
        State::Expired => "waited too long",
    }
}

/// The mark of a state.
pub const fn mark(state: State) -> StateMark {
    match state {
        State::Received | State::AwaitingConfirmation | State::AwaitingApproval | State::Queued => {
            StateMark::Waiting
        }
        State::Running => StateMark::Running,
        State::Succeeded => StateMark::Succeeded,
        State::Failed | State::TimedOut => StateMark::Failed,
        State::Refused | State::Denied => StateMark::Refused,
        State::Cancelled => StateMark::Cancelled,
        State::Expired => StateMark::Stale,
        State::Interrupted => StateMark::Unknown,
    }
}
