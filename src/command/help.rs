//! `help` and `commands`: what can be done here.

use super::{
    Line, Mistake,
    bind::{Context, Texts},
    parse, spell,
};
use crate::{
    catalogue::{Command, Known, Ops, Room, RunKind, nearest},
    model::{DRY, Message, Span},
};

/// What a command is to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// They may run it.
    Run,
    /// They may, once others approve or they confirm it.
    WithApproval,
    /// They may not.
    Not,
}

impl May {
    /// What a list says of it: what may simply be run needs no mark.
    const fn mark(self) -> Option<&'static str> {
        match self {
            Self::Run => None,
            Self::WithApproval => Some("with approval"),
            Self::Not => Some("not for you"),
        }
    }
}

/// What can be done in this room, or how one command is used. `may_run` tells what the reader may run.
pub fn help(ops: &Ops, room: &Room, may_run: impl Fn(&Command) -> May, which: Option<&str>) -> Message {
    let prefix = &ops.settings.prefix;
    let Some(which) = which else {
        let message =
            Message::plain().line([Span::strong(&room.name), Span::text(format!(": {}", room.purpose))]);
        return message.list(lines(ops, room, may_run, false)).line([
            Span::text("One command: "),
            Span::code(format!("{prefix}help NAME")),
            Span::text(". All, with the built-in ones: "),
            Span::code(format!("{prefix}commands")),
            Span::text(". Runbooks: "),
            Span::code(format!("{prefix}docs WORDS")),
        ]);
    };
    let which = which.to_lowercase();
    let which = which.strip_prefix(prefix.as_str()).unwrap_or(&which);
    if which == DRY {
        return dry(ops, room);
    }
    match ops.commands.get(which) {
        Some(command) if room.commands.contains(which) => one(ops, room, command, may_run(command)),
        Some(_) => {
            let rooms = ops.rooms.values().filter(|room| room.commands.contains(which));
            let rooms = rooms.map(|room| (room.name.clone(), room.alias.to_string())).collect();
            Mistake::NotHere { name: which.to_owned(), rooms }.message(prefix)
        }
        None => {
            let near = nearest(which, room.commands.iter().map(String::as_str));
            let suggestion = near.map(|near| format!("help {near}"));
            Mistake::UnknownCommand { name: which.to_owned(), suggestion }.message(prefix)
        }
    }
}

/// The commands of this room, a line each.
pub fn commands(ops: &Ops, room: &Room, may_run: impl Fn(&Command) -> May) -> Message {
    Message::plain().list(lines(ops, room, may_run, true))
}

fn lines(
    ops: &Ops,
    room: &Room,
    may_run: impl Fn(&Command) -> May,
    builtins_as_well: bool,
) -> Vec<Vec<Span>> {
    let here = || room.commands.iter().filter_map(|name| ops.commands.get(name));
    let builtin = |command: &Command| matches!(command.run.kind, RunKind::Builtin);
    here()
        .filter(|command| !builtin(command))
        .chain(here().filter(|command| builtins_as_well && builtin(command)))
        .map(|command| {
            let mut line = vec![
                Span::code(format!("{}{}", ops.settings.prefix, spell::usage(command))),
                Span::text(format!(" {}", command.summary)),
            ];
            if let Some(mark) = may_run(command).mark() {
                line.push(Span::text(" · "));
                line.push(Span::emphasis(mark));
            }
            line
        })
        .collect()
}

/// What a dry run is, and of what there is one here.
fn dry(ops: &Ops, room: &Room) -> Message {
    let prefix = &ops.settings.prefix;
    let here = room.commands.iter().filter_map(|name| ops.commands.get(name));
    let mut line = vec![
        Span::code(format!("{prefix}{DRY} COMMAND...")),
        Span::text(" tells what a command would do, and does none of it. "),
    ];
    let named: Vec<_> = here.filter(|command| command.dry.is_some()).collect();
    match named.first() {
        None => line.push(Span::text("No command of this room declares how.")),
        Some(_) => line.push(Span::text("Here there is one of ")),
    }
    for (index, command) in named.into_iter().enumerate() {
        line.extend((index > 0).then(|| Span::text(", ")));
        line.push(Span::code(format!("{prefix}{DRY} {}", command.name)));
    }
    Message::plain().line(line)
}

fn one(ops: &Ops, room: &Room, command: &Command, may: May) -> Message {
    let prefix = &ops.settings.prefix;
    let systems: Vec<&str> = ops.systems.keys().map(String::as_str).collect();
    let rooms = std::collections::BTreeMap::new();
    let context = Context { ops, known: Known { systems: &systems, rooms: &rooms } };
    let mut message = Message::plain().line([
        Span::code(format!("{prefix}{}", spell::usage(command))),
        Span::text(format!(" {}", command.summary)),
    ]);
    match may {
        May::Run => {}
        May::WithApproval => message = message.line([Span::text("You may run it with somebody's approval.")]),
        May::Not => message = message.line([Span::text("The rules do not let you run it.")]),
    }
    for line in command.help.lines().filter(|line| !line.trim().is_empty()) {
        message = message.line([Span::text(line)]);
    }
    let arguments = command.arguments.iter().map(|argument| {
        let mut line = vec![Span::strong(&argument.name), Span::text(": ")];
        if !argument.summary.is_empty() {
            line.push(Span::text(format!("{}; ", argument.summary)));
        }
        line.push(Span::text(argument.kind.describe(&systems)));
        match &argument.default {
            Some(default) => line.extend([Span::text("; if left out "), Span::code(default.to_string())]),
            None if !argument.required => line.push(Span::text("; may be left out")),
            None => {}
        }
        line
    });
    message = message.list(arguments.collect());
    // An example that speaks of what the reader may not know of is none for them.
    let reads = |line: &&String| parse(ops, room, &Line::typed((*line).clone())).is_ok();
    let mut examples: Vec<String> = command.examples.iter().filter(reads).cloned().collect();
    if examples.is_empty() {
        examples.push(spell::example(context, command, &Texts::new()));
    }
    let mut line = vec![Span::text("For example ")];
    examples.extend(command.phrases.iter().map(|phrase| in_capitals(phrase)));
    for (index, example) in examples.iter().enumerate() {
        if index > 0 {
            line.push(Span::text(", "));
        }
        line.push(Span::code(format!("{prefix}{example}")));
    }
    message = message.line(line);
    if command.dry.is_some() {
        message = message.line([
            Span::text("What it would do, without doing it: "),
            Span::code(format!("{prefix}{DRY} {}", examples[0])),
        ]);
    }
    if let Some(document) =
        command.docs.as_ref().and_then(|path| ops.documents.iter().find(|it| it.path == *path))
    {
        let words = document.path.trim_end_matches(".md");
        message = message.line([
            Span::text("Runbook: "),
            Span::strong(&document.title),
            Span::text(", "),
            Span::code(format!("{prefix}docs {words}")),
        ]);
    }
    message
}
/// A phrase as people read it: `deploy {app} to {env}` is `deploy APP to ENV`.
fn in_capitals(phrase: &str) -> String {
    let mut depth = 0_u32;
    phrase
        .chars()
        .filter_map(|character| match character {
            '{' => {
                depth += 1;
                None
            }
            '}' => {
                depth = depth.saturating_sub(1);
                None
            }
            _ if depth > 0 => Some(character.to_ascii_uppercase()),
            _ => Some(character),
        })
        .collect()
}
