//! What is said of a request, in words: outcome first, then the one thing to do next.
//!
//! Pure. Every phrase of an answer about a request stands here, so that the tone can be read in one place.

use jiff::{SignedDuration, Timestamp};
use ruma::UserId;

use super::records;
use crate::{
    catalogue::{Command, Effect, Room, Team},
    matrix::render::{as_plain, preview},
    model::{Block, Ending, Filter, Invocation, Message, Outcome, RequestNumber, Span, StateMark},
    policy::{Refusal, Why},
};

/// How long a line of output may be, in characters, to stand in the line of the outcome.
const ONE_LINE: usize = 300;

/// A length of time for people: `42 ms`, `0.3 s`, `42 s`, `2 min 5 s`.
pub fn took(milliseconds: i64) -> String {
    match milliseconds {
        ..=99 => format!("{} ms", milliseconds.max(0)),
        100..=9_999 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        10_000..=119_999 => format!("{} s", milliseconds / 1000),
        120_000..=7_199_999 => {
            format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000)
        }
        _ => format!("{} h {} min", milliseconds / 3_600_000, milliseconds % 3_600_000 / 60_000),
    }
}

/// The outcome of a run.
pub fn outcome(
    prefix: &str,
    number: RequestNumber,
    command: &Command,
    outcome: &Outcome,
    (kept, filters): (&[u8], &[Filter]),
) -> Message {
    let output = as_plain(kept);
    let output = output.trim_end();
    let shaped = (command.records && !output.is_empty()).then(|| records::shaped(output, filters));
    let tail = [Span::text(format!(" · {} · ", took(outcome.took_ms))), Span::code(number.to_string())];
    let name = command.title();
    match &outcome.ending {
        Ending::Exited { status: 0 } => match shaped {
            Some(blocks) => of_records(command, number, kept, blocks, tail),
            None if filters.is_empty() => succeeded(command, number, kept, output, tail),
            None => {
                let blocks = vec![Block::Verbatim(preview(records::lines(output, filters).as_bytes()).text)];
                of_records(command, number, kept, blocks, tail)
            }
        },
        Ending::Exited { status } => {
            let line =
                [Span::strong(format!("{name} failed")), Span::text(format!(": exit status {status}"))];
            failed(prefix, StateMark::Failed, line, tail, command, number, output)
        }
        Ending::Killed { signal } => {
            let line =
                [Span::strong(format!("{name} failed")), Span::text(format!(": ended by signal {signal}"))];
            failed(prefix, StateMark::Failed, line, tail, command, number, output)
        }
        Ending::TimedOut { limit_s } => {
            let limit = took(limit_s.saturating_mul(1000));
            let line = [
                Span::strong(format!("{name} was stopped")),
                Span::text(format!(": it took longer than its limit of {limit}")),
            ];
            failed(prefix, StateMark::Failed, line, tail, command, number, output)
        }
        Ending::Cancelled => {
            let line = [Span::strong(format!("{name} was stopped")), Span::text(" before it ended")];
            failed(prefix, StateMark::Cancelled, line, tail, command, number, output)
        }
        Ending::NotStarted { reason } => Message::marked(StateMark::Failed)
            .line(
                [Span::strong(format!("{name} could not be started")), Span::text(" and changed nothing")]
                    .into_iter()
                    .chain(tail),
            )
            .line([Span::text(reason.clone())]),
        Ending::Interrupted => interrupted(prefix, number, &name, output),
        Ending::Failed { reason } => {
            let line = [Span::strong(format!("{name} failed")), Span::text(format!(": {reason}"))];
            failed(prefix, StateMark::Failed, line, tail, command, number, output)
        }
        Ending::Unknown { reason } => {
            let line = [
                Span::strong(format!("{name} may have done its work, or not")),
                Span::text(format!(": {reason}")),
            ];
            failed(prefix, StateMark::Unknown, line, tail, command, number, output).line([
                Span::text("Look at how things stand ("),
                Span::code(format!("{prefix}status")),
                Span::text(") before you send it once more."),
            ])
        }
    }
}

/// What it printed, as records or as far as it was asked for.
fn of_records(
    command: &Command,
    number: RequestNumber,
    kept: &[u8],
    blocks: Vec<Block>,
    tail: [Span; 2],
) -> Message {
    let mut message =
        Message::marked(StateMark::Succeeded).line([Span::strong(command.title())].into_iter().chain(tail));
    message.blocks.extend(blocks);
    message.whole_output(command, number, kept)
}

fn succeeded(
    command: &Command,
    number: RequestNumber,
    kept: &[u8],
    output: &str,
    tail: [Span; 2],
) -> Message {
    let message = Message::marked(StateMark::Succeeded);
    let last = output.lines().last().unwrap_or_default().trim();
    let fits = last.chars().count() <= ONE_LINE;
    let single = output.lines().count() <= 1;
    if last.is_empty() {
        message.line([Span::strong(command.title())].into_iter().chain(tail))
    } else if fits && (single || command.effect != Effect::Read) {
        // What it says would be done must not read as done.
        let dry = command.is_dry.then(|| Span::strong("dry run: "));
        let line = dry.into_iter().chain([Span::text(last)]).chain(tail);
        message.line(line).whole_output(command, number, kept)
    } else {
        message
            .line([Span::strong(command.title())].into_iter().chain(tail))
            .verbatim(preview(kept).text)
            .whole_output(command, number, kept)
    }
}

fn failed(
    prefix: &str,
    mark: StateMark,
    line: [Span; 2],
    tail: [Span; 2],
    command: &Command,
    number: RequestNumber,
    output: &str,
) -> Message {
    let mut next = vec![Span::text("More: "), Span::code(format!("{prefix}audit {number}"))];
    if let Some(document) = &command.docs {
        let words = document.trim_end_matches(".md").replace(['-', '_', '/'], " ");
        next.extend([Span::text(" · Runbook: "), Span::code(format!("{prefix}docs {words}"))]);
    }
    let mut message = Message::marked(mark).line(line.into_iter().chain(tail));
    if command.records {
        // How far it came and what went wrong are the last of it.
        message.blocks.extend(records::last(output));
    } else {
        message = message.verbatim(end(output));
    }
    message.whole_output(command, number, output.as_bytes()).line(next)
}

impl Message {
    /// Names the file that holds the whole output, where an answer can show only a part of it.
    fn whole_output(self, command: &Command, number: RequestNumber, kept: &[u8]) -> Self {
        if preview(kept).whole {
            return self;
        }
        self.line([Span::text("Whole output: "), Span::code(output_file(&command.name, number))])
    }
}

/// The homeserver does not take a file of this length.
pub fn too_large(number: RequestNumber, length: u64) -> Message {
    let length = length.div_ceil(1 << 20);
    Message::plain().line([
        Span::text(format!(
            "What it printed is {length} MiB, more than this homeserver takes as a file. On Quarterdeck's host: "
        )),
        Span::code(format!("quarterdeck audit output {number}")),
    ])
}

/// The name of the file that holds the whole output of a run.
pub fn output_file(command: &str, number: RequestNumber) -> String {
    format!("{command}-{number}.txt")
}

/// A run whose outcome nobody knows, because the server ended while it ran.
pub fn interrupted(prefix: &str, number: RequestNumber, command: &str, output: &str) -> Message {
    Message::marked(StateMark::Unknown)
        .line([
            Span::text("Quarterdeck was restarted while "),
            Span::code(number.to_string()),
            Span::text(format!(
                " ({command}) was running: its outcome is unknown, and it was not run again."
            )),
        ])
        .verbatim(end(output))
        .line([
            Span::text("Look at how things stand ("),
            Span::code(format!("{prefix}status")),
            Span::text(") before you send it once more."),
        ])
}

/// The rules say no. `instead` is a line that they would permit, `owner` the team whose system it is about.
pub fn refused(refusal: &Refusal, command: &str, instead: Option<String>, owner: Option<&Team>) -> Message {
    let message = no(refusal, command);
    let mut next = Vec::new();
    if let Some(line) = instead {
        next.extend([Span::text("You may: "), Span::code(line)]);
    }
    if let Some(team) = owner.filter(|_| refusal.why != Why::Evaluation) {
        let leads: Vec<_> = team.leads.iter().map(|lead| lead.as_str()).collect();
        let names = if leads.is_empty() { String::new() } else { format!(" ({})", leads.join(", ")) };
        let opening = if next.is_empty() { "Ask " } else { " · Or ask " };
        next.extend([Span::text(opening), Span::strong(team.key.clone()), Span::text(names)]);
    }
    if next.is_empty() { message } else { message.line(next) }
}

fn no(refusal: &Refusal, command: &str) -> Message {
    let message = Message::marked(StateMark::Refused);
    match refusal.why {
        Why::NothingPermits => message.line([
            Span::strong("Not run."),
            Span::text(" No rule permits you "),
            Span::code(command),
            Span::text(" here."),
        ]),
        Why::Forbidden => {
            let mut message = message;
            for (index, (id, says)) in refusal.says.iter().enumerate() {
                let opening =
                    if index == 0 { vec![Span::strong("Not run."), Span::text(" ")] } else { vec![] };
                message = message.line(opening.into_iter().chain([
                    Span::emphasis(says.clone()),
                    Span::text(" (rule "),
                    Span::code(id.clone()),
                    Span::text(")"),
                ]));
            }
            message
        }
        Why::Evaluation => {
            let rules = refusal.policies.join(", ");
            message.line([
                Span::strong("Not run."),
                Span::text(" A rule could not be evaluated, so the answer is no: "),
                Span::code(rules),
                Span::text(". Tell those who keep the rules."),
            ])
        }
    }
}

/// Too old to be run.
pub fn stale(age: SignedDuration) -> Message {
    Message::marked(StateMark::Stale).line([Span::text(format!(
        "Not run: this arrived {} after it was sent. Send it again if you still want it.",
        took(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
    ))])
}

/// Sent before a backup was restored: it may have been run, and the record of it is gone.
pub fn from_before_the_restore(at: Timestamp) -> Message {
    Message::marked(StateMark::Stale).line([Span::text(format!(
        "Not run: Quarterdeck's database was restored from a backup at {} UTC, and this was sent before. It may have been run \
         then: look, and send it again if you still want it.",
        at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%F %H:%M")
    ))])
}

/// It waited for its lock or a place for longer than anybody looks.
pub fn waited_too_long(waited: SignedDuration) -> Message {
    Message::marked(StateMark::Stale).line([Span::text(format!(
        "Not run: it waited for {}. Send it again if you still want it.",
        took(i64::try_from(waited.as_millis()).unwrap_or(i64::MAX))
    ))])
}

/// Sent from the future: a clock is wrong.
pub fn from_the_future(ahead: SignedDuration, server: &str) -> Message {
    Message::marked(StateMark::Stale).line([Span::text(format!(
        "Not run: by its own time this will be sent in {}. The clock of {server} is ahead; it must be set right.",
        took(i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX))
    ))])
}

/// The sender is not in the room.
pub fn not_a_member(room: &Room) -> Message {
    Message::marked(StateMark::Refused).line([Span::text(format!(
        "Not run: you are not in {} any more. Ask to be invited again.",
        room.name
    ))])
}

/// The event could not be processed at all.
pub fn unprocessable() -> Message {
    Message::marked(StateMark::Refused).line([Span::text(
        "Not run: this message could not be processed. It is recorded; tell the operators.",
    )])
}

/// What was understood, where what was typed had to be repaired first.
pub fn understood(prefix: &str, line: &str) -> Vec<Span> {
    vec![Span::text("Understood as "), Span::code(format!("{prefix}{line}"))]
}

/// After an edit or a redaction of a command's message.
pub fn what_was_recorded_stays(number: RequestNumber, edited: bool) -> Message {
    let what = if edited { "edited" } else { "removed" };
    Message::plain().line([
        Span::text("The message of "),
        Span::code(number.to_string()),
        Span::text(format!(" was {what} afterwards. What was recorded stays; nothing is run again.")),
    ])
}

/// A queued request's message was removed: it will not run.
pub fn cancelled_before_start(by: &UserId, number: RequestNumber) -> Message {
    Message::marked(StateMark::Cancelled).line([
        Span::text("Not run: "),
        Span::strong(by.as_str()),
        Span::text(" removed its message while it waited · "),
        Span::code(number.to_string()),
    ])
}

/// The command is not there any more.
pub fn no_longer_here(command: &str) -> Message {
    Message::marked(StateMark::Refused).line([
        Span::strong("Not run."),
        Span::text(" The command "),
        Span::code(command),
        Span::text(" was taken out of this room while it waited."),
    ])
}

/// The command's definition is another now, and what was asked is not in it any more.
pub fn changed_meanwhile(invocation: &Invocation) -> Message {
    Message::marked(StateMark::Refused).line([
        Span::strong("Not run."),
        Span::text(" The command "),
        Span::code(invocation.command.clone()),
        Span::text(
            " was changed while this waited, and no longer takes it so. Send it again if you still want it.",
        ),
    ])
}

/// A run whose outcome nobody knows, because Quarterdeck itself failed over it.
pub fn lost(number: RequestNumber, command: &str) -> Message {
    Message::marked(StateMark::Unknown).line([
        Span::text("Quarterdeck itself failed while "),
        Span::code(number.to_string()),
        Span::text(format!(
            " ({command}) was running: its outcome is unknown, and it was not run again. Tell the operators."
        )),
    ])
}

/// Who had it stopped stands first: that is what people ask.
pub fn stopped_by(by: &UserId, mut outcome: Message) -> Message {
    if let Some(Block::Line(spans)) = outcome.blocks.first_mut() {
        spans.splice(0..0, [Span::text("Stopped by "), Span::strong(by.as_str()), Span::text(": ")]);
    }
    outcome
}

/// The line in the main timeline that tells of a change to those whose client hides threads.
pub fn in_the_timeline(by: &UserId, command: &Command, answer: &Message) -> Message {
    let mut spans = match answer.blocks.first() {
        Some(Block::Line(spans)) => spans.clone(),
        _ => vec![Span::text(command.name.clone())],
    };
    spans.push(Span::text(format!(" · {by}")));
    Message { mark: answer.mark, blocks: vec![Block::Line(spans)] }
}

/// The last lines of a text, none of them endless.
fn end(text: &str) -> String {
    const LINES: usize = 10;
    let count = text.lines().count();
    let before = count.saturating_sub(LINES);
    let mut shown: Vec<String> = text.lines().skip(before).map(cut).collect();
    if before > 0 {
        shown.insert(0, format!("… {before} lines before"));
    }
    shown.join("\n")
}

/// A line, its end left out where it is very long.
fn cut(line: &str) -> String {
    match line.char_indices().nth(ONE_LINE) {
        Some((at, _)) => format!("{} …", &line[..at]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_exact_enough() {
        assert_eq!(took(42), "42 ms");
        assert_eq!(took(342), "0.3 s");
        assert_eq!(took(42_000), "42 s");
        assert_eq!(took(125_000), "2 min 5 s");
        assert_eq!(took(7_260_000), "2 h 1 min");
    }

    #[test]
    fn a_long_output_shows_its_end_when_it_failed() {
        let text = (1..=30).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        assert!(end(&text).starts_with("… 20 lines before\n21\n"));
        assert!(end(&text).ends_with("\n30"));
        assert_eq!(end("a\nb"), "a\nb");
        assert_eq!(end(&"é".repeat(1_000)), format!("{} …", "é".repeat(ONE_LINE)));
    }
}
