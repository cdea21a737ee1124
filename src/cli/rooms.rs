//! `quarterdeck rooms`: what an administrator decides about a room.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use ruma::OwnedRoomId;

use crate::{
    appservice::Registration,
    catalogue::Ops,
    matrix::{Homeserver, rooms},
    model::SystemClock,
    storage::Storage,
};

/// Decides about a room what Quarterdeck does not decide by itself. It is recorded.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
    /// The ops folder
    #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops", global = true)]
    ops: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Confirms the room that takes the place of one that was closed (upgraded)
    ///
    /// The new room must name the old one as its predecessor, Quarterdeck must be able to enter it, and must have the
    /// highest level there. Its state is then made as declared. `serve` need not be stopped.
    Adopt {
        /// The room's key: its file name in rooms/, without .toml
        key: String,
        /// The new room's id: `!abc...`
        room: OwnedRoomId,
    },
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let ops = super::read_ops(&self.ops)?;
        let What::Adopt { key, room } = self.what;
        super::runtime()?.block_on(adopt(&ops, &key, &room))
    }
}

async fn adopt(ops: &Ops, key: &str, room: &OwnedRoomId) -> anyhow::Result<ExitCode> {
    let settings = &ops.settings;
    let registration = Registration::read(&settings.registration, settings)?;
    let token = registration.as_token.clone();
    let homeserver =
        Homeserver::new(&settings.homeserver_url, settings.bot_user(), token, Arc::new(SystemClock))?;
    let storage = super::logged::connect(settings.clone())?;
    let by = super::logged::operator();
    let adopted = recorded(&homeserver, &storage, ops, key, room, &by).await;
    storage.close().await;
    let report = adopted?;
    println!("{room} is the room of {key} now, confirmed by {by}.");
    for change in &report.changes {
        println!("  {}: {}", change.name, change.what);
    }
    for failure in &report.failures {
        eprintln!("  {}: {}", failure.name, failure.what);
    }
    let is_whole = !report.failures.iter().any(|failure| failure.name == key);
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Adopts the room, and records what was changed in it.
async fn recorded(
    homeserver: &Homeserver,
    storage: &Storage,
    ops: &Ops,
    key: &str,
    room: &OwnedRoomId,
    by: &str,
) -> anyhow::Result<rooms::Report> {
    storage.check_ready().await?;
    let report = rooms::adopt(homeserver, storage, ops, key, room, by).await?;
    for (room, event) in report.events() {
        storage.record(None, room.as_deref(), event).await?;
    }
    Ok(report)
}
