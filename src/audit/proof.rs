//! A proof that one entry is in the log, as a file: C2SP tlog-proof. Pure.
//!
//! Its extra data is the entry itself, so that the file needs nothing beside it but the log's key.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::tree::TreeHash;

/// The text of the file. `checkpoint` is the signed note as it stands.
pub fn text(index: u64, entry: &str, inclusion: &[TreeHash], checkpoint: &str) -> String {
    let extra = BASE64_STANDARD.encode(entry);
    let mut text = format!("c2sp.org/tlog-proof@v1\nextra {extra}\nindex {index}\n");
    for hash in inclusion {
        text.push_str(&BASE64_STANDARD.encode(hash));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(checkpoint);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{
            note::{Head, LogKey},
            tree::{Edge, Tile, Tiles, leaf_hash},
            verify,
        },
        model::SystemRandom,
    };

    #[test]
    fn a_proof_holds_by_itself_and_every_flipped_byte_is_found() {
        let key = LogKey::read(&LogKey::draw("example.org/log", &SystemRandom), "example.org/log").unwrap();
        let body = |index: u64| format!(r#"{{"id":"e{index}","type":"audit.read"}}"#);
        let (mut edge, mut full, mut leaves) = (Edge::default(), Vec::new(), Vec::new());
        for index in 0..5 {
            edge.push(leaf_hash(body(index).as_bytes()), &mut full);
            leaves.extend(leaf_hash(body(index).as_bytes()));
        }
        let mut tiles = Tiles::new(5);
        tiles.put(Tile { level: 0, index: 0 }, leaves);
        let note = key.sign(Head { size: 5, root: edge.root().unwrap() }).unwrap();
        let whole = text(3, &body(3), &tiles.inclusion(3).unwrap(), &note);
        assert!(whole.starts_with("c2sp.org/tlog-proof@v1\nextra ey"), "{whole}");
        let (index, entry, head) = verify::proof(whole.as_bytes(), key.public()).unwrap();
        assert_eq!((index, entry, head.size), (3, body(3), 5));
        for at in 0..whole.len() {
            let mut flipped = whole.clone().into_bytes();
            flipped[at] ^= 1;
            assert!(verify::proof(&flipped, key.public()).is_err(), "byte {at}");
        }
    }
}
