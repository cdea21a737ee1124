//! `quarterdeck console --send --wait`: the same door as people use, for a CI job.

use std::process::Output;

use crate::harness::{Person, World};

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
