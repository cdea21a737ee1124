//! The door of the server's host: the same rules, the same record, also while Matrix is down.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use sqlx::AssertSqlSafe;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

use crate::harness::{OwnHomeserver, Plan, World};

fn socket(world: &World) -> PathBuf {
    world.ops.path().parent().unwrap().join("run.sock")
}

/// A world with the door open, in which the user of this host is somebody of the team `web`.
async fn world(plan: Plan, who: impl Fn(&World) -> Option<String>) -> World {
    let mut world = World::prepared(plan).await;
    open(&world, who(&world).as_deref());
    world.serve().await;
    world.gather().await;
    world
}

/// Declares the door, and who the user of this host is.
fn open(world: &World, who: Option<&str>) {
    let settings = world.ops.read("quarterdeck.toml");
    let door = format!("{settings}[local]\nsocket = \"{}\"\n", socket(world).display());
    world.ops.file("quarterdeck.toml", &door);
    if let Some(user) = who {
        let team = world.ops.read("teams/web.toml");
        let uid = nix::unistd::getuid();
        world.ops.file("teams/web.toml", &format!("{team}[[local]]\nuid = {uid}\nuser = \"{user}\"\n"));
    }
}

async fn quarterdeck(world: &World, subcommand: &str, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarterdeck"));
    command.arg(subcommand).arg("--socket").arg(socket(world)).args(["--timeout", "60s"]).args(words);
    command.stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_command_runs_while_the_homeserver_is_down_and_its_room_hears_of_it_when_it_is_back() {
    let own = OwnHomeserver::up(&[]);
    let plan = Plan { homeserver: Some(own.homeserver.clone()), ..Plan::default() };
    let world = world(plan, |world| Some(world.alice.id.clone())).await;
    world.settled().await;
    own.stop();
    let output = quarterdeck(&world, "run", &["count", "from-the-host"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("counted from-the-host"), "{}", said(&output));
    assert_eq!(world.ops.counted("from-the-host"), 1);
    own.start();
    let alice = &world.alice;
    let has = |words: &'static str| {
        move |events: &[serde_json::Value]| {
            events
                .iter()
                .find(|event| event["content"]["body"].as_str().is_some_and(|body| body.contains(words)))
                .cloned()
        }
    };
    let asked = alice
        .until("what was asked on the host", has("asks on the server's host: `!count from-the-host`"))
        .await;
    assert!(asked["content"]["body"].as_str().unwrap().contains(&alice.id));
    let answer = alice.until("the answer", has("counted from-the-host")).await;
    assert_eq!(answer["content"].get("m.relates_to"), None);
    let number = answer["content"]["org.quarterdeck.request"]["number"].as_i64().unwrap();
    let entries = world.entries(number).await;
    assert_eq!(entries, ["command.received", "command.permitted", "run.started", "run.finished"]);
    let door: String = sqlx::query_scalar("SELECT door FROM requests WHERE number = $1")
        .bind(number)
        .fetch_one(&world.sql())
        .await
        .unwrap();
    assert_eq!(door, "local");
}

#[tokio::test]
async fn the_rules_and_the_answers_are_those_of_the_room() {
    let world = world(Plan::default(), |world| Some(world.bob.id.clone())).await;
    let output = quarterdeck(&world, "run", &["--room", "deploy", "deploy", "web", "staging"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = quarterdeck(&world, "run", &["!deploy web production"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("Changes in production are for leads."), "{}", said(&output));
    let output = quarterdeck(&world, "run", &["fail"]).await;
    assert_eq!(
        (output.status.code(), said(&output).contains("it went wrong")),
        (Some(1), true),
        "{}",
        said(&output)
    );
    let output = quarterdeck(&world, "run", &["help"]).await;
    assert_eq!(
        (output.status.code(), said(&output).contains("deploy")),
        (Some(0), true),
        "{}",
        said(&output)
    );
    let output = quarterdeck(&world, "run", &["depoly web"]).await;
    assert_eq!(
        (output.status.code(), said(&output).contains("Did you mean")),
        (Some(1), true),
        "{}",
        said(&output)
    );
    let output = quarterdeck(&world, "run", &["--room", "nowhere", "help"]).await;
    assert_eq!((output.status.code(), said(&output).contains("there is no room nowhere")), (Some(4), true));
    // `reload` is such a command: bob does not lead.
    let output = quarterdeck(&world, "reload", &[]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("No rule permits"), "{}", said(&output));
}

#[tokio::test]
async fn the_ops_folder_is_loaded_anew_from_the_host_with_its_outcome_as_exit_status() {
    let world = world(Plan::default(), |world| Some(world.alice.id.clone())).await;
    world.ops.file("docs/more.md", "# More\n");
    let output = quarterdeck(&world, "reload", &[]).await;
    assert_eq!(
        (output.status.code(), said(&output).contains("In force now")),
        (Some(0), true),
        "{}",
        said(&output)
    );
    world.ops.file("commands/broken.toml", "effect = \"read\"\n");
    let output = quarterdeck(&world, "reload", &[]).await;
    assert_eq!(
        (output.status.code(), said(&output).contains("commands/broken.toml")),
        (Some(1), true),
        "{}",
        said(&output)
    );
}

#[tokio::test]
async fn a_user_of_the_host_whom_no_team_names_is_refused_and_that_is_recorded() {
    let world = world(Plan::default(), |_| None).await;
    let output = quarterdeck(&world, "run", &["count", "nobodys"]).await;
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("[[local]]"), "{}", said(&output));
    let sql = "SELECT body FROM entries WHERE kind = 'local.refused'".to_owned();
    let body: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&world.sql()).await.unwrap();
    assert!(body.contains(&format!("\"uid\":{}", nix::unistd::getuid())), "{body}");
    assert_eq!(world.ops.counted("nobodys"), 0);
}

#[tokio::test]
async fn somebody_who_has_left_the_room_runs_nothing_there_from_the_host() {
    let world = world(Plan::default(), |world| Some(world.bob.id.clone())).await;
    world.bob.leave(&world.room).await;
    let left =
        format!("SELECT count(*) FROM members WHERE user_id = '{}' AND membership = 'leave'", world.bob.id);
    while world.count(&left).await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let output = quarterdeck(&world, "run", &["count", "after-leaving"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(world.ops.counted("after-leaving"), 0);
}

#[tokio::test]
async fn the_socket_is_the_servers_own_users_and_goes_with_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut world = world(Plan::default(), |_| None).await;
    let mode = std::fs::metadata(socket(&world)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // What a killed server leaves is replaced.
    world.restart().await;
    assert!(socket(&world).exists());
    world.stop().await;
    assert!(!socket(&world).exists());
    let output = quarterdeck(&world, "run", &["help"]).await;
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
}

#[tokio::test]
async fn where_the_rules_permit_nothing_the_host_may_do_nothing_either() {
    let mut world = World::prepared(Plan::default()).await;
    open(&world, Some(&world.bob.id));
    world.ops.file(
        "policies/rules.cedar",
        &format!(
            "@id(\"reload\") permit (principal == User::\"{}\", action == Action::\"reload\", resource);",
            world.alice.id
        ),
    );
    world.serve().await;
    world.gather().await;
    for line in [&["count", "never"][..], &["deploy", "web", "staging"], &["help"], &["audit"], &["reload"]] {
        let output = quarterdeck(&world, "run", line).await;
        assert_eq!(output.status.code(), Some(1), "{line:?}: {}", said(&output));
    }
    assert!(world.ops.traced().is_empty(), "{:?}", world.ops.traced());
    let permitted = "SELECT count(*) FROM entries WHERE kind IN ('command.permitted', 'run.started')";
    assert_eq!(world.count(permitted).await, 0);
}

#[tokio::test]
async fn what_the_rules_do_not_let_its_user_read_is_not_printed_on_the_host_either() {
    let mut world = World::prepared(Plan::default()).await;
    open(&world, Some(&world.bob.id));
    let rules = world.ops.read("policies/rules.cedar");
    let unread = format!(
        "@id(\"not-for-bob\") @says(\"Not for bob.\") forbid (principal == User::\"{}\", action == Action::\"read_output\", resource);",
        world.bob.id
    );
    world.ops.file("policies/rules.cedar", &format!("{rules}\n{unread}\n"));
    world.serve().await;
    world.gather().await;
    let output = quarterdeck(&world, "run", &["fail"]).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("exit status 3") && !text.contains("it went wrong"), "{text}");
    assert!(text.contains("The rules do not let you read what it printed."), "{text}");
}

#[tokio::test]
async fn a_socket_that_another_server_has_put_there_stays_when_this_one_ends() {
    let mut world = world(Plan::default(), |world| Some(world.alice.id.clone())).await;
    let path = socket(&world);
    let beside = path.with_extension("other");
    let other = tokio::net::UnixListener::bind(&beside).unwrap();
    std::fs::rename(&beside, &path).unwrap();
    world.stop().await;
    assert!(tokio::net::UnixStream::connect(&path).await.is_ok(), "the other server's socket is gone");
    drop(other);
    // Its own it takes away.
    world.serve().await;
    assert!(path.exists());
    world.stop().await;
    assert!(!path.exists(), "its own socket is left behind");
}

#[tokio::test]
async fn whoever_hangs_up_while_a_request_waits_gives_the_place_at_the_door_back() {
    let mut world = world(Plan::default(), |world| Some(world.alice.id.clone())).await;
    let mut waiting = Vec::new();
    for number in 0..16 {
        let mut stream = BufReader::new(UnixStream::connect(socket(&world)).await.unwrap());
        let ask = format!("{{\"line\": \"slow 100 w{number}\"}}\n");
        stream.get_mut().write_all(ask.as_bytes()).await.unwrap();
        // What it says has an end; it hears on all the same.
        stream.get_mut().shutdown().await.unwrap();
        let mut line = String::new();
        while !line.contains("runs") && !line.contains("waits") {
            line.clear();
            assert!(stream.read_line(&mut line).await.unwrap() > 0, "the door hung up on {number}");
        }
        waiting.push(stream);
    }
    drop(waiting);
    world.leave_pending();
    let output = quarterdeck(&world, "run", &["count", "seventeenth"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}
