//! Lines that can be typed: usages, examples, corrections.

use super::{
    bind::{self, Context, Texts},
    keyboard,
};
use crate::{
    catalogue::{Argument, ArgumentType, Command},
    model::{Invocation, quoted},
};

/// How a command is used: `deploy APP ENV [VERSION]`.
pub fn usage(command: &Command) -> String {
    let mut line = command.name.clone();
    for argument in &command.arguments {
        let name = argument.name.to_uppercase();
        let name = if argument.rest { format!("{name}...") } else { name };
        line.push(' ');
        if argument.required {
            line.push_str(&name);
        } else {
            line.extend(["[", &name, "]"]);
        }
    }
    line
}

/// A whole line that works: what was given, and for what is missing the values of the command's own
/// examples, or plain ones.
pub(super) fn example(context: Context<'_>, command: &Command, given: &Texts) -> String {
    let mut texts: Texts = Texts::new();
    let shown: Vec<Texts> =
        command.examples.iter().filter_map(|line| texts_of(command, line, context)).collect();
    for argument in &command.arguments {
        let value = given
            .get(&argument.name)
            .filter(|text| argument.kind.read(text, &context.known).is_ok())
            .cloned()
            .or_else(|| {
                argument.required.then(|| {
                    shown
                        .iter()
                        .filter_map(|texts| texts.get(&argument.name))
                        .find(|text| argument.kind.read(text, &context.known).is_ok())
                        .cloned()
                        .unwrap_or_else(|| sample(argument, context))
                })
            });
        texts.extend(value.map(|value| (argument.name.clone(), value)));
    }
    line(command, &texts)
}

fn texts_of(command: &Command, line: &str, context: Context<'_>) -> Option<Texts> {
    let words = keyboard::words(line).ok()?.words;
    let (name, rest) = words.split_first()?;
    if *name != command.name {
        return None;
    }
    // Not `place`: its mistakes come with an example, and would ask for one again.
    let sorted = bind::sort(command, rest, context).ok()?;
    let mut texts = sorted.named;
    let mut words = sorted.positional.into_iter();
    let open: Vec<&Argument> =
        command.arguments.iter().filter(|argument| !texts.contains_key(&argument.name)).collect();
    for argument in open {
        let word = if argument.rest {
            bind::rest_of(command, &words.by_ref().collect::<Vec<_>>(), &context.ops.settings.prefix)
        } else {
            words.next()
        };
        texts.extend(word.map(|word| (argument.name.clone(), word)));
    }
    Some(texts)
}

fn sample(argument: &Argument, context: Context<'_>) -> String {
    fn of(kind: &ArgumentType, name: &str, context: Context<'_>) -> String {
        match kind {
            ArgumentType::Text { .. } => name.to_uppercase(),
            ArgumentType::Integer { min, max } => 1.clamp(*min, *max).to_string(),
            ArgumentType::Boolean => "yes".to_owned(),
            ArgumentType::Choice(choices) => choices.first().cloned().unwrap_or_default(),
            ArgumentType::Duration { min, max } => {
                crate::model::Value::Duration(600.clamp(*min, *max)).to_string()
            }
            ArgumentType::User => format!("@alice:{}", context.ops.settings.server_name),
            ArgumentType::Room => context
                .ops
                .rooms
                .values()
                .next()
                .map_or_else(|| "ROOM".to_owned(), |room| room.alias.to_string()),
            ArgumentType::System => {
                context.known.systems.first().map_or("SYSTEM", |system| system).to_owned()
            }
            ArgumentType::List { items, .. } => of(items, name, context),
        }
    }
    of(&argument.kind, &argument.name, context)
}

/// An invocation as somebody would type it: by position as far as that goes, and without what is so by default.
pub fn say(command: &Command, invocation: &Invocation) -> String {
    let default = |name: &String| command.arguments.iter().find(|one| one.name == *name)?.default.as_ref();
    let typed = invocation.arguments.iter().filter(|(name, value)| default(name) != Some(*value));
    let texts = typed.map(|(name, value)| (name.clone(), value.to_string())).collect();
    line(command, &texts)
}

/// A line: by position as far as that goes, then by name.
pub(super) fn line(command: &Command, texts: &Texts) -> String {
    write(command, texts, None)
}

/// A line in which one argument stands by its name, because it is what matters.
pub(super) fn named(command: &Command, texts: &Texts, argument: &str) -> String {
    write(command, texts, Some(argument))
}

fn write(command: &Command, texts: &Texts, by_name: Option<&str>) -> String {
    let mut line = command.typed();
    let mut by_position = true;
    for argument in &command.arguments {
        let Some(text) = texts.get(&argument.name) else {
            by_position = false;
            continue;
        };
        let is_line = command.line_argument().is_some_and(|line| line.name == argument.name);
        let plain = if is_line {
            keyboard::words(text).is_ok_and(|split| split.filters.is_empty() && !split.words.is_empty())
        } else {
            !text.is_empty() && !text.starts_with('-') && !text.contains('=')
        };
        by_position &= plain && by_name != Some(argument.name.as_str());
        line.push(' ');
        if by_position && is_line {
            line.push_str(text);
        } else if by_position && argument.rest {
            let words: Vec<_> = text.split(' ').map(quoted).collect();
            line.push_str(&words.join(" "));
        } else if by_position {
            line.push_str(&quoted(text));
        } else {
            line.push_str("--");
            line.push_str(&argument.name);
            line.push(' ');
            line.push_str(&quoted(text));
        }
    }
    line
}
