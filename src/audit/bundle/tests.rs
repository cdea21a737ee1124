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
    let mut text = beginning(key.public(), &note, size, &tiles);
    for index in indexes {
        text.push_str(&entry(*index, &body(*index)));
    }
    text.push_str(&end(indexes.len() as u64));
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
