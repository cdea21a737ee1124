//! What somebody may run at all, for the marks in `!help`.
//!
//! The rules decide invocations, not commands. So a command counts as somebody's own if they permit at
//! least one invocation of it: each choice and each system is tried, and one value of what has too many
//! to try. A rule that speaks of such a value can make the mark too hopeful or too shy; the decision
//! itself is made when the command is sent, and never from a mark.

use std::collections::BTreeMap;

use super::{about::Verb, pipeline::Asked};
use crate::{
    catalogue::{Argument, ArgumentType, Command},
    command::{self, May},
    model::{Invocation, Timestamp, Value},
    policy::Decision,
};

/// How many invocations of a command are tried.
const MOST: usize = 128;

impl Asked<'_> {
    /// What this command is to the sender here: theirs, if the rules permit at least one invocation of it.
    pub fn may_ever(&self, command: &Command, now: Timestamp) -> May {
        // These are decided for the request that they name.
        if Verb::of(&command.name).is_some() {
            return May::Run;
        }
        let mut tried: Vec<BTreeMap<String, Value>> = vec![BTreeMap::new()];
        for argument in &command.arguments {
            let values = self.samples(argument);
            let mut longer = Vec::new();
            for arguments in &tried {
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
            tried = longer;
        }
        let mut may = May::Not;
        for arguments in tried {
            let mut invocation =
                Invocation { command: command.name.clone(), arguments, subject: None, filters: Vec::new() };
            invocation.subject =
                command.subject.as_deref().and_then(|subject| command::fill(subject, &invocation));
            match self.decide(&invocation, now) {
                Decision::Permitted(_) => return May::Run,
                Decision::Waits(_) => may = May::WithApproval,
                Decision::Refused(_) => {}
            }
        }
        may
    }

    /// The nearest thing that the rules do permit: the same invocation with one choice made otherwise.
    pub fn alternative(&self, command: &Command, refused: &Invocation, now: Timestamp) -> Option<Invocation> {
        let chosen = |argument: &&Argument| {
            matches!(argument.kind, ArgumentType::Choice(_) | ArgumentType::System)
                && refused.arguments.contains_key(&argument.name)
        };
        command.arguments.iter().filter(chosen).find_map(|argument| {
            self.samples(argument).into_iter().take(MOST).find_map(|value| {
                let mut other = refused.clone();
                other.arguments.insert(argument.name.clone(), value);
                other.subject = command.subject.as_deref().and_then(|subject| command::fill(subject, &other));
                let subject_is_declared = other.subject.as_deref().is_none_or(|name| self.declares(name));
                (other != *refused
                    && subject_is_declared
                    && matches!(self.decide(&other, now), Decision::Permitted(_)))
                .then_some(other)
            })
        })
    }

    /// Whether a subject is a system that was declared, in an environment that it has.
    pub(super) fn declares(&self, subject: &str) -> bool {
        let (key, environment) =
            subject.split_once('@').map_or((subject, None), |(key, environment)| (key, Some(environment)));
        self.in_force.ops.systems.get(key).is_some_and(|system| {
            environment.is_none_or(|name| system.environments.iter().any(|declared| declared == name))
        })
    }

    /// The values of an argument that are tried.
    pub(super) fn samples(&self, argument: &Argument) -> Vec<Value> {
        self.samples_of(&argument.kind, argument.default.as_ref())
    }

    fn samples_of(&self, kind: &ArgumentType, default: Option<&Value>) -> Vec<Value> {
        match kind {
            ArgumentType::Choice(choices) => choices.iter().cloned().map(Value::Choice).collect(),
            ArgumentType::System => self.in_force.ops.systems.keys().cloned().map(Value::System).collect(),
            ArgumentType::Boolean => vec![Value::Boolean(false), Value::Boolean(true)],
            _ if default.is_some() => default.into_iter().cloned().collect(),
            ArgumentType::Text { .. } => vec![Value::Text("x".to_owned())],
            ArgumentType::Integer { min, .. } => vec![Value::Integer(*min)],
            ArgumentType::Duration { min, .. } => vec![Value::Duration(*min)],
            ArgumentType::User => vec![Value::User(self.sender.to_owned())],
            ArgumentType::Room => vec![Value::Room(self.address.room.clone())],
            ArgumentType::List { items, .. } => {
                self.samples_of(items, None).into_iter().map(|value| Value::List(vec![value])).collect()
            }
        }
    }
}
