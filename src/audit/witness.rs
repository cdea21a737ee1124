//! A witness of logs: sees that each only grows, and says so with a cosignature (C2SP tlog-witness).
//!
//! What it saw last of each log is a file of its own in its folder: the checkpoint with its own cosignature. That is on the disk
//! before anybody has the cosignature, so that it never says two things, whenever it is killed. A file that it cannot read
//! makes it refuse that log, and never begin anew.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{
    cosign::CosignKey,
    note::{self, Head, PublicKey, said},
    tree::{self, EMPTY_ROOT, TreeHash},
};
use crate::model::{Digest, Random, Secret, Timestamp, fault::Point};

/// The most hashes of a proof: C2SP tlog-witness, "add-checkpoint".
const HASHES: usize = 63;

/// Why a checkpoint was not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What was sent is not as the specification has it.
    #[error("this is no request of add-checkpoint: {0}")]
    Malformed(String),
    /// A log that this witness does not follow.
    #[error("the log {0} is not followed here")]
    UnknownLog(String),
    /// No key of that log signed it.
    #[error("the checkpoint is not signed by a key that is known of the log {0}")]
    Unsigned(String),
    /// It does not begin where this witness is.
    #[error("the last checkpoint that was cosigned here has {0} entries")]
    Elsewhere(u64),
    /// It has as many entries as the last one, and another root: the log has two histories.
    #[error("another tree of {0} entries was cosigned here: the log has two histories")]
    Fork(u64),
    /// The proof does not hold.
    #[error("the log does not go on from what was cosigned here: {0}")]
    Inconsistent(String),
    /// What was seen could not be stored or read; nothing is cosigned.
    #[error("{0}. Nothing was cosigned")]
    Store(String),
}

/// What a log asks of a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// How many entries the witness has seen, as far as the log knows.
    pub old: u64,
    /// The proof that the log goes on from there: RFC 6962, section 2.1.2.
    pub proof: Vec<TreeHash>,
    /// The checkpoint, with its signatures.
    pub note: String,
}

impl Ask {
    /// The body of the request.
    pub fn to_body(&self) -> String {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            text.push_str(&BASE64_STANDARD.encode(hash));
            text.push('\n');
        }
        text.push('\n');
        text + self.note.as_str()
    }

    /// Reads the body of a request.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let wrong = |what: &str| Refusal::Malformed(what.to_owned());
        let body = std::str::from_utf8(body).map_err(|_| wrong("it is not UTF-8"))?;
        let (top, note) = body.split_once("\n\n").ok_or_else(|| wrong("it has no empty line"))?;
        let mut lines = top.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old.and_then(|old| old.parse().ok().filter(|number: &u64| number.to_string() == old));
        let old = old.ok_or_else(|| wrong("its first line is not `old` and a size"))?;
        let hashes = lines.map(|line| BASE64_STANDARD.decode(line).ok()?.try_into().ok());
        let proof: Option<Vec<TreeHash>> = hashes.collect();
        let proof = proof.ok_or_else(|| wrong("a line of the proof is no hash in Base 64"))?;
        if proof.len() > HASHES {
            return Err(wrong("the proof has more than 63 lines"));
        }
        Ok(Self { old, proof, note: note.to_owned() })
    }
}

/// A witness with its key, the logs that it follows, and what it saw of them.
#[derive(Debug)]
pub struct Witness {
    key: CosignKey,
    logs: Vec<PublicKey>,
    folder: PathBuf,
    /// One at a time: between the look at what was seen and its storing nobody else may come.
    turn: Mutex<()>,
    /// Held as long as this lives, so that no second process uses the folder.
    _lock: File,
}

impl Witness {
    /// Opens the folder of a witness, and makes it with a key of this name where there is none.
    pub fn open(
        folder: &Path,
        name: &str,
        logs: Vec<PublicKey>,
        random: &dyn Random,
    ) -> Result<Self, Refusal> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Refusal::Store(format!("{what} in {}: {error}", folder.display()))
        };
        fs::create_dir_all(folder).map_err(|error| failed("making the folder", &error))?;
        let lock = File::create(folder.join("lock")).map_err(|error| failed("making the lock", &error))?;
        lock.try_lock().map_err(|_| failed("taking the lock", &"another witness uses this folder"))?;
        let path = folder.join("key");
        if !path.exists() {
            let fresh = CosignKey::draw(name, random).map_err(|error| failed("making the key", &error))?;
            store(folder, "key", fresh.expose()).map_err(|error| failed("writing the key", &error))?;
        }
        let text = fs::read_to_string(&path).map_err(|error| failed("reading the key", &error))?;
        let key = CosignKey::read(&Secret::new(text)).map_err(|error| failed("reading the key", &error))?;
        if key.public().name() != name {
            let other = format!("it is for a witness named {}, and not {name}", key.public().name());
            return Err(failed("reading the key", &other));
        }
        Ok(Self { key, logs, folder: folder.to_owned(), turn: Mutex::new(()), _lock: lock })
    }

    /// Its key, by which others know its cosignatures.
    pub const fn key(&self) -> &CosignKey {
        &self.key
    }

    /// Looks at a checkpoint, stores it, and gives the line of its cosignature.
    pub fn add(&self, ask: &Ask, now: Timestamp) -> Result<String, Refusal> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let checkpoint = said(&ask.note).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let origin = checkpoint.origin.clone();
        let known: Vec<_> = self.logs.iter().filter(|log| log.origin() == origin).collect();
        if known.is_empty() {
            return Err(Refusal::UnknownLog(origin));
        }
        // One that does not hold spoils those that do.
        let signatures: Result<Vec<_>, _> = known.iter().map(|log| log.signature(&ask.note)).collect();
        let signature: String = signatures.into_iter().flatten().flatten().collect();
        if signature.is_empty() {
            return Err(Refusal::Unsigned(origin));
        }
        let Head { size, root } = checkpoint.head;
        if ask.old > size {
            return Err(Refusal::Malformed(format!("old is {}, and the checkpoint has {size}", ask.old)));
        }
        let last = self.seen(&origin)?;
        if ask.old != last.size {
            return Err(Refusal::Elsewhere(last.size));
        }
        if ask.old == size && root != last.root {
            return Err(Refusal::Fork(size));
        }
        if ask.old == size || ask.old == 0 {
            if !ask.proof.is_empty() {
                return Err(Refusal::Inconsistent("there is nothing to prove, and a proof".to_owned()));
            }
        } else {
            tree::check_consistency(&ask.proof, size, root, last.size, last.root)
                .map_err(|error| Refusal::Inconsistent(error.to_string()))?;
        }
        let store_failed = |error: &dyn std::fmt::Display| {
            Refusal::Store(format!(
                "storing the checkpoint of {origin} in {}: {error}",
                self.folder.display()
            ))
        };
        let line = self.key.cosign(&checkpoint, now).map_err(|error| store_failed(&error))?;
        Point::BeforeWitnessStored.pass();
        // Only what was checked is kept: whoever sends a checkpoint may have put anything beside the log's signature.
        let kept = format!("{}\n{signature}{line}", checkpoint.body);
        store(&self.folder, &file_of(&origin), &kept).map_err(|error| store_failed(&error))?;
        Point::AfterWitnessStored.pass();
        Ok(line)
    }

    /// The last checkpoint that was cosigned here of the log whose name has this SHA-256 in hex, with the log's signature and
    /// our own. C2SP tlog-witness, "Monitor Retrieval Mechanism".
    pub fn shown(&self, digest: &str) -> Result<Option<String>, Refusal> {
        let of = |log: &&PublicKey| Digest::of(log.origin().as_bytes()).to_string() == digest;
        let Some(log) = self.logs.iter().find(of) else { return Ok(None) };
        // Found to be ours first.
        if self.seen(log.origin())?.size == 0 {
            return Ok(None);
        }
        let path = self.folder.join(file_of(log.origin()));
        let read = fs::read_to_string(&path);
        read.map(Some).map_err(|error| Refusal::Store(format!("reading {}: {error}", path.display())))
    }

    /// The size of the last checkpoint of a log whose cosignature was said in a room, as far as that was noted.
    pub fn told(&self, origin: &str) -> Result<Option<u64>, Refusal> {
        let path = self.folder.join(told_of(origin));
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim_end().parse().ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Refusal::Store(format!("reading {}: {error}", path.display()))),
        }
    }

    /// Notes that it was.
    pub fn note_told(&self, origin: &str, size: u64) -> Result<(), Refusal> {
        store(&self.folder, &told_of(origin), &format!("{size}\n"))
            .map_err(|error| Refusal::Store(format!("noting what was said of {origin}: {error}")))
    }

    /// What was last cosigned of a log; the empty tree where nothing was.
    pub fn seen(&self, origin: &str) -> Result<Head, Refusal> {
        let path = self.folder.join(file_of(origin));
        let broken = |error: &dyn std::fmt::Display| {
            Refusal::Store(format!(
                "what was seen of {origin} cannot be read from {}: {error}",
                path.display()
            ))
        };
        let note = match fs::read_to_string(&path) {
            Ok(note) => note,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Head { size: 0, root: EMPTY_ROOT });
            }
            Err(error) => return Err(broken(&error)),
        };
        let last = said(&note).map_err(|error| broken(&error))?;
        let ours = self.key.public().find(&note).map_err(|error| broken(&error))?;
        if ours.is_none() || last.origin != origin {
            return Err(broken(&note::Error::Checkpoint("does not bear our own cosignature".to_owned())));
        }
        Ok(last.head)
    }
}

/// The name of a log's file: its own name may have any characters.
fn file_of(origin: &str) -> String {
    format!("{}.checkpoint", Digest::of(origin.as_bytes()))
}

/// The name of the file of what was said of a log.
fn told_of(origin: &str) -> String {
    format!("{}.said", Digest::of(origin.as_bytes()))
}

/// Puts a file in the place of another, on the disk when this returns.
fn store(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let fresh = folder.join(format!("{name}.new"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, folder.join(name))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
