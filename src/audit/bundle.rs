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
//! The tiles are those of the tree's right edge, and for each entry its own with all above it. [`verify`](super::verify)
//! reads it, and shares no code with this that could hide a mistake.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{
    note::PublicKey,
    tree::{Tile, Tiles},
};

/// All that stands before the entries.
pub fn beginning(key: &PublicKey, checkpoint: &str, size: u64, tiles: &Tiles) -> String {
    let mut text = format!("quarterdeck.audit/v1\n{key}\n\n{checkpoint}\n");
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

/// What stands after so many entries.
pub fn end(entries: u64) -> String {
    format!("end {entries}\n")
}

#[cfg(test)]
mod tests;
