//! Bundles that are whole, and bundles in which a byte was flipped.

use super::*;
use crate::{
    audit::{
        note::{Head, LogKey},
        tree::{Edge, leaf_hash, needed_for_leaf, rightmost},
        verify::{self, Fault, Verified},
    },
    model::SystemRandom,
};

fn body(index: u64) -> String {
    format!(r#"{{"id":"{}","query":"q","type":"audit.read"}}"#, uuid::Uuid::from_u128(index.into()))
}

const SALT: [u8; 32] = [7; 32];

/// An entry that names a content.
fn naming(index: u64) -> String {
    let name = Commitment::new(&crate::model::Salt(SALT), b"!status").0;
    format!(r#"{{"id":"{}","text":"{name}","type":"command.received"}}"#, uuid::Uuid::from_u128(index.into()))
}

/// A bundle of a log of one entry, with the content that it names.
fn with_content() -> String {
    let key = LogKey::read(&LogKey::draw("example.org/log", &SystemRandom), "example.org/log").unwrap();
    let (mut edge, mut tiles) = (Edge::default(), Tiles::new(1));
    let leaf = leaf_hash(naming(0).as_bytes());
    edge.push(leaf, &mut Vec::new());
    tiles.put(Tile { level: 0, index: 0 }, leaf.to_vec());
    let note = key.sign(Head { size: 1, root: edge.root().unwrap() }).unwrap();
    beginning(With::Contents, key.public(), &note, 1, &tiles)
        + &*entry(0, &naming(0))
        + &*content(&SALT, b"!status")
        + &*end(With::Contents, 1, 1)
}

/// A bundle of a log of `size` entries with those of `indexes` in it.
fn bundle(size: u64, indexes: &[u64]) -> String {
    let key = LogKey::read(&LogKey::draw("example.org/log", &SystemRandom), "example.org/log").unwrap();
    let (mut edge, mut full) = (Edge::default(), Vec::new());
    let mut leaves = Vec::new();
    for index in 0..size {
        leaves.push(leaf_hash(body(index).as_bytes()));
        edge.push(leaf_hash(body(index).as_bytes()), &mut full);
    }
    let mut tiles = Tiles::new(size);
    let wanted: Vec<_> = indexes.iter().flat_map(|index| needed_for_leaf(size, *index)).collect();
    for tile in full.into_iter().filter(|made| wanted.contains(&made.tile)) {
        tiles.put(tile.tile, tile.hashes);
    }
    let (first, second) = (rightmost(size, 0), rightmost(size, 1));
    let edge_of_leaves = leaves[usize::try_from(first * 256).unwrap()..].concat();
    if !edge_of_leaves.is_empty() {
        tiles.put(Tile { level: 0, index: first }, edge_of_leaves);
    }
    if size >= 256 {
        let roots =
            leaves.as_chunks::<256>().0.iter().map(|chunk| crate::audit::tree::tile_root(&chunk.concat()));
        tiles.put(Tile { level: 1, index: second }, roots.collect::<Vec<_>>().concat());
    }
    let note = key.sign(Head { size, root: edge.root().unwrap() }).unwrap();
    let mut text = beginning(With::Entries, key.public(), &note, size, &tiles);
    for index in indexes {
        text.push_str(&entry(*index, &body(*index)));
    }
    text.push_str(&end(With::Entries, indexes.len() as u64, 0));
    text
}

fn read(text: &[u8]) -> Result<Verified, Fault> {
    verify::bundle(&mut &text[..], &[], |_| {})
}

#[test]
fn a_bundle_is_found_whole_and_says_what_is_in_it() {
    let found = read(bundle(700, &[3, 4, 5, 300, 699]).as_bytes()).unwrap();
    assert_eq!((found.head.size, found.entries), (700, 5));
    assert_eq!(found.runs, [(3, 5), (300, 300), (699, 699)]);
    assert_eq!(found.key.origin(), "example.org/log");
    assert_eq!(read(bundle(512, &[0, 511]).as_bytes()).unwrap().entries, 2);
}

#[test]
fn every_flipped_byte_is_found() {
    let whole = bundle(3, &[0, 2]).into_bytes();
    read(&whole).unwrap();
    for at in 0..whole.len() {
        // The lowest bit, and the one between small letters and capitals.
        for bit in [0x01, 0x20] {
            let mut flipped = whole.clone();
            flipped[at] ^= bit;
            assert!(read(&flipped).is_err(), "byte {at}: {:?}", String::from_utf8_lossy(&flipped));
        }
    }
}

#[test]
fn what_was_cut_off_put_in_or_moved_is_found() {
    let whole = bundle(300, &[0, 1, 2]);
    let lines: Vec<_> = whole.lines().collect();
    for drop in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(drop);
        assert!(read((fewer.join("\n") + "\n").as_bytes()).is_err(), "without line {}", drop + 1);
    }
    let entries: Vec<_> = (0..lines.len()).filter(|at| lines[*at].starts_with("entry ")).collect();
    let mut moved = lines.clone();
    moved.swap(entries[0], entries[1]);
    let fault = read((moved.join("\n") + "\n").as_bytes()).unwrap_err();
    assert_eq!(fault, Fault::Entry { index: 0, what: "it is out of order".to_owned() });
    assert!(read((whole.clone() + "more\n").as_bytes()).is_err());
    let other = whole.replace(&body(1), &body(7));
    let fault = read(other.as_bytes()).unwrap_err();
    assert_eq!(fault, Fault::Entry { index: 1, what: "it is not the entry that was signed".to_owned() });
}

#[test]
fn every_flipped_byte_of_a_bundle_with_contents_is_found_and_one_that_nothing_names() {
    let whole = with_content();
    let found = read(whole.as_bytes()).unwrap();
    assert_eq!((found.entries, found.contents), (1, Some(1)));
    for at in 0..whole.len() {
        for bit in [0x01, 0x20] {
            let mut flipped = whole.clone().into_bytes();
            flipped[at] ^= bit;
            assert!(read(&flipped).is_err(), "byte {at}: {:?}", String::from_utf8_lossy(&flipped));
        }
    }
    let own = content(&SALT, b"!status");
    for (instead, end) in [(String::new(), 0), (own.repeat(2), 2), (content(&SALT, b"!deploy"), 1)] {
        let other = whole.replace(&own, &instead);
        assert!(read(other.as_bytes()).is_err(), "{other}");
        let other = other.replace("end 1 1", &format!("end 1 {end}"));
        assert_eq!(read(other.as_bytes()).is_ok(), end == 0, "{other}");
    }
    // What was cut out of a bundle, and said to be so, is left out; a bundle without contents has none.
    assert_eq!(names(&naming(0)).len(), 1);
    assert!(read(whole.replace("audit/v2", "audit/v1").as_bytes()).is_err());
}
