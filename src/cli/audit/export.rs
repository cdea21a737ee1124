//! `quarterdeck audit export`: writes a bundle of entries that can be checked without us.

use std::{
    fs::OpenOptions, io::BufWriter, os::unix::fs::OpenOptionsExt as _, path::PathBuf, process::ExitCode,
};

use anyhow::Context as _;

use super::room_id;
use crate::{
    audit::{self, bundle::With, note::LogKey},
    cli::logged,
    model::{Clock as _, SystemClock},
    storage::{Cut, Storage},
};

/// How many rows are read at once.
const PAGE: i64 = 1000;

/// Writes entries with all that shows that they are in the signed log, to be checked by `quarterdeck audit verify FILE`.
///
/// That they were read, and by whom, is itself recorded. Contents (texts, arguments, output) are in it only with --contents.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// Only of this room: its key in the ops folder, or its id
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,
    /// Only since then: `2026-11-23T12:00:00Z`, or so long ago: `2h`, `7d`
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what a witness has cosigned, as far as any did
    #[arg(long)]
    witnessed: bool,
    /// Of a log that has ended, by its number: the first is 1
    #[arg(long, value_name = "NUMBER")]
    log: Option<i32>,
    /// With the texts, arguments, inputs of decisions and outputs that the entries name, as far as they are still there: what was
    /// typed and printed, for whoever gets the file. Secrets are masked in them, as in the database
    #[arg(long)]
    contents: bool,
    /// Where to write it; a file that exists is kept
    file: PathBuf,
}

impl Export {
    pub(super) async fn run(self, storage: &Storage, key: &LogKey) -> anyhow::Result<ExitCode> {
        let logs = storage.logs().await?;
        let wanted = self.log.unwrap_or_else(|| logs.last().map_or(1, |log| log.number));
        let log = logs.iter().find(|log| log.number == wanted);
        let log = log.with_context(|| format!("there is no log {wanted}: there are 1 to {}", logs.len()))?;
        let keys = audit::keys::of_logs(storage, key.public()).await?;
        let keys = keys.into_iter().find(|it| it.log.number == wanted);
        let keys = keys.with_context(|| format!("the keys of log {wanted} are not known"))?;
        let storage = &storage.of_log(log.number);
        let room = match &self.room {
            Some(room) => Some(room_id(storage, room).await?),
            None => None,
        };
        let since =
            self.since.as_deref().map(|since| logged::moment(since, SystemClock.now())).transpose()?;
        let words = [
            self.room.as_ref().map(|room| format!("room {room}")),
            self.since.as_ref().map(|since| format!("since {since}")),
            self.log.map(|log| format!("log {log}")),
            self.witnessed.then(|| "as far as it is witnessed".to_owned()),
            self.contents.then(|| "with contents".to_owned()),
            Some(format!("to {}", self.file.display())),
        ];
        let words: Vec<_> = words.into_iter().flatten().collect();
        logged::record(storage, format!("export: {}", words.join(", "))).await?;
        let Some(last) = storage.last_checkpoint().await? else {
            anyhow::bail!("nothing is signed yet: start `quarterdeck serve` once")
        };
        let size = if self.witnessed {
            storage.last_witnessed().await?.context(
                "no witness has cosigned anything yet: declare one (`[[audit.witness]]` in quarterdeck.toml), or leave out --witnessed",
            )?
        } else {
            last.size
        };
        let last = storage
            .checkpoint_at(size)
            .await?
            .with_context(|| format!("the checkpoint of {size} is gone"))?;
        let key = keys.of(&last.note).context("the last checkpoint is not one of this log's key")?;

        let cut = Cut { room, since };
        let (mut indexes, mut from) = (Vec::new(), 0);
        loop {
            let page = storage.leaves_of(&cut, from, last.size, PAGE).await?;
            let Some(end) = page.last() else { break };
            from = end + 1;
            indexes.extend(page);
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.file);
        let file = file.with_context(|| format!("making {}", self.file.display()))?;
        let mut out = BufWriter::new(file);
        let with = if self.contents { With::Contents } else { With::Entries };
        let written = audit::export(storage, with, key, &last, &indexes, &mut out).await?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        let contents =
            if self.contents { format!(" with {} contents", written.contents.len()) } else { String::new() };
        println!("Wrote {} entries{contents} to {}. Check it with:", written.entries, self.file.display());
        println!("  quarterdeck audit verify {} --key {key}", self.file.display());
        Ok(ExitCode::SUCCESS)
    }
}
