//! Commands that run on other hosts, through a room: the host is a real sshd on the loopback.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use crate::harness::World;

#[path = "../sshd/mod.rs"]
mod sshd;

use sshd::Sshd;

/// A world with a command `there` that runs a script on `web1`, which writes into `folder`.
async fn world(sshd: &Sshd, folder: &Path) -> World {
    let script = folder.join("there");
    let shown = folder.display();
    let text = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\necho x >> {shown}/count\necho $$ > {shown}/pid\n\
         shift\n[ \"$1\" = wait ] && sleep 600\necho \"did $1\"\n"
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    World::changed(|ops| {
        ops.file("hosts/web1.toml", &sshd.declared("host.pub"));
        ops.file("secrets/there-key.toml", &format!("file = \"{}\"\n", sshd.path("login").display()));
        ops.file(
            "commands/there.toml",
            &format!(
                r#"summary = "Runs on another host"
effect = "change"
subject = "web@{{env}}"
[[argument]]
name = "env"
type = "choice"
choices = ["staging", "production"]
[[argument]]
name = "word"
type = "text"
[run]
executor = "ssh"
hosts = ["web1"]
program = "{}"
arguments = ["--", "{{word}}"]
key = "there-key"
"#,
                script.display()
            ),
        );
        let room = ops.read("rooms/deploy.toml").replace("commands = [", "commands = [\"there\", ");
        ops.file("rooms/deploy.toml", &room);
    })
    .await
}

#[tokio::test]
async fn a_command_of_another_host_is_shown_decided_recorded_run_there_and_answered() {
    let (sshd, folder) = (Sshd::start(), tempfile::tempdir().unwrap());
    let world = world(&sshd, folder.path()).await;
    let refused = world.ask_as(&world.bob, "!there production now").await;
    assert_eq!(refused.state, "refused", "{}", refused.body);
    let ops = world.ops.path().display().to_string();
    let line = "!there staging 'a  b'";
    let shown = world.quarterdeck(&["try", line, "--as", &world.bob.id, "--room", "deploy", "--ops", &ops]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for expected in [
        format!("Would run: {}", folder.path().join("there").display()),
        "  argument 2      a  b".to_owned(),
        format!("  on              web1, by SSH as {}@127.0.0.1:{}", sshd.user, sshd.port),
        "  secret          there-key, as the key".to_owned(),
    ] {
        assert!(shown.lines().any(|line| line == expected), "{expected} in {shown}");
    }
    assert!(!folder.path().join("count").exists());

    let answer = world.ask("!there staging 'a  b'").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert!(answer.body.contains("did a  b"), "{}", answer.body);
    assert_eq!(
        world.entries(answer.number).await,
        ["command.received", "command.permitted", "run.started", "run.finished"]
    );
    assert_eq!(fs::read_to_string(folder.path().join("count")).unwrap(), "x\n");
}

#[tokio::test]
async fn when_the_server_dies_the_program_there_ends_and_its_outcome_is_unknown_and_it_is_not_run_again() {
    let (sshd, folder) = (Sshd::start(), tempfile::tempdir().unwrap());
    let mut world = world(&sshd, folder.path()).await;
    let command = world.alice.say(&world.room, "!there staging wait").await;
    let pid = loop {
        match fs::read_to_string(folder.path().join("pid")) {
            Ok(pid) if pid.ends_with('\n') => break pid.trim().to_owned(),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    world.kill();
    let there = Path::new("/proc").join(pid);
    for _ in 0..500 {
        if !there.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!there.exists(), "the program goes on");
    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(answer.state, "interrupted", "{}", answer.body);
    world.settled().await;
    assert_eq!(fs::read_to_string(folder.path().join("count")).unwrap(), "x\n");
}
