//! Invocations to try rules with: all that can be acted upon, and of everything else one value after the other.

use std::collections::BTreeMap;

use ruma::{RoomId, UserId};

use super::{Line, fill, parse, validate::everywhere};
use crate::{
    catalogue::{Argument, ArgumentType, Command, Ops, Room, template},
    model::{Invocation, Value},
};

/// Arguments by name.
type Arguments = BTreeMap<String, Value>;

/// Who asks, and where: what is tried of arguments that are a person or a room.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Who.
    pub user: &'a UserId,
    /// Where, if anywhere.
    pub room: Option<&'a RoomId>,
}

/// Invocations of a command: with everything that it can act upon, each choice, and the texts and numbers of its examples.
///
/// What names the subject (a system, an environment) is tried in every combination, without a limit. The other arguments
/// are tried one at a time, as they are when the rest is as plain as can be, and together as an example has them. The plain
/// ones come first: a part of them has each subject before any has a second try.
pub fn samples(ops: &Ops, command: &Command, asker: Asker<'_>) -> Vec<Invocation> {
    let examples = examples(ops, command);
    let named = command.subject.as_deref().map(template::names).unwrap_or_default();
    let tried = |argument: &Argument| {
        let mut values = values(ops, argument, asker);
        let shown: Vec<_> =
            examples.iter().filter_map(|example| example.get(&argument.name)).cloned().collect();
        // A rule that looks at a text is written for texts such as those: they come before what is made up.
        let is_made_up = argument.default.is_none() && !is_told_whole(&argument.kind);
        let at = if is_made_up { 0 } else { values.len() };
        values.splice(at..at, shown);
        // What is taken if nothing is said is the plainest.
        values.splice(0..0, argument.default.clone());
        let mut seen = Vec::with_capacity(values.len());
        for value in values {
            if !seen.contains(&value) {
                seen.push(value);
            }
        }
        seen
    };
    let (of_subject, others): (Vec<_>, Vec<_>) =
        command.arguments.iter().partition(|argument| named.contains(&argument.name));
    let mut subjects: Vec<Arguments> = vec![BTreeMap::new()];
    for argument in of_subject {
        let mut longer = Vec::new();
        let values = tried(argument);
        for arguments in &subjects {
            if is_optional(argument) {
                longer.push(arguments.clone());
            }
            longer.extend(values.iter().map(|value| with(arguments, &argument.name, value)));
        }
        subjects = longer;
    }
    let mut plain = Arguments::new();
    let mut changes = Vec::new();
    for argument in others {
        let mut values = tried(argument).into_iter();
        if !is_optional(argument)
            && let Some(first) = values.next()
        {
            plain.insert(argument.name.clone(), first);
        }
        changes.extend(values.map(|value| (&argument.name, value)));
    }
    let mut variants = vec![plain.clone()];
    variants.extend(changes.into_iter().map(|(name, value)| with(&plain, name, &value)));
    for mut example in examples {
        example.retain(|name, _| !named.contains(name));
        if !variants.contains(&example) {
            variants.push(example);
        }
    }
    let whole = variants.iter().flat_map(|variant| {
        subjects.iter().map(|subject| {
            let mut arguments = variant.clone();
            arguments.extend(subject.clone());
            let mut invocation = Invocation {
                command: command.name.clone(),
                arguments,
                subject: None,
                filters: Vec::new(),
                dry: command.is_dry,
            };
            invocation.subject = command.subject.as_deref().and_then(|subject| fill(subject, &invocation));
            invocation
        })
    });
    whole.collect()
}

/// The values of an argument that are tried where nothing else is known: all, if they can be counted, else one.
pub fn values(ops: &Ops, argument: &Argument, asker: Asker<'_>) -> Vec<Value> {
    values_of(ops, &argument.kind, argument.default.as_ref(), asker)
}

fn values_of(ops: &Ops, kind: &ArgumentType, default: Option<&Value>, asker: Asker<'_>) -> Vec<Value> {
    match kind {
        ArgumentType::Choice(choices) => choices.iter().cloned().map(Value::Choice).collect(),
        ArgumentType::System => ops.systems.keys().cloned().map(Value::System).collect(),
        ArgumentType::Boolean => vec![Value::Boolean(false), Value::Boolean(true)],
        _ if default.is_some() => default.into_iter().cloned().collect(),
        ArgumentType::Text { .. } => vec![Value::Text("x".to_owned())],
        ArgumentType::Integer { min, .. } => vec![Value::Integer(*min)],
        ArgumentType::Duration { min, .. } => vec![Value::Duration(*min)],
        ArgumentType::User => vec![Value::User(asker.user.to_owned())],
        ArgumentType::Room => match asker.room {
            Some(room) => vec![Value::Room(room.to_owned())],
            None => "!room:invalid".try_into().map(Value::Room).into_iter().collect(),
        },
        ArgumentType::List { items, .. } => {
            let items = values_of(ops, items, None, asker);
            items.into_iter().map(|value| Value::List(vec![value])).collect()
        }
    }
}

/// Whether all that such an argument can be is tried.
const fn is_told_whole(kind: &ArgumentType) -> bool {
    matches!(kind, ArgumentType::Choice(_) | ArgumentType::System | ArgumentType::Boolean)
}

const fn is_optional(argument: &Argument) -> bool {
    !argument.required && argument.default.is_none()
}

fn with(arguments: &Arguments, name: &str, value: &Value) -> Arguments {
    let mut arguments = arguments.clone();
    arguments.insert(name.to_owned(), value.clone());
    arguments
}

/// The arguments of a command's examples, as far as they can be read.
fn examples(ops: &Ops, command: &Command) -> Vec<Arguments> {
    if command.examples.is_empty() {
        return Vec::new();
    }
    let Some(everywhere) = everywhere(ops) else { return Vec::new() };
    let everywhere = Room { commands: [command.name.clone()].into(), ..everywhere };
    let read = command.examples.iter().filter_map(|line| parse(ops, &everywhere, &Line::typed(line)).ok());
    read.filter(|parsed| parsed.command.name == command.name)
        .map(|parsed| parsed.invocation.arguments)
        .collect()
}
