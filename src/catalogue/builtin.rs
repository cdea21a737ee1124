//! The built-in commands: entries of the catalogue like all others, with executor `builtin`.

use std::{collections::BTreeSet, sync::Arc};

use jiff::SignedDuration;

use super::{AUTHORITY, Argument, ArgumentType, Command, Effect, OnBusy, Run, RunKind};

/// What a request can come to, as searches name it: its states, and `waiting` for all in which it waits.
pub const OUTCOMES: [&str; 10] = [
    "succeeded",
    "failed",
    "timed_out",
    "refused",
    "denied",
    "cancelled",
    "expired",
    "interrupted",
    "running",
    "waiting",
];

/// The days of `!every`.
const DAYS: [&str; 10] = [
    "day",
    "weekday",
    "weekend",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// Every built-in command. Their names are reserved.
pub fn builtins() -> Vec<Arc<Command>> {
    vec![
        builtin(
            "help",
            "What can be done here, or how to use one command",
            vec![optional("command", "the command to explain", name())],
            &["help", "help deploy"],
        ),
        builtin("commands", "The commands of this room, a line each", vec![], &["commands"]),
        builtin(
            "audit",
            "The last of this room's audit log, what is searched for in it, or the whole story of one request",
            vec![
                optional("id", "the request's number", ArgumentType::Integer { min: 1, max: MAX_INTEGER }),
                optional("by", "only what this person asked for, or did to it", ArgumentType::User),
                optional("team", "only what people of this team did", name()),
                optional("server", "only what people of this homeserver did", name()),
                optional("room", "only of this room", name()),
                optional("command", "only requests of this command", name()),
                optional("system", "only what acts on this system: `web`, or `web@production`", name()),
                optional("argument", "only with this argument: `env=staging`", name()),
                optional("outcome", "only what came to this", outcome()),
                optional("rule", "only what this rule decided", name()),
                optional("kind", "only what has such an entry: `run.started`, or `approval`", name()),
                optional("since", "only since then: `7d`, or `2026-11-23T12:00:00Z`", name()),
                optional("until", "only before that", name()),
                optional("text", "only with these words, typed or printed", name()),
                optional("before", "where the page before ended, as it said", name()),
            ],
            &["audit", "audit 482", "audit --by @alice:example.org --since 7d --outcome failed"],
        ),
        builtin(
            "again",
            "Runs what was asked for before once more, decided anew, as who asks now",
            vec![Argument {
                required: true,
                ..optional("id", "the request's number", ArgumentType::Integer { min: 1, max: MAX_INTEGER })
            }],
            &["again 482"],
        ),
        authority(
            "erase",
            "Erases what was typed in a request that is over, and what it printed, for ever",
            vec![
                Argument {
                    required: true,
                    ..optional(
                        "id",
                        "the request's number",
                        ArgumentType::Integer { min: 1, max: MAX_INTEGER },
                    )
                },
                Argument { rest: true, required: true, ..optional("reason", "what for", name()) },
            ],
            &["erase 482 a customer asked for it"],
        ),
        builtin(
            "prove",
            "A file by which anybody can check that a request is on the signed record",
            vec![Argument {
                required: true,
                ..optional("id", "the request's number", ArgumentType::Integer { min: 1, max: MAX_INTEGER })
            }],
            &["prove 482"],
        ),
        builtin(
            "cosign",
            "Keeps a witness's cosignature of a checkpoint that was posted here, in the log room",
            vec![
                Argument {
                    required: true,
                    ..optional(
                        "size",
                        "how many entries the checkpoint is of",
                        ArgumentType::Integer { min: 1, max: MAX_INTEGER },
                    )
                },
                Argument { required: true, ..rest("signature", "the line of the witness's signature") },
            ],
            &["cosign 4123 witness.partner.example/w1 jWbPPwAAAABkGFDLEZMHwSRa"],
        ),
        builtin(
            "status",
            "How a system is, or all of them",
            vec![optional("system", "the system", ArgumentType::System)],
            &["status", "status web"],
        ),
        builtin(
            "adoption",
            "How much of what is done to the systems is done here, by week",
            vec![optional("system", "only this system", ArgumentType::System)],
            &["adoption", "adoption web"],
        ),
        builtin(
            "docs",
            "Finds passages in the runbooks",
            vec![Argument { rest: true, required: true, ..optional("words", "what to look for", name()) }],
            &["docs roll back"],
        ),
        builtin(
            "approve",
            "Approves a request that waits, by its number and the first 4 digits of its digest",
            vec![rest("words", "the request's number, unless this is its thread, and the digits")],
            &["approve 482 9c41"],
        ),
        builtin(
            "deny",
            "Refuses a request that waits",
            vec![rest("words", "the request's number, unless this is its thread, and the reason")],
            &["deny 482 not before the backup"],
        ),
        builtin(
            "cancel",
            "Drops a request that waits, or stops one that runs",
            vec![rest("words", "the request's number, unless this is its thread")],
            &["cancel 482"],
        ),
        builtin(
            "confirm",
            "Confirms a request of yours that waits for that",
            vec![rest("words", "the request's number, unless this is its thread")],
            &["confirm 482"],
        ),
        builtin(
            "why",
            "Tells, without running it, which rules permit or forbid a command of yours, and what is missing",
            vec![Argument { required: true, ..rest("line", "the command with its arguments") }],
            &["why deploy web production"],
        ),
        builtin(
            "can",
            "The same for somebody else",
            vec![
                Argument { required: true, ..optional("user", "who", ArgumentType::User) },
                Argument { required: true, ..rest("line", "the command with its arguments") },
            ],
            &["can @bob:example.org deploy web production"],
        ),
        builtin(
            "rules",
            "The rules in force here, in words; with a rule's name its code",
            vec![optional("id", "the rule", name())],
            &["rules", "rules production-is-for-leads"],
        ),
        authority(
            "reload",
            "Loads the ops folder anew, or another version of it, as a whole or not at all",
            vec![
                optional("ref", "the branch, tag or commit to fetch", name()),
                optional(
                    "version",
                    "the commit or digest that it must be; found where it is not given",
                    name(),
                ),
            ],
            &["reload", "reload main"],
        ),
        authority(
            "elevate",
            "Puts you into a team for a while",
            vec![
                Argument { required: true, ..optional("team", "the team", name()) },
                Argument {
                    required: true,
                    ..optional(
                        "duration",
                        "for how long",
                        ArgumentType::Duration { min: 1, max: 30 * 86_400 },
                    )
                },
                Argument { rest: true, required: true, ..optional("reason", "what for", name()) },
            ],
            &["elevate database 30m the backup hangs"],
        ),
        builtin(
            "every",
            "Does a command again and again as you, by the rules of each time",
            vec![
                Argument {
                    required: true,
                    ..optional(
                        "when",
                        "on which days",
                        ArgumentType::Choice(DAYS.iter().map(|&day| day.to_owned()).collect()),
                    )
                },
                Argument { required: true, ..optional("at", "the time of the day: 09:00", name()) },
                Argument { required: true, ..rest("line", "the command with its arguments") },
            ],
            &["every weekday 09:00 deploy web staging"],
        ),
        builtin("schedules", "What is done again and again in this room", vec![], &["schedules"]),
        builtin(
            "unschedule",
            "Ends what somebody has done again and again, by its number",
            vec![Argument {
                required: true,
                ..optional("id", "its number", ArgumentType::Integer { min: 1, max: MAX_INTEGER })
            }],
            &["unschedule 482"],
        ),
        builtin("ps", "What runs in this room and what waits, the oldest first", vec![], &["ps"]),
        builtin(
            "login",
            "Sends you a link to the pages, where the record can be read, for you alone",
            vec![],
            &["login"],
        ),
        builtin("ping", "Answers, to show that everything works", vec![], &["ping"]),
    ]
}

/// A built-in that changes who may do what: only rules that name it, or its tag, reach it.
fn authority(name: &str, summary: &str, arguments: Vec<Argument>, examples: &[&str]) -> Arc<Command> {
    let mut command = Arc::unwrap_or_clone(builtin(name, summary, arguments, examples));
    command.effect = Effect::Danger;
    command.tags = BTreeSet::from([AUTHORITY.to_owned()]);
    Arc::new(command)
}

/// The greatest integer of canonical JSON: 2^53 - 1.
const MAX_INTEGER: i64 = (1 << 53) - 1;

fn builtin(name: &str, summary: &str, arguments: Vec<Argument>, examples: &[&str]) -> Arc<Command> {
    Arc::new(Command {
        name: name.to_owned(),
        summary: summary.to_owned(),
        help: String::new(),
        effect: Effect::Read,
        tags: BTreeSet::from(["builtin".to_owned()]),
        subject: None,
        phrases: Vec::new(),
        docs: None,
        examples: examples.iter().map(|&line| line.to_owned()).collect(),
        arguments,
        private: false,
        records: false,
        schedule: None,
        dry: None,
        is_dry: false,
        run: Run {
            kind: RunKind::Builtin,
            timeout: SignedDuration::from_mins(1),
            lock: None,
            on_busy: OnBusy::Queue,
            idempotent: true,
        },
    })
}

fn optional(name: &str, summary: &str, kind: ArgumentType) -> Argument {
    Argument {
        name: name.to_owned(),
        summary: summary.to_owned(),
        kind,
        required: false,
        default: None,
        rest: false,
    }
}

/// Text that takes the remaining words of the line, and may be left out.
fn rest(name: &str, summary: &str) -> Argument {
    let text = ArgumentType::Text { pattern: None, min_length: 1, max_length: 1000 };
    Argument { rest: true, ..optional(name, summary, text) }
}

fn outcome() -> ArgumentType {
    ArgumentType::Choice(OUTCOMES.iter().map(|&name| name.to_owned()).collect())
}

fn name() -> ArgumentType {
    ArgumentType::Text { pattern: None, min_length: 1, max_length: 200 }
}
