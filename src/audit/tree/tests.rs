//! The tree against the words of the RFC.

use super::*;

/// RFC 6962, section 2.1, written down as it stands there.
fn by_the_book(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => EMPTY_ROOT,
        [one] => *one,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            tlog_tiles::node_hash(Hash(by_the_book(left)), Hash(by_the_book(right))).0
        }
    }
}

fn leaf(number: u64) -> TreeHash {
    leaf_hash(format!("entry {number}").as_bytes())
}

/// The tiles of a tree of so many leaves, the partial ones included.
fn grown(size: u64) -> (Tiles, Vec<TreeHash>) {
    let (mut edge, mut full) = (Edge::default(), Vec::new());
    let leaves: Vec<_> = (0..size).map(leaf).collect();
    for leaf in &leaves {
        edge.push(*leaf, &mut full);
    }
    let mut tiles = Tiles::new(size);
    for (level, hashes) in (0_u8..).zip(&edge.levels) {
        if !hashes.is_empty() {
            tiles.put(Tile { level, index: rightmost(size, level) }, hashes.clone());
        }
    }
    for tile in full {
        tiles.put(tile.tile, tile.hashes);
    }
    (tiles, leaves)
}

#[test]
fn the_root_is_what_the_rfc_says() {
    let (mut edge, mut full) = (Edge::default(), Vec::new());
    let leaves: Vec<_> = (0..600).map(leaf).collect();
    assert_eq!(edge.root().unwrap(), EMPTY_ROOT);
    for (count, leaf) in (1..).zip(&leaves) {
        edge.push(*leaf, &mut full);
        assert_eq!(edge.root().unwrap(), by_the_book(&leaves[..count]), "{count}");
    }
    assert_eq!(full.len(), 2);
    assert_eq!(full[1].tile, Tile { level: 0, index: 1 });
}

#[test]
fn a_level_that_fills_goes_up() {
    let size = WIDTH * WIDTH + 3;
    let (tiles, leaves) = grown(size);
    assert_eq!(tiles.root().unwrap(), by_the_book(&leaves));
    tiles.check(by_the_book(&leaves)).unwrap();
    let levels: Vec<_> = tiles.iter().map(|(tile, _)| tile.level).collect();
    assert_eq!((levels.len(), levels.last()), (256 + 1 + 1 + 1, Some(&2)));
}

#[test]
fn what_is_proved_holds_and_nothing_else() {
    for size in [1, 2, 3, 255, 256, 257, 600] {
        let (tiles, leaves) = grown(size);
        let root = by_the_book(&leaves);
        for index in [0, size / 2, size - 1] {
            let proof = tiles.inclusion(index).unwrap();
            check_inclusion(&proof, size, root, index, leaf(index)).unwrap();
            check_inclusion(&proof, size, root, index, leaf(size)).unwrap_err();
        }
        for old in [0, 1, size / 2, size] {
            let old_root = by_the_book(&leaves[..usize::try_from(old).unwrap()]);
            let proof = tiles.consistency(old).unwrap();
            check_consistency(&proof, size, root, old, old_root).unwrap();
            check_consistency(&proof, size, root, old, leaf(size)).unwrap_err();
        }
    }
}

#[test]
fn a_tile_that_was_changed_is_named() {
    let (mut tiles, leaves) = grown(600);
    let root = by_the_book(&leaves);
    let tile = Tile { level: 0, index: 1 };
    let mut hashes = tiles.tiles[&tile].clone();
    hashes[77] ^= 1;
    tiles.put(tile, hashes);
    assert_eq!(tiles.check(root), Err(Error::Tile("tile/0/001".to_owned())));
    let (mut tiles, _) = grown(600);
    tiles.put(Tile { level: 0, index: 3 }, vec![0; 8192]);
    assert_eq!(tiles.check(root), Err(Error::Stray("tile/0/003".to_owned())));
    let (tiles, _) = grown(600);
    assert_eq!(tiles.check(leaf(0)), Err(Error::Root(600)));
}

#[test]
fn paths_are_those_of_the_specification() {
    // Its own example: a tree of 70,000.
    let path = |level, index| Tile { level, index }.path(70_000);
    assert_eq!(path(0, 272), "tile/0/272");
    assert_eq!(path(0, 273), "tile/0/273.p/112");
    assert_eq!(path(1, 1), "tile/1/001.p/17");
    assert_eq!(path(2, 0), "tile/2/000.p/1");
    assert_eq!(Tile { level: 0, index: 273 }.width(70_000), 112);
    assert_eq!(Tile::from_path("0/x001/x234/067"), Some((Tile { level: 0, index: 1_234_067 }, 256)));
    assert_eq!(Tile::from_path("1/001.p/17"), Some((Tile { level: 1, index: 1 }, 17)));
    for wrong in
        ["00/000", "64/000", "0/1", "0/000.p/0", "0/000.p/256", "0/001/002", "0/x000/001", "0/000.p/01", "0/"]
    {
        assert_eq!(Tile::from_path(wrong), None, "{wrong}");
    }
}

#[test]
fn the_edge_is_read_back_as_it_was() {
    let (mut edge, mut full) = (Edge::default(), Vec::new());
    for number in 0..300 {
        edge.push(leaf(number), &mut full);
    }
    assert_eq!(Edge::new(300, edge.levels.clone()).unwrap(), edge);
    Edge::new(301, edge.levels).unwrap_err();
}
