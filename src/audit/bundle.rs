//! A bundle: entries with all that shows that they are in a signed log, as lines of text. Pure.
//!
//! ```text
//! quarterdeck.audit/v1
//! KEY                         the log's public key, C2SP signed-note, "Verifier keys"
//!
//! CHECKPOINT                  a signed note, with its empty line, and witnesses' cosignatures
//!
//! tile LEVEL/NUMBER BASE64    by level and number, as C2SP tlog-tiles counts them
//! entry INDEX JSON            in order
//! end COUNT
//! ```
//!
//! One with contents begins with `quarterdeck.audit/v2`. Behind an entry it has a line `content SALT BYTES`, both in Base 64, for
//! each content that the entry names by SHA-256(salt || bytes), as far as it is brought along, and after the list of a long
//! output's parts one for each of them. Its last line is `end ENTRIES CONTENTS`.
//!
//! The tiles are those of the tree's right edge, and for each entry its own with all above it. [`verify`](super::verify)
//! reads it, and shares no code with this that could hide a mistake.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{
    note::PublicKey,
    tree::{Tile, Tiles},
};
use crate::model::{Commitment, RequestNumber};

/// Whether a bundle has contents beside its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With<'a> {
    /// Entries alone.
    Entries,
    /// What they name, too.
    Contents,
    /// What they name, as far as it belongs to these requests.
    ContentsOf(&'a BTreeSet<RequestNumber>),
}

impl With<'_> {
    /// Whether the contents of this request are in it.
    pub fn has(self, request: RequestNumber) -> bool {
        match self {
            Self::Entries => false,
            Self::Contents => true,
            Self::ContentsOf(requests) => requests.contains(&request),
        }
    }
}

/// All that stands before the entries.
pub fn beginning(with: With<'_>, key: &PublicKey, checkpoint: &str, size: u64, tiles: &Tiles) -> String {
    let version = if with == With::Entries { 1 } else { 2 };
    let mut text = format!("quarterdeck.audit/v{version}\n{key}\n\n{checkpoint}\n");
    for (tile, hashes) in tiles.iter() {
        text.push_str(&tile_line(tile, size, hashes));
    }
    text
}

fn tile_line(tile: Tile, size: u64, hashes: &[u8]) -> String {
    let path = tile.path(size);
    let path = path.strip_prefix("tile/").unwrap_or(&path);
    format!("tile {path} {}\n", BASE64_STANDARD.encode(hashes))
}

/// An entry.
pub fn entry(index: u64, body: &str) -> String {
    format!("entry {index} {body}\n")
}

/// A content that the entry before names.
pub fn content(salt: &[u8], bytes: &[u8]) -> String {
    format!("content {} {}\n", BASE64_STANDARD.encode(salt), BASE64_STANDARD.encode(bytes))
}

/// What stands after so many entries, and so many contents where it has any to have.
pub fn end(with: With<'_>, entries: u64, contents: u64) -> String {
    match with {
        With::Entries => format!("end {entries}\n"),
        With::Contents | With::ContentsOf(_) => format!("end {entries} {contents}\n"),
    }
}

/// The contents that an entry names, in the order of its fields' names; none where it cannot be read.
pub fn names(body: &str) -> Vec<Commitment> {
    const FIELDS: [&str; 6] = ["invocation", "inputs", "kept", "reason", "text", "whole"];
    let read: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let named = FIELDS.iter().filter_map(|field| read.get(field)?.as_str()?.parse().ok());
    let files = read.get("files").and_then(serde_json::Value::as_array).into_iter().flatten();
    named.chain(files.filter_map(|name| name.as_str()?.parse().ok())).map(Commitment).collect()
}

#[cfg(test)]
mod tests;
