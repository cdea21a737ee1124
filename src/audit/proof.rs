//! A proof that one entry is in the log, as a file: C2SP tlog-proof. Pure.
//!
//! Its extra data is the entry itself, so that the file needs nothing beside it but the log's key.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::tree::TreeHash;

/// The text of the file. `checkpoint` is the signed note as it stands, with its cosignatures.
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
            cosign::CosignKey,
            note::{Head, LogKey, said},
            tree::{Edge, Tile, Tiles, leaf_hash},
            verify::{self, Cosigners},
        },
        model::{SystemRandom, Timestamp},
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
        let proved = verify::proof(whole.as_bytes(), key.public(), &[]).unwrap();
        assert_eq!((proved.index, proved.entry, proved.head.size), (3, body(3), 5));
        for at in 0..whole.len() {
            let mut flipped = whole.clone().into_bytes();
            flipped[at] ^= 1;
            assert!(verify::proof(&flipped, key.public(), &[]).is_err(), "byte {at}");
        }

        // With cosignatures: of witnesses that are known every byte counts as well, others are passed over.
        let draw = |name: &str| CosignKey::read(&CosignKey::draw(name, &SystemRandom).unwrap()).unwrap();
        let (known, stranger) = (draw("witness.example/w1"), draw("witness.example/w2"));
        let (said, now) = (said(&note).unwrap(), Timestamp::from_second(1_700_000_000).unwrap());
        let lines = [stranger.cosign(&said, now).unwrap(), known.cosign(&said, now).unwrap()];
        let cosigned = format!("{whole}{}{}", lines[0], lines[1]);
        let witness = [known.public().clone()];
        let proved = verify::proof(cosigned.as_bytes(), key.public(), &witness).unwrap();
        let names = vec![("witness.example/w1".to_owned(), now)];
        assert_eq!(proved.cosigned, Cosigners { known: names, unknown: 1 });
        assert_eq!(verify::proof(cosigned.as_bytes(), key.public(), &[]).unwrap().cosigned.unknown, 2);
        for at in cosigned.len() - lines[1].len()..cosigned.len() {
            let mut flipped = cosigned.clone().into_bytes();
            flipped[at] ^= 1;
            assert!(verify::proof(&flipped, key.public(), &witness).is_err(), "byte {at}");
        }
        let fault = verify::proof(whole.as_bytes(), key.public(), &witness).unwrap_err();
        assert!(fault.to_string().contains("bears no cosignature by witness.example/w1"), "{fault}");
    }
}
