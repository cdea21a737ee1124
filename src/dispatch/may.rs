//! What somebody may run at all, for the marks in `!help`.
//!
//! The rules decide invocations, not commands. So a command counts as somebody's own if they permit at
//! least one invocation of it: each choice and each system is tried, and of what has too many values those
//! of its examples. A rule that speaks of another value can make the mark too shy; the decision itself is
//! made when the command is sent, and never from a mark.

use super::{about::Verb, pipeline::Asked};
use crate::{
    catalogue::{Argument, ArgumentType, Command},
    command::{self, May},
    model::{Invocation, Timestamp},
    policy::Decision,
};

/// How many invocations of a command are tried, for somebody who waits for help: a decision takes some 10 µs. The first of
/// them are of every subject.
const MOST: usize = 2_000;

impl Asked<'_> {
    /// What this command is to the sender here: theirs, if the rules permit at least one invocation of it.
    pub fn may_ever(&self, command: &Command, now: Timestamp) -> May {
        // These are decided for the request that they name; what is one's own may always be taken back.
        match Verb::of(&command.name) {
            Some(Verb::Cancel) => return May::Run,
            Some(Verb::Approve | Verb::Deny) => {
                let (rules, elevated) = (&self.in_force.rules, &self.standing.elevated);
                let may = rules.may_ever(self.sender, elevated, &self.room.key, &command.name);
                return if may { May::Run } else { May::Not };
            }
            Some(Verb::Confirm) | None => {}
        }
        let mut may = May::Not;
        for invocation in command::samples(&self.in_force.ops, command, self.asker()).into_iter().take(MOST) {
            match self.decide(&invocation, now) {
                Decision::Permitted(_) => return May::Run,
                Decision::Waits(_) => may = May::WithApproval,
                Decision::Refused(_) => {}
            }
        }
        may
    }

    fn asker(&self) -> command::Asker<'_> {
        command::Asker { user: self.sender, room: Some(&self.address.room) }
    }

    /// The nearest thing that the rules do permit: the same invocation with one choice made otherwise.
    pub fn alternative(&self, command: &Command, refused: &Invocation, now: Timestamp) -> Option<Invocation> {
        let chosen = |argument: &&Argument| {
            matches!(argument.kind, ArgumentType::Choice(_) | ArgumentType::System)
                && refused.arguments.contains_key(&argument.name)
        };
        command.arguments.iter().filter(chosen).find_map(|argument| {
            command::values(&self.in_force.ops, argument, self.asker()).into_iter().take(MOST).find_map(
                |value| {
                    let mut other = refused.clone();
                    other.arguments.insert(argument.name.clone(), value);
                    other.subject =
                        command.subject.as_deref().and_then(|subject| command::fill(subject, &other));
                    let subject_is_declared =
                        other.subject.as_deref().is_none_or(|name| self.in_force.declares(name));
                    (other != *refused
                        && subject_is_declared
                        && matches!(self.decide(&other, now), Decision::Permitted(_)))
                    .then_some(other)
                },
            )
        })
    }
}
