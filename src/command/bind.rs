//! Words become the values of a command's arguments.

use std::collections::{BTreeMap, BTreeSet};

use super::{Mistake, spell};
use crate::{
    catalogue::{
        Argument, ArgumentType, Command, Known, Ops, RunKind, boolean, is_subject, nearest, one_of,
        template::{Piece, pieces},
    },
    model::{Invocation, Value, quoted},
};

/// The texts of arguments, by name.
pub(super) type Texts = BTreeMap<String, String>;

/// A line's words in two kinds: those by name, and those by position.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) named: Texts,
    pub(super) positional: Vec<String>,
}

/// What values may refer to, for every step below.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) ops: &'a Ops,
    pub(super) known: Known<'a>,
}

/// Sorts the words after the command's name.
pub(super) fn sort(command: &Command, words: &[String], context: Context<'_>) -> Result<Sorted, Mistake> {
    let mut sorted = Sorted::default();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            sorted.positional.extend(words.by_ref().cloned());
            break;
        }
        if let Some(option) = word.strip_prefix("--") {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, None),
            };
            let Some(argument) = find(command, name) else {
                if in_rest(command, &sorted) {
                    sorted.positional.push(word.clone());
                    continue;
                }
                return Err(unknown(command, &format!("--{name}"), name));
            };
            let value = match (value, &argument.kind) {
                (Some(value), _) => value,
                (None, ArgumentType::Boolean) => words
                    .next_if(|next| boolean(next).is_some())
                    .cloned()
                    .unwrap_or_else(|| "true".to_owned()),
                (None, _) => words.next().cloned().ok_or_else(|| Mistake::NoValue {
                    command: command.name.clone(),
                    argument: argument.name.clone(),
                    expected: argument.kind.describe(context.known.systems),
                })?,
            };
            set(command, argument, value, &mut sorted)?;
            continue;
        }
        // From its first word on a line is that of another command, whatever options stand in it.
        if begins_the_line(command, &sorted) && !names_an_argument(command, word) {
            sorted.positional.push(word.clone());
            sorted.positional.extend(words.by_ref().cloned());
            break;
        }
        let short = word.strip_prefix('-').is_some_and(|rest| rest.starts_with(char::is_alphabetic));
        if short && !in_rest(command, &sorted) {
            return Err(unknown(command, word, &word[1..]));
        }
        if let Some((name, value)) = word.split_once('=') {
            if let Some(argument) = find(command, name) {
                set(command, argument, value.to_owned(), &mut sorted)?;
                continue;
            }
            if !in_rest(command, &sorted)
                && let Some(near) =
                    nearest(name, command.arguments.iter().map(|argument| argument.name.as_str()))
            {
                return Err(Mistake::UnknownArgument {
                    command: command.name.clone(),
                    name: name.to_owned(),
                    suggestion: Some(format!("{near}={value}")),
                    known: Vec::new(),
                });
            }
        }
        sorted.positional.push(word.clone());
    }
    Ok(sorted)
}

/// Whether the next word by position is the first one of a command's line.
fn begins_the_line(command: &Command, sorted: &Sorted) -> bool {
    let Some(line) = command.line_argument() else { return false };
    let before =
        command.arguments.iter().filter(|it| !it.rest && !sorted.named.contains_key(&it.name)).count();
    !sorted.named.contains_key(&line.name) && sorted.positional.len() == before
}

/// Whether a word is one of the command's own arguments with its value: `at=09:00`.
fn names_an_argument(command: &Command, word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| find(command, name).is_some())
}

/// The words of an argument that takes the rest, as its text: joined by spaces, and those of a command's line quoted
/// again, so that they are read as they were typed.
pub(super) fn rest_of(command: &Command, words: &[String], prefix: &str) -> Option<String> {
    let (first, others) = words.split_first()?;
    if command.line_argument().is_none() {
        return Some(words.join(" "));
    }
    let first = first.strip_prefix(prefix).unwrap_or(first);
    // A line in quotes as a whole: no command's name holds a space.
    if others.is_empty() && first.contains(char::is_whitespace) {
        return Some(first.to_owned());
    }
    let words = std::iter::once(first).chain(others.iter().map(String::as_str));
    Some(words.map(quoted).collect::<Vec<_>>().join(" "))
}

/// Whether the words from here on belong to an argument that takes the rest of the line.
fn in_rest(command: &Command, sorted: &Sorted) -> bool {
    let before =
        command.arguments.iter().filter(|it| !it.rest && !sorted.named.contains_key(&it.name)).count();
    command.arguments.last().is_some_and(|last| last.rest) && sorted.positional.len() > before
}

/// The argument of this name; case and the kind of dash do not matter.
fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Argument> {
    let plain = |name: &str| name.to_lowercase().replace('_', "-");
    command
        .arguments
        .iter()
        .find(|argument| argument.name == name)
        .or_else(|| command.arguments.iter().find(|argument| plain(&argument.name) == plain(name)))
}

fn set(command: &Command, argument: &Argument, value: String, sorted: &mut Sorted) -> Result<(), Mistake> {
    if sorted.named.insert(argument.name.clone(), value).is_some() {
        return Err(Mistake::Twice { command: command.name.clone(), argument: argument.name.clone() });
    }
    Ok(())
}

fn unknown(command: &Command, written: &str, name: &str) -> Mistake {
    let names: Vec<&str> = command.arguments.iter().map(|argument| argument.name.as_str()).collect();
    Mistake::UnknownArgument {
        command: command.name.clone(),
        name: written.to_owned(),
        suggestion: nearest(name, names.iter().copied()).map(|near| format!("--{near}")),
        known: names.into_iter().map(str::to_owned).collect(),
    }
}

/// Gives the words by position to the arguments that were not named, in their order.
pub(super) fn place(command: &Command, sorted: Sorted, context: Context<'_>) -> Result<Texts, Mistake> {
    let Sorted { mut named, positional } = sorted;
    let mut words = positional.into_iter();
    let open: Vec<&Argument> =
        command.arguments.iter().filter(|argument| !named.contains_key(&argument.name)).collect();
    for argument in open {
        if argument.rest {
            let rest: Vec<String> = words.by_ref().collect();
            let text = rest_of(command, &rest, &context.ops.settings.prefix);
            named.extend(text.map(|text| (argument.name.clone(), text)));
        } else if let Some(word) = words.next() {
            named.insert(argument.name.clone(), word);
        }
    }
    match words.next() {
        None => Ok(named),
        Some(word) => Err(Mistake::TooMany {
            command: command.name.clone(),
            word,
            example: spell::example(context, command, &named),
        }),
    }
}

/// Reads the texts by the arguments' types, fills in defaults, and checks the whole.
pub(super) fn bind(command: &Command, texts: &Texts, context: Context<'_>) -> Result<Invocation, Mistake> {
    let mut arguments: BTreeMap<String, Value> = BTreeMap::new();
    for argument in &command.arguments {
        match (texts.get(&argument.name), &argument.default) {
            (Some(text), _) => {
                let value = read(command, argument, text, texts, context)?;
                arguments.insert(argument.name.clone(), value);
            }
            (None, Some(default)) => {
                arguments.insert(argument.name.clone(), default.clone());
            }
            (None, None) => {}
        }
    }
    let missing: Vec<&Argument> = command
        .arguments
        .iter()
        .filter(|argument| argument.required && !arguments.contains_key(&argument.name))
        .collect();
    if let Some(first) = missing.first() {
        return Err(incomplete(command, first, &missing, texts, context));
    }
    let mut invocation = Invocation {
        command: command.name.clone(),
        arguments,
        subject: None,
        filters: Vec::new(),
        dry: command.is_dry,
    };
    if let Some(template) = &command.subject {
        let subject = super::fill(template, &invocation).unwrap_or_default();
        if !is_subject(&subject, &context.ops.systems) {
            return Err(no_subject(&subject, context));
        }
        invocation.subject = Some(subject);
    }
    Ok(invocation)
}

fn read(
    command: &Command,
    argument: &Argument,
    text: &str,
    texts: &Texts,
    context: Context<'_>,
) -> Result<Value, Mistake> {
    let value = argument.kind.read(text, &context.known).map_err(|wrong| {
        let mut mended = texts.clone();
        match &wrong.nearest {
            Some(near) => mended.insert(argument.name.clone(), near.clone()),
            None => mended.remove(&argument.name),
        };
        Mistake::WrongValue {
            command: command.name.clone(),
            argument: argument.name.clone(),
            given: text.to_owned(),
            expected: wrong.expected,
            suggested: wrong.nearest.is_some(),
            example: spell::example(context, command, &mended),
        }
    })?;
    if text.starts_with('-') && looks_like_option(command, argument) {
        return Err(Mistake::Dash { argument: argument.name.clone(), given: text.to_owned() });
    }
    Ok(value)
}

/// No value that begins with `-` reaches a program where it takes options.
pub(super) fn no_options(command: &Command, invocation: &Invocation) -> Result<(), Mistake> {
    for argument in &command.arguments {
        let given = invocation.arguments.get(&argument.name).map(ToString::to_string).unwrap_or_default();
        if given.starts_with('-') && looks_like_option(command, argument) {
            return Err(Mistake::Dash { argument: argument.name.clone(), given });
        }
    }
    Ok(())
}

/// Whether a value that begins with `-` would reach the program where it takes options: at the
/// beginning of an element that stands before any `--`.
fn looks_like_option(command: &Command, argument: &Argument) -> bool {
    let free = matches!(&argument.kind, ArgumentType::Text { .. })
        || matches!(&argument.kind, ArgumentType::List { items, .. } if matches!(**items, ArgumentType::Text { .. }));
    let arguments = match &command.run.kind {
        RunKind::Process(process) => &process.arguments,
        RunKind::Ssh(ssh) => &ssh.arguments,
        RunKind::Builtin | RunKind::Http(_) | RunKind::ChatopsRpc(_) => return false,
    };
    free && arguments.iter().take_while(|element| *element != "--").any(|element| {
        pieces(element).unwrap_or_default().first() == Some(&Piece::Argument(argument.name.clone()))
    })
}

/// What is missing; where it is only the choice of a subject, the lines to choose from.
fn incomplete(
    command: &Command,
    first: &Argument,
    missing: &[&Argument],
    texts: &Texts,
    context: Context<'_>,
) -> Mistake {
    let in_subject = command
        .subject
        .as_ref()
        .is_some_and(|subject| crate::catalogue::template::names(subject).contains(&first.name));
    if let (true, [_], ArgumentType::Choice(choices)) = (in_subject, missing, &first.kind) {
        let mut lines = Vec::new();
        for choice in choices {
            let mut complete = texts.clone();
            complete.insert(first.name.clone(), choice.clone());
            if bind(command, &complete, context).is_ok() {
                lines.push(spell::named(command, &complete, &first.name));
            }
        }
        if (2..=3).contains(&lines.len()) && command.arguments.len() > 1 {
            return Mistake::Ambiguous { lines };
        }
    }
    Mistake::Missing {
        command: command.name.clone(),
        argument: first.name.clone(),
        expected: first.kind.describe(context.known.systems),
        others: missing[1..].iter().map(|argument| argument.name.clone()).collect(),
        example: spell::example(context, command, texts),
    }
}

fn no_subject(subject: &str, context: Context<'_>) -> Mistake {
    let (system, environment) = subject.split_once('@').unwrap_or((subject, ""));
    let has = context.ops.systems.get(system).map_or_else(
        || {
            let systems: BTreeSet<&str> = context.ops.systems.keys().map(String::as_str).collect();
            one_of(&systems.into_iter().collect::<Vec<_>>())
        },
        |system| one_of(&system.environments),
    );
    Mistake::NoSubject {
        system: system.to_owned(),
        environment: environment.to_owned(),
        known: context.ops.systems.contains_key(system),
        has,
    }
}
