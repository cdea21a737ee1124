//! Checkpoints in the log room, what a witness says of them there, and a witness that looks by itself.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, http::Uri};
use quarterdeck::{
    audit::{
        cosign::{CosignKey, Cosigner},
        follow::{Error, Follower},
        note::{Head, LogKey},
        tree::{Edge, Tile, leaf_hash},
        witness::{Ask, Refusal, Witness},
    },
    model::{Clock as _, SystemClock, SystemRandom},
};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use crate::{
    harness::World,
    log_tree::{public, sealed},
    storage::tree::is_whole,
};

const NAME: &str = "witness.example.org/w1";

/// Waits until so many checkpoints are posted; gives the last one's event.
pub async fn posted(world: &World, count: i64) -> serde_json::Value {
    let sent = "SELECT count(*) FROM outbox WHERE step LIKE 'checkpoint/1/%' AND state = 'sent'";
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while world.count(sent).await < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("no checkpoint is posted");
    let last = "SELECT event_id FROM outbox WHERE step LIKE 'checkpoint/1/%' ORDER BY id DESC LIMIT 1";
    let event: String = sqlx::query_scalar(last).fetch_one(&world.sql()).await.unwrap();
    world.event(&world.room, &event).await["content"].clone()
}

fn ask_of(content: &serde_json::Value) -> Ask {
    let text = content["org.quarterdeck.checkpoint"]["add_checkpoint"].as_str().unwrap();
    assert!(
        content["body"].as_str().unwrap().contains(text.lines().last().unwrap()),
        "people see it as well"
    );
    Ask::read(text.as_bytes()).unwrap()
}

#[tokio::test]
async fn checkpoints_are_posted_and_what_a_witness_answers_in_the_room_is_kept() {
    let mut world = World::prepared(crate::harness::Plan::default()).await;
    let folder = TempDir::new().unwrap();
    let key = public(&world);
    let witness = Witness::open(folder.path(), NAME, vec![key.clone()], &SystemRandom).unwrap();
    let settings = world.ops.read("quarterdeck.toml");
    let declared = format!("{settings}\n[[audit.witness]]\nkey = \"{}\"\n", witness.key().public());
    world.ops.file("quarterdeck.toml", &declared);
    world.serve().await;
    world.gather().await;
    let elsewhere = world.ask("!cosign 3 witness.example.org/w1 AAAA").await;
    assert!(elsewhere.body.contains("are given in the log room"), "{}", elsewhere.body);
    let room = world.ops.read("rooms/deploy.toml");
    world.ops.file("rooms/deploy.toml", &format!("{room}log = true\n"));
    world.restart().await;

    let first = ask_of(&posted(&world, 1).await);
    assert_eq!(first.old, 0);
    let line = witness.add(&first, SystemClock.now()).unwrap();
    let size = witness.seen(key.origin()).unwrap().size;
    // What does not hold, what is a stranger's, and what was never signed.
    let stranger = CosignKey::read(&CosignKey::draw(NAME, &SystemRandom).unwrap()).unwrap();
    let said = quarterdeck::audit::note::said(&first.note).unwrap();
    let strange = stranger.cosign(&said, SystemClock.now()).unwrap();
    let forged = line.replacen(&line[line.len() - 12..line.len() - 4], "AAAAAAAA", 1);
    for (size, line, why) in [
        (size, &forged, "does not hold"),
        (size, &strange, "by no witness"),
        (size + 1000, &line, "no checkpoint of"),
    ] {
        let answer = world.ask(&format!("!cosign {size} {}", line.trim())).await.body;
        assert!(answer.contains("Not kept") && answer.contains(why), "{answer}");
    }
    assert_eq!(world.count("SELECT count(*) FROM cosignatures").await, 0);
    // With its dash or without, and once more.
    for line in [line.trim(), line.trim().trim_start_matches("— ")] {
        let answer = world.ask(&format!("!cosign {size} {line}")).await.body;
        assert!(answer.contains(&format!("has cosigned the first {size} entries")), "{answer}");
    }
    assert_eq!(world.count("SELECT count(*) FROM cosignatures").await, 1);

    // Not before its time; then with the proof that it goes on.
    let sql = world.sql();
    let age = "ALTER TABLE posted DISABLE TRIGGER ALL;
        UPDATE posted SET posted_at = posted_at - interval '2 hours'; ALTER TABLE posted ENABLE ALWAYS TRIGGER posted_stay";
    assert_eq!(world.count("SELECT count(*) FROM posted").await, 1);
    sqlx::raw_sql(AssertSqlSafe(age)).execute(&sql).await.unwrap();
    let second = ask_of(&posted(&world, 2).await);
    assert_eq!(second.old, size);
    witness.add(&second, SystemClock.now()).unwrap();
    sealed(&world).await;
    is_whole(&sql, &key).await;
}

#[tokio::test]
async fn a_witness_looks_at_a_log_by_itself_and_prints_what_to_say() {
    let world = World::start().await;
    let folder = TempDir::new().unwrap();
    sealed(&world).await;
    let log = format!("http://{}/log", world.address());
    let mut child = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["witness", "--listen", "127.0.0.1:0", "--every", "1s", "--name", NAME, "--follow", &log])
        .args(["--log", &public(&world).to_string(), "--state"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let key = Cosigner::read(&lines.next().unwrap()).unwrap();
    for number in 0..2 {
        let line = lines.next().unwrap();
        let (size, line) = line.strip_prefix("!cosign ").unwrap().split_once(' ').unwrap();
        let note: String = sqlx::query_scalar("SELECT note FROM checkpoints WHERE size = $1")
            .bind(size.parse::<i64>().unwrap())
            .fetch_one(&world.sql())
            .await
            .unwrap();
        assert!(key.find(&format!("{note}{line}\n")).unwrap().is_some(), "{line}");
        world.ask(&format!("!count word{number}")).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What a log serves, by path.
type Served = Arc<Mutex<HashMap<String, Vec<u8>>>>;

#[tokio::test]
async fn a_witness_that_looks_by_itself_cosigns_no_other_history() {
    let served = Served::default();
    let answer = async |State(served): State<Served>, uri: Uri| {
        served.lock().unwrap().get(uri.path()).cloned().unwrap_or_default()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let follower = Follower::new(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&served));
    tokio::spawn(axum::serve(listener, router).into_future());
    let key = LogKey::read(&LogKey::draw("example.org/log", &SystemRandom), "example.org/log").unwrap();
    let put = |history: &str, size: u64| {
        let (mut edge, mut hashes) = (Edge::default(), Vec::new());
        for index in 0..size {
            let leaf = leaf_hash(format!("{history} {index}").as_bytes());
            edge.push(leaf, &mut Vec::new());
            hashes.extend(leaf);
        }
        let note = key.sign(Head { size, root: edge.root().unwrap() }).unwrap();
        let tile = Tile { level: 0, index: 0 }.path(size);
        *served.lock().unwrap() =
            HashMap::from([("/checkpoint".to_owned(), note.into_bytes()), (format!("/{tile}"), hashes)]);
    };
    let folder = TempDir::new().unwrap();
    let witness = Witness::open(folder.path(), NAME, vec![key.public().clone()], &SystemRandom).unwrap();
    let witness = Arc::new(witness);
    let look = async || follower.look(&witness, SystemClock.now()).await;
    put("one", 3);
    assert_eq!(look().await.unwrap().unwrap().0, 3);
    assert_eq!(look().await.unwrap(), None);
    put("one", 9);
    assert_eq!(look().await.unwrap().unwrap().0, 9);
    put("one", 5);
    assert!(matches!(look().await.unwrap_err(), Error::Shrunk { size: 5, seen: 9, .. }));
    put("another", 9);
    assert!(matches!(look().await.unwrap_err(), Error::Refused { refusal: Refusal::Fork(9), .. }));
    put("another", 20);
    assert!(matches!(look().await.unwrap_err(), Error::Refused { refusal: Refusal::Inconsistent(_), .. }));
    // Tiles that are not there, or not of this tree.
    served.lock().unwrap().retain(|path, _| path == "/checkpoint");
    assert!(matches!(look().await.unwrap_err(), Error::Tree { .. }));
    assert_eq!(witness.seen("example.org/log").unwrap().size, 9);
    put("one", 20);
    assert_eq!(look().await.unwrap().unwrap().0, 20);
}
