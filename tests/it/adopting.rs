//! What `docs/adopting.md` wraps is run, as the page has it: only places are others.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
};

use crate::{docs, harness::World};

/// A command's file of the page.
fn shown(file: &str) -> String {
    let blocks = docs::blocks("adopting.md");
    let block = blocks.into_iter().find(|block| block.value("file") == Some(file));
    block.unwrap_or_else(|| panic!("the page shows no {file}")).text
}

async fn world(name: &str, command: &str, secret: &str) -> World {
    World::changed(|ops| {
        ops.file(&format!("commands/{name}.toml"), command);
        if !secret.is_empty() {
            let path = ops.path().join("../adopted-secret");
            fs::write(&path, "hunter2-hunter2\n").unwrap();
            ops.file(&format!("secrets/{secret}.toml"), &format!("file = \"{}\"\n", path.display()));
        }
        let listed = format!("commands = [\"{name}\", ");
        ops.file("rooms/deploy.toml", &ops.read("rooms/deploy.toml").replace("commands = [", &listed));
    })
    .await
}

#[tokio::test]
async fn a_target_of_a_makefile_is_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made");
    let makefile = format!("reindex:\n\t@echo '$(INDEX) in $(ENV)' > {0}; cat {0}\n", made.display());
    fs::write(folder.path().join("Makefile"), makefile).unwrap();
    let command =
        shown("commands/make-reindex.toml").replace("/srv/web", &folder.path().display().to_string());
    let world = world("make-reindex", &command, "").await;
    let wrong = world.ask("!make-reindex staging '$(shell touch gone)'").await;
    assert_ne!(wrong.state, "succeeded", "{}", wrong.body);
    assert!(!made.exists());
    let answer = world.ask("!make-reindex staging products").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert!(answer.body.contains("products in staging"), "{}", answer.body);
    assert_eq!(fs::read_to_string(made).unwrap(), "products in staging\n");
}

/// A service that gives these answers, one a connection, and tells what it was asked.
fn service(answers: Vec<String>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for body in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            let mut part = [0; 4096];
            while !request.contains("\r\n\r\n") || (request.starts_with("POST") && !request.ends_with('}')) {
                let read = stream.read(&mut part).unwrap();
                request.push_str(std::str::from_utf8(&part[..read]).unwrap());
            }
            tell.send(request).unwrap();
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
                .unwrap();
        }
    });
    (address, told)
}

#[tokio::test]
async fn a_job_of_rundeck_is_begun_and_watched_to_its_end() {
    let (address, told) = service(vec![
        r#"{"id":7,"href":"/api/41/execution/7","status":"running"}"#.to_owned(),
        r#"{"id":7,"href":"/api/41/execution/7","status":"succeeded"}"#.to_owned(),
    ]);
    let command = shown("commands/nightly-import.toml")
        .replace("https://rundeck.example.org", &address)
        .replace("\"10s\"", "\"1s\"")
        .replace("timeout ", "private = true\ntimeout ");
    let world = world("nightly-import", &command, "rundeck-token").await;
    let answer = world.ask("!nightly-import 2026-11-23").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    let (begun, watched) = (told.recv().unwrap(), told.recv().unwrap());
    assert!(begun.contains("x-rundeck-auth-token: hunter2-hunter2\r\n"), "{begun}");
    assert!(begun.ends_with(r#"{"options":{"day":"2026-11-23"}}"#), "{begun}");
    assert!(watched.starts_with("GET /api/41/execution/7 "), "{watched}");
}

#[tokio::test]
async fn an_action_of_stackstorm_is_run_by_its_own_client() {
    let folder = tempfile::tempdir().unwrap();
    let client = folder.path().join("st2");
    // Its client's place is taken by a program that prints what it was given: there is no StackStorm here.
    let text = "#!/bin/sh\nprintf '<%s>' \"$@\"\n[ \"$ST2_API_KEY\" = hunter2-hunter2 ] && echo \" with $ST2_API_URL\"\n";
    fs::write(&client, text).unwrap();
    fs::set_permissions(&client, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let command = shown("commands/drain.toml").replace("/usr/bin/st2", &client.display().to_string());
    let world = world("drain", &command, "st2-key").await;
    let answer = world.ask("!drain node1").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    let expected = "<run><--json><balancer.drain><node=node1> with https://st2.example.org/api";
    assert!(answer.body.contains(expected), "{}", answer.body);
}

#[tokio::test]
async fn a_script_of_hubot_is_asked_by_its_route() {
    let (address, told) = service(vec!["deploying main".to_owned()]);
    let command = shown("commands/hubot-deploy.toml").replace("http://hubot.internal:8080", &address);
    let world = world("hubot-deploy", &command, "hubot-secret").await;
    let answer = world.ask("!ship main").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert!(answer.body.contains("deploying main"), "{}", answer.body);
    let asked = told.recv().unwrap();
    assert!(asked.starts_with("POST /hubot/deploy "), "{asked}");
    assert!(asked.contains("authorization: Bearer hunter2-hunter2\r\n"), "{asked}");
    assert!(asked.ends_with(r#"{"branch":"main"}"#), "{asked}");
}

#[tokio::test]
async fn what_was_done_outside_is_noted_on_the_log_and_counted_beside_what_was_done_here() {
    let world = World::start().await;
    let none = world.ask("!adoption").await;
    assert!(none.body.contains("Nothing was changed"), "{}", none.body);
    for _ in 0..3 {
        let answer = world.ask("!deploy web staging v1").await;
        assert_ne!(answer.state, "refused", "{}", answer.body);
    }
    world.ask("!count word").await;
    let ops = world.ops.path().display().to_string();
    let note = |system: &str, what: &str| {
        let output = world.quarterdeck(&["note", system, what, "--ops", &ops]);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(note("web", "restarted by hand"), (0, String::new()));
    let (status, said) = note("wbe", "restarted by hand");
    assert!(status == 1 && said.contains("no system is called `wbe`"), "{said}");
    let (status, said) = note("web", "two\nlines");
    assert!(status == 1 && said.contains("one line"), "{said}");
    let listed = world.quarterdeck(&["audit", "list", "--kind", "outside.noted", "--ops", &ops]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.lines().count() == 1 && listed.contains("outside, on web: restarted by hand"), "{listed}");
    let answer = world.ask("!adoption web").await;
    assert!(
        answer.body.contains("**web** · week of ") && answer.body.contains(" · 3 of 4 (75 %)"),
        "{}",
        answer.body
    );
    let other = world.ask("!adoption api").await;
    assert!(!other.body.contains("week of"), "{}", other.body);
}
