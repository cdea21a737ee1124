//! What was kept of a run's output: in memory its two ends, on the disk all of it.
//!
//! The whole is read in parts of one size, each of which fits into memory and into a row of the database. Nothing else
//! of Quarterdeck ever holds more of an output than a few of them, however long it is.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::model::{Digest, Hasher, OutputSummary, Salt};

/// How much of an output is held in memory, in bytes: the first half of it from the beginning, the rest from the end.
pub(super) const IN_MEMORY: usize = 1 << 20;
/// How long a part of the whole is, in bytes; the last one is shorter.
pub const PART: usize = 1 << 20;

/// What was kept of a run's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// All of it, or head and tail, and between them a line that says what was left out.
    pub bytes: Vec<u8>,
    /// How many bytes there were, after masking.
    pub printed: u64,
    /// Whether something was kept nowhere.
    pub truncated: bool,
    /// The digest of all that was kept.
    pub digest: Digest,
    /// Where all that was kept lies, where `bytes` is not all of it.
    pub whole: Option<Whole>,
}

/// A piece of what was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A stretch of a file.
    File {
        /// Which.
        path: PathBuf,
        /// Where the stretch begins.
        from: u64,
        /// How long it is.
        length: u64,
    },
    /// What Quarterdeck says in between.
    Words(Vec<u8>),
}

impl Piece {
    const fn length(&self) -> u64 {
        match self {
            Self::File { length, .. } => *length,
            Self::Words(words) => words.len() as u64,
        }
    }

    /// Appends a stretch of it.
    fn read(&self, skip: u64, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let to_index = |count: u64| usize::try_from(count).map_err(io::Error::other);
        match self {
            Self::Words(words) => into.extend_from_slice(&words[to_index(skip)?..to_index(skip + length)?]),
            Self::File { path, from, .. } => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(from + skip))?;
                if file.take(length).read_to_end(into)? as u64 != length {
                    let reason = format!("`{}` is shorter than it was", path.display());
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
                }
            }
        }
        Ok(())
    }
}

/// An output that is too long to be held in memory: where it lies, until the attempt is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    folder: PathBuf,
    pieces: Vec<Piece>,
    length: u64,
}

impl Whole {
    /// What these pieces of an attempt's folder are together.
    pub(super) fn of(folder: &Path, pieces: Vec<Piece>) -> Self {
        let length = pieces.iter().map(Piece::length).sum();
        Self { folder: folder.to_owned(), pieces, length }
    }

    /// How long it is, in bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// How many parts it has.
    pub const fn parts(&self) -> u64 {
        self.length.div_ceil(PART as u64)
    }

    /// One of its parts.
    pub fn part(&self, number: u64) -> io::Result<Vec<u8>> {
        let from = number * PART as u64;
        self.stretch(from, self.length.saturating_sub(from).min(PART as u64))
    }

    /// The secret that the salts of its parts are made of: the same for as long as the attempt is not forgotten, whoever
    /// asks, so that a part that is written again after a crash has the name that it had.
    pub fn salt(&self, fresh: Salt) -> io::Result<Salt> {
        let path = self.folder.join("salt");
        let unfinished = self.folder.join("salt.new");
        match fs::read(&path) {
            Ok(bytes) => {
                let wrong = |_| io::Error::other(format!("`{}` is no salt", path.display()));
                return bytes.try_into().map(Salt).map_err(wrong);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&fresh.0)?;
        // Whole or not at all.
        fs::rename(unfinished, path)?;
        Ok(fresh)
    }

    fn digest(&self) -> io::Result<Digest> {
        let mut digest = Hasher::default();
        for number in 0..self.parts() {
            digest.update(&self.part(number)?);
        }
        Ok(digest.finish())
    }

    fn stretch(&self, mut from: u64, mut length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
        for piece in &self.pieces {
            let here = piece.length().saturating_sub(from).min(length);
            if here > 0 {
                piece.read(from, here, &mut bytes)?;
            }
            from = from.saturating_sub(piece.length());
            length -= here;
        }
        Ok(bytes)
    }
}

impl Kept {
    /// What is little and was remembered.
    pub(super) fn little(bytes: Vec<u8>) -> Self {
        Self { printed: bytes.len() as u64, truncated: false, digest: Digest::of(&bytes), whole: None, bytes }
    }

    /// What lies in these pieces of an attempt's folder.
    pub(super) fn read(folder: &Path, pieces: Vec<Piece>, printed: u64, truncated: bool) -> io::Result<Self> {
        let whole = Whole::of(folder, pieces);
        let length = whole.length;
        if length <= IN_MEMORY as u64 || whole.pieces.iter().all(|piece| matches!(piece, Piece::Words(_))) {
            let bytes = whole.stretch(0, length)?;
            return Ok(Self { printed, truncated, digest: Digest::of(&bytes), whole: None, bytes });
        }
        let digest = whole.digest()?;
        let end = IN_MEMORY as u64 / 2;
        let mut bytes = whole.stretch(0, end)?;
        let left_out = length - 2 * end;
        bytes.extend(format!("\n[... {left_out} bytes left out here ...]\n").bytes());
        bytes.extend(whole.stretch(length - end, end)?);
        Ok(Self { bytes, printed, truncated, digest, whole: Some(whole) })
    }

    /// What cannot be read.
    pub(super) fn lost() -> Self {
        Self { truncated: true, ..Self::little(Vec::new()) }
    }

    /// Says at the end of it that the rest could not be kept.
    pub(super) fn is_cut(&mut self, reason: &str) {
        let words = format!("\n[... the rest of the output could not be kept: {reason} ...]\n").into_bytes();
        self.truncated = true;
        self.bytes.extend_from_slice(&words);
        match &mut self.whole {
            None => self.digest = Digest::of(&self.bytes),
            Some(whole) => {
                whole.length += words.len() as u64;
                whole.pieces.push(Piece::Words(words));
                if let Ok(digest) = whole.digest() {
                    self.digest = digest;
                } else {
                    // What cannot be read is not kept whole: what is in memory is what there is.
                    self.whole = None;
                    self.digest = Digest::of(&self.bytes);
                }
            }
        }
    }

    /// The facts about it. `printed` is the count before masking, where it is known.
    pub(super) fn summary(&self, printed: Option<u64>) -> OutputSummary {
        OutputSummary {
            bytes: i64::try_from(printed.unwrap_or(self.printed)).unwrap_or(i64::MAX),
            truncated: self.truncated,
            digest: self.digest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(folder: &Path, lengths: &[usize]) -> (Whole, Vec<u8>) {
        let mut all = Vec::new();
        let mut pieces = Vec::new();
        for (number, &length) in lengths.iter().enumerate() {
            let bytes: Vec<u8> =
                (0..length).map(|index| u8::try_from((index * 7 + number) % 251).expect("small")).collect();
            if number % 2 == 1 {
                pieces.push(Piece::Words(bytes.clone()));
            } else {
                let path = folder.join(number.to_string());
                // What lies before the stretch is none of it.
                fs::write(&path, [b"before".as_slice(), &bytes].concat()).expect("written");
                pieces.push(Piece::File { path, from: 6, length: length as u64 });
            }
            all.extend(bytes);
        }
        let length = all.len() as u64;
        (Whole { folder: folder.to_owned(), pieces, length }, all)
    }

    #[test]
    fn the_parts_together_are_the_whole_wherever_its_pieces_meet() {
        for lengths in [vec![PART * 2 + 5, 30, PART - 20], vec![1, 1, PART], vec![PART, 0, PART]] {
            let folder = tempfile::tempdir().expect("a folder");
            let (whole, all) = whole(folder.path(), &lengths);
            let parts: Vec<_> = (0..whole.parts()).map(|number| whole.part(number).expect("read")).collect();
            assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= PART));
            assert_eq!(parts.concat(), all, "{lengths:?}");
        }
    }

    #[test]
    fn of_a_long_output_both_ends_are_in_memory_and_the_digest_is_that_of_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let (long, all) = whole(folder.path(), &[3 * IN_MEMORY]);
        let mut kept = Kept::read(folder.path(), long.pieces, 3 * IN_MEMORY as u64, false).expect("read");
        assert!(kept.bytes.len() < IN_MEMORY + 100);
        assert!(
            kept.bytes.starts_with(&all[..IN_MEMORY / 2])
                && kept.bytes.ends_with(&all[all.len() - IN_MEMORY / 2..])
        );
        assert_eq!(kept.digest, Digest::of(&all));
        kept.is_cut("the disk is full");
        let whole = kept.whole.as_ref().expect("long");
        let parts: Vec<_> = (0..whole.parts()).map(|number| whole.part(number).expect("read")).collect();
        assert!(
            parts.concat().ends_with(b"the disk is full ...]\n")
                && kept.bytes.ends_with(b"the disk is full ...]\n")
        );
        assert_eq!(kept.digest, Digest::of(&parts.concat()));
    }

    #[test]
    fn the_salt_of_an_attempt_is_drawn_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let (whole, _) = whole(folder.path(), &[5]);
        assert!(whole.salt(Salt([1; 32])).expect("written") == Salt([1; 32]));
        assert!(whole.salt(Salt([2; 32])).expect("read") == Salt([1; 32]));
    }
}
