//! What was declared in the ops folder: settings, rooms, teams, systems, commands, policies, documents.
//!
//! The folder is read whole and validated whole by [`load`]; an [`Ops`] exists only if every file in
//! it is right. `command` reads the commands, `policy` compiles the policies, `matrix` keeps the
//! rooms. It refuses to guess: an unknown key, a missing file or a reference to nothing is a mistake.

mod builtin;
mod declared;
mod links;
mod load;
mod mistake;
mod names;
mod problems;
mod read;
mod rule_test;
mod settings;
pub mod template;
#[cfg(test)]
mod tests;
mod values;

pub use builtin::builtins;
pub use declared::{
    Answers, Argument, ArgumentType, Command, Criticality, Document, Effect, Join, Limits, Ops, PolicyFile,
    Room, Run, RunKind, SecretSource, System, Team,
};
pub use links::is_subject;
pub use load::{load, load_kept};
pub use mistake::{Mistake, Warning};
pub use names::{is_name, is_reserved_command, nearest, one_of};
pub use rule_test::{RuleTest, RuleTestAction, RuleTestAnswer};
pub use settings::Settings;
pub use values::{Known, WrongValue, boolean, duration};

use names::did_you_mean;
