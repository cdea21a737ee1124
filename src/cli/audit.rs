//! `quarterdeck audit`: reads the audit log, and records that it was read.

mod archive;
mod erase;
mod export;
pub(super) mod key;
mod list;
mod output;
mod rotate;
mod verify;
mod verify_file;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use ruma::OwnedRoomId;

use super::logged;
use crate::{
    audit,
    model::{Block, Message, RequestNumber, Span},
    storage::{Recorded, Storage},
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
    /// Searches the log: what is found, the newest first
    List(Box<list::List>),
    /// Tells the whole story of one request
    Show(Show),
    /// Writes all that a request's run printed
    Output(output::Output),
    /// Makes the key that signs the log, and prints its public half
    Key(key::Key),
    /// Checks the log, or a bundle of it
    Verify(verify::Verify),
    /// Writes a bundle of entries that can be checked without us
    Export(export::Export),
    /// Puts old contents into files, as [retention] declares it
    Archive(archive::Archive),
    /// Has what was typed in a request, and what it printed, erased under the rules
    Erase(erase::Erase),
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
        let ops = super::read_ops(&self.ops)?;
        let settings = ops.settings.clone();
        if let What::Key(key) = &self.what {
            return key.run(&settings);
        }
        if let What::Erase(erase) = self.what {
            return erase.run(settings, self.ops);
        }
        let own = key::read(&settings);
        let witnesses = key::cosigners(&settings)?;
        super::runtime()?.block_on(async {
            let storage = logged::connect(settings)?;
            let read = match self.what {
                What::List(list) => list.run(&storage, &ops).await,
                What::Show(show) => show.run(&storage).await,
                What::Output(output) => output.run(&storage).await,
                What::Key(_) | What::Erase(_) => Ok(ExitCode::SUCCESS),
                What::Verify(verify) => {
                    verify.run(&storage, own.ok().map(|key| key.public().clone()), &witnesses).await
                }
                What::Archive(archive) => match own {
                    Ok(key) => archive.run(&storage, &ops, &key).await,
                    Err(error) => Err(error),
                },
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
            Block::Table { head, rows } => {
                lines.extend(
                    crate::model::table(head, rows).lines().map(|line| format!("    {}", visible(line))),
                );
            }
            Block::Link { text, url } => lines.push(format!("{}: {}", visible(text), visible(url))),
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
