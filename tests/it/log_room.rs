//! A witness that follows a log in its room, with an ordinary account, on a real homeserver.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use quarterdeck::{
    audit::{
        note::{Head, LogKey},
        tree::leaf_hash,
        witness::{Ask, Witness},
    },
    model::{Secret, SystemRandom, fault::Point},
};
use serde_json::json;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use crate::{
    harness::{Person, World},
    log_tree::public,
    posting::posted,
};

const NAME: &str = "witness.example.org/w1";

/// A running `quarterdeck witness --room`, as alice; it is ended with this.
struct Follower {
    child: Child,
    log: PathBuf,
}

impl Follower {
    fn start(world: &World, folder: &Path, die: Option<Point>) -> Self {
        let (log, token) = (folder.join("stderr"), folder.join("token"));
        fs::write(&token, format!("{}\n", world.alice.token())).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_quarterdeck"));
        command
            .args(["witness", "--listen", "127.0.0.1:0", "--every", "1s", "--name", NAME])
            .args(["--log", &public(world).to_string(), "--room", &world.alias("deploy")])
            .args(["--homeserver", &world.lease.homeserver.url, "--token-file"])
            .arg(&token)
            .arg("--state")
            .arg(folder.join("state"))
            .env("NO_PROXY", "*")
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log).unwrap());
        if let Some(die) = die {
            command.env("QUARTERDECK_DIE_AT", die.name());
        }
        Self { child: command.spawn().unwrap(), log }
    }

    /// Waits until its journal says all of this.
    async fn says(&self, what: &[&str]) {
        let begun = Instant::now();
        loop {
            let said = fs::read_to_string(&self.log).unwrap();
            if what.iter().all(|part| said.contains(part)) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{what:?} is not in {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn died(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "it lives");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A world whose room is the log room, and which knows the witness of this folder by its key alone.
async fn log_room(folder: &Path) -> World {
    let mut world = World::prepared(crate::harness::Plan::default()).await;
    let witness = Witness::open(&folder.join("state"), NAME, vec![public(&world)], &SystemRandom).unwrap();
    let settings = world.ops.read("quarterdeck.toml");
    let declared = format!("{settings}\n[[audit.witness]]\nkey = \"{}\"\n", witness.key().public());
    world.ops.file("quarterdeck.toml", &declared);
    let room = world.ops.read("rooms/deploy.toml");
    world.ops.file("rooms/deploy.toml", &format!("{room}log = true\n"));
    world.serve().await;
    world.gather().await;
    world
}

/// The sizes that were cosigned, once there are so many.
async fn cosigned(world: &World, count: usize) -> Vec<i64> {
    let begun = Instant::now();
    loop {
        let sizes: Vec<i64> = sqlx::query_scalar("SELECT size FROM cosignatures ORDER BY size")
            .fetch_all(&world.sql())
            .await
            .unwrap();
        if sizes.len() >= count {
            return sizes;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "only {sizes:?} are cosigned");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Has one more checkpoint posted, the `count`th; gives its size.
async fn post_another(world: &World, count: i64) -> i64 {
    post_another_by(&world.alice, world, count).await
}

/// The same, where somebody else gives the log something to hold.
async fn post_another_by(who: &Person, world: &World, count: i64) -> i64 {
    world.ask_as(who, &format!("!count word{count}")).await;
    let age = "ALTER TABLE posted DISABLE TRIGGER ALL;
        UPDATE posted SET posted_at = posted_at - interval '2 hours'; ALTER TABLE posted ENABLE ALWAYS TRIGGER posted_stay";
    sqlx::raw_sql(AssertSqlSafe(age)).execute(&world.sql()).await.unwrap();
    posted(world, count).await["org.quarterdeck.checkpoint"]["size"].as_i64().unwrap()
}

async fn said(world: &World) -> usize {
    world.alice.sync(Duration::ZERO).await;
    let is_cosign = |event: &&serde_json::Value| {
        event["content"]["body"].as_str().is_some_and(|body| body.starts_with("!cosign "))
    };
    world.alice.seen().iter().filter(is_cosign).count()
}

#[tokio::test]
async fn it_cosigns_what_is_posted_speaks_after_a_crash_and_takes_up_what_it_missed() {
    let folder = TempDir::new().unwrap();
    let world = log_room(folder.path()).await;
    let first = posted(&world, 1).await["org.quarterdeck.checkpoint"]["size"].as_i64().unwrap();

    // Killed when it had stored and had not spoken yet: nothing is said, and it is when it is back.
    let mut dies = Follower::start(&world, folder.path(), Some(Point::AfterWitnessStored));
    dies.died().await;
    assert_eq!(world.count("SELECT count(*) FROM cosignatures").await, 0);
    let follower = Follower::start(&world, folder.path(), None);
    assert_eq!(cosigned(&world, 1).await, [first]);
    follower.says(&["said in the log room"]).await;
    drop(follower);
    assert_eq!(said(&world).await, 1);

    // While it cannot be reached, three more are posted: it follows them one after the other, and says the last.
    let mut last = first;
    for count in 2..5 {
        last = post_another(&world, count).await;
    }
    let follower = Follower::start(&world, folder.path(), None);
    assert_eq!(cosigned(&world, 2).await, [first, last]);
    let next = post_another(&world, 5).await;
    assert_eq!(cosigned(&world, 3).await, [first, last, next]);
    // Nothing of it was wrong, and nothing was said twice.
    assert!(!fs::read_to_string(&follower.log).unwrap().contains("ERROR"));
    assert_eq!(said(&world).await, 3);
    world.settled().await;
}

/// Posts something like a checkpoint.
async fn forge(person: &Person, world: &World, ask: &Ask) {
    let checkpoint = json!({ "size": 1, "old": ask.old, "add_checkpoint": ask.to_body() });
    let content =
        json!({ "msgtype": "m.notice", "body": "The log", "org.quarterdeck.checkpoint": checkpoint });
    person.send(&world.room, &content).await;
}

#[tokio::test]
async fn a_forged_checkpoint_is_refused_loudly_and_never_signed() {
    let folder = TempDir::new().unwrap();
    let world = log_room(folder.path()).await;
    posted(&world, 1).await;
    let follower = Follower::start(&world, folder.path(), None);
    let seen = u64::try_from(cosigned(&world, 1).await[0]).unwrap();
    let state = || {
        let mut files: Vec<_> =
            fs::read_dir(folder.path().join("state")).unwrap().map(|it| it.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>()
    };
    follower.says(&["said in the log room"]).await;
    let before = state();

    let origin = public(&world).origin().to_owned();
    let stranger = LogKey::read(&LogKey::draw(&origin, &SystemRandom), &origin).unwrap();
    // Somebody who has the log's key makes another history.
    let text = fs::read_to_string(world.audit_key()).unwrap();
    let key = LogKey::read(&Secret::new(text), &origin).unwrap();
    let other = leaf_hash(b"other");
    let of = |key: &LogKey, size, old, proof| Ask {
        old,
        proof,
        note: key.sign(Head { size, root: other }).unwrap(),
    };
    forge(&world.bob, &world, &of(&stranger, seen + 5, seen, vec![other])).await;
    follower.says(&[&world.bob.id, "is not signed by"]).await;
    forge(&world.bob, &world, &of(&key, seen + 5, seen, vec![other])).await;
    follower.says(&["does not go on from what was cosigned here"]).await;
    forge(&world.bob, &world, &of(&key, seen, 0, Vec::new())).await;
    follower.says(&["the log has two histories"]).await;
    forge(&world.bob, &world, &of(&key, seen - 1, 0, Vec::new())).await;
    follower.says(&["an older log was put in its place"]).await;
    forge(&world.bob, &world, &of(&key, seen + 9, seen + 7, vec![other])).await;
    follower.says(&["what was posted between cannot be read"]).await;
    assert!(state() == before, "nothing of it was stored");
    assert_eq!(world.count("SELECT count(*) FROM cosignatures").await, 1);

    // The true log is cosigned still.
    let next = post_another(&world, 2).await;
    assert_eq!(cosigned(&world, 2).await.last(), Some(&next));
    world.settled().await;
}

#[tokio::test]
async fn another_history_is_told_also_where_the_witness_cannot_speak() {
    let folder = TempDir::new().unwrap();
    let world = log_room(folder.path()).await;
    posted(&world, 1).await;
    let follower = Follower::start(&world, folder.path(), None);
    cosigned(&world, 1).await;
    follower.says(&["said in the log room"]).await;
    drop(follower);

    // It is muted; then the log goes on, and somebody who has its key makes another history of the same length.
    let bot = Person::puppet(
        &world.lease.homeserver,
        &world.lease.appservice.as_token,
        &world.lease.appservice.bot,
    )
    .await;
    let levels = ["rooms", &world.room, "state", "m.room.power_levels", ""];
    let before = bot.must("GET", &levels, &json!(null)).await;
    let mut muted = before.clone();
    muted["users"][&world.alice.id] = json!(-1);
    bot.must("PUT", &levels, &muted).await;
    let size = post_another_by(&world.bob, &world, 2).await;
    let origin = public(&world).origin().to_owned();
    let text = fs::read_to_string(world.audit_key()).unwrap();
    let key = LogKey::read(&Secret::new(text), &origin).unwrap();
    let note = key.sign(Head { size: u64::try_from(size).unwrap(), root: leaf_hash(b"other") }).unwrap();
    forge(&world.bob, &world, &Ask { old: 0, proof: Vec::new(), note }).await;

    // Each time that it is started.
    for _ in 0..2 {
        fs::remove_file(folder.path().join("stderr")).unwrap();
        let follower = Follower::start(&world, folder.path(), None);
        follower.says(&["the log has two histories", "answering in the log room", "M_FORBIDDEN"]).await;
    }
    bot.must("PUT", &levels, &before).await;
    let _follower = Follower::start(&world, folder.path(), None);
    assert_eq!(cosigned(&world, 2).await.last(), Some(&size));
    world.settled().await;
}
