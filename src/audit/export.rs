//! Copies entries of a log out into a bundle, with or without the contents that they name.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io::{self, Write},
};

use uuid::Uuid;

use super::{
    bundle::{self, With},
    note::PublicKey,
    sequencer, tree,
};
use crate::{
    model::{Commitment, RequestNumber},
    storage::{self, Checkpoint, ContentRow, LeafRow, Storage},
};

/// How many leaves are read at once.
const PAGE: i64 = 1000;
/// How many entries' contents are: each can be long.
const FEW: usize = 16;

/// Why a bundle was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// Writing it.
    #[error("writing the bundle: {0}")]
    Write(#[from] io::Error),
    /// An entry of a leaf that is there.
    #[error("the entry {0} is gone: run `quarterdeck audit verify`")]
    Gone(Uuid),
    /// A list of a long output's parts.
    #[error("the list of the parts of a long output ({0}) cannot be read: run `quarterdeck audit verify`")]
    List(String),
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// How many entries.
    pub entries: u64,
    /// Those that are written, so that each is written once.
    seen: HashSet<Commitment>,
    /// The contents beside them, with the requests that they belong to.
    pub contents: Vec<(RequestNumber, Commitment)>,
}

/// Writes a bundle of these leaves, in the order of their indexes, of the tree that `checkpoint` signs.
pub async fn export(
    storage: &Storage,
    with: With<'_>,
    key: &PublicKey,
    checkpoint: &Checkpoint,
    indexes: &[u64],
    out: &mut (impl Write + Send),
) -> Result<Written, Error> {
    let size = checkpoint.size;
    let mut wanted: BTreeSet<_> = tree::needed_for_leaf(size, size.saturating_sub(1)).into_iter().collect();
    // Neighbours share their tiles.
    let mut tile = None;
    for index in indexes {
        if tile.replace(index / tree::WIDTH) != Some(index / tree::WIDTH) {
            wanted.extend(tree::needed_for_leaf(size, *index));
        }
    }
    let tiles = sequencer::tiles(storage, size, wanted.into_iter().collect()).await?;
    out.write_all(bundle::beginning(with, key, &checkpoint.note, size, &tiles).as_bytes())?;
    let (mut rest, mut written) = (indexes, Written::default());
    while let Some(first) = rest.first() {
        // A page of leaves from there on, of which some may not be wanted.
        let page = storage.leaves(*first, size, PAGE).await?;
        let (mut end, mut rows) = (None, Vec::new());
        for row in page.iter() {
            let row = row?;
            end = Some(row.index);
            if rest.first() == Some(&row.index) {
                rows.push(row);
                rest = &rest[1..];
            }
        }
        for few in rows.chunks(FEW) {
            some(storage, with, few, &mut written, out).await?;
        }
        let Some(end) = end else { break };
        rest = &rest[rest.partition_point(|index| *index <= end)..];
    }
    out.write_all(bundle::end(with, written.entries, written.contents.len() as u64).as_bytes())?;
    Ok(written)
}

/// A few entries, each with what it names.
async fn some(
    storage: &Storage,
    with: With<'_>,
    rows: &[LeafRow<'_>],
    written: &mut Written,
    out: &mut (impl Write + Send),
) -> Result<(), Error> {
    let body =
        |row: &LeafRow<'_>| row.body.map(ToOwned::to_owned).ok_or(Error::Gone(Uuid::from_u128(row.id)));
    let bodies = rows.iter().map(|row| Ok((row.index, body(row)?))).collect::<Result<Vec<_>, Error>>()?;
    let mut there = HashMap::new();
    if with != With::Entries {
        let names: Vec<_> = bodies.iter().flat_map(|(_, body)| bundle::names(body)).collect();
        there = by_name(storage.contents_named(&names).await?);
    }
    for (index, body) in bodies {
        out.write_all(bundle::entry(index, &body).as_bytes())?;
        written.entries += 1;
        for name in bundle::names(&body) {
            // What several entries name stands behind the first of them.
            let Some(content) = there.remove(&name) else { continue };
            if !with.has(RequestNumber(content.request)) || written.seen.contains(&name) {
                continue;
            }
            put(&content, name, written, out)?;
            if content.kind == "whole" {
                parts(storage, &content, written, out).await?;
            }
        }
    }
    Ok(())
}

/// The parts of a long output, one at a time.
async fn parts(
    storage: &Storage,
    list: &ContentRow,
    written: &mut Written,
    out: &mut (impl Write + Send),
) -> Result<(), Error> {
    #[derive(serde::Deserialize)]
    struct Parts {
        parts: Vec<Commitment>,
    }
    let read: Parts = serde_json::from_slice(&list.bytes).map_err(|error| Error::List(error.to_string()))?;
    for name in read.parts {
        if let Some(part) = storage.contents_named(&[name]).await?.first() {
            put(part, name, written, out)?;
        }
    }
    Ok(())
}

fn put(
    content: &ContentRow,
    name: Commitment,
    written: &mut Written,
    out: &mut impl Write,
) -> io::Result<()> {
    written.seen.insert(name);
    written.contents.push((RequestNumber(content.request), name));
    out.write_all(bundle::content(&content.salt, &content.bytes).as_bytes())
}

fn by_name(rows: Vec<ContentRow>) -> HashMap<Commitment, ContentRow> {
    let name = |row: &ContentRow| {
        let bytes = row.commitment.as_slice().try_into().ok()?;
        Some(Commitment(crate::model::Digest::from_bytes(bytes)))
    };
    rows.into_iter().filter_map(|row| Some((name(&row)?, row))).collect()
}
