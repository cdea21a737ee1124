//! The keys of the logs of a database: a log can have been signed over from one to another.

use super::note::{self, PublicKey};
use crate::storage::{self, Log, Storage};

/// Why they are not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A key, as the log names it.
    #[error("a key of log {log} as `log.key_changed` names it: {error}")]
    Key {
        /// The log.
        log: i32,
        /// What is wrong.
        error: note::Error,
    },
}

/// A log with its keys, one after the other.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The log.
    pub log: Log,
    /// Its keys, the first first. The last one signs it, unless signing it over was broken off.
    pub keys: Vec<PublicKey>,
}

impl Keys {
    /// The one that has signed this checkpoint; the last, where two have.
    pub fn of(&self, note: &str) -> Option<&PublicKey> {
        self.keys.iter().rev().find(|key| key.open(note).is_ok())
    }
}

/// The keys of each log, the first log first. `own` is the one that signs the last of them; what is found is what the logs
/// say, and `verify` holds it against what was signed.
pub async fn of_logs(storage: &Storage, own: &PublicKey) -> Result<Vec<Keys>, Error> {
    let (mut found, mut end) = (Vec::new(), own.clone());
    // From the last log back: each begins with the key by which the one before it ended.
    for log in storage.logs().await?.into_iter().rev() {
        let wrong = |error| Error::Key { log: log.number, error };
        let mut keys: Vec<PublicKey> = Vec::new();
        for change in storage.of_log(log.number).key_changes().await? {
            let from = PublicKey::read(&change.from).map_err(wrong)?;
            // What was announced and never signed over, or announced once more.
            while keys.len() > 1 && keys.last().is_some_and(|last| last.to_string() != from.to_string()) {
                keys.pop();
            }
            if keys.is_empty() {
                keys.push(from);
            }
            keys.push(PublicKey::read(&change.to).map_err(wrong)?);
        }
        if keys.is_empty() {
            let first = match &log.origin {
                Some(origin) => end.named(origin).map_err(wrong)?,
                // The first log has the name of the settings.
                None => own.clone(),
            };
            keys.push(if log.origin.is_some() { first } else { end.named(first.origin()).map_err(wrong)? });
        }
        end.clone_from(&keys[0]);
        found.push(Keys { log, keys });
    }
    found.reverse();
    Ok(found)
}
