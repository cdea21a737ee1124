//! What is said of a request that waits: the prompt, with all that is approved, and the short lines after it.

use jiff::{Timestamp, tz::TimeZone};
use ruma::{OwnedUserId, UserId};

use super::docket::{TOTAL, Void};
use crate::{
    catalogue::{Command, RunKind},
    command::{self, SshCommand},
    model::{Digest, Invocation, Message, RequestNumber, Sandbox, Span, State, StateMark, quoted},
    policy::{Need, NeedOf, Wait},
};

/// What a prompt shows.
pub struct Prompt<'a> {
    /// What a command begins with.
    pub prefix: &'a str,
    /// The request.
    pub number: RequestNumber,
    /// Who asked.
    pub requester: &'a UserId,
    /// The command.
    pub command: &'a Command,
    /// With its arguments.
    pub invocation: &'a Invocation,
    /// What is approved.
    pub digest: Digest,
    /// Until when it waits.
    pub until: Timestamp,
    /// The time now.
    pub now: Timestamp,
    /// What the rules ask for.
    pub wait: &'a Wait,
    /// Who in the room may approve.
    pub candidates: &'a [OwnedUserId],
    /// What would be different afterwards, where another version of the ops folder is asked for.
    pub changes: &'a [Vec<Span>],
    /// Whether what was understood is not what was typed.
    pub understood: bool,
}

impl Prompt<'_> {
    /// Asks others to approve.
    pub fn approval(&self) -> Message {
        let mut line = vec![Span::text("Waits for ")];
        line.extend(missing(self.wait));
        line.extend(rules(self.wait.needs.iter().map(|need| &need.rule)));
        line.extend([
            Span::text(format!(", until {} · ", time(self.until, self.now))),
            Span::code(self.number.to_string()),
        ]);
        let mut message = Message::marked(StateMark::Waiting).line(line);
        for need in &self.wait.needs {
            message = message.line([Span::emphasis(need.says.clone())]);
        }
        message = self.what(message);
        message = if self.candidates.is_empty() {
            message.line([Span::text("Nobody in this room can approve it now: invite somebody who can.")])
        } else {
            let who = self.candidates.iter().map(|who| who.as_str()).collect::<Vec<_>>().join(", ");
            message.line([Span::text(format!("Can approve: {who}"))])
        };
        message.line([
            Span::text("✅ to approve, ⛔ to refuse, or "),
            Span::code(format!("{}approve {} {}", self.prefix, self.number, digits(self.digest))),
            Span::text(", "),
            Span::code(format!("{}deny {} reason", self.prefix, self.number)),
        ])
    }

    /// Asks the requester to confirm.
    pub fn confirmation(&self) -> Message {
        let mut message = Message::marked(StateMark::Waiting).line([
            Span::text("Waits for you to confirm, until "),
            Span::text(format!("{} · ", time(self.until, self.now))),
            Span::code(self.number.to_string()),
        ]);
        for (id, says) in &self.wait.confirm {
            message = message.line([
                Span::emphasis(says.clone()),
                Span::text(" (rule "),
                Span::code(id.clone()),
                Span::text(")"),
            ]);
        }
        self.what(message).line([
            Span::text("✅ to confirm, ⛔ to drop it, or "),
            Span::code(format!("{}confirm {} {}", self.prefix, self.number, digits(self.digest))),
            Span::text(", "),
            Span::code(format!("{}cancel {}", self.prefix, self.number)),
        ])
    }

    /// Who asked for what, what would run, and the digest of it all.
    fn what(&self, message: Message) -> Message {
        let asked = if self.understood { "Understood from " } else { "Asked by " };
        let message = message
            .line([
                Span::text(asked),
                Span::strong(self.requester.as_str()),
                Span::text(": "),
                Span::code(self.invocation.to_string()),
            ])
            .line(self.runs());
        if self.changes.is_empty() {
            return message;
        }
        message.line([Span::text("What would be different then:")]).list(self.changes.to_vec())
    }

    fn runs(&self) -> Vec<Span> {
        let digest = [Span::text(" · digest "), Span::code(self.digest.short())];
        let mut spans = match &self.command.run.kind {
            RunKind::Builtin => vec![Span::text("Quarterdeck itself does it")],
            RunKind::Process(process) => {
                let program = process.program.display().to_string();
                let vector = command::argument_vector(self.command, self.invocation);
                let words = std::iter::once(&program).chain(&vector);
                let line = words.map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
                let mut spans =
                    vec![Span::text("Runs "), Span::code(line), Span::text(" on Quarterdeck's host")];
                if let Some(user) = &process.user {
                    spans.push(Span::text(format!(" as {user}")));
                }
                if matches!(process.sandbox, Sandbox::None) {
                    spans.push(Span::text(", without a sandbox"));
                }
                spans
            }
            RunKind::Ssh(ssh) => match command::ssh_command(ssh, self.command, self.invocation) {
                Ok(SshCommand { hosts, words }) => {
                    let line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
                    let hosts: Vec<_> = hosts.iter().map(|(name, host)| format!("{name} ({host})")).collect();
                    vec![
                        Span::text("Runs "),
                        Span::code(line),
                        Span::text(format!(" by SSH on {}", hosts.join(", "))),
                    ]
                }
                Err(reason) => vec![Span::text(format!("Runs nothing, because {reason}"))],
            },
            RunKind::ChatopsRpc(rpc) => match command::rpc_call(rpc, self.invocation) {
                Ok(call) => vec![Span::text("Calls "), Span::code(call.to_string())],
                Err(reason) => vec![Span::text(format!("Calls nothing, because {reason}"))],
            },
            RunKind::Http(http) => match command::http_request(http, self.invocation) {
                Ok(request) => vec![Span::text("Sends "), Span::code(request.to_string())],
                Err(reason) => vec![Span::text(format!("Sends nothing, because {reason}"))],
            },
        };
        for (index, secret) in self.command.run.kind.secrets().into_iter().enumerate() {
            spans.push(Span::text(if index == 0 { ", with secret " } else { ", " }));
            spans.push(Span::emphasis(secret));
        }
        spans.extend(digest);
        spans
    }
}

/// The digits that people type: 4 of them, as the prompt's command shows.
fn digits(digest: Digest) -> String {
    digest.to_string()[..4].to_owned()
}

/// A time of day; with its day where that is not today.
pub fn time(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (at.to_zoned(TimeZone::UTC), now.to_zoned(TimeZone::UTC));
    let format = if at.date() == now.date() { "%H:%M UTC" } else { "%F %H:%M UTC" };
    at.strftime(format).to_string()
}

/// What is missing: `1 approval by **leads** and 1 by **partner**`.
pub fn missing(wait: &Wait) -> Vec<Span> {
    missing_of(&wait.needs)
}

/// The same, of needs.
pub fn missing_of(needs: &[Need]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut named: Vec<&str> = Vec::new();
    for of in needs.iter().flat_map(|need| &need.of).filter(|of| of.team != TOTAL) {
        let lacks = of.count - of.given;
        if lacks <= 0 || named.contains(&&*of.team) {
            continue;
        }
        if named.is_empty() {
            let word = if lacks == 1 { "approval" } else { "approvals" };
            spans.push(Span::text(format!("{lacks} {word} by ")));
        } else {
            spans.push(Span::text(format!(" and {lacks} by ")));
        }
        spans.push(Span::strong(of.team.clone()));
        named.push(&of.team);
    }
    let people = count_of(needs);
    if spans.is_empty() {
        spans.push(Span::text(format!("{people} {}", if people == 1 { "approval" } else { "approvals" })));
    } else if named.len() > 1 {
        spans.push(Span::text(format!(", {people} people in all")));
    }
    spans
}

/// How many approvals are missing, as far as the rules' annotations tell.
pub fn count(wait: &Wait) -> i64 {
    count_of(&wait.needs)
}

fn count_of(needs: &[Need]) -> i64 {
    let lacks = |need: &Need| {
        let lack = |of: &NeedOf| (of.count - of.given).max(0);
        let teams: i64 = need.of.iter().filter(|of| of.team != TOTAL).map(lack).sum();
        let total = need.of.iter().filter(|of| of.team == TOTAL).map(lack).max();
        teams.max(total.unwrap_or(0))
    };
    // Something is missing, or it would not wait.
    needs.iter().map(lacks).max().unwrap_or(0).max(1)
}

fn rules<'a>(ids: impl Iterator<Item = &'a String>) -> Vec<Span> {
    let mut spans = Vec::new();
    for (index, id) in ids.enumerate() {
        spans.push(Span::text(if index == 0 { " (rule " } else { ", " }));
        spans.push(Span::code(id.clone()));
    }
    if !spans.is_empty() {
        spans.push(Span::text(")"));
    }
    spans
}

/// What was given counts no longer.
pub fn void(void: &[Void]) -> Message {
    let of = |why: &str| {
        let who = void.iter().filter(|(_, reason)| *reason == why).map(|(who, _)| who.as_str());
        let who = who.collect::<Vec<_>>().join(", ");
        (!who.is_empty()).then_some(who)
    };
    let mut message = Message::plain();
    for (why, words) in [
        ("changed", "What was approved has changed since, so the approval of {} is void."),
        ("membership", "The approval of {} is void: not in this room any more."),
        ("rules", "The approval of {} is void: the rules no longer let them approve this."),
    ] {
        if let Some(who) = of(why) {
            message = message.line([Span::text(words.replace("{}", &who))]);
        }
    }
    message
}

/// An approval was counted, and is the last.
pub fn approved(by: &UserId) -> Message {
    Message::plain().line([Span::text("Approved by "), Span::strong(by.as_str()), Span::text(". Running.")])
}

/// An approval was counted and is the last, and it has to wait for something else.
pub fn approved_and_waits(by: &UserId) -> Message {
    Message::plain().line([Span::text("Approved by "), Span::strong(by.as_str()), Span::text(".")])
}

/// An approval was counted, and others are missing.
pub fn approved_by_one_of(by: &UserId, wait: &Wait) -> Message {
    let mut line = vec![
        Span::text("Approved by "),
        Span::strong(by.as_str()),
        Span::text(format!(". {} missing: ", count(wait))),
    ];
    line.extend(missing(wait));
    line.push(Span::text("."));
    Message::plain().line(line)
}

/// An approval was not counted. `why` is a whole sentence after the name.
pub fn not_counted(by: &UserId, why: &str, wait: Option<&Wait>) -> Message {
    let mut line = vec![Span::strong(by.as_str()), Span::text(format!(" {why}"))];
    if let Some(wait) = wait {
        line.push(Span::text(format!(" Still {} missing.", count(wait))));
    }
    Message::plain().line(line)
}

/// The rules do not let somebody.
pub fn rules_say_no(by: &UserId, verb: &str, says: &[(String, String)]) -> Message {
    let mut line = vec![Span::strong(by.as_str()), Span::text(format!(" cannot {verb} this: "))];
    if says.is_empty() {
        line.push(Span::text("no rule permits it."));
    }
    for (id, words) in says {
        line.extend([
            Span::emphasis(words.clone()),
            Span::text(" (rule "),
            Span::code(id.clone()),
            Span::text(")"),
        ]);
    }
    Message::plain().line(line)
}

/// An approval was taken back.
pub fn withdrawn(by: &UserId, wait: Option<&Wait>) -> Message {
    not_counted(by, "took the approval back.", wait)
}

/// Its requester confirmed it.
pub fn confirmed(by: &UserId) -> Message {
    Message::plain().line([Span::text("Confirmed by "), Span::strong(by.as_str()), Span::text(".")])
}

/// What was confirmed is another thing now.
pub fn confirmed_another(command: &str) -> Message {
    Message::marked(StateMark::Refused).line([
        Span::strong("Not run."),
        Span::text(" What was confirmed has changed since: "),
        Span::code(command),
        Span::text(" or the rules are others now. Send it again if you still want it."),
    ])
}

/// Somebody refused it.
pub fn denied(by: &UserId, number: RequestNumber, reason: Option<&str>) -> Message {
    let mut line = vec![Span::text("Not run: refused by "), Span::strong(by.as_str())];
    if let Some(reason) = reason {
        line.extend([Span::text(": "), Span::emphasis(reason)]);
    }
    line.extend([Span::text(" · "), Span::code(number.to_string())]);
    Message::marked(StateMark::Refused).line(line)
}

/// Somebody cancelled it before its start.
pub fn cancelled(by: &UserId, number: RequestNumber) -> Message {
    Message::marked(StateMark::Cancelled).line([
        Span::text("Not run: cancelled by "),
        Span::strong(by.as_str()),
        Span::text(" · "),
        Span::code(number.to_string()),
    ])
}

/// Its message was edited while it waited.
pub fn edited(number: RequestNumber) -> Message {
    Message::marked(StateMark::Cancelled).line([
        Span::text("Not run: its message was edited while it waited. Send it again if you still want it · "),
        Span::code(number.to_string()),
    ])
}

/// A running one is being stopped.
pub fn stopping(number: RequestNumber) -> Message {
    Message::plain().line([Span::text("Stopping "), Span::code(number.to_string()), Span::text(".")])
}

/// Nobody said the word.
pub fn expired(number: RequestNumber, from: State, until: Timestamp, now: Timestamp) -> Message {
    let what =
        if from == State::AwaitingConfirmation { "it was not confirmed" } else { "it was not approved" };
    Message::marked(StateMark::Stale).line([
        Span::text(format!(
            "Not run: {what} until {}. Send it again if you still want it · ",
            time(until, now)
        )),
        Span::code(number.to_string()),
    ])
}

/// Some time before the end.
pub fn reminder(
    prefix: &str,
    number: RequestNumber,
    digest: Digest,
    (until, now): (Timestamp, Timestamp),
    wait: &Wait,
) -> Message {
    let mut line = vec![Span::text("Still waits for ")];
    let verb = if wait.confirm.is_empty() {
        line.extend(missing(wait));
        "approve"
    } else {
        line.push(Span::text("you to confirm"));
        "confirm"
    };
    line.extend([
        Span::text(format!(", until {}: ✅ above, or ", time(until, now))),
        Span::code(format!("{prefix}{verb} {number} {}", digits(digest))),
    ]);
    Message::marked(StateMark::Waiting).line(line)
}

/// Where a request stands, for somebody whose word comes when none is waited for.
pub fn stands(number: RequestNumber, state: State) -> Message {
    let what = match state {
        State::Received | State::Queued => "has all it needs, and waits to start",
        State::Running => "runs already",
        State::AwaitingApproval => "waits for approval, and not for a confirmation",
        State::AwaitingConfirmation => "first waits for whoever asked to confirm it",
        State::Refused => "was refused by the rules",
        State::Denied => "was refused",
        State::Expired => "waited too long, and has ended",
        State::Cancelled => "was cancelled",
        State::Succeeded | State::Failed | State::TimedOut | State::Interrupted => "has ended",
    };
    Message::plain().line([Span::code(number.to_string()), Span::text(format!(" {what}."))])
}

/// There is no such request here.
pub fn nowhere(number: RequestNumber) -> Message {
    Message::plain().line([
        Span::text("There is no request "),
        Span::code(number.to_string()),
        Span::text(" in this room."),
    ])
}

/// It was not said which request is meant.
pub fn which(prefix: &str, verb: &str, several: &[RequestNumber]) -> Message {
    let mut line = vec![Span::text("Which one? Say its number")];
    match several {
        [] => line
            .extend([Span::text(", or say it in its thread: "), Span::code(format!("{prefix}{verb} 482"))]),
        numbers => {
            for number in numbers {
                line.extend([Span::text(", "), Span::code(format!("{prefix}{verb} {number}"))]);
            }
        }
    }
    Message::plain().line(line)
}

/// The teams that are asked: `leads`, `leads or partner`.
pub fn teams(wait: &Wait) -> String {
    let mut named: Vec<&str> = Vec::new();
    for of in wait.needs.iter().flat_map(|need| &need.of).filter(|of| of.team != TOTAL) {
        if !named.contains(&&*of.team) {
            named.push(&of.team);
        }
    }
    named.join(" or ")
}

/// A no has done what it does.
pub fn done(what: &str, number: RequestNumber) -> Message {
    Message::plain().line([Span::text(format!("{what}: ")), Span::code(number.to_string())])
}
