//! An entry in words.

use jiff::Timestamp;

use crate::model::{Commitment, Ending, Event, Span};

/// A time for a list: `2026-11-23 12:03:04`.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%F %T").to_string()
}

/// A length of time that a run took: `120 ms`, `42 s`, `3 min 5 s`.
pub(super) fn took(milliseconds: i64) -> String {
    match milliseconds {
        ..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{} s", milliseconds / 1_000),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds / 1_000 % 60),
    }
}

/// A command with the system it acts on: `deploy web@staging`.
fn action(command: &str, subject: Option<&str>) -> Span {
    Span::code(subject.map_or_else(|| command.to_owned(), |subject| format!("{command} {subject}")))
}

/// What ended a run.
pub(super) fn ending(ending: &Ending) -> String {
    match ending {
        Ending::Exited { status: 0 } => "succeeded".to_owned(),
        Ending::Exited { status } => format!("failed: exit status {status}"),
        Ending::Killed { signal } => format!("failed: ended by signal {signal}"),
        Ending::TimedOut { limit_s } => format!("was ended at its time limit of {limit_s} s"),
        Ending::Cancelled => "was stopped".to_owned(),
        Ending::NotStarted { reason } => format!("failed: could not be started: {reason}"),
        Ending::Interrupted => "was interrupted: its outcome is not known".to_owned(),
    }
}

/// ` (rules a, b)`, where there are any.
fn rules(policies: &[String]) -> String {
    match policies {
        [] => String::new(),
        [one] => format!(" (rule {one})"),
        several => format!(" (rules {})", several.join(", ")),
    }
}

/// What an entry tells. `text` gives a content's words, where they are at hand.
pub(super) fn told(event: &Event, text: &dyn Fn(Commitment) -> Option<String>) -> Vec<Span> {
    match event {
        Event::CommandReceived { sender, text: said, .. } => {
            let mut spans = vec![Span::strong(sender.as_str())];
            match text(*said) {
                Some(said) => spans.extend([Span::text(" sent "), Span::code(said)]),
                None => spans.push(Span::text(" sent a command")),
            }
            spans
        }
        Event::CommandPermitted { command, subject, policies, .. } => vec![
            action(command, subject.as_deref()),
            Span::text(format!(" was permitted{}", rules(policies))),
        ],
        Event::CommandRefused { why, command, subject, reason, policies, .. } => {
            let mut spans = match command {
                Some(command) => vec![action(command, subject.as_deref()), Span::text(" was not run")],
                None => vec![Span::text("Not run")],
            };
            spans.push(Span::text(format!(": {why}{}", rules(policies))));
            if let Some(words) = text(*reason).filter(|words| !words.is_empty()) {
                spans.extend([Span::text(". Answered: "), Span::emphasis(words)]);
            }
            spans
        }
        Event::CommandUnprocessable { external_id, reason } => vec![
            Span::text("Passed over "),
            Span::code(external_id),
            Span::text(format!(", which failed again and again: {reason}")),
        ],
        Event::RunQueued { lock } => vec![Span::text("Waits for "), Span::code(lock)],
        Event::RunStarted { executor, secrets, attempt, .. } => {
            let mut spans = vec![Span::text(format!("Started ({executor}) as attempt "))];
            spans.push(Span::code(attempt.to_string()));
            if !secrets.is_empty() {
                spans.push(Span::text(format!(", with the secrets {}", secrets.join(", "))));
            }
            spans
        }
        Event::RunFinished { ending: how, took_ms, output, .. } => {
            let more = if output.truncated { ", the middle of it not kept" } else { "" };
            vec![Span::text(format!(
                "It {} after {}, with {} bytes of output{more}",
                ending(how),
                took(*took_ms),
                output.bytes
            ))]
        }
        Event::RunFinishedLate { ending: how, .. } => {
            vec![Span::text(format!("It {}, after it had been given a final state", ending(how)))]
        }
        Event::CommandCancelled { by } => {
            vec![Span::strong(by.as_str()), Span::text(" cancelled it before it started")]
        }
        Event::MessageEdited { by, text: said, .. } => {
            let mut spans = vec![Span::strong(by.as_str()), Span::text(" edited the message afterwards")];
            if let Some(said) = text(*said) {
                spans.extend([Span::text(" to "), Span::code(said)]);
            }
            spans
        }
        Event::MessageRedacted { by, .. } => {
            vec![Span::strong(by.as_str()), Span::text(" removed the message afterwards")]
        }
        Event::RoomChanged { name, what } | Event::RoomFailed { name, what } => {
            vec![Span::text(format!("Room {name}: {what}"))]
        }
        Event::MemberChanged { user, membership, by } => {
            let mut spans = vec![Span::strong(user.as_str()), Span::text(format!(": {membership}"))];
            if by != user {
                spans.extend([Span::text(", by "), Span::strong(by.as_str())]);
            }
            spans
        }
        Event::InvitationDeclined { by } => {
            vec![Span::text("Declined an invitation by "), Span::strong(by.as_str())]
        }
        Event::RulesLoaded { rules, folder, commit } => {
            let commit = commit.as_ref().map(|commit| format!(", commit {commit}")).unwrap_or_default();
            vec![Span::text(format!(
                "A version of the ops folder came into force: {}, rules {}{commit}",
                folder.short(),
                rules.short()
            ))]
        }
        Event::AuditRead { by, query } => {
            vec![Span::strong(by), Span::text(format!(" read the audit log: {query}"))]
        }
        Event::AnswerParked { step, reason } => {
            vec![
                Span::text("A message could not be sent: "),
                Span::code(step),
                Span::text(format!(": {reason}")),
            ]
        }
        Event::ServerStarted { instance, version, .. } => {
            vec![Span::text(format!("Quarterdeck {version} started as {instance}"))]
        }
        Event::ServerStopped { instance, .. } => {
            vec![Span::text(format!("Quarterdeck stopped as {instance}"))]
        }
    }
}
