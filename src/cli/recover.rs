//! `quarterdeck recover`: goes on after an old backup was put back.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context as _;

use super::{audit::key, logged::operator};
use crate::{
    audit::Collector,
    dispatch::restored,
    model::{Clock as _, Digest, Event, Recovered, Secret, Shown, SystemClock, SystemRandom},
    storage::{Recovery, Storage},
};

/// Goes on after an old backup of the database was put back: with the owner's role, and while no `serve` runs.
///
/// Every unfinished request becomes `interrupted`, because nobody knows what became of it since the backup. Nothing is started.
/// The log ends where it stands, and another begins, whose first entry names the gap and what the witnesses had seen. Its
/// public key is printed: give that to whoever checks the log, and to its witnesses.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Says that a backup was restored: there is nothing else to recover from yet
    #[arg(long, required = true)]
    restored: bool,
    /// What happened, in a line, for the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The ops folder
    #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
    ops: PathBuf,
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        super::runtime()?.block_on(self.recover())
    }

    async fn recover(self) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(!self.reason.trim().is_empty(), "say what happened: --reason TEXT");
        let ops = super::read_ops(&self.ops)?;
        let base = key::read(&ops.settings)?;
        let url = ops.settings.owner_database_url.clone().context(
            "the owner's database URL is not known. Set QUARTERDECK_OWNER_DATABASE_URL, or `owner_url` under [database] in quarterdeck.toml",
        )?;
        let clock = Arc::new(SystemClock);
        let storage = Storage::connect(&Secret::new(url), "recover", clock.clone(), Arc::new(SystemRandom))?;
        storage.check_schema().await?;

        let ended = storage.log().await?;
        let ended_key = key::of_log(&base, &ended)?;
        let unfinished = storage.all_unfinished().await?;
        let last = storage.last_checkpoint().await?;
        let (size, root) = match &last {
            Some(last) => {
                let head = ended_key.public().open(&last.note).context("the last checkpoint")?.head;
                (head.size, Digest::from_bytes(head.root))
            }
            None => (0, Digest::of(b"")),
        };
        let collector = Collector::new(storage.clone(), &ended_key, key::witnesses(&ops.settings)?)?;
        let mut witnesses = Vec::new();
        for (witness, shown) in collector.shown().await {
            match shown {
                Ok(head) => {
                    println!("{witness} has seen {} entries of the log that ends.", head.size);
                    witnesses.push(Shown { witness, size: head.size, root: Digest::from_bytes(head.root) });
                }
                Err(why) => println!("{witness} shows nothing of the log that ends: {why}."),
            }
        }
        let begun = clock.now().to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
        // Of a name that no other recovery has, even one from the same backup.
        let origin = format!("{}/{begun}", ops.settings.audit_origin);
        let fresh = base.named(&origin)?;
        let drafts = restored::drafts(&storage, &ops, &unfinished, storage.last_entry_at().await?).await?;
        let first = Event::LogRecovered(Recovered {
            by: operator(),
            reason: self.reason,
            origin: ended_key.public().origin().to_owned(),
            size,
            root,
            witnesses,
            interrupted: unfinished.len() as u64,
        });
        storage.recover(Recovery { first, origin: &origin, unfinished: &unfinished, drafts }).await?;
        storage.close().await;

        println!(
            "The log {} ends with {size} signed entries; it stays, and can be checked.",
            ended_key.public().origin()
        );
        for request in &unfinished {
            println!("Interrupted: {} of {} ({}).", request.number, request.sender, request.state);
        }
        println!(
            "Nothing was started. The log that begins now has this key; give it to whoever checks the log, and to its"
        );
        println!("witnesses (`quarterdeck witness --log KEY`):");
        println!("{}", fresh.public());
        Ok(ExitCode::SUCCESS)
    }
}
