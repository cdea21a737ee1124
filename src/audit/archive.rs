//! Puts old contents into files, as bundles that can be checked by themselves, and has them taken out of the database.
//!
//! A file is whole, on the disk and checked by the code that shares nothing with what wrote it, before anything is taken away;
//! the commit that takes it away names the file. Until then it is called `NAME.new`. What the next round finds under such a name
//! it judges by the log: where an entry names the file it gets its name, and where none does nothing was taken away, and it goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jiff::tz::TimeZone;

use super::{
    bundle::With,
    export::{self, export},
    keys,
    note::PublicKey,
    verify,
};
use crate::{
    model::{Archived, Commitment, Digest, Random, RequestNumber, fault::Point},
    storage::{self, Checkpoint, Due, Old, Storage},
};

/// How many requests one file is of, at most: what is searched waits for the commit that takes their contents away.
const REQUESTS: i64 = 300;
/// How long the contents of one file are together, unless those of one request are longer.
const BYTES: u64 = 64 << 20;
/// What a file's name ends with until what it holds is taken away.
const FRESH: &str = "new";

/// Why contents stay where they are.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A bundle.
    #[error(transparent)]
    Export(#[from] export::Error),
    /// The folder, or a file in it.
    #[error("{doing} {}: {error}. Nothing was taken out of the database", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// Somebody else is at it.
    #[error("another archiving is under way in {}", .0.display())]
    Busy(PathBuf),
    /// The logs' keys.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// None of a log's keys has signed its checkpoint.
    #[error(
        "the checkpoint of {size} entries of log {log} is not signed by a key of that log. Run `quarterdeck audit verify`"
    )]
    Unsigned {
        /// The log.
        log: i32,
        /// The checkpoint's size.
        size: u64,
    },
    /// What was written does not check.
    #[error("{} does not check as it was written: {fault}. Nothing was taken out of the database", path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: verify::Fault,
    },
    /// What was written is not all of it.
    #[error("{} has {found} contents of {wanted}. Nothing was taken out of the database", path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// How many were to be in it.
        wanted: usize,
        /// How many are.
        found: u64,
    },
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The files that were written.
    pub files: Vec<PathBuf>,
    /// How many requests had contents that went.
    pub requests: u64,
    /// How many contents went.
    pub contents: u64,
    /// How many requests have old contents that no signed entry names, and that stay.
    pub unnamed: u64,
    /// How many files were given up, because what they hold was changed meanwhile: the next round comes back to it.
    pub given_up: u64,
}

/// Archives by declared rules.
pub struct Archive<'a> {
    /// The database.
    pub storage: &'a Storage,
    /// The public key of the log that goes on, under the name of the first.
    pub key: &'a PublicKey,
    /// For files' names.
    pub random: &'a dyn Random,
    /// Where files go.
    pub folder: &'a Path,
    /// The declared rules.
    pub rules: &'a [Old],
    /// The version of the ops folder that declares them.
    pub ops: Digest,
    /// Who does it.
    pub by: String,
}

impl Archive<'_> {
    /// Puts all that is old enough into files.
    ///
    /// # Errors
    ///
    /// Where a file cannot be written, or is not as it was meant: then nothing of it was taken away.
    pub async fn run(&self) -> Result<Report, Error> {
        let _lock = self.lock()?;
        self.settle().await?;
        let (mut report, mut last) = (Report::default(), None::<Due>);
        loop {
            let mut due = self.storage.due_for_archive(self.rules, last.as_ref(), REQUESTS).await?;
            let mut bytes = 0;
            let fits = due.iter().take_while(|one| {
                bytes += one.bytes;
                bytes <= BYTES
            });
            due.truncate(fits.count().max(1));
            let Some(end) = due.last() else { return Ok(report) };
            last = Some(end.clone());
            let numbers: BTreeSet<_> = due.iter().map(|one| one.number).collect();
            self.some(&numbers, &mut report).await?;
        }
    }

    /// One file of these requests for each log that names contents of theirs.
    async fn some(&self, numbers: &BTreeSet<RequestNumber>, report: &mut Report) -> Result<(), Error> {
        let all: Vec<_> = numbers.iter().copied().collect();
        let leaves = self.storage.leaves_naming(&all).await?;
        let mut went = BTreeSet::new();
        for keys in keys::of_logs(self.storage, self.key).await? {
            let log = &keys.log;
            let of_log = self.storage.of_log(log.number);
            let Some(last) = of_log.last_checkpoint().await? else { continue };
            let indexes: Vec<u64> = leaves
                .iter()
                .filter(|leaf| leaf.log == log.number && leaf.index < last.size)
                .map(|leaf| leaf.index)
                .collect();
            let Some(end) = indexes.last() else { continue };
            // One that somebody has cosigned, where that holds all of it.
            let witnessed = of_log.last_witnessed().await?.filter(|size| size > end);
            let last = match witnessed {
                Some(size) => of_log.checkpoint_at(size).await?.unwrap_or(last),
                None => last,
            };
            let unsigned = || Error::Unsigned { log: log.number, size: last.size };
            let key = keys.of(&last.note).ok_or_else(unsigned)?;
            let Some((fresh, contents)) = self.write(&of_log, key, &last, &indexes, numbers).await? else {
                continue;
            };
            Point::AfterArchiveWritten.pass();
            let name = name_of(&fresh);
            let told =
                Archived { by: self.by.clone(), file: name.clone(), ops: self.ops, contents: Vec::new() };
            if !self.storage.archive(&told, &contents).await? {
                remove(&fresh)?;
                report.given_up += 1;
                continue;
            }
            report.requests += contents.keys().filter(|number| !went.contains(*number)).count() as u64;
            report.contents += contents.values().map(|names| names.len() as u64).sum::<u64>();
            went.extend(contents.into_keys());
            report.files.push(self.name(&fresh, &name)?);
        }
        report.unnamed += numbers.iter().filter(|number| !went.contains(*number)).count() as u64;
        Ok(())
    }

    /// Writes a file, whole and on the disk, and checks it. Nothing, where it would hold no contents.
    async fn write(
        &self,
        storage: &Storage,
        key: &PublicKey,
        last: &Checkpoint,
        indexes: &[u64],
        numbers: &BTreeSet<RequestNumber>,
    ) -> Result<Option<(PathBuf, BTreeMap<RequestNumber, Vec<Commitment>>)>, Error> {
        let day = storage.now().to_zoned(TimeZone::UTC).strftime("%Y%m%d").to_string();
        let (first, end) = (numbers.first(), numbers.last());
        let (first, end) = (first.map_or(0, |it| it.0), end.map_or(0, |it| it.0));
        let own = &self.random.uuid().simple().to_string()[..12];
        let path = self.folder.join(format!("{day}-{first}-{end}-{own}.bundle.{FRESH}"));
        let failed = |doing| {
            let path = path.clone();
            move |error| Error::File { doing, path, error }
        };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut out = BufWriter::new(file.map_err(failed("making"))?);
        let with = With::ContentsOf(numbers);
        let written = export(storage, with, key, last, indexes, &mut out).await?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error).map_err(failed("writing"))?;
        file.sync_all().map_err(failed("writing to the disk"))?;
        sync(self.folder)?;
        if written.contents.is_empty() {
            remove(&path)?;
            return Ok(None);
        }
        let read = BufReader::new(File::open(&path).map_err(failed("opening"))?);
        let found = tokio::task::spawn_blocking(move || {
            let mut read = read;
            verify::bundle(&mut read, &[], |_| {})
        });
        let found = found.await.map_err(|error| failed("checking")(io::Error::other(error)))?;
        let found = found.map_err(|fault| Error::Unsound { path: path.clone(), fault })?;
        let contents = found.contents.unwrap_or_default();
        if contents != written.contents.len() as u64 {
            return Err(Error::Short { path, wanted: written.contents.len(), found: contents });
        }
        let mut of: BTreeMap<RequestNumber, Vec<Commitment>> = BTreeMap::new();
        for (number, name) in written.contents {
            of.entry(number).or_default().push(name);
        }
        Ok(Some((path, of)))
    }

    /// What an earlier round left half done, because it was killed.
    async fn settle(&self) -> Result<(), Error> {
        let failed = |error| Error::File { doing: "looking into", path: self.folder.to_owned(), error };
        for entry in fs::read_dir(self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = name_of(&path);
            if path.extension().is_none_or(|end| end != FRESH) || !name.ends_with(".bundle") {
                continue;
            }
            if self.storage.is_archived_in(&name).await? {
                self.name(&path, &name)?;
            } else {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Gives a file the name that the log has for it.
    fn name(&self, fresh: &Path, name: &str) -> Result<PathBuf, Error> {
        let path = self.folder.join(name);
        // What is in the database is taken away by now, and the next round gives it its name.
        fs::rename(fresh, &path)
            .and_then(|()| File::open(self.folder)?.sync_all())
            .map_err(|error| Error::File { doing: "naming", path: path.clone(), error })?;
        Ok(path)
    }

    /// Held as long as it lives, so that nobody takes the files of another round for left over.
    fn lock(&self) -> Result<File, Error> {
        let path = self.folder.join("lock");
        let failed = |error| Error::File { doing: "making the lock", path: path.clone(), error };
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(failed)?;
        lock.try_lock().map_err(|_| Error::Busy(self.folder.to_owned()))?;
        Ok(lock)
    }
}

/// The name that a file gets when what it holds is taken away.
fn name_of(fresh: &Path) -> String {
    fresh.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn remove(path: &Path) -> Result<(), Error> {
    fs::remove_file(path).map_err(|error| Error::File { doing: "removing", path: path.to_owned(), error })
}

fn sync(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Error::File { doing: "writing to the disk", path: folder.to_owned(), error })
}
