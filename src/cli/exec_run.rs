//! `quarterdeck exec-run`: the child's side of every start. Not for people.

use std::process::ExitCode;

/// What the command line gave: nothing. All of it comes over standard input, because arguments can be
/// read by every user of the host.
#[derive(Debug, clap::Args)]
pub struct Options {}

impl Options {
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "every subcommand has this form")]
    pub fn run(self) -> anyhow::Result<ExitCode> {
        Ok(crate::executor::become_program())
    }
}
