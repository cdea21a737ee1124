//! `quarterdeck reload`: another version of the ops folder, from the server's own host.

use std::process::ExitCode;

use super::run::To;

/// Loads the ops folder anew, or another version of it, as a whole or not at all.
///
/// It is the command `reload` of the room, asked through the server's socket as by `quarterdeck run reload`: the rules in
/// force decide who may. Its exit status says what came of it: 0 it is in force; 1 it is not, and the old version stays.
/// Whoever may signal the server can also send SIGHUP (`systemctl reload quarterdeck`).
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    to: To,
    /// The branch, tag or commit to fetch; without it, what `[ops]` names, or the folder as it is
    #[arg(value_name = "REF")]
    reference: Option<String>,
}

impl Options {
    pub fn run(self) -> ExitCode {
        let words: Vec<_> = ["reload".to_owned()].into_iter().chain(self.reference).collect();
        self.to.ask(shell_words::join(words))
    }
}
