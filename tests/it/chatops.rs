//! Methods of a Chatops RPC endpoint, through a room. The endpoint is a real one of the test's own; it verifies each
//! signature with OpenSSL, and knows nothing of Quarterdeck's code.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quarterdeck::model::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::{
    approvals::{digits, number},
    harness::{Answer, World},
};

/// An endpoint.
struct Endpoint {
    port: u16,
    folder: PathBuf,
    listing: Mutex<Value>,
    away: AtomicBool,
    nonces: Mutex<BTreeSet<String>>,
    /// The bodies of the calls whose signature was right.
    calls: Mutex<Vec<Value>>,
    listed: Mutex<usize>,
}

fn method(regex: &str, params: &[&str], path: &str) -> Value {
    json!({ "help": format!("hubot deploy {path} - For a test"), "regex": regex, "params": params, "path": path })
}

fn openssl(folder: &Path, arguments: &[&str]) -> bool {
    Command::new("openssl").current_dir(folder).args(arguments).output().unwrap().status.success()
}

impl Endpoint {
    fn start(folder: &Path) -> Arc<Self> {
        assert!(openssl(folder, &["genrsa", "-out", "chatops.pem", "2048"]));
        assert!(openssl(folder, &["rsa", "-in", "chatops.pem", "-pubout", "-out", "chatops.pub"]));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listing = json!({ "namespace": "deploy", "help": "Deploys", "version": "3", "error_response": "Ask in #deploys",
            "methods": {
                "options": method("options(?: (?<app>\\S+))?", &["app"], "wcid"),
                "lock": method("lock (?<app>\\S+) because (?<reason>.+)", &["app", "reason"], "lock"),
                "fail": method("fail", &[], "fail"),
                "crash": method("crash", &[], "crash"),
            } });
        let endpoint = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            folder: folder.to_owned(),
            listing: Mutex::new(listing),
            away: AtomicBool::new(false),
            nonces: Mutex::default(),
            calls: Mutex::default(),
            listed: Mutex::default(),
        });
        let serving = Arc::clone(&endpoint);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let endpoint = Arc::clone(&serving);
                std::thread::spawn(move || endpoint.serve(stream.unwrap()));
            }
        });
        endpoint
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/_chatops", self.port)
    }

    fn serve(&self, mut stream: TcpStream) {
        if self.away.load(Ordering::Relaxed) {
            return;
        }
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim_end().is_empty() {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        let header = |name: &str| {
            let line = head.iter().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")));
            line.map(|line| line[name.len() + 2..].to_owned()).unwrap_or_default()
        };
        let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        let path = head[0].split(' ').nth(1).unwrap().to_owned();
        let signed = [header("chatops-nonce"), header("chatops-timestamp"), header("chatops-signature")];
        let (status, answer) = if self.is_signed(&path, &signed, &body) {
            self.answer(&path, &body)
        } else {
            ("403 Forbidden", json!({ "error": { "code": -32800, "message": "Not authorized" } }).to_string())
        };
        let length = answer.len();
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{answer}"
        );
    }

    /// As the protocol's description has it: the text is put together here, and the signature is for OpenSSL to judge.
    fn is_signed(&self, path: &str, [nonce, timestamp, signature]: &[String; 3], body: &[u8]) -> bool {
        let fresh = timestamp.parse::<jiff::Timestamp>().is_ok_and(|at| {
            let now = Clock::now(&SystemClock);
            now.duration_since(at).abs() < jiff::SignedDuration::from_mins(5)
        });
        let Some(signature) = signature.strip_prefix("Signature keyid=ours,signature=") else { return false };
        let mut nonces = self.nonces.lock().unwrap();
        if nonce.is_empty() || !fresh || !nonces.insert(nonce.clone()) {
            return false;
        }
        let base = self.url();
        let base = base.strip_suffix("/_chatops").unwrap();
        let mut text = format!("{base}{path}\n{nonce}\n{timestamp}\n").into_bytes();
        text.extend_from_slice(body);
        std::fs::write(self.folder.join("text"), text).unwrap();
        std::fs::write(self.folder.join("signature.b64"), format!("{signature}\n")).unwrap();
        openssl(&self.folder, &["base64", "-d", "-A", "-in", "signature.b64", "-out", "signature"])
            && openssl(
                &self.folder,
                &["dgst", "-sha256", "-verify", "chatops.pub", "-signature", "signature", "text"],
            )
    }

    fn answer(&self, path: &str, body: &[u8]) -> (&'static str, String) {
        if path == "/_chatops" {
            *self.listed.lock().unwrap() += 1;
            return ("200 OK", self.listing.lock().unwrap().to_string());
        }
        let call: Value = serde_json::from_slice(body).unwrap();
        self.calls.lock().unwrap().push(call.clone());
        let params = &call["params"];
        match path.rsplit('/').next().unwrap() {
            "lock" => {
                let result = format!("{} is locked: {}", params["app"], params["reason"]);
                (
                    "200 OK",
                    json!({ "result": result, "title": "Locks", "title_link": "https://example.org/locks" })
                        .to_string(),
                )
            }
            "fail" => (
                "400 Bad Request",
                json!({ "error": { "code": -32602, "message": "no such app" } }).to_string(),
            ),
            "crash" => ("500 Internal Server Error", "<html>".repeat(500)),
            _ => ("200 OK", json!({ "result": format!("options of {}", params["app"]) }).to_string()),
        }
    }

    fn calls(&self) -> Vec<Value> {
        self.calls.lock().unwrap().clone()
    }
}

const RULES: &str = r#"
@id("ships-read") @says("The team web may ask deploys.")
permit (principal in Team::"web", action in Action::"tag:ships", resource);
@id("lock-by-leads") @says("Leads lock.")
forbid (principal, action == Action::"lock-app", resource) unless { principal in Team::"leads" };
"#;

/// A command of a file beside those that are listed: with a type, and a rule of its own.
const LOCK: &str = r#"summary = "Locks an app"
effect = "change"
tags = ["ships"]
[[argument]]
name = "app"
type = "choice"
choices = ["web", "api"]
[[argument]]
name = "reason"
type = "text"
rest = true
[run]
executor = "chatops_rpc"
endpoint = "ship"
method = "lock"
"#;

async fn world(endpoint: impl FnOnce(&Path) -> Arc<Endpoint>) -> (World, Arc<Endpoint>) {
    let mut started = None;
    let world = World::changed(|ops| {
        let folder = ops.path().join("../endpoint");
        std::fs::create_dir_all(&folder).unwrap();
        let endpoint = endpoint(&folder);
        ops.file("secrets/chatops-key.toml", &format!("file = \"{}\"\n", folder.join("chatops.pem").display()));
        ops.file(
            "endpoints/ship.toml",
            &format!(
                "url = \"{}\"\nkey = \"chatops-key\"\nkeyid = \"ours\"\neffect = \"read\"\ntags = [\"ships\"]\n\
                 private = true\nrefresh = \"1s\"\n",
                endpoint.url()
            ),
        );
        ops.file("commands/lock-app.toml", LOCK);
        let room = ops.read("rooms/deploy.toml").replace("commands = [", "commands = [\"#ships\", ");
        ops.file("rooms/deploy.toml", &room);
        ops.file("policies/ships.cedar", RULES);
        started = Some(endpoint);
    })
    .await;
    (world, started.unwrap())
}

/// What is answered once the command is one.
async fn until_known(world: &World, line: &str) -> Answer {
    loop {
        let answer = world.ask_as(&world.bob, line).await;
        let unknown = ["does not know", "No command", "can be used here"];
        if !unknown.iter().any(|words| answer.body.contains(words)) {
            return answer;
        }
    }
}

/// Waits until so many versions have been in force.
async fn versions(world: &World, number: i64) {
    while world.count("SELECT count(*) FROM entries WHERE kind = 'rules.loaded'").await < number {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_methods_of_an_endpoint_are_commands_under_the_same_grammar_rules_and_record() {
    let (world, endpoint) = world(Endpoint::start).await;
    versions(&world, 2).await;
    let answer = world.ask_as(&world.bob, "!ship options web").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert!(answer.body.contains("options of \"web\""), "{}", answer.body);
    assert_eq!(
        world.entries(answer.number).await,
        ["command.received", "command.permitted", "run.started", "run.finished"]
    );
    let bob = &world.bob.id;
    let expected = json!({ "user": bob, "mention_slug": bob, "room_id": "deploy", "method": "options", "params": { "app": "web" } });
    assert_eq!(endpoint.calls(), [expected]);

    // What was recorded is known to those who only look at the folder, too; without, they say that it is not.
    let ops = world.ops.path().display().to_string();
    let tried = |more: &[&str]| {
        let line = ["try", "ship options web", "--as", bob.as_str(), "--ops", &ops];
        let output = world.quarterdeck(&[&line[..], more].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(
        tried(&["--recorded"]).contains("Understood  ship-options --app web"),
        "{}",
        tried(&["--recorded"])
    );
    assert!(tried(&[]).contains("--recorded asks"), "{}", tried(&[]));
    let checked = |more: &[&str]| {
        let output = world.quarterdeck(&[&["check", &ops][..], more].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(checked(&[]).contains("what it offers is not known here"), "{}", checked(&[]));
    assert!(!checked(&["--recorded"]).contains("not known here"), "{}", checked(&["--recorded"]));
    let replayed = world.quarterdeck(&["rules", "replay", &ops, "--ops", &ops]);
    let replayed = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert!(replayed.contains("none would have been another"), "{replayed}");

    // The same grammar: a file's own types, the endpoint's own words, and a rule of its own.
    let answer = world.ask_as(&world.bob, "!ship lock web because it burns").await;
    assert_eq!(answer.state, "refused", "{}", answer.body);
    assert!(answer.body.contains("lock-by-leads"), "{}", answer.body);
    let answer = world.ask("!ship lock db because it burns").await;
    assert!(answer.body.contains("web or api"), "{}", answer.body);
    assert_eq!(endpoint.calls().len(), 1);
    let answer = world.ask("!ship lock web because it \"burns\"").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert_eq!(endpoint.calls()[1]["params"], json!({ "app": "web", "reason": "it burns" }));

    // An error of the service's is a failure with its words, and a page of errors is not poured into the room.
    let answer = world.ask("!ship fail").await;
    assert_eq!(answer.state, "failed", "{}", answer.body);
    assert!(answer.body.contains("no such app") && answer.body.contains("-32602"), "{}", answer.body);
    let answer = world.ask("!ship crash").await;
    assert_eq!(answer.state, "failed", "{}", answer.body);
    assert!(answer.body.contains("Ask in #deploys") && !answer.body.contains("<html>"), "{}", answer.body);
}

#[tokio::test]
async fn what_an_endpoint_lists_otherwise_comes_into_force_as_a_version_and_what_it_said_last_outlives_it() {
    let (mut world, endpoint) = world(Endpoint::start).await;
    versions(&world, 2).await;
    let answer = world.ask("!ship unlock web").await;
    assert!(answer.body.contains("does not know that"), "{}", answer.body);
    endpoint.listing.lock().unwrap()["methods"]["unlock"] = method("unlock (?<app>\\S+)", &["app"], "unlock");
    versions(&world, 3).await;
    let answer = world.ask("!ship unlock web").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);

    // It is away, and the server starts none the less: with what it said last.
    endpoint.away.store(true, Ordering::Relaxed);
    world.restart().await;
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE kind = 'rules.loaded'").await, 3);
    let answer = world.ask("!ship unlock web").await;
    assert_eq!(answer.state, "failed", "{}", answer.body);
    assert!(answer.body.contains("gave no answer"), "{}", answer.body);
    endpoint.away.store(false, Ordering::Relaxed);
    let answer = world.ask("!ship unlock web").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
}

#[tokio::test]
async fn what_an_endpoint_lists_otherwise_leaves_what_waits_elsewhere_as_it_was_shown() {
    let (world, endpoint) = world(Endpoint::start).await;
    versions(&world, 2).await;
    let rules = world.ops.read("policies/ships.cedar");
    let asks = r#"@id("asked") @says("Counting needs a lead.") @remedy("approval") @by("leads")
        forbid (principal, action == Action::"count", resource) unless { context.approvals.leads >= 1 };
        @id("leads-say-so") @says("Leads approve.")
        permit (principal in Team::"leads", action == Action::"approve", resource);"#;
    world.ops.file("policies/ships.cedar", &format!("{rules}\n{asks}\n"));
    world.server.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGHUP);
    versions(&world, 3).await;
    let said = world.bob.say(&world.room, "!count sheep").await;
    let is_prompt = |event: &Value| {
        event["content"]["org.quarterdeck.step"].as_str().is_some_and(|step| step.contains("/prompt/"))
    };
    let prompt = world.bob.answer_that(&world.bot(), &said, is_prompt).await;

    endpoint.listing.lock().unwrap()["methods"]["unlock"] = method("unlock (?<app>\\S+)", &["app"], "unlock");
    versions(&world, 4).await;
    let line = format!("!approve {} {}", number(&prompt), digits(&prompt));
    assert_eq!(world.ask(&line).await.state, "succeeded");
    let answer = world.bob.outcome(&world.bot(), &said).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE kind = 'approval.void'").await, 0);
}

#[tokio::test]
async fn what_one_endpoint_lists_badly_keeps_no_other_from_its_own() {
    let mut other = None;
    let (world, endpoint) = world(|folder| {
        let ship = Endpoint::start(folder);
        let folder = folder.join("other");
        std::fs::create_dir_all(&folder).unwrap();
        other = Some(Endpoint::start(&folder));
        ship
    })
    .await;
    let other = other.unwrap();
    world.ops.file(
        "secrets/other-key.toml",
        &format!("file = \"{}\"\n", other.folder.join("chatops.pem").display()),
    );
    let file = world.ops.read("endpoints/ship.toml").replace(&endpoint.url(), &other.url());
    world.ops.file("endpoints/ship-more.toml", &file.replace("chatops-key", "other-key"));
    world.ops.file(
        "policies/tests/ships.toml",
        &format!(
            "[[test]]\nname = \"bob asks\"\nwho = \"{}\"\nroom = \"deploy\"\nwhat = \"ship-options --app web\"\nanswer = \"permitted\"\n",
            world.bob.id
        ),
    );
    world.server.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGHUP);
    let answer = until_known(&world, "!ship-more options web").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);

    // A rule test needs it: what it says now cannot come into force. And it may not take the other's name.
    endpoint.listing.lock().unwrap()["methods"] =
        json!({ "more-unlock": method("unlock", &["app"], "unlock") });
    let asked = *endpoint.listed.lock().unwrap();
    while *endpoint.listed.lock().unwrap() < asked + 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    other.listing.lock().unwrap()["methods"]["unlock"] = method("unlock (?<app>\\S+)", &["app"], "unlock");
    let answer = until_known(&world, "!ship-more unlock web").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert_eq!(endpoint.calls(), Vec::<Value>::new());
    assert_eq!(world.ask_as(&world.bob, "!ship options web").await.state, "succeeded");
}

#[tokio::test]
async fn an_endpoint_that_never_answered_keeps_nothing_from_starting_and_says_so() {
    let (world, endpoint) = world(|folder| {
        let endpoint = Endpoint::start(folder);
        endpoint.away.store(true, Ordering::Relaxed);
        endpoint
    })
    .await;
    let answer = world.ask("!ship options web").await;
    assert!(answer.body.contains("does not know that. It has `!lock-app`"), "{}", answer.body);
    let answer = world.ask("!lock-app web fire").await;
    assert_eq!(answer.state, "failed", "{}", answer.body);
    assert!(answer.body.contains("has not said yet that it offers lock"), "{}", answer.body);
    // Once it is there, its commands are.
    endpoint.away.store(false, Ordering::Relaxed);
    versions(&world, 2).await;
    let answer = world.ask("!ship options web").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
}

#[tokio::test]
async fn an_endpoint_that_does_not_know_our_key_is_never_believed_to_be_called() {
    let (world, endpoint) = world(Endpoint::start).await;
    versions(&world, 2).await;
    assert!(openssl(&endpoint.folder, &["genrsa", "-out", "chatops.pem", "2048"]));
    let answer = world.ask("!ship options web").await;
    assert_eq!(answer.state, "failed", "{}", answer.body);
    assert!(answer.body.contains("Not authorized"), "{}", answer.body);
    assert_eq!(endpoint.calls(), Vec::<Value>::new());
}
