//! `quarterdeck audit export`: writes a bundle of entries that can be checked without us.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    io::{BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use uuid::Uuid;

use super::{key, room_id};
use crate::{
    audit::{self, bundle, note::LogKey, tree},
    cli::logged,
    model::{Clock as _, SystemClock},
    storage::{Cut, Storage},
};

/// How many rows are read at once.
const PAGE: i64 = 1000;

/// Writes entries with all that shows that they are in the signed log, to be checked by `quarterdeck audit verify FILE`.
///
/// That they were read, and by whom, is itself recorded. Contents (texts, arguments, output) are not in it.
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
    /// Where to write it; a file that exists is kept
    file: PathBuf,
}

impl Export {
    pub(super) async fn run(self, storage: &Storage, key: &LogKey) -> anyhow::Result<ExitCode> {
        let logs = storage.logs().await?;
        let wanted = self.log.unwrap_or_else(|| logs.last().map_or(1, |log| log.number));
        let log = logs.iter().find(|log| log.number == wanted);
        let log = log.with_context(|| format!("there is no log {wanted}: there are 1 to {}", logs.len()))?;
        let key = key::of_log(key, log)?;
        let key = key.public();
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
        key.open(&last.note).context("the last checkpoint is not one of this log's key")?;

        let cut = Cut { room, since };
        let mut wanted: BTreeSet<_> = tree::needed_for_leaf(last.size, last.size - 1).into_iter().collect();
        let (mut indexes, mut from) = (Vec::new(), 0);
        loop {
            let page = storage.leaves_of(&cut, from, last.size, PAGE).await?;
            let Some(end) = page.last() else { break };
            from = end + 1;
            // Neighbours share their tiles.
            let mut tile = None;
            for index in &page {
                if tile.replace(index / tree::WIDTH) != Some(index / tree::WIDTH) {
                    wanted.extend(tree::needed_for_leaf(last.size, *index));
                }
            }
            indexes.extend(page);
        }
        let tiles = audit::tiles(storage, last.size, wanted.into_iter().collect()).await?;

        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.file);
        let file = file.with_context(|| format!("making {}", self.file.display()))?;
        let mut out = BufWriter::new(file);
        out.write_all(bundle::beginning(key, &last.note, last.size, &tiles).as_bytes())?;
        let mut rest = indexes.as_slice();
        while let Some(first) = rest.first() {
            // A page of leaves from there on, of which some may not be wanted.
            let page = storage.leaves(*first, last.size, PAGE).await?;
            let mut end = None;
            for row in page.iter() {
                let row = row?;
                end = Some(row.index);
                if rest.first() == Some(&row.index) {
                    let gone = || format!("the entry {} is gone", Uuid::from_u128(row.id));
                    out.write_all(bundle::entry(row.index, row.body.with_context(gone)?).as_bytes())?;
                    rest = &rest[1..];
                }
            }
            let Some(end) = end else { break };
            rest = &rest[rest.partition_point(|index| *index <= end)..];
        }
        out.write_all(bundle::end(indexes.len() as u64).as_bytes())?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        println!("Wrote {} entries to {}. Check it with:", indexes.len(), self.file.display());
        println!("  quarterdeck audit verify {} --key {key}", self.file.display());
        Ok(ExitCode::SUCCESS)
    }
}
