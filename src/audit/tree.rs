//! The Merkle tree over the entries, as RFC 6962, section 2.1, has it, in the tiles of C2SP tlog-tiles. Pure.
//!
//! Hashes, roots and proofs are `tlog_tiles`'. Where version 0.2 of it falls short of C2SP tlog-tiles:
//!
//! - `Tile::path` is the Go checksum database's, `tile/8/0/000`, with the height, and `tile/8/data/000` for entries;
//!   the specification has `tile/0/000` and `tile/entries/000`. [`Tile::path`] here is the specification's.
//! - `Tile::new_tiles` has no way to leave partial tiles out, and would make each again for every size.
//! - `prove_tree` and `prove_record` are not asynchronous, so what they will read is asked for beforehand
//!   ([`needed_for_inclusion`], [`needed_for_consistency`]).
//! - `TileHashReader` panics where a parent tile is missing; what others wrote is read by [`Tiles`] instead, which gives
//!   an error, and checked by [`Tiles::check`].

use std::collections::BTreeMap;

use tlog_tiles::{Hash, HashReader, Tile as GoTile};

/// A hash of the tree.
pub type TreeHash = [u8; 32];

/// How many hashes a full tile has.
pub const WIDTH: u64 = 256;
/// The height of the subtree that a tile stands for.
const HEIGHT: u8 = 8;
/// The bytes of a hash.
const BYTES: usize = 32;

/// What is wrong with a tree or a proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A tile that is needed is not there.
    #[error("the tile {0} is missing")]
    Missing(String),
    /// A tile is not as wide as the tree's size says.
    #[error("the tile {tile} has {found} bytes, and a tree of this size has {wanted} there")]
    Width {
        /// The tile.
        tile: String,
        /// Its bytes.
        found: usize,
        /// What it should have.
        wanted: usize,
    },
    /// A tile does not hash to what stands for it in the tile above.
    #[error("the tile {0} does not hash to what the tile above it says")]
    Tile(String),
    /// A tile is there that no tree of this size has, or that nothing vouches for.
    #[error("the tile {0} has no place in a tree of this size")]
    Stray(String),
    /// The tiles make another root than was signed.
    #[error("the tiles make another root than the checkpoint of size {0} has")]
    Root(u64),
    /// A proof does not prove what it should.
    #[error("the proof does not hold: {0}")]
    Proof(String),
}

/// The hash of an entry's leaf: SHA-256(0x00 || body). RFC 6962, section 2.1.
pub fn leaf_hash(body: &[u8]) -> TreeHash {
    tlog_tiles::record_hash(body).0
}

/// The root of the tree without leaves: the hash of nothing.
pub const EMPTY_ROOT: TreeHash = tlog_tiles::EMPTY_HASH.0;

/// The place of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Its level: 0 has the leaves' hashes.
    pub level: u8,
    /// Which one of its level, from 0.
    pub index: u64,
}

impl Tile {
    /// How many hashes it has in a tree of this size: 0 where that tree does not have it.
    pub fn width(self, size: u64) -> u64 {
        let shift = u32::from(HEIGHT) * u32::from(self.level);
        let hashes = size.checked_shr(shift).unwrap_or(0);
        hashes.saturating_sub(self.index.saturating_mul(WIDTH)).min(WIDTH)
    }

    /// Its path with `size` leaves in the tree: `tile/0/x001/234`, `tile/1/000.p/17`. C2SP tlog-tiles, "Merkle Tree".
    pub fn path(self, size: u64) -> String {
        format!("tile/{}/{}", self.level, numbered(self.index, self.width(size)))
    }

    /// Reads what follows `tile/`; gives the tile and how wide it is asked for.
    pub fn from_path(path: &str) -> Option<(Self, u64)> {
        let (level, rest) = path.split_once('/')?;
        let parsed: u8 = level.parse().ok().filter(|level| *level < 64)?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok().filter(|w| (1..WIDTH).contains(w))?),
            None => (rest, WIDTH),
        };
        let mut index = 0_u64;
        for part in number.split('/') {
            let digits = part.strip_prefix('x').unwrap_or(part);
            if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        // Only one spelling is right: no leading zeroes, an x before each part but the last.
        let canonical = format!("{parsed}/{}", numbered(index, width));
        (canonical == path).then_some((Self { level: parsed, index }, width))
    }

    /// The tile that has this one's root as a hash, when this one is full.
    fn parent(self) -> Self {
        Self { level: self.level + 1, index: self.index / WIDTH }
    }
}

fn numbered(index: u64, width: u64) -> String {
    let mut text = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    if width < WIDTH { format!("{text}.p/{width}") } else { text }
}

/// A tile that has become full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTile {
    /// Its place.
    pub tile: Tile,
    /// Its 256 hashes.
    pub hashes: Vec<u8>,
    /// Its own root.
    pub root: TreeHash,
}

/// The right edge of a tree: all that is needed to add leaves to it and to tell its root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// The hashes of the partial tile of each level.
    levels: Vec<Vec<u8>>,
}

impl Edge {
    /// The edge of a tree of this size, from the hashes of its partial tiles, level 0 first; a level without one is
    /// empty.
    pub fn new(size: u64, levels: Vec<Vec<u8>>) -> Result<Self, Error> {
        for level in 0_u8..HEIGHT {
            let tile = Tile { level, index: rightmost(size, level) };
            let wanted = bytes(tile.width(size) % WIDTH);
            let found = levels.get(usize::from(level)).map_or(0, Vec::len);
            if found != wanted {
                return Err(Error::Width { tile: tile.path(size), found, wanted });
            }
        }
        Ok(Self { size, levels })
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; the tiles that it fills, the lowest first, go into `full`.
    pub fn push(&mut self, leaf: TreeHash, full: &mut Vec<FullTile>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0_u8.. {
            let at = usize::from(level);
            if self.levels.len() == at {
                self.levels.push(Vec::new());
            }
            self.levels[at].extend_from_slice(&hash);
            if self.levels[at].len() < bytes(WIDTH) {
                return;
            }
            let hashes = std::mem::take(&mut self.levels[at]);
            hash = tile_root(&hashes);
            let index = (self.size >> (u32::from(HEIGHT) * u32::from(level))) / WIDTH - 1;
            full.push(FullTile { tile: Tile { level, index }, hashes, root: hash });
        }
    }

    /// The root of the tree.
    pub fn root(&self) -> Result<TreeHash, Error> {
        let mut tiles = Tiles::new(self.size);
        for (level, hashes) in (0_u8..).zip(&self.levels) {
            if !hashes.is_empty() {
                tiles.put(Tile { level, index: rightmost(self.size, level) }, hashes.clone());
            }
        }
        tiles.root()
    }
}

/// The number of the partial tile of a level, or of the next one where there is none.
pub const fn rightmost(size: u64, level: u8) -> u64 {
    (size >> (HEIGHT as u32 * level as u32)) / WIDTH
}

fn bytes(hashes: u64) -> usize {
    usize::try_from(hashes).unwrap_or(usize::MAX).saturating_mul(BYTES)
}

/// The root of a full tile's own subtree.
pub fn tile_root(hashes: &[u8]) -> TreeHash {
    GoTile::subtree_hash(hashes).0
}

/// Some tiles of a tree of one size.
#[derive(Debug, Clone, Default)]
pub struct Tiles {
    size: u64,
    tiles: BTreeMap<Tile, Vec<u8>>,
}

impl Tiles {
    /// None yet.
    pub const fn new(size: u64) -> Self {
        Self { size, tiles: BTreeMap::new() }
    }

    /// Adds a tile's hashes.
    pub fn put(&mut self, tile: Tile, hashes: Vec<u8>) {
        self.tiles.insert(tile, hashes);
    }

    /// The tiles, by level and number.
    pub fn iter(&self) -> impl Iterator<Item = (Tile, &[u8])> {
        self.tiles.iter().map(|(tile, hashes)| (*tile, hashes.as_slice()))
    }

    /// The root that they make.
    pub fn root(&self) -> Result<TreeHash, Error> {
        self.widths()?;
        let missing = needed(|reader| tlog_tiles::tree_hash(self.size, reader).map(|_| ()))?;
        self.have(&missing)?;
        tlog_tiles::tree_hash(self.size, self).map(|hash| hash.0).map_err(|error| told(&error))
    }

    /// Whether each of them is a tile of the tree with this root: those of the right edge make the root, and each full
    /// one is vouched for by the one above it. Names the first that does not fit.
    pub fn check(&self, root: TreeHash) -> Result<(), Error> {
        if self.root()? != root {
            return Err(Error::Root(self.size));
        }
        // From the top: what a lower one is compared with has been found right.
        for (tile, hashes) in self.tiles.iter().rev() {
            if hashes.len() < bytes(WIDTH) {
                // On the right edge, where each goes into the root.
                continue;
            }
            let parent = tile.parent();
            let above = self.tiles.get(&parent).ok_or_else(|| Error::Missing(parent.path(self.size)))?;
            let at = bytes(tile.index % WIDTH);
            if above.get(at..at + BYTES) != Some(&tile_root(hashes)) {
                return Err(Error::Tile(tile.path(self.size)));
            }
        }
        Ok(())
    }

    /// The hash of the leaf at this index, as its tile has it.
    pub fn leaf(&self, index: u64) -> Option<TreeHash> {
        let tile = self.tiles.get(&Tile { level: 0, index: index / WIDTH })?;
        let at = bytes(index % WIDTH);
        tile.get(at..at + BYTES)?.try_into().ok()
    }

    /// The proof that the tree has its leaf `index`: RFC 6962, section 2.1.1.
    pub fn inclusion(&self, index: u64) -> Result<Vec<TreeHash>, Error> {
        self.have(&needed_for_inclusion(self.size, index)?)?;
        let proof = tlog_tiles::prove_record(self.size, index, self).map_err(|error| told(&error))?;
        Ok(proof.into_iter().map(|hash| hash.0).collect())
    }

    /// The proof that the tree goes on from one of `old` leaves: RFC 6962, section 2.1.2.
    pub fn consistency(&self, old: u64) -> Result<Vec<TreeHash>, Error> {
        if old == 0 {
            return Ok(Vec::new());
        }
        self.have(&needed_for_consistency(self.size, old)?)?;
        let proof = tlog_tiles::prove_tree(self.size, old, self).map_err(|error| told(&error))?;
        Ok(proof.into_iter().map(|hash| hash.0).collect())
    }

    fn have(&self, wanted: &[Tile]) -> Result<(), Error> {
        self.widths()?;
        let missing = wanted.iter().find(|tile| !self.tiles.contains_key(tile));
        missing.map_or(Ok(()), |tile| Err(Error::Missing(tile.path(self.size))))
    }

    fn widths(&self) -> Result<(), Error> {
        for (tile, hashes) in &self.tiles {
            let width = tile.width(self.size);
            if width == 0 {
                return Err(Error::Stray(format!("tile/{}/{}", tile.level, numbered(tile.index, WIDTH))));
            }
            if hashes.len() != bytes(width) {
                return Err(Error::Width {
                    tile: tile.path(self.size),
                    found: hashes.len(),
                    wanted: bytes(width),
                });
            }
        }
        Ok(())
    }
}

impl HashReader for Tiles {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let read = |index: &u64| {
            let place = place_of(*index);
            let hashes = self.tiles.get(&place).ok_or(tlog_tiles::Error::InvalidTile)?;
            let width = u32::try_from(hashes.len() / BYTES).map_err(|_| tlog_tiles::Error::InvalidTile)?;
            if width == 0 {
                return Err(tlog_tiles::Error::InvalidTile);
            }
            GoTile::new(HEIGHT, place.level, place.index, width, false).hash_at_index(hashes, *index)
        };
        indexes.iter().map(read).collect()
    }
}

/// The tile that a stored hash is read from.
fn place_of(index: u64) -> Tile {
    let tile = GoTile::from_index(HEIGHT, index);
    Tile { level: tile.level(), index: tile.level_index() }
}

/// Whether `leaf` is the leaf `index` of the tree of `size` leaves with this root.
pub fn check_inclusion(
    proof: &[TreeHash],
    size: u64,
    root: TreeHash,
    index: u64,
    leaf: TreeHash,
) -> Result<(), Error> {
    tlog_tiles::check_record(&hashes(proof), size, Hash(root), index, Hash(leaf))
        .map_err(|error| told(&error))
}

/// Whether the tree of `size` leaves goes on from the one of `old`.
pub fn check_consistency(
    proof: &[TreeHash],
    size: u64,
    root: TreeHash,
    old: u64,
    old_root: TreeHash,
) -> Result<(), Error> {
    if old == 0 {
        let empty = proof.is_empty() && old_root == EMPTY_ROOT;
        return if empty {
            Ok(())
        } else {
            Err(Error::Proof("the empty tree has no proof and one root".to_owned()))
        };
    }
    tlog_tiles::check_tree(&hashes(proof), size, Hash(root), old, Hash(old_root))
        .map_err(|error| told(&error))
}

/// The tiles that [`Tiles::inclusion`] reads.
pub fn needed_for_inclusion(size: u64, index: u64) -> Result<Vec<Tile>, Error> {
    needed(|reader| tlog_tiles::prove_record(size, index, reader).map(|_| ()))
}

/// The tiles that [`Tiles::consistency`] reads.
pub fn needed_for_consistency(size: u64, old: u64) -> Result<Vec<Tile>, Error> {
    if old == 0 {
        return Ok(Vec::new());
    }
    needed(|reader| tlog_tiles::prove_tree(size, old, reader).map(|_| ()))
}

/// The tiles of the right edge of a tree of this size: what [`Tiles::root`] reads.
pub fn edge(size: u64) -> Vec<Tile> {
    (0..HEIGHT)
        .map(|level| Tile { level, index: rightmost(size, level) })
        .filter(|tile| tile.width(size) > 0)
        .collect()
}

/// The tiles that [`Tiles::check`] needs so that it vouches for this leaf's: its own, all above it, and the right edge.
pub fn needed_for_leaf(size: u64, index: u64) -> Vec<Tile> {
    let mut tiles = edge(size);
    let mut tile = Tile { level: 0, index: index / WIDTH };
    while tile.width(size) > 0 {
        tiles.push(tile);
        tile = tile.parent();
    }
    tiles.sort_unstable();
    tiles.dedup();
    tiles
}

/// Runs a reading of the tree on hashes that are not there, to learn which tiles it asks for.
fn needed(read: impl FnOnce(&Wishes) -> Result<(), tlog_tiles::Error>) -> Result<Vec<Tile>, Error> {
    let wishes = Wishes::default();
    read(&wishes).map_err(|error| told(&error))?;
    let mut tiles = wishes.0.into_inner();
    tiles.sort_unstable();
    tiles.dedup();
    Ok(tiles)
}

#[derive(Default)]
struct Wishes(std::cell::RefCell<Vec<Tile>>);

impl HashReader for Wishes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        self.0.borrow_mut().extend(indexes.iter().map(|index| place_of(*index)));
        Ok(vec![Hash::default(); indexes.len()])
    }
}

fn hashes(proof: &[TreeHash]) -> Vec<Hash> {
    proof.iter().map(|hash| Hash(*hash)).collect()
}

fn told(error: &tlog_tiles::Error) -> Error {
    Error::Proof(error.to_string())
}

#[cfg(test)]
mod tests;
