//! One file a kind of declaration: from TOML to the types, with every mistake told.
//!
//! A reader checks what can be checked within its file. What refers to another file it leaves in
//! [`References`], which are resolved when all files have been read.

mod arguments;
mod command;
mod confined;
mod credentials;
mod doors;
mod dry;
mod endpoint;
mod host;
mod http;
mod retention;
mod room;
mod rule_test;
mod secret;
mod section;
mod settings;
mod ssh;
mod system;
mod team;

pub(super) use command::{command, fits_subject};
pub(super) use doors::is_reference;
pub(super) use endpoint::endpoint;
pub(super) use host::host;
pub(super) use room::room;
pub(super) use rule_test::rule_tests;
pub(super) use secret::{sealed, secret};
pub(super) use section::Source;
pub(super) use settings::settings;
pub(super) use system::system;
pub(super) use team::team;

use super::problems::Located;

/// What a file says of other files.
#[derive(Debug, Default)]
pub(super) struct References {
    /// The teams it names.
    pub(super) teams: Vec<Located<String>>,
    /// The secrets it names.
    pub(super) secrets: Vec<Located<String>>,
    /// The documents it names.
    pub(super) documents: Vec<Located<String>>,
    /// The commands and `#tags` that a room lists.
    pub(super) commands: Vec<(String, Located<String>)>,
    /// The default values, which may name systems: the command, the argument's index, the value as text.
    pub(super) defaults: Vec<(String, usize, Located<String>)>,
    /// The subjects of commands.
    pub(super) subjects: Vec<(String, Located<String>)>,
    /// The hosts that commands name, or the argument that names them.
    pub(super) hosts: Vec<(String, Located<String>)>,
    /// The endpoints whose methods commands call.
    pub(super) endpoints: Vec<(String, Located<String>)>,
    /// The phrases of commands.
    pub(super) phrases: Vec<(String, Located<String>)>,
}
