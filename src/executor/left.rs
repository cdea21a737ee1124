//! Files that a run leaves in its out folder: taken when it has ended, masked like its output, and kept in the spool until
//! its outcome is recorded.
//!
//! What lies there was made by the program, and is trusted in nothing: not in its names, not in being a file. Regular files
//! that lie in the folder itself are taken, of the run's own user and under one name; each is looked at before it is opened, and
//! opened as what was looked at. A link, a pipe, a device, a folder is not taken, and that is said.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{
            ffi::OsStrExt as _,
            fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
};

use super::{
    redact::Redactor,
    spec::SpecUser,
    whole::{Piece, Whole},
};
use crate::model::{Digest, Hasher};

/// Where a sandbox has it.
pub(super) const IN_SANDBOX: &str = "/out";
/// How many files are taken.
pub const MOST_FILES: usize = 16;
/// How long they may be together, in bytes.
pub const MOST_BYTES: u64 = 64 << 20;
/// How much may lie in the folder while it runs, in bytes: a program that needs more for a while has its `/tmp`.
pub(super) const MOST_ON_DISK: u64 = 4 * MOST_BYTES;
/// How many entries of the folder are looked at.
const MOST_ENTRIES: usize = 1_000;
/// How many files that are not taken are named.
const NAMED: usize = 5;
/// How long a name may be, in characters.
const LONGEST_NAME: usize = 80;
/// How much of a file is read at once, in bytes.
const AT_ONCE: usize = 64 << 10;

/// A file that a run left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftFile {
    /// Its name, masked, and without what could mislead or harm.
    pub name: String,
    /// Its media type.
    pub media_type: &'static str,
    /// The digest of what was kept of it.
    pub digest: Digest,
    /// Where it lies, masked, until the attempt is forgotten.
    pub whole: Whole,
}

/// What a run left in its out folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// What is kept.
    pub files: Vec<LeftFile>,
    /// What is not, and why, in words for whoever may read the output.
    pub refused: Vec<String>,
}

/// The folder of a run, on the disk.
#[derive(Debug, Clone)]
pub(super) struct OutFolder {
    attempt: PathBuf,
}

impl OutFolder {
    /// That of the attempt whose folder this is.
    pub(super) fn of(attempt: &Path) -> Self {
        Self { attempt: attempt.to_owned() }
    }

    /// Where it is.
    pub(super) fn path(&self) -> PathBuf {
        self.attempt.join("out")
    }

    /// Makes it, for the user that is to write there.
    pub(super) fn create(&self, user: Option<&SpecUser>) -> Result<(), String> {
        let path = self.path();
        let describe =
            |error: io::Error| format!("its out folder `{}` cannot be made: {error}", path.display());
        DirBuilder::new().mode(0o700).create(&path).map_err(describe)?;
        if let Some(user) = user {
            if nix::unistd::geteuid().is_root() {
                std::os::unix::fs::chown(&path, Some(user.uid), Some(user.gid)).map_err(describe)?;
            }
            // That user may pass through to it, and read nothing on the way.
            fs::set_permissions(&self.attempt, Permissions::from_mode(0o711)).map_err(describe)?;
        }
        Ok(())
    }

    /// Whether a program left anything there, or something was taken from there.
    pub(super) fn left_anything(&self) -> bool {
        fs::read_dir(self.path()).is_ok_and(|mut entries| entries.next().is_some())
            || self.attempt.join("file.1").exists()
    }

    /// Whether it holds more than it may, at any depth. What cannot be counted is too much.
    pub(super) fn is_too_much(&self) -> bool {
        let (mut bytes, mut entries, mut open) = (0, 0, vec![self.path()]);
        while let Some(folder) = open.pop() {
            // What goes while it is counted is none of it.
            let Ok(folder) = fs::read_dir(folder) else { continue };
            for entry in folder.flatten() {
                let Ok(found) = entry.metadata() else { continue };
                bytes += found.blocks() * 512;
                entries += 1;
                if bytes > MOST_ON_DISK || entries > MOST_ENTRIES * 4 {
                    return true;
                }
                if found.is_dir() {
                    open.push(entry.path());
                }
            }
        }
        false
    }

    /// Takes what lies there. Nothing of the run lives any more. What is taken is masked before it is written, and the
    /// folder is gone afterwards.
    pub(super) fn take(&self, redactor: &mut Redactor, owner: Option<u32>) -> io::Result<Left> {
        let path = self.path();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = open(&path, flags, Mode::empty()).map_err(io::Error::from)?;
        let owner = owner.unwrap_or_else(|| nix::unistd::geteuid().as_raw());
        let mut taking = Taking { attempt: &self.attempt, redactor, owner, left: Left::default(), bytes: 0 };
        let (names, more) = names(&folder)?;
        let mut unnamed = 0;
        for name in names {
            let shown = taking.shown(&name);
            let refused = match taking.file(&folder, &name, &shown) {
                Ok(()) => continue,
                Err(Refused::Is(what)) => what.to_owned(),
                Err(Refused::Error(error)) => format!("it cannot be read: {error}"),
            };
            if taking.left.refused.len() < NAMED {
                taking.left.refused.push(format!("{shown}: {refused}"));
            } else {
                unnamed += 1;
            }
        }
        if more || unnamed > 0 {
            let more = if more { " at least" } else { "" };
            taking.left.refused.push(format!("and {unnamed} more{more}"));
        }
        let left = taking.left;
        if let Err(error) = remove(&path) {
            tracing::warn!(%error, path = %path.display(), "an out folder could not be removed; it goes with its attempt");
        }
        Ok(left)
    }
}

/// The names in a folder, in order; and whether there are more.
fn names(folder: &OwnedFd) -> io::Result<(Vec<OsString>, bool)> {
    let mut names = Vec::new();
    for entry in fs::read_dir(opened(folder))? {
        if names.len() == MOST_ENTRIES {
            return Ok((names, true));
        }
        names.push(entry?.file_name());
    }
    names.sort();
    Ok((names, false))
}

/// The path of what is open, whatever became of its name.
fn opened(file: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Why a file is not taken.
enum Refused {
    /// For what it is.
    Is(&'static str),
    /// It cannot be read.
    Error(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Error(error)
    }
}

struct Taking<'a> {
    attempt: &'a Path,
    redactor: &'a mut Redactor,
    owner: u32,
    left: Left,
    /// How much was taken.
    bytes: u64,
}

impl Taking<'_> {
    /// A name as it is shown, and not one that another has.
    fn shown(&mut self, name: &OsStr) -> String {
        let mut masked = self.redactor.push(name.as_bytes());
        masked.extend(self.redactor.finish());
        let name = harmless(&String::from_utf8_lossy(&masked));
        let taken = |name: &str| self.left.files.iter().any(|file| file.name == name);
        let others = (2..).map(|number| format!("{number}-{name}"));
        std::iter::once(name.clone()).chain(others).find(|name| !taken(name)).unwrap_or(name)
    }

    fn file(&mut self, folder: &OwnedFd, name: &OsStr, shown: &str) -> Result<(), Refused> {
        const TOO_MUCH: &str = "together with the others it is more than 64 MiB";
        // Only looked at: to open a pipe or a device would do something.
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let looked_at = openat(folder, name, flags, Mode::empty()).map_err(|error| match error {
            Errno::ENOENT => Refused::Is("it is gone"),
            other => Refused::Error(other.into()),
        })?;
        let found = File::from(looked_at.try_clone()?).metadata()?;
        let kind = found.file_type();
        if !kind.is_file() {
            return Err(Refused::Is(if kind.is_symlink() {
                "it is a link"
            } else if kind.is_dir() {
                "it is a folder"
            } else {
                "it is no file"
            }));
        }
        if found.nlink() != 1 || found.uid() != self.owner {
            return Err(Refused::Is("it is, or was, a file of somewhere else as well"));
        }
        if self.left.files.len() == MOST_FILES {
            return Err(Refused::Is("there are 16 already"));
        }
        let room = MOST_BYTES - self.bytes;
        if found.len() > room {
            return Err(Refused::Is(TOO_MUCH));
        }
        // The same file as was looked at, whatever its name leads to now.
        let from = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits() | OFlag::O_NOCTTY.bits())
            .open(opened(&looked_at))?;
        let path = self.attempt.join(format!("file.{}", self.left.files.len() + 1));
        let copied = copy(from, &path, self.redactor, room);
        // What was held back of this one is none of the next.
        self.redactor.finish();
        let Some(Copied { length, digest, media_type }) = copied? else {
            fs::remove_file(&path)?;
            return Err(Refused::Is(TOO_MUCH));
        };
        self.bytes += length;
        let whole = Whole::of(self.attempt, vec![Piece::File { path, from: 0, length }]);
        self.left.files.push(LeftFile { name: shown.to_owned(), media_type, digest, whole });
        Ok(())
    }
}

struct Copied {
    length: u64,
    digest: Digest,
    media_type: &'static str,
}

/// Writes what is masked of a file, unless that is more than `room`.
fn copy(mut from: File, to: &Path, redactor: &mut Redactor, room: u64) -> io::Result<Option<Copied>> {
    let mut into = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let (mut buffer, mut length, mut digest) = (vec![0; AT_ONCE], 0, Hasher::default());
    let mut media_type = None;
    loop {
        let count = from.read(&mut buffer)?;
        let masked = if count == 0 { redactor.finish() } else { redactor.push(&buffer[..count]) };
        length += masked.len() as u64;
        if length > room {
            return Ok(None);
        }
        if !masked.is_empty() {
            media_type.get_or_insert_with(|| media_type_of(&masked));
        }
        digest.update(&masked);
        into.write_all(&masked)?;
        if count == 0 {
            let media_type = media_type.unwrap_or(TEXT);
            return Ok(Some(Copied { length, digest: digest.finish(), media_type }));
        }
    }
}

const TEXT: &str = "text/plain";
const BYTES: &str = "application/octet-stream";

/// By how it begins. Anything but text is bytes: what its name or the program claims counts for nothing, so that no
/// client shows or runs it as something.
fn media_type_of(begin: &[u8]) -> &'static str {
    let is_text = match std::str::from_utf8(begin) {
        Ok(_) => true,
        // Cut within a character.
        Err(error) => error.error_len().is_none() && error.valid_up_to() > 0,
    };
    if is_text && !begin.contains(&0) { TEXT } else { BYTES }
}

/// A name that is one name on every system, says what it shows, and is no option.
fn harmless(name: &str) -> String {
    let sign = |sign: char| {
        let misleads = sign.is_control()
            || matches!(sign, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffd}' | '\u{e0000}'..='\u{e007f}')
            || "/\\:*?\"<>|".contains(sign);
        if misleads { '_' } else { sign }
    };
    let name: Vec<char> = name.chars().map(sign).collect();
    let name = if name.len() <= LONGEST_NAME {
        name.into_iter().collect::<String>()
    } else {
        // Its end tells what it is.
        let (begin, end) = (&name[..LONGEST_NAME - 21], &name[name.len() - 20..]);
        begin.iter().chain(['…'].iter()).chain(end).collect()
    };
    let name = name.trim().trim_start_matches(['.', '-', '~']).trim_end_matches('.').trim();
    if name.is_empty() { "file".to_owned() } else { name.to_owned() }
}

/// Removes a folder of a program's, whatever rights it gave to what lies in there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    };
    if gone(fs::remove_dir_all(path)).is_ok() {
        return Ok(());
    }
    // A folder that its owner may not enter: it is made enterable, each as it is found.
    let mut waiting = vec![path.to_owned()];
    while let Some(folder) = waiting.pop() {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        // What is no folder any more is removed with the rest.
        let Ok(found) = open(&folder, flags, Mode::empty()) else { continue };
        // What was opened, whatever its name leads to now.
        fs::set_permissions(opened(&found), Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(opened(&found))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(folder.join(entry.file_name()));
            }
        }
    }
    gone(fs::remove_dir_all(path))
}
