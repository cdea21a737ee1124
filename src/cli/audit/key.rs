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
        note::{self, LogKey, PublicKey},
    },
    catalogue::Settings,
    model::{Secret, SystemRandom},
    storage::Log,
};

/// Makes the key if there is none, and prints its public half, by which anybody can check the log.
#[derive(Debug, clap::Args)]
pub(super) struct Key {}

impl Key {
    pub(super) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
        let path = &settings.audit_key;
        let fresh = LogKey::draw(&settings.audit_origin, &SystemRandom);
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
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("making the log's key {}", path.display()));
            }
        }
        println!("{}", read(settings)?.public());
        Ok(ExitCode::SUCCESS)
    }
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

/// Its public half, the same way.
pub fn public_of_log(key: &PublicKey, log: &Log) -> Result<PublicKey, note::Error> {
    key.named(log.origin.as_deref().unwrap_or_else(|| key.origin()))
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
