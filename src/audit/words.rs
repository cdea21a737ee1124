//! An entry in words.

use jiff::Timestamp;

use super::words_of_waiting;
use crate::{
    model::{
        Archived, Commitment, DRY, DirectOpened, Ending, Event, KeyChanged, LoginAsked, Recovered,
        ServerStarted, ServerStopped, SessionBegun, SessionEnded, Span,
    },
    storage::Parts,
};

/// A time for a list: `2026-11-23 12:03:04`.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%F %T").to_string()
}

/// Its day: `2026-11-23`.
pub(super) fn day(at: Timestamp) -> String {
    at.strftime("%F").to_string()
}

/// Its time within its day: `12:03:04`.
pub(super) fn time_of_day(at: Timestamp) -> String {
    at.strftime("%T").to_string()
}

/// A length of time that a run took: `120 ms`, `4.2 s`, `42 s`, `3 min 5 s`.
pub(super) fn took(milliseconds: i64) -> String {
    match milliseconds {
        ..1_000 => format!("{milliseconds} ms"),
        1_000..10_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        10_000..60_000 => format!("{} s", milliseconds / 1_000),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds / 1_000 % 60),
    }
}

/// How much a program printed: `252 bytes`, `1.2 MB`.
fn size(bytes: i64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        ..10_000 => format!("{bytes} bytes"),
        10_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// A command with the system it acts on: `deploy web@staging`.
pub(super) fn action(command: &str, subject: Option<&str>, dry: bool) -> Span {
    let subject = subject.map(|subject| format!(" {subject}")).unwrap_or_default();
    let dry = if dry { format!("{DRY} ") } else { String::new() };
    Span::code(format!("{dry}{command}{subject}"))
}

/// How a run ended, and after how long.
fn ended(ending: &Ending, took_ms: i64) -> String {
    let after = if took_ms == 0 { String::new() } else { format!(" after {}", took(took_ms)) };
    match ending {
        Ending::Exited { status: 0 } => format!("succeeded{after}"),
        Ending::Exited { status } => format!("failed{after}: exit status {status}"),
        Ending::Killed { signal } => format!("failed{after}: ended by signal {signal}"),
        Ending::TimedOut { limit_s } => format!("stopped at its time limit of {}", took(limit_s * 1_000)),
        Ending::Cancelled => format!("stopped{after}"),
        Ending::NotStarted { reason } => format!("not started, so nothing was changed: {reason}"),
        Ending::Interrupted => "interrupted: its outcome is not known".to_owned(),
        Ending::Failed { reason } => format!("failed{after}: {reason}"),
        Ending::Unknown { reason } => format!("its outcome is not known{after}: {reason}"),
    }
}

/// Why something was not run, by the kind of reason that is recorded.
fn why_not(why: &str) -> &str {
    match why {
        "rules" => "the rules say no",
        "evaluation" => "a rule could not be evaluated",
        "unreadable" => "it could not be understood",
        "stale" => "its time was too far from now",
        "membership" => "its sender was not in the room",
        "local" => "no team names that user of the host",
        "busy" => "its lock was taken",
        "limit" => "as many ran as may",
        "version" => "that version could not be loaded",
        "struck" => "its sender was taken out of a team",
        "server" => "no team of this room names its sender's server",
        other => other,
    }
}

/// The request that another repeats, by the door through which it came.
fn again_of(door: &str) -> Option<&str> {
    door.strip_prefix("again ")
}

/// What became of a request, as far as this entry tells: `None` where it tells only of something beside it.
pub(super) fn became(event: &Event) -> Option<String> {
    match event {
        Event::CommandReceived { .. } => Some("not yet decided".to_owned()),
        Event::CommandPermitted { policies, .. } => Some(format!("permitted{}", rules(policies))),
        Event::CommandRefused { why, policies, .. } => {
            Some(format!("not run: {}{}", why_not(why), rules(policies)))
        }
        Event::RunQueued { lock } => Some(format!("waits for {lock}")),
        Event::ApprovalRequested { policies, .. } => Some(format!("waits for approval{}", rules(policies))),
        Event::ConfirmationRequested { policies, .. } => {
            Some(format!("waits for its sender to confirm{}", rules(policies)))
        }
        Event::CommandDenied { by, .. } => Some(format!("refused by {by}")),
        Event::CommandExpired { .. } => Some("waited too long".to_owned()),
        Event::CommandInterrupted { .. } => Some("interrupted: its outcome is not known".to_owned()),
        Event::RunStarted { .. } => Some("runs".to_owned()),
        // Who reads a list may not read what each printed, nor why another host says that it failed.
        Event::RunFinished { ending, took_ms, .. } => Some(ended(&ending.without_reason(), *took_ms)),
        Event::CommandCancelled { .. } => Some("cancelled before it started".to_owned()),
        _ => None,
    }
}

/// The same text as the beginning of a line.
fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// ` (rules a, b)`, where there are any.
pub(super) fn rules(policies: &[String]) -> String {
    match policies {
        [] => String::new(),
        [one] => format!(" (rule {one})"),
        several => format!(" (rules {})", several.join(", ")),
    }
}

/// `, as one of the team a for a while`, where that is so.
pub(super) fn for_a_while(teams: &[String]) -> String {
    if teams.is_empty() { String::new() } else { format!(", as one of {} for a while", teams.join(" and ")) }
}

/// What an entry tells. `text` gives a content's words, where they are at hand.
pub(super) fn told(event: &Event, text: &dyn Fn(Commitment) -> Option<String>) -> Vec<Span> {
    match event {
        Event::CommandReceived { sender, text: said, door, .. } => {
            let mut spans = vec![Span::strong(sender.as_str())];
            match text(*said) {
                Some(said) => spans.extend([Span::text(" sent "), Span::code(said)]),
                None => spans.push(Span::text(" sent a command")),
            }
            if let Some(before) = again_of(door) {
                spans.extend([Span::text(", again after "), Span::code(before)]);
            }
            spans
        }
        Event::CommandPermitted { command, subject, dry, policies, elevated, .. } => vec![
            action(command, subject.as_deref(), *dry),
            Span::text(format!(" was permitted{}{}", rules(policies), for_a_while(elevated))),
        ],
        Event::CommandRefused { why, command, subject, dry, reason, policies, elevated, .. } => {
            let mut spans = match command {
                Some(command) => vec![action(command, subject.as_deref(), *dry), Span::text(" was not run")],
                None => vec![Span::text("Not run")],
            };
            spans.push(Span::text(format!(": {}{}", why_not(why), rules(policies))));
            spans.push(Span::text(for_a_while(elevated)));
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
        Event::ApprovalRequested { .. }
        | Event::ApprovalGiven { .. }
        | Event::ApprovalWithdrawn { .. }
        | Event::ApprovalRefused { .. }
        | Event::ApprovalVoid { .. }
        | Event::ConfirmationRequested { .. }
        | Event::ConfirmationGiven { .. }
        | Event::CommandDenied { .. }
        | Event::CommandExpired { .. }
        | Event::RunCancelRequested { .. } => words_of_waiting::told(event, text),
        Event::RunStarted { executor, secrets, attempt, sandbox, .. } => {
            let mut spans = vec![Span::text(format!("Started ({executor})"))];
            if let Some(sandbox) = sandbox {
                spans.push(Span::text(format!(", {}", sandbox.words())));
            }
            if !secrets.is_empty() {
                spans.push(Span::text(format!(", with the secrets {}", secrets.join(", "))));
            }
            spans.extend([Span::text(" · attempt "), Span::code(attempt.to_string())]);
            spans
        }
        Event::RunFinished { ending, took_ms, output, parts, .. } => {
            let mut words = capital(&ended(ending, *took_ms));
            if output.bytes > 0 {
                words = format!("{words} · printed {}", size(output.bytes));
            }
            if output.truncated {
                words.push_str(", the middle of it not kept");
            }
            let mut spans = vec![Span::text(words)];
            for (index, file) in parts.files.iter().enumerate() {
                spans.push(Span::text(if index == 0 { " · left " } else { ", " }));
                let list = text(*file).and_then(|list| serde_json::from_str::<Parts>(&list).ok());
                let named = list.and_then(|list| list.file);
                spans.push(named.map_or_else(|| Span::text("a file"), |file| Span::code(file.name)));
            }
            spans
        }
        Event::RunFinishedLate { ending, .. } => {
            let how = capital(&ended(ending, 0));
            vec![Span::text(format!("{how}. By then it had been given a final state, which stays"))]
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
        Event::RoomAdopted { name, before, creators, by } => {
            let creators: Vec<_> = creators.iter().map(|user| user.as_str()).collect();
            let mut spans = vec![
                Span::text(format!("Room {name}: this room took the place of ")),
                Span::code(before.as_str()),
                Span::text(format!(". It was created by {}", creators.join(", "))),
            ];
            if let Some(by) = by {
                spans.extend([Span::text(", and confirmed by "), Span::strong(by.clone())]);
            }
            spans
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
        Event::RulesLoaded { rules, folder, commit, reference, signer, by } => {
            let part = |words: &str, text: &Option<String>| {
                text.as_ref().map(|text| format!(", {words} {text}")).unwrap_or_default()
            };
            let mut text = format!(
                "A version of the ops folder came into force: {}, rules {}",
                folder.short(),
                rules.short()
            );
            text.push_str(&part("commit", commit));
            text.push_str(&part("fetched as", reference));
            text.push_str(&part("signed by", signer));
            text.push_str(&part("loaded by", &by.as_ref().map(ToString::to_string)));
            vec![Span::text(text)]
        }
        Event::ElevationGiven { user, team, until, reason } => {
            let mut spans = vec![
                Span::strong(user.as_str()),
                Span::text(" is in the team "),
                Span::strong(team),
                Span::text(format!(" until {}", time(*until))),
            ];
            if let Some(words) = text(*reason) {
                spans.extend([Span::text(": "), Span::emphasis(words)]);
            }
            spans
        }
        Event::ElevationEnded { user, team, why } => {
            let why = if why == "struck" { ": a team does not name them any more" } else { "" };
            vec![
                Span::strong(user.as_str()),
                Span::text(" is no longer in the team "),
                Span::strong(team),
                Span::text(format!(" for a while{why}")),
            ]
        }
        Event::ScheduleSet(_) | Event::ScheduleEnded(_) | Event::ScheduleMissed(_) => {
            words_of_waiting::of_schedules(event)
        }
        Event::EmergencyUsed { by, command, subject, reason } => {
            let mut spans = vec![
                Span::strong("Emergency"),
                Span::text(": "),
                Span::strong(by.as_str()),
                Span::text(" uses "),
                action(command, subject.as_deref(), false),
            ];
            if let Some(words) = text(*reason) {
                spans.extend([Span::text(": "), Span::emphasis(words)]);
            }
            spans
        }
        Event::LocalRefused { uid, why } => {
            vec![Span::text(format!("Refused the user {uid} of this host at the local socket: {why}"))]
        }
        Event::LogRecovered(Recovered { by, reason, size, witnesses, .. }) => {
            let seen = witnesses.iter().map(|shown| shown.size).max().filter(|seen| seen > size);
            let gap = match seen {
                Some(seen) => format!("{} more were signed and are not here", seen - size),
                None => "what was signed after that is not here".to_owned(),
            };
            vec![
                Span::strong(by),
                Span::text(format!(
                    " began a new log after a backup was restored: the one before ends with {size} entries; {gap} · {reason}"
                )),
            ]
        }
        Event::CommandInterrupted { .. } => {
            vec![Span::text("Interrupted: a backup was restored, and what became of it is not known")]
        }
        Event::LogKeyChanged(KeyChanged { by, reason, to, .. }) => vec![
            Span::strong(by),
            Span::text(" signed the log over to the key "),
            Span::code(to),
            Span::text(format!(": {reason}")),
        ],
        Event::LogHeartbeat {} => vec![Span::text("the log goes on; nothing was written for an hour")],
        Event::OutsideNoted { by, system, what } => vec![
            Span::strong(by),
            Span::text(" notes what was done outside, on "),
            Span::strong(system),
            Span::text(format!(": {what}")),
        ],
        Event::ContentErased { by, asked, contents, reason } => {
            let mut spans = vec![
                Span::strong(by.as_str()),
                Span::text(format!(" had its words and output erased ({} contents), by ", contents.len())),
                Span::code(asked.to_string()),
            ];
            spans.extend(text(*reason).map(|reason| Span::text(format!(": {reason}"))));
            spans
        }
        Event::ContentArchived(Archived { file, contents, .. }) => vec![
            Span::text(format!(
                "Its words and output ({} contents) went to the archive, in ",
                contents.len()
            )),
            Span::code(file),
        ],
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
        Event::AnswerPrivate { why, readers, to, .. } => {
            let why = if why == "declared" {
                "it answers only who asks".to_owned()
            } else {
                let names: Vec<_> = readers.iter().map(|who| who.as_str()).collect();
                format!("not everybody there may read it ({})", names.join(", "))
            };
            let mut spans = vec![Span::text(format!("What it printed was not shown in the room: {why}"))];
            if let Some(to) = to {
                spans.extend([Span::text("; it went to "), Span::strong(to.as_str())]);
            }
            spans
        }
        Event::DirectOpened(DirectOpened { user, how }) => vec![
            Span::text("The room with "),
            Span::strong(user.as_str()),
            Span::text(format!(" alone: {how}")),
        ],
        Event::LoginAsked(LoginAsked { by, until, .. }) => vec![
            Span::strong(by.as_str()),
            Span::text(format!(" asked for a link to the pages, good until {}", time(*until))),
        ],
        Event::SessionBegun(SessionBegun { by, until, .. }) => vec![
            Span::strong(by.as_str()),
            Span::text(format!(" logged in to the pages, until {} at the latest", time(*until))),
        ],
        Event::SessionEnded(SessionEnded { by, why, .. }) => vec![
            Span::text("A session of "),
            Span::strong(by.as_str()),
            Span::text(format!(" at the pages ended: {}", why_ended(why))),
        ],
        Event::ServerStarted(ServerStarted { instance, version, .. }) => {
            vec![Span::text(format!("Quarterdeck {version} started as {instance}"))]
        }
        Event::ServerStopped(ServerStopped { instance, .. }) => {
            vec![Span::text(format!("Quarterdeck stopped as {instance}"))]
        }
    }
}

/// Why a session ended, by the kind of reason that is recorded.
fn why_ended(why: &str) -> &str {
    match why {
        "logout" => "they logged out",
        "revoked" => "they ended it from another",
        "replaced" => "they logged in anew in the same browser",
        "idle" => "it was not used any more",
        "over" => "its time had come",
        other => other,
    }
}

/// The rules that are named by these entries, each once, in their order.
pub fn rules_of(entries: &[crate::storage::Recorded]) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    for recorded in entries.iter().rev() {
        if let Event::CommandPermitted { policies, .. }
        | Event::CommandRefused { policies, .. }
        | Event::ApprovalRequested { policies, .. }
        | Event::ConfirmationRequested { policies, .. } = &recorded.entry.event
        {
            for rule in policies {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    rules
}
