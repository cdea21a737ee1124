//! `quarterdeck audit key`: the key that signs the log's checkpoints.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;

use crate::{
    audit::{
        Declared,
        cosign::Cosigner,
        keys,
        note::{LogKey, PublicKey},
    },
    catalogue::Settings,
    cli::logged,
    model::{Secret, SystemRandom},
    storage::Log,
};

/// Makes the key if there is none, and prints its public half, by which anybody can check the log. Where the log is another one than the
/// first, because a backup was restored, that is the last line, and those of the ended ones stand before it.
#[derive(Debug, clap::Args)]
pub(super) struct Key {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Has the log go on with a new key, signed over by the old one
    Rotate(super::rotate::Rotate),
}

impl Key {
    pub(super) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        if let Some(What::Rotate(rotate)) = &self.what {
            return crate::cli::runtime()?.block_on(rotate.clone().run(settings.clone()));
        }
        let path = &settings.audit_key;
        let fresh = LogKey::draw(&settings.audit_origin, &SystemRandom);
        let mut is_fresh = true;
        // Never over one that exists: what it signed could be continued by no other.
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => {
                file.write_all(fresh.expose().as_bytes())
                    .and_then(|()| file.sync_all())
                    .with_context(|| format!("writing the log's key to {}", path.display()))?;
                eprintln!(
                    "Wrote {}. Keep a copy where you keep your backups: without it the log cannot go on.",
                    path.display()
                );
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => is_fresh = false,
            Err(error) => {
                return Err(error).with_context(|| format!("making the log's key {}", path.display()));
            }
        }
        let own = read(settings)?;
        let mut now = own.public().clone();
        if !is_fresh {
            match crate::cli::runtime()?.block_on(all(settings, own.public())) {
                Ok(all) => {
                    if let Some(last) = all.last() {
                        now = own
                            .public()
                            .named(last.log.origin.as_deref().unwrap_or(own.public().origin()))?;
                    }
                    for (log, key) in all.iter().flat_map(|it| it.keys.iter().map(|key| (&it.log, key))) {
                        if key.to_string() != now.to_string() {
                            println!("{key} (log {}: not the key that signs now)", log.number);
                        }
                    }
                }
                Err(error) => eprintln!("Whether there were other keys is not known: {error:#}"),
            }
        }
        println!("{now}");
        Ok(ExitCode::SUCCESS)
    }
}

/// The keys of all logs of the database; nothing, where there is no database yet.
async fn all(settings: &Settings, own: &PublicKey) -> anyhow::Result<Vec<keys::Keys>> {
    if settings.database_url.is_none() {
        return Ok(Vec::new());
    }
    let storage = logged::connect(settings.clone())?;
    let found = async {
        storage.check_schema().await?;
        anyhow::Ok(keys::of_logs(&storage, own).await?)
    };
    let found = found.await;
    storage.close().await;
    found
}

/// The log's key, from where `[audit]` says.
pub fn read(settings: &Settings) -> anyhow::Result<LogKey> {
    let path = &settings.audit_key;
    LogKey::read(&text(path)?, &settings.audit_origin).with_context(|| {
        format!("reading the key that signs the log, {} (`[audit]` in quarterdeck.toml)", path.display())
    })
}

/// The key as it signs one of the logs of this database: the first has the name of the settings, one that began after a backup
/// was restored its own.
pub fn of_log(key: &LogKey, log: &Log) -> anyhow::Result<LogKey> {
    let origin = log.origin.as_deref().unwrap_or_else(|| key.public().origin());
    Ok(key.named(origin)?)
}

/// The witnesses that `[[audit.witness]]` declares and that can be asked.
pub fn witnesses(settings: &Settings) -> anyhow::Result<Vec<Declared>> {
    let keys = cosigners(settings)?.into_iter().zip(&settings.audit_witnesses);
    Ok(keys.filter_map(|(key, witness)| Some(Declared { url: witness.url.clone()?, key })).collect())
}

/// The keys of all that it declares.
pub fn cosigners(settings: &Settings) -> anyhow::Result<Vec<Cosigner>> {
    let keys = settings.audit_witnesses.iter().map(|witness| {
        Cosigner::read(&witness.key).with_context(|| {
            format!("reading the key of a witness, {} (`[[audit.witness]]` in quarterdeck.toml)", witness.key)
        })
    });
    keys.collect()
}

fn text(path: &Path) -> anyhow::Result<Secret> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Secret::new(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => anyhow::bail!(
            "there is no {}, the key that signs the log (`[audit]` in quarterdeck.toml). For a new installation make it: \
             `quarterdeck audit key`. For one that has signed before, put back the copy of it: another key cannot go on",
            path.display()
        ),
        Err(error) => {
            Err(error).with_context(|| format!("reading the key that signs the log, {}", path.display()))
        }
    }
}
