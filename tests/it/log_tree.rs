//! The log's tree while `serve` runs, and while it is killed.

use std::time::{Duration, Instant};

use quarterdeck::{
    audit::note::{LogKey, PublicKey},
    model::{Secret, fault::Point},
};

use crate::{harness::World, storage::tree::is_whole};

/// The public key of the log of a world.
pub fn public(world: &World) -> PublicKey {
    let text = std::fs::read_to_string(world.audit_key()).unwrap();
    let origin = format!("{}/quarterdeck", world.lease.homeserver.name);
    LogKey::read(&Secret::new(text), &origin).unwrap().public().clone()
}

/// Waits until every entry has a leaf, and every leaf a signature.
pub async fn sealed(world: &World) {
    let begun = Instant::now();
    let open = "SELECT (SELECT count(*) FROM entries) - (SELECT coalesce(max(size), 0) FROM checkpoints)";
    while world.count(open).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "entries stay without a signed leaf");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_was_done_is_signed_within_a_second() {
    let world = World::start().await;
    for word in ["one", "two", "three"] {
        world.ask(&format!("!count {word}")).await;
    }
    sealed(&world).await;
    is_whole(&world.sql(), &public(&world)).await;
    // Of each entry: the first checkpoint that has it. The machine is shared, so the slowest may take twice as long.
    let slowest = "SELECT max(extract(epoch FROM c.signed_at - e.at) * 1000)::bigint FROM leaves l
        JOIN entries e ON e.id = l.entry_id,
        LATERAL (SELECT signed_at FROM checkpoints WHERE size > l.index ORDER BY size LIMIT 1) c
        WHERE e.kind LIKE 'command.%' OR e.kind LIKE 'run.%'";
    let slowest = world.count(slowest).await;
    assert!(slowest < 2000, "{slowest} ms");
}

#[tokio::test]
async fn without_its_key_it_does_not_start() {
    let mut world = World::start().await;
    world.stop().await;
    sealed(&world).await;
    let kept = std::fs::read(world.audit_key()).unwrap();
    std::fs::remove_file(world.audit_key()).unwrap();
    let said = world.refused_to_serve(false).await;
    assert!(said.contains("quarterdeck audit key") && said.contains("put back"), "{said}");
    // Another key is no help: the log is signed by the first.
    let origin = format!("{}/quarterdeck", world.lease.homeserver.name);
    let other = LogKey::draw(&origin, &quarterdeck::model::SystemRandom);
    std::fs::write(world.audit_key(), other.expose()).unwrap();
    let said = world.refused_to_serve(false).await;
    assert!(said.contains("is not signed by"), "{said}");
    std::fs::write(world.audit_key(), kept).unwrap();
    world.serve().await;
}

/// Killed at a point of the sequencer's, it goes on as if nothing had been.
async fn killed(point: Point) {
    let mut world = World::start().await;
    world.ask("!count before").await;
    world.kill();
    let key = public(&world);
    // Its own start is on the record, so it comes to its point by itself.
    world.serve_until_dead(point).await;
    world.serve().await;
    world.ask("!count after").await;
    sealed(&world).await;
    is_whole(&world.sql(), &key).await;
}

#[tokio::test]
async fn killed_before_the_leaves_are_committed() {
    killed(Point::BeforeTreeCommit).await;
}

#[tokio::test]
async fn killed_between_the_commit_and_the_signature() {
    killed(Point::AfterTreeCommit).await;
}

#[tokio::test]
async fn killed_with_a_signature_that_nobody_has_seen() {
    killed(Point::AfterCheckpointSigned).await;
}
