//! `quarterdeck registration`.

use std::process::ExitCode;

/// What the command line gave.
#[derive(Debug, clap::Args)]
pub struct Options {}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("`registration` is still to be written")
    }
}
