//! `quarterdeck audit`: reads the audit log, and records that it was read.

mod export;
pub(super) mod key;
mod verify;
mod verify_file;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use ruma::OwnedRoomId;

use super::logged;
use crate::{
    audit,
    model::{Block, Clock as _, Message, RequestNumber, Span, SystemClock},
    storage::{Filter, Recorded, Storage},
};

/// Reads the audit log. That it was read, by whom and for what, is itself recorded.
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
    /// Lists entries, the newest first
    List(List),
    /// Tells the whole story of one request
    Show(Show),
    /// Makes the key that signs the log, and prints its public half
    Key(key::Key),
    /// Checks the log, or a bundle of it
    Verify(verify::Verify),
    /// Writes a bundle of entries that can be checked without us
    Export(export::Export),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only of this room: its key in the ops folder, or its id
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,
    /// Only of this request
    #[arg(long, value_name = "NUMBER")]
    request: Option<RequestNumber>,
    /// Only of this kind: `command.refused`, or a family: `run`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only of this person's requests and doings: a whole MXID
    #[arg(long, value_name = "MXID")]
    sender: Option<String>,
    /// Only since then: `2026-11-23T12:00:00Z`, or so long ago: `2h`, `7d`
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
    /// Prints each entry as its canonical JSON, one a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The request's number
    number: RequestNumber,
    /// Prints each entry as its canonical JSON, one a line, the oldest first
    #[arg(long)]
    json: bool,
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        // Without an ops folder, a database, or anything else of an installation.
        if let What::Verify(verify::Verify { file: Some(file), key, witnesses, .. }) = &self.what {
            return verify_file::run(file, key.as_deref(), witnesses);
        }
        let settings = super::read_ops(&self.ops)?.settings;
        if matches!(self.what, What::Key(_)) {
            return key::Key::run(&settings);
        }
        let own = key::read(&settings).map(|key| key.public().clone());
        let witnesses = key::witnesses(&settings)?;
        super::runtime()?.block_on(async {
            let storage = logged::connect(settings)?;
            let read = match self.what {
                What::List(list) => list.run(&storage).await,
                What::Show(show) => show.run(&storage).await,
                What::Key(_) => Ok(ExitCode::SUCCESS),
                What::Verify(verify) => verify.run(&storage, own.ok(), &witnesses).await,
                What::Export(export) => match own {
                    Ok(key) => export.run(&storage, &key).await,
                    Err(error) => Err(error),
                },
            };
            storage.close().await;
            read
        })
    }
}

impl List {
    async fn run(self, storage: &Storage) -> anyhow::Result<ExitCode> {
        let room = match &self.room {
            Some(room) => Some(room_id(storage, room).await?),
            None => None,
        };
        let since =
            self.since.as_deref().map(|since| logged::moment(since, SystemClock.now())).transpose()?;
        let query = self.query();
        let filter = Filter { room, request: self.request, kind: self.kind, sender: self.sender, since };
        // Recorded before it is shown: what was read without a record would be unrecorded for ever.
        logged::record(storage, query).await?;
        let page = storage.entries(&filter, None, self.limit).await?;
        for recorded in &page.entries {
            if self.json {
                println!("{}", json(recorded)?);
            } else {
                println!("{}", plain(&audit::line(recorded)));
            }
        }
        if page.older.is_some() && !self.json {
            eprintln!("There are older ones: raise --limit, or narrow it down.");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What was asked for, in words, for the record.
    fn query(&self) -> String {
        let parts = [
            self.room.as_ref().map(|room| format!("room {room}")),
            self.request.map(|number| format!("request {number}")),
            self.kind.as_ref().map(|kind| format!("kind {kind}")),
            self.sender.as_ref().map(|sender| format!("sender {sender}")),
            self.since.as_ref().map(|since| format!("since {since}")),
            Some(format!("at most {}", self.limit)),
        ];
        format!("list: {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl Show {
    async fn run(self, storage: &Storage) -> anyhow::Result<ExitCode> {
        let Some(request) = storage.request(self.number).await? else {
            anyhow::bail!("there is no request {}", self.number);
        };
        logged::record(storage, format!("request {}", self.number)).await?;
        let (entries, contents) = storage.story(self.number).await?;
        if self.json {
            for recorded in &entries {
                println!("{}", json(recorded)?);
            }
        } else {
            let sealed = storage.sealed(self.number).await?;
            let story = audit::story(&request, &entries, &contents);
            print!("{}", text(&story.line(audit::sealed(sealed.as_ref()))));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A room's id from its key, or as it was given.
async fn room_id(storage: &Storage, room: &str) -> anyhow::Result<OwnedRoomId> {
    if room.starts_with('!') {
        return room.try_into().with_context(|| format!("`{room}` is not a room id"));
    }
    let bound = storage.bound_rooms().await?;
    let keys: Vec<_> = bound.iter().map(|(key, _)| key.as_str()).collect();
    let keys = keys.join(", ");
    let found = bound.iter().find(|(key, _)| key == room).map(|(_, id)| id.clone());
    found.with_context(|| format!("no room `{room}` is bound; there are: {keys}"))
}

fn json(recorded: &Recorded) -> anyhow::Result<String> {
    Ok(String::from_utf8(recorded.entry.to_canonical_json()?)?)
}

/// A message for a terminal.
fn text(message: &Message) -> String {
    let mut lines = Vec::new();
    for block in &message.blocks {
        match block {
            Block::Line(line) => lines.push(plain(line)),
            Block::List(items) => lines.extend(items.iter().map(|item| format!("  {}", plain(item)))),
            Block::Verbatim(text) => lines.extend(text.lines().map(|line| format!("    {}", visible(line)))),
        }
    }
    let mark = message.mark.map(|mark| format!("{} ", mark.symbol())).unwrap_or_default();
    format!("{mark}{}\n", lines.join("\n"))
}

fn plain(spans: &[Span]) -> String {
    let spans = spans.iter().map(|span| match span {
        Span::Text(text) | Span::Strong(text) | Span::Emphasis(text) => visible(text),
        Span::Code(text) => format!("`{}`", visible(text)),
    });
    spans.collect()
}

/// The text with control characters made visible: what somebody sent must not steer the terminal of
/// whoever reads about it.
fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_does_not_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
    }
}
