//! What is recorded beside commands: who comes and who goes, and rooms that fail.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::World;

/// The bodies of the entries of a kind, once there is one.
async fn entries(world: &World, kind: &str) -> Vec<Value> {
    for _ in 0..200 {
        let bodies: Vec<String> =
            sqlx::query_scalar("SELECT body FROM entries WHERE kind = $1 ORDER BY place")
                .bind(kind)
                .fetch_all(&world.sql())
                .await
                .unwrap();
        if !bodies.is_empty() {
            return bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no {kind} was recorded");
}

#[tokio::test]
async fn who_comes_and_who_goes_is_on_the_record() {
    let world = World::start().await;
    world.bob.leave(&world.room).await;
    world.settled().await;
    let told = entries(&world, "member.changed").await;
    let of_bob: Vec<_> = told.iter().filter(|entry| entry["user"] == world.bob.id.as_str()).collect();
    let seen: Vec<_> = of_bob.iter().map(|entry| (&entry["membership"], &entry["by"])).collect();
    assert_eq!(seen.last(), Some(&(&json!("leave"), &json!(world.bob.id))), "{told:?}");
    assert!(seen.contains(&(&json!("join"), &json!(world.bob.id))), "{told:?}");
    assert!(told.iter().all(|entry| entry["room"] == world.room.as_str()), "{told:?}");
}

#[tokio::test]
async fn a_room_that_cannot_be_kept_is_on_the_record_with_its_mend() {
    let mut world = World::start().await;
    let tombstone = json!({ "body": "closed", "replacement_room": "" });
    world.as_bot().must("PUT", &["rooms", &world.room, "state", "m.room.tombstone"], &tombstone).await;
    world.restart().await;
    let failed = entries(&world, "room.failed").await;
    assert_eq!(failed[0]["name"], "deploy");
    assert!(failed[0]["what"].as_str().unwrap().contains("rename rooms/deploy.toml"), "{failed:?}");
}
