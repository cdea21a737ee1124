//! `quarterdeck audit key rotate`: the log goes on with another key.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;

use super::key;
use crate::{
    audit::{Sequencer, note::LogKey},
    catalogue::Settings,
    cli::logged,
    model::{Clock as _, Event, KeyChanged, Secret, SystemClock, SystemRandom, fault::Point},
    storage::Storage,
};

/// Has the log go on with a new key: while no `serve` runs, on any host.
///
/// The old key signs the log over: an entry names both keys, and the checkpoint that holds it bears both signatures. So whoever has
/// the old key's public half can check the log up to there and is told the new one, and the log keeps its name. Broken off at any
/// moment, it is gone on with by the same command.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Rotate {
    /// Why, in a line, for the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Rotate {
    pub(super) async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(!self.reason.trim().is_empty(), "say why: --reason TEXT");
        let place = settings.audit_key.clone();
        let old = key::read(&settings)?;
        let fresh = with_end(&place, "next");
        let next = next_key(&place, &fresh, &settings.audit_origin)?;
        let storage = logged::connect(settings)?;
        let rotated = self.sign_over(&storage, &old, &next).await;
        storage.close().await;
        rotated?;
        Point::AfterKeySignedOver.pass();

        let day = SystemClock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let kept = with_end(&place, &format!("until-{day}"));
        // First a second name for the old one, then the new one in its place: at no moment is there none.
        fs::hard_link(&place, &kept).with_context(|| format!("keeping the old key as {}", kept.display()))?;
        fs::rename(&fresh, &place)
            .and_then(|()| File::open(folder_of(&place))?.sync_all())
            .with_context(|| format!("putting the new key in its place, {}", place.display()))?;
        println!(
            "The log goes on with this key. Give it to whoever checks the log, and to its witnesses (a further --log);"
        );
        println!(
            "{} is the new key: keep a copy with your backups. {} signs nothing any more.",
            place.display(),
            kept.display()
        );
        println!("{}", next.public());
        Ok(ExitCode::SUCCESS)
    }

    /// Has both keys sign that the log goes on with the next.
    async fn sign_over(&self, storage: &Storage, old: &LogKey, next: &LogKey) -> anyhow::Result<()> {
        storage.check_schema().await?;
        let _quiet = storage.quiet().await?;
        let log = storage.log().await?;
        let of_log = storage.of_log(log.number);
        let (old, next) = (key::of_log(old, &log)?, key::of_log(next, &log)?);
        let (from, to) = (old.public().to_string(), next.public().to_string());
        let public = next.public().clone();
        let is_over = |note: &str| public.open(note).is_ok();
        if of_log.last_checkpoint().await?.is_some_and(|last| is_over(&last.note)) {
            return Ok(());
        }
        // What waits is the old key's still.
        let mut before = Sequencer::new(of_log.clone(), key::of_log(&old, &log)?);
        before.start().await.context("going on with the log by its old key")?;
        before.catch_up().await?;
        let (by, reason) = (logged::operator(), self.reason.clone());
        // Said again where it was broken off between the two: it is what the tree grows by.
        storage.record(None, None, Event::LogKeyChanged(KeyChanged { by, reason, from, to })).await?;
        let mut both = Sequencer::new(of_log.clone(), old.over_to(next));
        both.catch_up().await?;
        let last = of_log.last_checkpoint().await?.map(|last| last.note);
        anyhow::ensure!(
            last.is_some_and(|note| is_over(&note)),
            "the log was not signed over, because something else signed it in this moment. Stop every `serve`, and ask again"
        );
        Ok(())
    }
}

/// The next key: one that an earlier try left, or a fresh one, its owner's as the old one is.
fn next_key(place: &Path, fresh: &Path, origin: &str) -> anyhow::Result<LogKey> {
    if !fresh.exists() {
        let text = LogKey::draw(origin, &SystemRandom);
        let made = with_end(place, "making");
        let making = || format!("making the new key {}", made.display());
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&made)
            .with_context(making)?;
        let owner = fs::metadata(place).with_context(making)?;
        std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid())).with_context(making)?;
        file.write_all(text.expose().as_bytes()).and_then(|()| file.sync_all()).with_context(making)?;
        fs::rename(&made, fresh)
            .and_then(|()| File::open(folder_of(place))?.sync_all())
            .with_context(making)?;
    }
    let text = fs::read_to_string(fresh).with_context(|| format!("reading {}", fresh.display()))?;
    LogKey::read(&Secret::new(text), origin).with_context(|| format!("reading {}", fresh.display()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// `audit.key` with a further end: `audit.key.next`.
fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}
