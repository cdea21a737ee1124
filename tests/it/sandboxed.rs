//! Commands in their sandbox, the whole path: from a room, through the log, to the kernel and back.

use std::time::Duration;

use quarterdeck::model::fault::Point;

use crate::harness::{OpsFolder, State, World};

/// Takes `sandbox = "none"` out of a command, and lets it write its trace and nothing else.
fn shut_in(ops: &OpsFolder, name: &str) {
    let file = format!("commands/{name}.toml");
    let writable = format!("writable = [\"{}\"]", ops.trace.display());
    let open = ops.read(&file);
    let shut = open.replace("sandbox = \"none\"", &writable);
    assert_ne!(open, shut, "{name} is declared open");
    ops.file(&file, &shut);
}

/// A world in which `count` and `slow` are shut in, and `slow` leaves its session as well.
async fn world() -> World {
    World::changed(|ops| {
        let arguments = "[[argument]]\nname = \"seconds\"\ntype = \"integer\"\nmin = 0\nmax = 120\n\
                         [[argument]]\nname = \"word\"\ntype = \"text\"\npattern = '[\\w-]+'\ndefault = \"slow\"\n";
        let script = r#"setsid sh -c 'while :; do echo beat >> "$TRACE"; sleep 0.1; done' </dev/null >/dev/null 2>&1 &
echo "$2 begins" >> "$TRACE"; sleep "$1"; echo "$2 ends" >> "$TRACE""#;
        ops.command("slow", "read", arguments, script);
        for name in ["count", "slow"] {
            shut_in(ops, name);
        }
    })
    .await
}

/// The run has ended; what left its session has too, or it would beat on.
async fn nothing_outlived(world: &World) {
    let beats = world.ops.counted("beat");
    assert!(beats > 0, "it never beat: {:?}", world.ops.traced());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.ops.counted("beat"), beats, "it beats on");
}

#[tokio::test]
async fn a_sandboxed_command_runs_is_answered_and_its_sandbox_is_on_the_record() {
    let world = world().await;
    let answer = world.ask("!count once").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert_eq!(world.ops.traced(), ["once"]);
    let body: String =
        sqlx::query_scalar("SELECT body FROM entries WHERE request = $1 AND kind = 'run.started'")
            .bind(answer.number)
            .fetch_one(&world.sql())
            .await
            .unwrap();
    assert!(body.contains("bubblewrap") && body.contains(world.ops.trace.to_str().unwrap()), "{body}");
}

#[tokio::test]
async fn a_sandboxed_command_sees_nothing_of_quarterdecks_own() {
    let world = World::changed(|ops| {
        let hidden = ops.path().parent().unwrap();
        let script = format!(
            "echo tried\ncat {0}/ops/quarterdeck.toml {0}/registration.yaml {0}/audit.key && echo read\n\
             find {0} -type f | grep -v -e trace -e bin/fail\n\
             cat /proc/$PPID/environ | tr '\\0' '\\n' | grep QUARTERDECK\nexit 3",
            hidden.display()
        );
        ops.command("fail", "read", "", &format!("{{ {script}\n}} 2>/dev/null"));
        shut_in(ops, "fail");
    })
    .await;
    let answer = world.ask("!fail").await;
    assert_eq!(answer.state, "failed", "{}", answer.body);
    assert!(answer.body.contains("tried") && answer.body.contains("exit status 3"), "{}", answer.body);
    for seen in ["read", "QUARTERDECK", "/ops/", "registration", "audit.key"] {
        assert!(!answer.body.contains(seen), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_had_is_said_and_nothing_runs() {
    let world = World::changed(|ops| {
        shut_in(ops, "count");
        let file = ops.read("commands/count.toml");
        ops.file("commands/count.toml", &file.replace("writable = [", "writable = [\"/no/such/folder\", "));
    })
    .await;
    let answer = world.ask("!count once").await;
    assert_ne!(answer.state, "succeeded", "{}", answer.body);
    assert!(answer.body.contains("/no/such/folder"), "{}", answer.body);
    assert!(world.ops.traced().is_empty(), "{:?}", world.ops.traced());
}

#[tokio::test]
async fn what_a_killed_server_left_in_a_sandbox_is_ended_with_all_that_left_its_session() {
    let mut world = world().await;
    let command = world.alice.say(&world.room, "!slow 60 left").await;
    world.started("left begins").await;
    world.started("beat").await;
    world.restart().await;
    assert_eq!(world.alice.outcome(&world.bot(), &command).await.state, "interrupted");
    nothing_outlived(&world).await;
}

#[tokio::test]
async fn a_stop_of_the_server_ends_what_runs_in_a_sandbox() {
    let mut world = world().await;
    let command = world.alice.say(&world.room, "!slow 60 stopped").await;
    world.started("stopped begins").await;
    world.started("beat").await;
    world.stop().await;
    assert_eq!(world.state_of(&command).await.as_deref(), Some("cancelled"));
    nothing_outlived(&world).await;
    world.serve().await;
    assert_eq!(world.alice.outcome(&world.bot(), &command).await.state, "cancelled");
}

#[tokio::test]
async fn killed_around_a_sandboxed_process_it_is_interrupted_and_not_run_again() {
    for (point, runs) in [
        (Point::AfterDecisionCommit, 0..=0),
        (Point::AfterProcessStart, 0..=1),
        (Point::AfterProcessEnd, 1..=1),
    ] {
        let mut world = world().await;
        world.settled().await;
        world.stop().await;
        world.serve_until(point).await;
        let command = world.alice.say(&world.room, "!count crash").await;
        world.died().await;
        world.serve().await;
        assert_eq!(world.alice.outcome(&world.bot(), &command).await.state, "interrupted", "{point:?}");
        world.restart().await;
        world.settled().await;
        assert!(runs.contains(&world.ops.counted("crash")), "{point:?}: {:?}", world.ops.traced());
    }
}

#[tokio::test]
async fn the_databases_socket_is_out_of_a_sandboxed_commands_reach() {
    let socket =
        format!("{}/.s.PGSQL.{}", State::read().postgres.socket.display(), State::read().postgres.port);
    let script = format!(
        "/usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{socket}\"); print(\"reached\")' 2>&1; echo tried"
    );
    let open = World::changed(|ops| ops.command("fail", "read", "", &script)).await;
    let answer = open.ask("!fail").await;
    assert!(answer.body.contains("reached"), "without a sandbox it is there: {}", answer.body);
    let shut = World::changed(|ops| {
        ops.command("fail", "read", "", &script);
        shut_in(ops, "fail");
    })
    .await;
    let answer = shut.ask("!fail").await;
    assert!(answer.body.contains("tried") && !answer.body.contains("reached"), "{}", answer.body);
    assert!(answer.body.contains("FileNotFoundError"), "{}", answer.body);
}
