//! The whole path: a command typed in a room is decided, recorded, run, recorded and answered.

use crate::harness::World;

#[tokio::test]
async fn a_command_is_decided_recorded_run_recorded_and_answered() {
    let world = World::start().await;
    let answer = world.ask("!count once").await;
    assert_eq!(answer.state, "succeeded");
    assert!(answer.body.starts_with("✅ counted once · "), "{}", answer.body);
    assert_eq!(world.ops.traced(), ["once"]);
    assert_eq!(
        world.entries(answer.number).await,
        ["command.received", "command.permitted", "run.started", "run.finished"]
    );
}
