//! What `serve` writes to standard error, for people and for machines.

use serde_json::Value;

use crate::harness::World;

#[tokio::test]
async fn logs_are_lines_or_objects_and_hold_what_they_are_asked_for() {
    let mut world = World::start().await;
    world.settled().await;
    let lines = world.log_text();
    assert!(lines.contains("INFO") && lines.contains("quarterdeck serves"), "{lines}");
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_err()), "{lines}");
    world.stop().await;

    let before = world.log_text().len();
    world
        .serve_with(&[("QUARTERDECK_LOG_FORMAT", "json"), ("QUARTERDECK_LOG", "quarterdeck=debug,warn")])
        .await;
    world.stop().await;
    let text = world.log_text()[before..].to_owned();
    let objects: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    assert!(
        objects
            .iter()
            .all(|one| one["timestamp"].is_string() && one["level"].is_string() && one["target"].is_string()),
        "{text}"
    );
    assert!(
        objects
            .iter()
            .any(|one| one["message"].as_str().is_some_and(|words| words.contains("quarterdeck serves"))),
        "{text}"
    );

    let before = world.log_text().len();
    world.serve_with(&[("QUARTERDECK_LOG", "off")]).await;
    world.stop().await;
    assert_eq!(&world.log_text()[before..], "");

    let before = world.log_text().len();
    world.serve_with(&[("QUARTERDECK_LOG", "quarterdeck=loudly")]).await;
    world.stop().await;
    let text = world.log_text()[before..].to_owned();
    assert!(text.contains("QUARTERDECK_LOG is passed over") && text.contains("quarterdeck serves"), "{text}");
}
