//! Invocations to try rules with: each choice, each system, one value of what has too many.

use std::collections::BTreeMap;

use ruma::UserId;

use super::fill;
use crate::{
    catalogue::{Argument, ArgumentType, Command, Ops},
    model::{Invocation, Value},
};

/// How many invocations of a command are made.
const MOST: usize = 128;

/// Invocations of a command, as many as tell its systems and choices apart, at most 128.
pub fn samples(ops: &Ops, command: &Command, user: &UserId) -> Vec<Invocation> {
    let mut made: Vec<BTreeMap<String, Value>> = vec![BTreeMap::new()];
    for argument in &command.arguments {
        let values = values(ops, argument, &argument.kind, user);
        let mut longer = Vec::new();
        for arguments in &made {
            if !argument.required && argument.default.is_none() {
                longer.push(arguments.clone());
            }
            for value in &values {
                let mut arguments = arguments.clone();
                arguments.insert(argument.name.clone(), value.clone());
                longer.push(arguments);
            }
        }
        longer.truncate(MOST);
        made = longer;
    }
    let whole = made.into_iter().map(|arguments| {
        let mut invocation =
            Invocation { command: command.name.clone(), arguments, subject: None, filters: Vec::new() };
        invocation.subject = command.subject.as_deref().and_then(|subject| fill(subject, &invocation));
        invocation
    });
    whole.collect()
}

fn values(ops: &Ops, argument: &Argument, kind: &ArgumentType, user: &UserId) -> Vec<Value> {
    match kind {
        ArgumentType::Choice(choices) => choices.iter().cloned().map(Value::Choice).collect(),
        ArgumentType::System => ops.systems.keys().cloned().map(Value::System).collect(),
        ArgumentType::Boolean => vec![Value::Boolean(false), Value::Boolean(true)],
        _ if argument.default.is_some() => argument.default.iter().cloned().collect(),
        ArgumentType::Text { .. } => vec![Value::Text("x".to_owned())],
        ArgumentType::Integer { min, .. } => vec![Value::Integer(*min)],
        ArgumentType::Duration { min, .. } => vec![Value::Duration(*min)],
        ArgumentType::User => vec![Value::User(user.to_owned())],
        ArgumentType::Room => "!room:invalid".try_into().map(Value::Room).into_iter().collect(),
        ArgumentType::List { items, .. } => {
            let items = values(ops, argument, items, user);
            items.into_iter().map(|value| Value::List(vec![value])).collect()
        }
    }
}
