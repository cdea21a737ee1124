//! Finds out whether a log is what was signed: leaf by leaf, or from a bundle. Pure, and apart from all that writes a log:
//! it uses the entry, the tree, the note and its cosignatures alone (`tests/it/log_checked.rs` looks).

mod entry;
mod named;
mod walk;

use std::io::BufRead;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{
    cosign::Cosigner,
    note::{Head, PublicKey},
    tree::{self, Tile, Tiles},
};
use crate::model::Timestamp;
use named::Named;

pub use walk::{Claim, Walk};

/// The first line of a bundle.
pub const MARK: &str = "quarterdeck.audit/v1";
/// That of one with contents.
pub const MARK_WITH_CONTENTS: &str = "quarterdeck.audit/v2";
/// The first line of a proof: C2SP tlog-proof, "Format".
pub const PROOF: &str = "c2sp.org/tlog-proof@v1";
/// A longer line is no entry, no tile and no content.
const LONGEST: u64 = 64 << 20;

/// The first thing that does not fit, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An entry, or the leaf that stands for it.
    #[error("entry {index} does not fit: {what}")]
    Entry {
        /// The index of its leaf.
        index: u64,
        /// What is wrong.
        what: String,
    },
    /// An entry that no leaf stands for.
    #[error("entry {id} does not fit: {what}")]
    Leafless {
        /// Its identifier.
        id: String,
        /// What is wrong.
        what: String,
    },
    /// A content.
    #[error("a content of request {request} does not fit: it is not what its entry names ({commitment})")]
    Content {
        /// Whose it is.
        request: i64,
        /// What the entry calls it.
        commitment: String,
    },
    /// A content that is not there any more.
    #[error(
        "a content of request {request} is gone, and no entry says that it was erased or archived ({commitment})"
    )]
    ContentGone {
        /// Whose it was.
        request: i64,
        /// What the entry calls it.
        commitment: String,
    },
    /// A content of a bundle.
    #[error("a content beside entry {index}, in line {line}, does not fit: {what}")]
    Beside {
        /// The index of the entry before it.
        index: u64,
        /// Its line in the bundle, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// A tile.
    #[error("{0}")]
    Tile(String),
    /// A checkpoint.
    #[error("the checkpoint of size {size} does not fit: {what}")]
    Checkpoint {
        /// The size it is of.
        size: u64,
        /// What is wrong.
        what: String,
    },
    /// The head.
    #[error("the tree's head does not fit: {0}")]
    Head(String),
    /// A line of a bundle.
    #[error("line {line} of the bundle does not fit: {what}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
}

/// What a bundle holds, when all of it fits.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The key that signed it: to be compared with the one that was given for this log.
    pub key: PublicKey,
    /// The tree that was signed.
    pub head: Head,
    /// Who has cosigned it.
    pub cosigned: Cosigners,
    /// How many entries are in the bundle.
    pub entries: u64,
    /// How many contents are beside them; `None` where it is a bundle without.
    pub contents: Option<u64>,
    /// The runs of entries that are in it, from and to: where one ends, entries of the log are left out.
    pub runs: Vec<(u64, u64)>,
}

/// Who has cosigned a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cosigners {
    /// The witnesses that the reader knows, with the time that each has signed.
    pub known: Vec<(String, Timestamp)>,
    /// How many further signatures there are, of keys that the reader does not know. Nothing is known of them.
    pub unknown: usize,
}

/// What a proof of one entry shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// The entry's index.
    pub index: u64,
    /// Its bytes.
    pub entry: String,
    /// The tree that was signed.
    pub head: Head,
    /// Who has cosigned it.
    pub cosigned: Cosigners,
}

/// A signed checkpoint that each of these witnesses has cosigned. Signatures of others are passed over (C2SP signed-note,
/// "Signatures"), and counted.
fn cosigned(note: &str, key: &PublicKey, witnesses: &[Cosigner]) -> Result<(Head, Cosigners), Fault> {
    let opened = key.open(note).map_err(|error| Fault::Checkpoint { size: 0, what: error.to_string() })?;
    let wrong = |what: String| Fault::Checkpoint { size: opened.head.size, what };
    let mut known = Vec::new();
    for witness in witnesses {
        let found = witness.find(note).map_err(|error| wrong(error.to_string()))?;
        let found = found
            .ok_or_else(|| wrong(format!("it bears no cosignature by {witness}, whose key you gave")))?;
        known.push((witness.name().to_owned(), found.at));
    }
    let unknown = opened.others.saturating_sub(known.len());
    Ok((opened.head, Cosigners { known, unknown }))
}

/// Checks a bundle, whose checkpoint each of these witnesses must have cosigned; tells `progress` how many entries were
/// found right, now and then.
///
/// Every byte counts: the key is named by its number, the checkpoint signed by it, each tile vouched for by the root, each
/// entry by its tile, each content by the entry before it, and all is written in one way only. Alone cosignatures of witnesses that are not given cannot be checked.
pub fn bundle(
    reader: &mut impl BufRead,
    witnesses: &[Cosigner],
    mut progress: impl FnMut(u64),
) -> Result<Verified, Fault> {
    let mut lines = Lines { reader, number: 0 };
    let mut line = String::new();
    let wrong = |line: u64, what: &str| Fault::Line { line, what: what.to_owned() };
    lines.next(&mut line)?;
    let contents = match line.as_str() {
        MARK => None,
        MARK_WITH_CONTENTS => Some(0),
        _ => return Err(wrong(1, "this is no bundle of an audit log, or one of another version")),
    };
    lines.next(&mut line)?;
    let key = PublicKey::read(&line).map_err(|error| wrong(lines.number, &error.to_string()))?;
    lines.next(&mut line)?;
    if !line.is_empty() {
        return Err(wrong(lines.number, "an empty line is missing before the checkpoint"));
    }
    let mut note = String::new();
    for _ in 0..2 {
        loop {
            lines.next(&mut line)?;
            note.push_str(&line);
            note.push('\n');
            if line.is_empty() {
                break;
            }
        }
    }
    note.pop();
    let (head, cosigned) = cosigned(&note, &key, witnesses)?;

    let mut tiles = Tiles::new(head.size);
    let mut last = None;
    lines.next(&mut line)?;
    while let Some(rest) = line.strip_prefix("tile ") {
        let (tile, hashes) = tile_of(rest, head.size).map_err(|what| wrong(lines.number, &what))?;
        if last >= Some(tile) {
            return Err(wrong(lines.number, "the tiles are out of order"));
        }
        last = Some(tile);
        tiles.put(tile, hashes);
        lines.next(&mut line)?;
    }
    if head.size > 0 {
        tiles.check(head.root).map_err(|error| Fault::Tile(error.to_string()))?;
    }

    let mut found = Verified { key, head, cosigned, entries: 0, contents, runs: Vec::new() };
    let mut ids = Vec::new();
    while let Some(rest) = line.strip_prefix("entry ") {
        let (index, body) = rest.split_once(' ').ok_or_else(|| wrong(lines.number, "it has no entry"))?;
        let index = number(index).ok_or_else(|| wrong(lines.number, "it has no index"))?;
        let fault = |what: &str| Fault::Entry { index, what: what.to_owned() };
        match found.runs.last_mut() {
            Some((_, to)) if *to >= index => return Err(fault("it is out of order")),
            Some((_, to)) if *to + 1 == index => *to = index,
            _ => found.runs.push((index, index)),
        }
        if tiles.leaf(index) != Some(tree::leaf_hash(body.as_bytes())) {
            return Err(fault("it is not the entry that was signed"));
        }
        let read = entry::read(body).map_err(|what| fault(&what))?;
        ids.push((read.number().ok_or_else(|| fault("its id is no UUID"))?, index));
        found.entries += 1;
        if found.entries.is_multiple_of(10_000) {
            progress(found.entries);
        }
        let mut named = found.contents.map(|_| Named::by(body));
        lines.next(&mut line)?;
        while let (Some(named), Some(count), Some(rest)) =
            (&mut named, &mut found.contents, line.strip_prefix("content "))
        {
            named.take(rest).map_err(|what| Fault::Beside { index, line: lines.number, what })?;
            *count += 1;
            lines.next(&mut line)?;
        }
    }
    // All at the end: a set of them would be asked from another corner of memory for each.
    ids.sort_unstable();
    if let Some(index) = ids.windows(2).filter(|two| two[0].0 == two[1].0).map(|two| two[1].1).min() {
        return Err(Fault::Entry { index, what: "another entry has its id".to_owned() });
    }
    let end = match found.contents {
        None => format!("end {}", found.entries),
        Some(contents) => format!("end {} {contents}", found.entries),
    };
    if line != end {
        return Err(wrong(lines.number, "this should be the end, with the number of what came before"));
    }
    if !lines.is_over()? {
        return Err(wrong(lines.number + 1, "something follows after the end"));
    }
    Ok(found)
}

/// Checks a proof of one entry (C2SP tlog-proof, "Verifying a tlog proof") that holds the entry as its extra data. Each of
/// these witnesses must have cosigned its checkpoint.
pub fn proof(text: &[u8], key: &PublicKey, witnesses: &[Cosigner]) -> Result<Proved, Fault> {
    let wrong = |line: u64, what: &str| Fault::Line { line, what: what.to_owned() };
    let text = std::str::from_utf8(text).map_err(|_| wrong(1, "it is not UTF-8"))?;
    let (top, note) = text.split_once("\n\n").ok_or_else(|| wrong(1, "it has no checkpoint"))?;
    let mut lines = top.split('\n');
    if lines.next() != Some(PROOF) {
        return Err(wrong(1, "this is no proof of an entry"));
    }
    let decoded = |text: &str| BASE64_STANDARD.decode(text).ok();
    let entry_bytes = lines.next().and_then(|line| decoded(line.strip_prefix("extra ")?));
    let body = entry_bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let body = body.ok_or_else(|| wrong(2, "it does not hold the entry"))?;
    let index = lines.next().and_then(|line| number(line.strip_prefix("index ")?));
    let index = index.ok_or_else(|| wrong(3, "it has no index"))?;
    let hashes: Option<Vec<[u8; 32]>> = lines.map(|line| decoded(line)?.try_into().ok()).collect();
    let hashes = hashes.ok_or_else(|| wrong(4, "a hash of the proof cannot be read"))?;
    let (head, cosigned) = cosigned(note, key, witnesses)?;
    let leaf = tree::leaf_hash(body.as_bytes());
    tree::check_inclusion(&hashes, head.size, head.root, index, leaf)
        .map_err(|error| Fault::Entry { index, what: error.to_string() })?;
    entry::read(&body).map_err(|what| Fault::Entry { index, what })?;
    Ok(Proved { index, entry: body, head, cosigned })
}

/// A tile's line after its first word.
fn tile_of(rest: &str, size: u64) -> Result<(Tile, Vec<u8>), String> {
    let (path, hashes) = rest.split_once(' ').ok_or("it has no hashes")?;
    let (tile, width) = Tile::from_path(path).ok_or("this is no path of a tile")?;
    if tile.width(size) != width {
        return Err(format!("a tree of {size} leaves has this tile in another width"));
    }
    let hashes =
        BASE64_STANDARD.decode(hashes).map_err(|error| format!("its hashes cannot be read: {error}"))?;
    Ok((tile, hashes))
}

/// A number in its one spelling.
fn number(text: &str) -> Option<u64> {
    let is_spelled =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_spelled)
}

struct Lines<'a, R> {
    reader: &'a mut R,
    number: u64,
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line, into `line`, whose memory is used again.
    fn next(&mut self, line: &mut String) -> Result<(), Fault> {
        self.number += 1;
        let wrong = |what: String| Fault::Line { line: self.number, what };
        let mut bytes = std::mem::take(line).into_bytes();
        bytes.clear();
        let mut limited = std::io::Read::take(&mut *self.reader, LONGEST);
        limited
            .read_until(b'\n', &mut bytes)
            .map_err(|error| wrong(format!("reading it failed: {error}")))?;
        if bytes.pop() != Some(b'\n') {
            return Err(wrong("the bundle ends in the middle, or the line is too long".to_owned()));
        }
        *line = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
        Ok(())
    }

    fn is_over(&mut self) -> Result<bool, Fault> {
        let line = self.number + 1;
        let rest = self.reader.fill_buf();
        rest.map(<[u8]>::is_empty).map_err(|error| Fault::Line { line, what: error.to_string() })
    }
}
