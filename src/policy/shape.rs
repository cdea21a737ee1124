//! Whether a question is of the shape that the schema demands, told without asking Cedar.
//!
//! Everything in a question but an invocation's arguments is put there by this module, of the right type and whole.
//! The arguments were typed by the grammar; yet they may be those of an older version of the folder. What fits here
//! would pass Cedar's strict validation, which a property shows (`tests/narrowing.rs`); what does not is given to Cedar
//! to refuse in its own words.

use std::collections::HashMap;

use super::{Action, names::RESERVED_ACTIONS};
use crate::{
    catalogue::{ArgumentType, Ops},
    model::Value,
};

/// The shapes of the commands that are actions of their own.
#[derive(Debug, Clone)]
pub(super) struct Shapes(HashMap<String, Shape>);

#[derive(Debug, Clone)]
struct Shape {
    on_a_system: bool,
    /// Each argument by name; whether it must be there.
    arguments: HashMap<String, (ArgumentType, bool)>,
}

impl Shapes {
    pub(super) fn of(ops: &Ops) -> Self {
        let commands =
            ops.commands.values().filter(|command| !RESERVED_ACTIONS.contains(&command.name.as_str()));
        let shape = commands.map(|command| {
            let arguments = command.arguments.iter().map(|argument| {
                let required = argument.required || argument.default.is_some();
                (argument.name.clone(), (argument.kind.clone(), required))
            });
            let shape = Shape { on_a_system: command.subject.is_some(), arguments: arguments.collect() };
            (command.name.clone(), shape)
        });
        Self(shape.collect())
    }

    /// Whether an action is certainly of the schema's shape.
    pub(super) fn fits(&self, action: &Action<'_>) -> bool {
        let Action::Run(invocation) = action else { return true };
        let Some(shape) = self.0.get(&invocation.command) else { return false };
        let typed = |(name, value): (&String, &Value)| {
            shape.arguments.get(name).is_some_and(|(kind, _)| is_of(value, kind))
        };
        shape.on_a_system == invocation.subject.is_some()
            && invocation.arguments.iter().all(typed)
            && shape
                .arguments
                .iter()
                .all(|(name, (_, required))| !required || invocation.arguments.contains_key(name))
    }
}

/// Whether a value is of a type, in Cedar's eyes: a choice is a text like another.
fn is_of(value: &Value, kind: &ArgumentType) -> bool {
    match (value, kind) {
        (
            Value::Text(_) | Value::Choice(_) | Value::Room(_),
            ArgumentType::Text { .. } | ArgumentType::Choice(_) | ArgumentType::Room,
        )
        | (Value::Integer(_), ArgumentType::Integer { .. })
        | (Value::Boolean(_), ArgumentType::Boolean)
        | (Value::Duration(_), ArgumentType::Duration { .. })
        | (Value::User(_), ArgumentType::User)
        | (Value::System(_), ArgumentType::System) => true,
        (Value::List(values), ArgumentType::List { items, .. }) => {
            values.iter().all(|value| is_of(value, items))
        }
        _ => false,
    }
}
