//! What was declared in the ops folder: settings, rooms, teams, systems, commands, policies, documents.
//!
//! The folder is read whole and validated whole by [`load`]; an [`Ops`] exists only if every file in
//! it is right. `command` reads the commands, `policy` compiles the policies, `matrix` keeps the
//! rooms. It refuses to guess: an unknown key, a missing file or a reference to nothing is a mistake.

mod builtin;
mod declared;
pub mod http;
mod links;
mod load;
mod mistake;
mod names;
mod problems;
mod process;
mod read;
pub mod rpc;
mod rule_test;
mod run;
mod schedule;
mod settings;
mod ssh;
pub mod template;
#[cfg(test)]
mod tests;
mod values;

pub use builtin::{OUTCOMES, builtins};
pub use declared::{
    AUTHORITY, Answers, Argument, ArgumentType, Command, Criticality, Document, EMERGENCY, Effect, Join, Ops,
    PolicyFile, Room, SecretSource, System, Team,
};
pub use http::HttpRun;
pub use links::is_subject;
pub use load::{load, load_kept, load_listed, relisted};
pub use mistake::{Mistake, Warning};
pub use names::{is_name, is_reserved_command, is_secret, nearest, one_of};
pub use process::{Limits, MOST_OUTPUT, OUT_VARIABLE, OUTPUT, ProcessRun};
pub use rpc::{Endpoint, ListedMethod, Listing, Listings, RpcRun};
pub use rule_test::{RuleTest, RuleTestAction, RuleTestAnswer};
pub use run::{OnBusy, Run, RunKind};
pub use schedule::{Schedule, Timetable, scheduled};
pub use settings::{GitSource, LocalDoor, MostRuns, Retention, RetentionRule, Settings, WitnessSetting};
pub use ssh::{SshHost, SshRun};
pub use values::{Known, WrongValue, boolean, duration};

use names::did_you_mean;

/// Whom a team's file names, however else it may be wrong: for what was kept of an earlier version.
pub fn members_in(text: &str) -> std::collections::BTreeSet<ruma::OwnedUserId> {
    let table: toml::Table = text.parse().unwrap_or_default();
    let named = ["users", "leads"].into_iter().filter_map(|key| table.get(key)?.as_array());
    let names = named.flatten().filter_map(toml::Value::as_str);
    names.filter_map(|name| ruma::OwnedUserId::try_from(name).ok()).collect()
}

/// Whether a text can name a branch, a tag or a commit, and is no option and no expression of git's.
pub fn is_git_reference(text: &str) -> bool {
    read::is_reference(text)
}
