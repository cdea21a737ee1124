//! Entries in words: what was waited for, and what was said to it.

use super::words::{action, for_a_while, rules, time};
use crate::model::{Commitment, Event, ScheduleEnded, ScheduleMissed, ScheduleSet, Span};

/// What an entry about waiting tells; nothing for any other.
pub(super) fn told(event: &Event, text: &dyn Fn(Commitment) -> Option<String>) -> Vec<Span> {
    match event {
        Event::ApprovalRequested { command, subject, dry, policies, digest, until, elevated, .. } => vec![
            action(command, subject.as_deref(), *dry),
            Span::text(format!(
                " waits for approval of {} until {} UTC{}{}",
                digest.short(),
                time(*until),
                rules(policies),
                for_a_while(elevated)
            )),
        ],
        Event::ApprovalGiven { by, digest, elevated, .. } => vec![
            Span::strong(by.as_str()),
            Span::text(format!(" approved {}{}", digest.short(), for_a_while(elevated))),
        ],
        Event::ApprovalWithdrawn { by, digest } => vec![
            Span::strong(by.as_str()),
            Span::text(format!(" took back the approval of {}", digest.short())),
        ],
        Event::ApprovalRefused { by, why, digest } => {
            let what = digest.map(|digest| format!(" {}", digest.short())).unwrap_or_default();
            let why = not_counted(why);
            vec![
                Span::strong(by.as_str()),
                Span::text(format!(" wanted to approve{what}: not counted, {why}")),
            ]
        }
        Event::ApprovalVoid { by, digest, why } => {
            let why = match why.as_str() {
                "changed" => "what was approved has changed",
                "membership" => "who gave it is not in the room any more",
                "rules" => "the rules no longer let its giver approve",
                other => other,
            };
            vec![
                Span::text("The approval of "),
                Span::strong(by.as_str()),
                Span::text(format!(" for {} is void: {why}", digest.short())),
            ]
        }
        Event::ConfirmationRequested { command, subject, dry, policies, digest, until, elevated, .. } => {
            vec![
                action(command, subject.as_deref(), *dry),
                Span::text(format!(
                    " waits for its sender to confirm {} until {} UTC{}{}",
                    digest.short(),
                    time(*until),
                    rules(policies),
                    for_a_while(elevated)
                )),
            ]
        }
        Event::ConfirmationGiven { by, digest, .. } => {
            vec![Span::strong(by.as_str()), Span::text(format!(" confirmed {}", digest.short()))]
        }
        Event::CommandDenied { by, reason, elevated } => {
            let refused = format!(" refused it{}", for_a_while(elevated));
            let mut spans = vec![Span::strong(by.as_str()), Span::text(refused)];
            if let Some(words) = reason.and_then(text).filter(|words| !words.is_empty()) {
                spans.extend([Span::text(": "), Span::emphasis(words)]);
            }
            spans
        }
        Event::CommandExpired { until } => {
            vec![Span::text(format!("Waited until {} UTC in vain", time(*until)))]
        }
        Event::RunCancelRequested { by } => {
            vec![Span::strong(by.as_str()), Span::text(" wants it stopped")]
        }
        _ => Vec::new(),
    }
}

/// Why an approval was not counted, by the kind of reason that is recorded.
fn not_counted(why: &str) -> &str {
    match why {
        "requester" => "who asks cannot approve",
        "rules" => "the rules do not let them",
        "team" => "they are in none of the teams that are asked",
        "membership" => "they were not in the room",
        "server" => "no team of this room names their server",
        "outdated" => "it was for something else by then",
        "late" => "it arrived too late",
        "twice" => "they had approved already",
        "not_waiting" => "it waited for no approval",
        "unconfirmed" => "its sender had not confirmed it yet",
        "no_digest" => "it did not say what it approves",
        other => other,
    }
}

/// What an entry tells of something that is done again and again.
pub(super) fn of_schedules(event: &Event) -> Vec<Span> {
    match event {
        Event::ScheduleSet(ScheduleSet { by, schedule, cron, zone }) => vec![
            Span::strong(by.as_str()),
            Span::text(" scheduled "),
            Span::code(schedule),
            Span::text(format!(": {cron} {zone}")),
        ],
        Event::ScheduleEnded(ScheduleEnded { by, schedule, .. }) => {
            let mut spans = vec![Span::text("Scheduled no more: "), Span::code(schedule)];
            spans.push(match by {
                Some(by) => Span::text(format!(", by {by}")),
                None => Span::text(", because a team does not name its person any more"),
            });
            spans
        }
        Event::ScheduleMissed(ScheduleMissed { schedule, first, count }) => vec![
            Span::code(schedule),
            Span::text(format!(" was due at {first}, and was missed; times missed: {count}")),
        ],
        _ => Vec::new(),
    }
}
