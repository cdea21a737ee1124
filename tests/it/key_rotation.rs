//! The log goes on with another key: signed over by the old one, broken off anywhere, and found by whoever knows either.

use std::{fs, path::PathBuf};

use quarterdeck::{
    audit::{
        note::{LogKey, PublicKey},
        witness::{Ask, Refusal, Witness},
    },
    model::{Clock as _, SystemClock, SystemRandom, fault::Point},
};
use tempfile::TempDir;

use crate::{
    harness::World,
    log_tree::{public, sealed},
};

fn audit(world: &World, arguments: &[&str], point: Option<Point>) -> (bool, String) {
    let ops = world.ops.path().to_str().unwrap();
    let arguments = [&["audit", "--ops", ops][..], arguments].concat();
    let environment: Vec<_> = point.map(|point| ("QUARTERDECK_DIE_AT", point.name())).into_iter().collect();
    let output = world.quarterdeck_with(&arguments, &environment);
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
    (output.status.success(), told)
}

const ROTATE: &[&str] = &["key", "rotate", "--reason", "its disk was sold"];

/// The files of keys, in order.
fn keys(world: &World) -> Vec<PathBuf> {
    let files = fs::read_dir(world.audit_key().parent().unwrap()).unwrap().map(|it| it.unwrap().path());
    let is_key = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("audit.key");
    let mut files: Vec<_> = files.filter(is_key).collect();
    files.sort();
    files
}

/// The notes of all checkpoints, the first first.
async fn notes(world: &World) -> Vec<String> {
    sqlx::query_scalar("SELECT note FROM checkpoints ORDER BY size").fetch_all(&world.sql()).await.unwrap()
}

#[tokio::test]
async fn the_old_key_signs_the_log_over_and_whoever_knows_either_can_check_it() {
    let mut world = World::start().await;
    world.ask("!count before").await;
    sealed(&world).await;
    let old = public(&world);
    let kept = fs::read(world.audit_key()).unwrap();
    let (well, said) = audit(&world, ROTATE, None);
    assert!(!well && said.contains("stop it first"), "{said}");
    world.stop().await;
    sealed(&world).await;
    let before = notes(&world).await.len();

    // Broken off when the entry has its leaf and nobody has signed it: the old key goes on, and the log fits.
    let (well, said) = audit(&world, ROTATE, Some(Point::AfterTreeCommit));
    assert!(!well, "{said}");
    assert_eq!(fs::read(world.audit_key()).unwrap(), kept);
    let (well, said) = audit(&world, &["verify"], None);
    assert!(well, "{said}");
    // Broken off when both have signed and the new key is not in its place: the old one signs nothing any more.
    let (well, said) = audit(&world, ROTATE, Some(Point::AfterKeySignedOver));
    assert!(!well, "{said}");
    assert_eq!(fs::read(world.audit_key()).unwrap(), kept);
    let refused = world.refused_to_serve(false).await;
    assert!(refused.contains("signed the log over to another key"), "{refused}");
    let (well, said) = audit(&world, &["verify"], None);
    assert!(well, "{said}");

    let (well, said) = audit(&world, ROTATE, None);
    assert!(well && said.contains("The log goes on with this key"), "{said}");
    let new = public(&world);
    assert!(said.contains(&new.to_string()) && new.to_string() != old.to_string(), "{said}");
    let [key, until] = keys(&world).try_into().unwrap();
    assert_eq!((key, fs::read(&until).unwrap()), (world.audit_key(), kept.clone()));
    let over = notes(&world).await.pop().unwrap();
    assert_eq!(
        (old.open(&over).unwrap().head, old.open(&over).unwrap().others),
        (new.open(&over).unwrap().head, 1)
    );

    world.serve().await;
    world.ask("!count after").await;
    sealed(&world).await;
    let after = notes(&world).await.pop().unwrap();
    new.open(&after).unwrap();
    old.open(&after).unwrap_err();
    let told = world.count("SELECT count(*) FROM entries WHERE kind = 'log.key_changed'").await;
    assert_eq!(told, 2, "it was said again where it was broken off");
    let (well, said) = audit(&world, &["list", "--kind", "log.key_changed", "--since", "1h"], None);
    assert!(
        well && said.contains("signed the log over to the key") && said.contains("its disk was sold"),
        "{said}"
    );

    // By the new key, by the old, and by nobody else's.
    let stranger = LogKey::read(&LogKey::draw(old.origin(), &SystemRandom), old.origin()).unwrap();
    for (key, fits) in [(&new, true), (&old, true), (stranger.public(), false)] {
        let (well, said) = audit(&world, &["verify", "--key", &key.to_string()], None);
        assert_eq!(well, fits, "{said}");
    }
    let (well, said) = audit(&world, &["key"], None);
    assert!(well && said.ends_with(&format!("{new}\n")), "{said}");
    assert!(said.contains(&format!("{old} (log 1: not the key that signs now)")), "{said}");
    let bundle = world.audit_key().with_file_name("bundle");
    let (well, said) = audit(&world, &["export", bundle.to_str().unwrap()], None);
    assert!(well && said.contains(&new.to_string()), "{said}");
    let (well, said) = audit(&world, &["verify", bundle.to_str().unwrap(), "--key", &new.to_string()], None);
    assert!(well, "{said}");

    // A checkpoint that somebody kept from before is gone on from.
    let elsewhere = world.audit_key().with_file_name("kept");
    fs::write(&elsewhere, &notes(&world).await[before - 1]).unwrap();
    let (well, said) = audit(&world, &["verify", "--since", elsewhere.to_str().unwrap()], None);
    assert!(well, "{said}");

    // A witness takes the one that was signed over, and what comes after it once it knows the new key as well.
    let cosigns = |logs: Vec<PublicKey>, note: &str| {
        let folder = TempDir::new().unwrap();
        let witness = Witness::open(folder.path(), "witness.example.org/w1", logs, &SystemRandom).unwrap();
        witness.add(&Ask { old: 0, proof: Vec::new(), note: note.to_owned() }, SystemClock.now())
    };
    cosigns(vec![old.clone()], &over).unwrap();
    cosigns(vec![old.clone(), new.clone()], &over).unwrap();
    cosigns(vec![old.clone(), new.clone()], &after).unwrap();
    assert!(matches!(cosigns(vec![old], &after), Err(Refusal::Unsigned(_))));

    // The old key put back signs nothing.
    world.stop().await;
    fs::write(world.audit_key(), kept).unwrap();
    let refused = world.refused_to_serve(false).await;
    assert!(refused.contains("is not signed by"), "{refused}");
}
