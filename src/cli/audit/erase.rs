//! `quarterdeck audit erase`: has contents erased, by the same way and under the same rules as `!erase` in a room.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;

use crate::{
    catalogue::Settings,
    cli::{logged, run::To},
    model::{RequestNumber, quoted},
};

/// Has what was typed in a request, and what it printed, erased: `!erase` in its room, as the person whom a team's file
/// names for this user of the host. The rules decide it, and the log holds that it was done. `quarterdeck serve` must run.
#[derive(Debug, clap::Args)]
pub(super) struct Erase {
    /// The request's number
    number: RequestNumber,
    /// What for: it is kept with the request by which it is asked
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The server's socket
    #[arg(long, value_name = "PATH", env = "QUARTERDECK_SOCKET")]
    socket: Option<PathBuf>,
    /// How long to wait for the outcome: 90s, 10m
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = crate::cli::time)]
    timeout: Duration,
}

impl Erase {
    pub(super) fn run(self, settings: Settings, ops: PathBuf) -> anyhow::Result<ExitCode> {
        let room = crate::cli::runtime()?.block_on(async {
            let storage = logged::connect(settings)?;
            let request = storage.request(self.number).await;
            storage.close().await;
            let request = request?.with_context(|| format!("there is no request {}", self.number))?;
            anyhow::Ok(request.room.to_string())
        })?;
        let line = format!("erase {} --reason {}", self.number, quoted(&self.reason));
        Ok(To::about(room, self.socket, ops, self.timeout).ask(line))
    }
}
