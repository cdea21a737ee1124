//! `quarterdeck note`: what was done past Quarterdeck, for the record and for `!adoption`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::ensure;

use super::logged;
use crate::{catalogue, model::Event};

/// The longest note, in characters.
const LONGEST: usize = 300;

/// Records that something was done to a system outside, past Quarterdeck.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The note is on the log for good, with your user's name: name no secrets and no people in it."
)]
pub struct Options {
    /// The system it was done to, by its key
    #[arg(value_name = "SYSTEM")]
    system: String,
    /// What was done, and why not here, in a line
    #[arg(value_name = "WHAT", required = true)]
    what: Vec<String>,
    /// The ops folder
    #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
    ops: PathBuf,
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let ops = super::read_ops(&self.ops)?;
        let known: Vec<&str> = ops.systems.keys().map(String::as_str).collect();
        ensure!(
            known.contains(&self.system.as_str()),
            "no system is called `{}`: there is {}",
            self.system,
            catalogue::one_of(&known)
        );
        let what = self.what.join(" ");
        let what = what.trim();
        ensure!(!what.is_empty(), "the note says nothing: write what was done, in a line");
        ensure!(
            what.chars().count() <= LONGEST && !what.chars().any(char::is_control),
            "the note must be one line of at most {LONGEST} characters"
        );
        let event = Event::OutsideNoted {
            by: logged::operator(),
            system: self.system.clone(),
            what: what.to_owned(),
        };
        super::runtime()?.block_on(async {
            let storage = logged::connect(ops.settings)?;
            let noted = storage.record(None, None, event).await;
            storage.close().await;
            anyhow::Ok(noted?)
        })?;
        println!("Noted, on {}: {what}", self.system);
        Ok(ExitCode::SUCCESS)
    }
}
