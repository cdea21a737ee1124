//! Commands that send requests to a service, through a room: the service is a real one, of the test's own.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::harness::World;

/// What a service was asked, request by request.
type Seen = Arc<Mutex<Vec<String>>>;

/// A service that begins a job for each POST, and tells of it to who asks; a version `v9` it never answers.
fn service() -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen::default();
    let asked = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, asked) = (stream.unwrap(), Arc::clone(&asked));
            std::thread::spawn(move || {
                let mut request = String::new();
                let mut part = [0; 4096];
                while !request.contains("\r\n\r\n")
                    || (request.starts_with("POST") && !request.ends_with('}'))
                {
                    let read = stream.read(&mut part).unwrap();
                    request.push_str(std::str::from_utf8(&part[..read]).unwrap());
                    if read == 0 {
                        return;
                    }
                }
                let silent = request.contains("v9");
                let body = if request.starts_with("POST") {
                    r#"{"url":"/jobs/1","status":"running"}"#
                } else {
                    r#"{"status":"success","summary":"web@staging is at v1, says hunter2-hunter2"}"#
                };
                asked.lock().unwrap().push(request);
                if silent {
                    std::thread::sleep(Duration::from_mins(2));
                }
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
                );
            });
        }
    });
    (port, seen)
}

async fn world(port: u16) -> World {
    World::changed(|ops| {
        std::fs::write(ops.path().join("../ci-token"), "hunter2-hunter2\n").unwrap();
        ops.file(
            "secrets/ci-token.toml",
            &format!("file = \"{}\"\n", ops.path().join("../ci-token").display()),
        );
        ops.file(
            "commands/ci.toml",
            &format!(
                r#"summary = "Deploys by the pipeline"
effect = "change"
subject = "{{app}}@{{env}}"
[[argument]]
name = "app"
type = "choice"
choices = ["web", "api"]
[[argument]]
name = "env"
type = "choice"
choices = ["staging", "production"]
[[argument]]
name = "version"
type = "text"
[run]
executor = "http"
method = "POST"
url = "http://127.0.0.1:{port}/api/{{app}}/{{version}}"
private = true
credentials = {{ Authorization = "Bearer ci-token" }}
json = {{ version = "{{version}}" }}
answer = "/summary"
[run.poll]
at = "/url"
every = "1s"
field = "/status"
done = ["success"]
"#
            ),
        );
        let room = ops.read("rooms/deploy.toml").replace("commands = [", "commands = [\"ci\", ");
        ops.file("rooms/deploy.toml", &room);
    })
    .await
}

#[tokio::test]
async fn a_command_that_is_a_request_is_decided_recorded_sent_watched_and_answered_without_its_secret() {
    let (port, seen) = service();
    let world = world(port).await;
    let answer = world.ask_as(&world.bob, "!ci web production v1").await;
    assert_eq!(answer.state, "refused", "{}", answer.body);
    let folder = world.ops.path().display().to_string();
    let line = "!ci web staging v1";
    let shown =
        world.quarterdeck(&["try", line, "--as", &world.bob.id, "--room", "deploy", "--ops", &folder]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for expected in [
        format!("Would run: POST http://127.0.0.1:{port}/api/web/v1"),
        "  secret          ci-token, as authorization: Bearer ...".to_owned(),
        "  body            {\"version\":\"v1\"}".to_owned(),
        "  timeout         1m".to_owned(),
    ] {
        assert!(shown.lines().any(|line| line == expected), "{expected} in {shown}");
    }
    assert!(seen.lock().unwrap().is_empty());

    let answer = world.ask("!ci web staging 'v1/../\"x'").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert!(answer.body.contains("web@staging is at v1, says [secret ci-token]"), "{}", answer.body);
    assert_eq!(
        world.entries(answer.number).await,
        ["command.received", "command.permitted", "run.started", "run.finished"]
    );
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[0].starts_with("POST /api/web/v1%2F..%2F%22x HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(seen[0].contains("authorization: Bearer hunter2-hunter2\r\n"), "{}", seen[0]);
    assert!(seen[0].ends_with(r#"{"version":"v1/../\"x"}"#), "{}", seen[0]);
    assert!(seen[1].starts_with("GET /jobs/1 "), "{}", seen[1]);
}

#[tokio::test]
async fn a_request_that_was_under_way_when_the_server_died_is_unknown_and_not_sent_again() {
    let (port, seen) = service();
    let mut world = world(port).await;
    let command = world.alice.say(&world.room, "!ci web staging v9").await;
    while seen.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.kill();
    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(answer.state, "interrupted", "{}", answer.body);
    world.settled().await;
    assert_eq!(seen.lock().unwrap().len(), 1);
}
