//! A folder for each attempt: who its process is, and what it printed so far.
//!
//! ```text
//! spool/ATTEMPT/meta      which process, by pid and time of start; synced before the program begins
//!               limit     how much output is kept, where there is no process of this host
//!               output    the first half of what is kept
//!               tail.N    the second half, in files that are filled one after the other; the last two stay
//!               salt      what the names of its parts in the database are made with, once they are being written there
//!               work/     the working folder, where the command declares none
//!               out/      the out folder, where the command declares one: until the run has ended
//!               file.N    what was taken from there
//! ```
//!
//! The lengths of the files tell how much was printed, so a reader after a crash needs nothing else.
//! Everything here was masked before it was written, but for what goes with the run: the private key of one over SSH, and what
//! a program itself writes into its folders.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    left::{self, OutFolder},
    spec::SpecUser,
    whole::{Kept, Piece},
};
use crate::model::{AttemptId, RequestNumber, Timestamp};

/// What is known of an attempt's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The attempt.
    pub attempt: AttemptId,
    /// The request, as people name it.
    pub number: RequestNumber,
    /// Which start of the machine `started` counts from.
    pub machine_boot: String,
    /// The process, which leads its session.
    pub pid: i32,
    /// When it started, in the kernel's ticks.
    pub started: u64,
    /// When, for people.
    pub at: Timestamp,
    /// How much output is kept.
    pub limit: usize,
}

/// An attempt's folder.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// The folder of an attempt, which may exist or not.
    pub(super) fn of(root: &Path, attempt: AttemptId) -> Self {
        Self { folder: root.join(attempt.to_string()) }
    }

    /// Makes the folder. It must not exist: an attempt is spent by its first start.
    pub(super) fn create(self) -> Result<Unspent, String> {
        let shown = self.folder.display();
        if let Some(root) = self.folder.parent() {
            DirBuilder::new().recursive(true).mode(0o711).create(root).map_err(|error| {
                format!(
                    "the spool folder `{}` cannot be made: {error}; see that Quarterdeck's user owns it",
                    root.display()
                )
            })?;
        }
        DirBuilder::new().mode(0o700).create(&self.folder).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => format!("this attempt was started before: `{shown}` exists"),
            _ => format!("the spool folder `{shown}` cannot be made: {error}; see that there is space, and that Quarterdeck's user owns it"),
        })?;
        Ok(Unspent(Some(self)))
    }

    /// Makes the working folder, for the user that is to work in it.
    pub(super) fn create_work(&self, user: Option<&SpecUser>) -> Result<PathBuf, String> {
        let work = self.folder.join("work");
        let describe =
            |error: io::Error| format!("the working folder `{}` cannot be made: {error}", work.display());
        DirBuilder::new().mode(0o700).create(&work).map_err(describe)?;
        if let Some(user) = user {
            if nix::unistd::geteuid().is_root() {
                std::os::unix::fs::chown(&work, Some(user.uid), Some(user.gid)).map_err(describe)?;
            }
            // That user may pass through to its folder, and read nothing on the way.
            fs::set_permissions(&self.folder, Permissions::from_mode(0o711)).map_err(describe)?;
        }
        Ok(work)
    }

    /// Its out folder.
    pub(super) fn out(&self) -> OutFolder {
        OutFolder::of(&self.folder)
    }

    /// Writes a file that this user alone may read.
    pub(super) fn write_private(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.join(name);
        private(&path)?.write_all(bytes)?;
        Ok(path)
    }

    /// Writes down how much is kept, where there is no process to be written down.
    pub(super) fn write_limit(&self, limit: usize) -> io::Result<()> {
        self.write_private("limit", limit.to_string().as_bytes()).map(drop)
    }

    /// Reads how much is kept. `None` where it was never written down.
    pub(super) fn read_limit(&self) -> io::Result<Option<usize>> {
        let bytes = read_if_there(&self.folder.join("limit"))?;
        Ok(std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()))
    }

    /// Writes down who the process is. That is not forced to the disk: what a killed server wrote is still there,
    /// and a machine that lost its power has no process left to be found.
    pub(super) fn write_meta(&self, meta: &Meta) -> io::Result<()> {
        let mut file = private(&self.folder.join("meta"))?;
        serde_json::to_writer(&mut file, meta)?;
        file.flush()
    }

    /// Reads who the process is. `None` if it never got as far as being written down.
    pub(super) fn read_meta(&self) -> io::Result<Option<Meta>> {
        match fs::read(self.folder.join("meta")) {
            // Half a line is what a crash in the middle leaves: the byte to go was not given then.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The attempts that have a folder.
    pub(super) fn attempts(root: &Path) -> io::Result<Vec<AttemptId>> {
        let folder = match fs::read_dir(root) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut attempts: Vec<AttemptId> = folder
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(AttemptId))
            .collect();
        attempts.sort_unstable();
        Ok(attempts)
    }

    /// Removes the folder. What a program left in its working folder goes with it.
    pub(super) fn remove(&self) -> io::Result<()> {
        left::remove(&self.folder)
    }

    /// Begins to keep output, `limit` bytes of it at most.
    pub(super) fn keep(&self, limit: usize) -> Keeper {
        let split = Split::new(limit);
        let whole = Some(Vec::new());
        Keeper { folder: self.folder.clone(), split, kept: 0, file: None, failed: None, whole }
    }

    /// Reads what was kept: all of it where that is little, else its two ends, and where the whole lies.
    pub(super) fn kept(&self, limit: usize) -> io::Result<Kept> {
        let split = Split::new(limit);
        let output = self.folder.join("output");
        let head = length_if_there(&output)?;
        let mut tails: Vec<u64> = fs::read_dir(&self.folder)?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("tail.")?.parse().ok())
            .collect();
        tails.sort_unstable();
        let mut pieces = vec![Piece::File { path: output, from: 0, length: head }];
        let Some(&last) = tails.last() else {
            return Kept::read(&self.folder, pieces, head, false);
        };
        let of = |number: u64| self.folder.join(format!("tail.{number}"));
        let last_length = length_if_there(&of(last))?;
        let printed = head + last * split.tail + last_length;
        let left_out = printed.saturating_sub(split.head + split.tail);
        if left_out > 0 {
            pieces.push(Piece::Words(format!("\n[... {left_out} bytes left out ...]\n").into_bytes()));
        }
        if let Some(before) = last.checked_sub(1) {
            // Of the one before, what the last has not taken the place of.
            let from = if left_out > 0 { last_length } else { 0 };
            let length = length_if_there(&of(before))?.saturating_sub(from);
            pieces.push(Piece::File { path: of(before), from, length });
        }
        pieces.push(Piece::File { path: of(last), from: 0, length: last_length });
        Kept::read(&self.folder, pieces, printed, left_out > 0)
    }
}

/// The folder of an attempt that nothing was started for yet: it goes with this value, unless that is spent.
#[derive(Debug)]
pub(super) struct Unspent(Option<Spool>);

impl Unspent {
    /// The folder.
    pub(super) fn spool(&self) -> &Spool {
        self.0.as_ref().unwrap_or_else(|| unreachable!("it is taken only by what uses this value up"))
    }

    /// Keeps the folder: the program was told to go.
    pub(super) fn spend(mut self) -> Spool {
        self.0.take().unwrap_or_else(|| unreachable!("it is taken only here"))
    }
}

impl Drop for Unspent {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(|spool| spool.remove()) {
            tracing::warn!(%error, "could not remove the folder of a run that did not start");
        }
    }
}

/// How a limit is divided.
#[derive(Debug, Clone, Copy)]
struct Split {
    head: u64,
    tail: u64,
}

impl Split {
    const fn new(limit: usize) -> Self {
        let limit = if limit < 2 { 2 } else { limit as u64 };
        Self { head: limit / 2, tail: limit - limit / 2 }
    }

    fn limit(self) -> usize {
        usize::try_from(self.head + self.tail).unwrap_or(usize::MAX)
    }
}

/// Writes output as it comes, and never more than one and a half times the limit.
pub(super) struct Keeper {
    folder: PathBuf,
    split: Split,
    kept: u64,
    file: Option<File>,
    failed: Option<String>,
    /// All of it, while that is little: nobody waits for its reading then.
    whole: Option<Vec<u8>>,
}

/// How much output is remembered as well as written, in bytes.
const LITTLE: usize = 4 << 10;

impl Keeper {
    /// Keeps some more.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        match &mut self.whole {
            Some(whole) if whole.len() + bytes.len() <= LITTLE.min(self.split.limit()) => whole.extend(bytes),
            _ => self.whole = None,
        }
        while !bytes.is_empty() && self.failed.is_none() {
            match self.push_some(bytes) {
                Ok(count) => bytes = &bytes[count..],
                // A full disk must not end a run that is under way.
                Err(error) => self.failed = Some(error.to_string()),
            }
        }
    }

    /// All that was kept, where it was little and nothing went wrong.
    pub(super) fn take_whole(&mut self) -> Option<Kept> {
        let bytes = self.whole.take().filter(|_| self.failed.is_none())?;
        Some(Kept::little(bytes))
    }

    /// What prevented more from being kept.
    pub(super) fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Writes into the file that is next, at most until it is full.
    fn push_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Split { head, tail } = self.split;
        let (room, begins, number) = if self.kept < head {
            (head - self.kept, self.kept == 0, None)
        } else {
            let within = (self.kept - head) % tail;
            (tail - within, within == 0, Some((self.kept - head) / tail))
        };
        if begins || self.file.is_none() {
            let name = number.map_or_else(|| "output".to_owned(), |number| format!("tail.{number}"));
            self.file = Some(private(&self.folder.join(name))?);
            if let Some(old) = number.and_then(|number| number.checked_sub(2)) {
                fs::remove_file(self.folder.join(format!("tail.{old}")))?;
            }
        }
        let count = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if let Some(file) = &mut self.file {
            file.write_all(&bytes[..count])?;
        }
        self.kept += count as u64;
        Ok(count)
    }
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn read_if_there(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn length_if_there(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Ok(file) => Ok(file.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spool(root: &Path) -> Spool {
        Spool::of(root, AttemptId(uuid::Uuid::nil())).create().expect("made").spend()
    }

    #[test]
    fn an_attempt_is_spent_by_its_first_start() {
        let root = tempfile::tempdir().expect("a folder");
        let spool = spool(root.path());
        assert!(spool.clone().create().expect_err("spent").contains("started before"));
        assert_eq!(Spool::attempts(root.path()).expect("read"), [AttemptId(uuid::Uuid::nil())]);
        spool.remove().expect("removed");
        spool.remove().expect("once more does no harm");
        assert!(Spool::attempts(root.path()).expect("read").is_empty());
    }

    #[test]
    fn the_folder_of_a_run_that_did_not_start_goes() {
        let root = tempfile::tempdir().expect("a folder");
        drop(Spool::of(root.path(), AttemptId(uuid::Uuid::nil())).create().expect("made"));
        assert!(Spool::attempts(root.path()).expect("read").is_empty());
        spool(root.path());
    }

    #[test]
    fn half_a_meta_is_as_good_as_none() {
        let root = tempfile::tempdir().expect("a folder");
        let spool = spool(root.path());
        assert_eq!(spool.read_meta().expect("read"), None);
        fs::write(spool.folder.join("meta"), "{\"attempt\":").expect("written");
        assert_eq!(spool.read_meta().expect("read"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn head_and_tail_are_kept_whatever_the_lengths(
            limit in 2usize..40,
            writes in prop::collection::vec(0usize..50, 0..12),
        ) {
            let root = tempfile::tempdir().expect("a folder");
            let spool = spool(root.path());
            let total: usize = writes.iter().sum();
            let whole: Vec<u8> = (0..total).map(|index| b'a' + u8::try_from(index % 26).expect("small")).collect();
            let mut keeper = spool.keep(limit);
            let mut position = 0;
            for length in writes {
                keeper.push(&whole[position..position + length]);
                position += length;
            }
            prop_assert_eq!(keeper.failed(), None);
            let kept = spool.kept(limit).expect("read");
            // What is remembered is what is read.
            prop_assert_eq!(keeper.take_whole(), (total <= limit).then(|| kept.clone()));
            prop_assert_eq!(kept.printed, total as u64);
            prop_assert_eq!(kept.truncated, total > limit);
            if total <= limit {
                prop_assert_eq!(kept.bytes, whole);
            } else {
                prop_assert!(kept.bytes.starts_with(&whole[..limit / 2]));
                prop_assert!(kept.bytes.ends_with(&whole[total - (limit - limit / 2)..]));
                let marker = format!("\n[... {} bytes left out ...]\n", total - limit);
                prop_assert_eq!(kept.bytes.len(), limit + marker.len());
            }
        }
    }
}
