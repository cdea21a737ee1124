//! What a witness cosigns, and what it refuses.

use tempfile::TempDir;

use super::*;
use crate::{
    audit::{
        cosign::Cosigner,
        note::LogKey,
        tree::{Edge, Tile, Tiles, leaf_hash},
    },
    model::SystemRandom,
};

const ORIGIN: &str = "example.org/quarterdeck";

/// A log of up to 256 entries.
struct Log {
    key: LogKey,
    /// What its entries begin with.
    history: &'static str,
}

impl Log {
    fn new() -> Self {
        Self { key: LogKey::read(&LogKey::draw(ORIGIN, &SystemRandom), ORIGIN).unwrap(), history: "one" }
    }

    fn ask(&self, old: u64, size: u64) -> Ask {
        let (mut edge, mut leaves) = (Edge::default(), Vec::new());
        for index in 0..size {
            let leaf = leaf_hash(format!("{} {index}", self.history).as_bytes());
            edge.push(leaf, &mut Vec::new());
            leaves.extend(leaf);
        }
        let mut tiles = Tiles::new(size);
        tiles.put(Tile { level: 0, index: 0 }, leaves);
        let proof = if old == size { Vec::new() } else { tiles.consistency(old).unwrap() };
        Ask { old, proof, note: self.key.sign(Head { size, root: edge.root().unwrap() }).unwrap() }
    }
}

fn open(folder: &TempDir, log: &Log) -> Result<Witness, Refusal> {
    Witness::open(folder.path(), "witness.example/w1", vec![log.key.public().clone()], &SystemRandom)
}

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

#[test]
fn a_log_that_grows_is_cosigned_also_by_the_witness_that_was_started_anew() {
    let (folder, log) = (TempDir::new().unwrap(), Log::new());
    let witness = open(&folder, &log).unwrap();
    let public = Cosigner::read(&witness.key().public().to_string()).unwrap();
    for (old, size) in [(0, 3), (3, 3), (3, 9), (9, 200)] {
        let ask = Ask::read(log.ask(old, size).to_body().as_bytes()).unwrap();
        let line = witness.add(&ask, now()).unwrap();
        let found = public.find(&format!("{}{line}", ask.note)).unwrap().unwrap();
        assert_eq!((found.at, found.line), (now(), line));
    }
    assert!(open(&folder, &log).unwrap_err().to_string().contains("another witness uses this folder"));
    drop(witness);
    let witness = open(&folder, &log).unwrap();
    assert_eq!(witness.key().public(), &public);
    assert!(matches!(witness.add(&log.ask(0, 200), now()), Err(Refusal::Elsewhere(200))));
    witness.add(&log.ask(200, 201), now()).unwrap();
}

#[test]
fn what_the_specification_has_refused_is_refused_and_changes_nothing() {
    let (folder, mut log) = (TempDir::new().unwrap(), Log::new());
    let witness = open(&folder, &log).unwrap();
    witness.add(&log.ask(0, 8), now()).unwrap();
    // Another key with the log's name, and a log that is not followed.
    assert!(matches!(witness.add(&Log::new().ask(8, 9), now()), Err(Refusal::Unsigned(_))));
    let mut other = log.ask(8, 9);
    other.note = other.note.replacen(ORIGIN, "example.org/other", 1);
    assert!(matches!(witness.add(&other, now()), Err(Refusal::UnknownLog(_))));
    // A size that it is not at, from behind and from before.
    assert!(matches!(witness.add(&log.ask(4, 9), now()), Err(Refusal::Elsewhere(8))));
    assert!(matches!(witness.add(&log.ask(0, 5), now()), Err(Refusal::Elsewhere(8))));
    let mut backwards = log.ask(0, 5);
    backwards.old = 8;
    assert!(matches!(witness.add(&backwards, now()), Err(Refusal::Malformed(_))));
    // A proof that is not one.
    let mut forged = log.ask(8, 9);
    forged.proof[0][0] ^= 1;
    assert!(matches!(witness.add(&forged, now()), Err(Refusal::Inconsistent(_))));
    let mut idle = log.ask(8, 8);
    idle.proof.push([0; 32]);
    assert!(matches!(witness.add(&idle, now()), Err(Refusal::Inconsistent(_))));
    // Another history, as large and larger.
    log.history = "another";
    assert!(matches!(witness.add(&log.ask(8, 8), now()), Err(Refusal::Fork(8))));
    assert!(matches!(witness.add(&log.ask(8, 20), now()), Err(Refusal::Inconsistent(_))));
    log.history = "one";
    witness.add(&log.ask(8, 9), now()).unwrap();
}

#[test]
fn what_others_put_beside_the_signature_does_not_harm_what_is_kept() {
    let (folder, log) = (TempDir::new().unwrap(), Log::new());
    let witness = open(&folder, &log).unwrap();
    let line = witness.add(&log.ask(0, 3), now()).unwrap();
    // Our own line for another checkpoint does not hold for this one.
    let mut ask = log.ask(3, 5);
    ask.note.push_str(&line);
    witness.add(&ask, now()).unwrap();
    witness.add(&log.ask(5, 6), now()).unwrap();
}

#[test]
fn what_was_seen_and_cannot_be_read_is_not_begun_anew() {
    let (folder, log) = (TempDir::new().unwrap(), Log::new());
    let witness = open(&folder, &log).unwrap();
    witness.add(&log.ask(0, 3), now()).unwrap();
    let path = folder.path().join(file_of(ORIGIN));
    let kept = fs::read_to_string(&path).unwrap();
    for broken in [String::new(), kept.replacen("\n3\n", "\n2\n", 1), log.ask(0, 2).note] {
        fs::write(&path, broken).unwrap();
        assert!(matches!(witness.add(&log.ask(0, 3), now()), Err(Refusal::Store(_))));
    }
    fs::write(&path, kept).unwrap();
    witness.add(&log.ask(3, 4), now()).unwrap();
}

#[test]
fn requests_are_read_as_the_specification_has_them() {
    // C2SP tlog-witness, "add-checkpoint": its example, with one hash and one signature left out.
    let example = "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\nexample.com/behind-the-sofa\n20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa \
        Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let ask = Ask::read(example.as_bytes()).unwrap();
    assert_eq!((ask.old, ask.proof.len(), said(&ask.note).unwrap().head.size), (20_852_014, 1, 20_852_163));
    assert_eq!(ask.to_body(), example);
    let many = format!("old 5\n{}\nnote", "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n".repeat(64));
    for wrong in
        ["", "old 5\n", "old 05\n\nx", "old +5\n\nx", "old 5 \n\nx", "new 5\n\nx", "old 5\nAAAA\n\nx", &many]
    {
        assert!(matches!(Ask::read(wrong.as_bytes()), Err(Refusal::Malformed(_))), "{wrong}");
    }
}
