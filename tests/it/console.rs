//! `quarterdeck console --send --wait`: the same door as people use, for a CI job.

use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::harness::{Person, World, people::PATIENCE};

fn console(world: &World, person: &Person, further: &[&str]) -> (i32, String, String) {
    let (alias, password) = (world.alias("deploy"), person.password());
    let arguments = [
        &["console", "--homeserver", &world.lease.homeserver.url, "--user", &person.id][..],
        &["--password", &password, "--room", &alias],
        further,
    ];
    let Output { status, stdout, stderr } = world.quarterdeck(&arguments.concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[tokio::test]
async fn a_command_sent_from_a_script_ends_with_its_outcome() {
    let world = World::start().await;
    let (status, said, errors) = console(&world, &world.alice, &["--send", "!count script", "--wait"]);
    assert_eq!(status, 0, "{said}{errors}");
    assert!(said.starts_with("✅ counted script"), "{said}");
    let (status, said, _) = console(&world, &world.bob, &["--send", "!deploy web production", "--wait"]);
    assert_eq!(status, 1);
    assert!(said.contains("Changes in production are for leads."), "{said}");
    let (status, said, _) = console(&world, &world.alice, &["--send", "!cuont script", "--wait"]);
    assert_eq!(status, 1);
    assert!(said.contains("Did you mean `!count script`?"), "{said}");
    let (status, ..) = console(&world, &world.bob, &["--send", "!fail", "--wait"]);
    assert_eq!(status, 1);
    let (status, _, errors) =
        console(&world, &world.bob, &["--send", "!slow 4", "--wait", "--timeout", "1s"]);
    assert_eq!(status, 3, "{errors}");
    assert_eq!(world.ops.traced(), ["script", "slow begins"]);
}

#[tokio::test]
async fn what_goes_to_the_asker_alone_is_printed_where_they_ask() {
    let world = World::changed(|ops| {
        let echo = ops.read("commands/echo.toml").replace("effect =", "answer = \"private\"\neffect =");
        ops.file("commands/echo.toml", &echo);
    })
    .await;
    // The first opens the room with her, the second finds it.
    for words in ["between us", "between us again"] {
        let send = format!("!echo {words}");
        let (status, said, errors) = console(&world, &world.alice, &["--send", &send, "--wait"]);
        assert_eq!(status, 0, "{said}{errors}");
        let (room, alone) = said.split_once("answers only who asks").unwrap_or_else(|| panic!("{said}"));
        assert!(!room.contains(words) && alone.contains(words), "{said}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_has_a_status_of_its_own() {
    let world = World::start().await;
    let mallory = Person::register(&world.lease.homeserver, "mallory").await;
    let (status, _, errors) = console(&world, &mallory, &["--send", "!count never", "--wait"]);
    assert_eq!(status, 4, "{errors}");
    assert!(errors.contains("not sent"), "{errors}");
    assert!(world.ops.traced().is_empty());
}

#[tokio::test]
async fn a_status_of_several_lines_is_waited_for_to_the_last_and_ends_with_the_worst() {
    let world = World::changed(|ops| {
        let web = ops.read("systems/web.toml");
        let lines = |lines: &str| web.replace("[\"count status\"]", lines);
        ops.file("systems/web.toml", &lines("[\"count first\", \"fail\", \"slow 1 last\"]"));
        ops.file("systems/api.toml", &lines("[\"count one\", \"count two\"]"));
    })
    .await;
    let (status, said, errors) = console(&world, &world.alice, &["--send", "!status web", "--wait"]);
    assert_eq!(status, 1, "{said}{errors}");
    assert!(said.contains("counted first") && said.contains("❌"), "{said}");
    assert!(world.ops.traced().contains(&"last ends".to_owned()), "{said}");
    let (status, said, errors) = console(&world, &world.alice, &["--send", "!status api", "--wait"]);
    assert_eq!(status, 0, "{said}{errors}");
    assert!(said.contains("counted one") && said.contains("counted two"), "{said}");
}

#[tokio::test]
async fn somebody_sits_in_a_room_reads_what_was_said_types_and_leaves() {
    let world = World::start().await;
    let before = world.bob.say(&world.room, "said before anybody sat down").await;
    world.alice.until_seen(&before).await;
    let mut console = tokio::process::Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["console", "--homeserver", &world.lease.homeserver.url, "--user", &world.alice.id])
        .args(["--password", &world.alice.password(), "--room", &world.alias("deploy")])
        .env("NO_PROXY", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut typed = console.stdin.take().unwrap();
    let mut lines = BufReader::new(console.stdout.take().unwrap()).lines();
    let mut seen = String::new();
    let mut until = async |part: &str| {
        let read = async {
            loop {
                let line = lines
                    .next_line()
                    .await
                    .unwrap()
                    .unwrap_or_else(|| panic!("ended before {part:?}:\n{seen}"));
                seen.extend([&line, "\n"]);
                if line.contains(part) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("{part:?} was not shown"));
    };
    until(&format!("{}  said before anybody sat down", world.bob.id)).await;
    until(&format!("as {}; Ctrl-D ends", world.alice.id)).await;
    // An empty line is nothing to send.
    typed.write_all(b"\n!count seat\n").await.unwrap();
    until(&format!("{}  !count seat", world.alice.id)).await;
    until("counted seat").await;
    world.bob.say(&world.room, "said meanwhile").await;
    until(&format!("{}  said meanwhile", world.bob.id)).await;
    typed.write_all(b"/quit\n").await.unwrap();
    let status = tokio::time::timeout(PATIENCE, console.wait()).await.unwrap().unwrap();
    assert!(status.success());
    assert_eq!(world.ops.traced(), ["seat"]);
}
