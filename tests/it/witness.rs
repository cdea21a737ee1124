//! A witness as a process of its own: asked over HTTP, killed around its store.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use quarterdeck::{
    audit::{
        cosign::{CosignKey, Cosigner},
        note::{Head, LogKey, PublicKey},
        tree::{Edge, Tile, Tiles, leaf_hash},
        witness::Ask,
    },
    model::{Digest, SystemRandom, fault::Point},
};
use tempfile::TempDir;

use crate::{
    harness::{World, server::client},
    log_tree::{public, sealed},
};

const ORIGIN: &str = "example.org/quarterdeck";
const NAME: &str = "witness.example.org/w1";

/// A log of up to 256 entries.
struct Log(LogKey);

impl Log {
    fn new() -> Self {
        Self(LogKey::read(&LogKey::draw(ORIGIN, &SystemRandom), ORIGIN).unwrap())
    }

    fn ask(&self, old: u64, size: u64) -> Ask {
        let (mut edge, mut leaves) = (Edge::default(), Vec::new());
        for index in 0..size {
            let leaf = leaf_hash(format!("entry {index}").as_bytes());
            edge.push(leaf, &mut Vec::new());
            leaves.extend(leaf);
        }
        let mut tiles = Tiles::new(size);
        tiles.put(Tile { level: 0, index: 0 }, leaves);
        let proof = if old == size { Vec::new() } else { tiles.consistency(old).unwrap() };
        Ask { old, proof, note: self.0.sign(Head { size, root: edge.root().unwrap() }).unwrap() }
    }
}

/// A running `quarterdeck witness`; it is ended with this.
pub struct Witness {
    child: Child,
    pub url: String,
    pub key: Cosigner,
}

impl Witness {
    pub fn start(folder: &Path, log: &PublicKey, die: Option<Point>) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::listening(folder, log, port, die)
    }

    /// One of another name.
    fn named(name: &str, folder: &Path, log: &PublicKey) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::run(name, folder, log, port, None)
    }

    pub fn listening(folder: &Path, log: &PublicKey, port: u16, die: Option<Point>) -> Self {
        Self::run(NAME, folder, log, port, die)
    }

    fn run(name: &str, folder: &Path, log: &PublicKey, port: u16, die: Option<Point>) -> Self {
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_quarterdeck"));
        command.args(["witness", "--name", name, "--listen", &address, "--log", &log.to_string(), "--state"]);
        command.arg(folder).stdout(Stdio::piped());
        if let Some(point) = die {
            command.env("QUARTERDECK_DIE_AT", point.name());
        }
        let mut child = command.spawn().unwrap();
        let mut key = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut key).unwrap();
        Self { child, url: format!("http://{address}"), key: Cosigner::read(key.trim_end()).unwrap() }
    }

    /// Asks for a cosignature; gives the status, the type and the body. `None` where it died.
    async fn add(&self, body: String) -> Option<(u16, String, String)> {
        let url = format!("{}/add-checkpoint", self.url);
        let answer = client().post(url).body(body).send().await.ok()?;
        let kind = answer.headers().get("content-type").map(|it| it.to_str().unwrap().to_owned());
        Some((answer.status().as_u16(), kind.unwrap_or_default(), answer.text().await.ok()?))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_witness_answers_as_the_specification_has_it() {
    let (folder, log) = (TempDir::new().unwrap(), Log::new());
    let witness = Witness::start(folder.path(), log.0.public(), None);
    let ask = log.ask(0, 5);
    let (status, _, line) = witness.add(ask.to_body()).await.unwrap();
    assert_eq!(status, 200, "{line}");
    assert!(witness.key.find(&format!("{}{line}", ask.note)).unwrap().is_some());
    let (status, kind, size) = witness.add(log.ask(0, 9).to_body()).await.unwrap();
    assert_eq!((status, kind.as_str(), size.as_str()), (409, "text/x.tlog.size", "5\n"));
    let status = async |ask: &Ask| witness.add(ask.to_body()).await.unwrap().0;
    assert_eq!(status(&Log::new().ask(5, 9)).await, 403);
    let unknown = Ask { note: log.ask(5, 9).note.replacen(ORIGIN, "example.org/other", 1), ..log.ask(5, 9) };
    assert_eq!(status(&unknown).await, 404);
    let unproved = Ask { proof: Vec::new(), ..log.ask(5, 9) };
    assert_eq!(status(&unproved).await, 422);
    // Another root at its own size, and an empty tree with a root.
    let other =
        Ask { note: log.0.sign(Head { size: 5, root: leaf_hash(b"other") }).unwrap(), ..log.ask(5, 5) };
    assert_eq!(status(&other).await, 422);
    let spoilt = Ask { note: log.ask(5, 9).note.replacen("\n9\n", "\n8\n", 1), ..log.ask(5, 9) };
    assert_eq!(status(&spoilt).await, 403);
    // What it saw, for whoever wants to know.
    let read = async |origin: &str| {
        let url = format!("{}/{}/checkpoint", witness.url, Digest::of(origin.as_bytes()));
        let answer = client().get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status_of_shown, shown) = read(ORIGIN).await;
    assert_eq!(status_of_shown, 200);
    assert_eq!(log.0.public().open(&shown).unwrap().head.size, 5);
    assert!(witness.key.find(&shown).unwrap().is_some());
    assert_eq!(read("example.org/other").await.0, 404);
    assert_eq!(status(&Ask { old: 9, ..log.ask(0, 5) }).await, 400);
    assert_eq!(witness.add("nonsense".into()).await.unwrap().0, 400);
    assert_eq!(witness.add("old 5\n".repeat(20_000)).await.unwrap().0, 413);
    assert_eq!(status(&log.ask(5, 9)).await, 200);
}

#[tokio::test]
async fn a_witness_killed_around_its_store_never_forgets_what_it_has_said() {
    let (folder, log) = (TempDir::new().unwrap(), Log::new());
    let key = {
        let witness = Witness::start(folder.path(), log.0.public(), None);
        assert_eq!(witness.add(log.ask(0, 5).to_body()).await.unwrap().0, 200);
        witness.key.clone()
    };
    // What it had not stored it had not said: it is where it was.
    for (point, then) in [(Point::BeforeWitnessStored, 5), (Point::AfterWitnessStored, 9)] {
        {
            let witness = Witness::start(folder.path(), log.0.public(), Some(point));
            assert_eq!(witness.add(log.ask(5, 9).to_body()).await, None, "it died at {point:?}");
        }
        let witness = Witness::start(folder.path(), log.0.public(), None);
        assert_eq!(witness.key, key);
        let (status, _, size) = witness.add(log.ask(0, 12).to_body()).await.unwrap();
        assert_eq!((status, size), (409, format!("{then}\n")), "{point:?}");
    }
}

/// `pg_dump` or `pg_restore` on a world's database, as its superuser.
fn postgres(program: &str, world: &World, arguments: &[&str]) {
    let output = Command::new(program).arg("-d").arg(world.superuser_url()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_witness_that_is_away_is_not_waited_for_and_an_old_backup_put_back_is_refused() {
    let mut world = World::start().await;
    let folder = TempDir::new().unwrap();
    let public = public(&world);
    let witness = Witness::start(folder.path(), &public, None);
    declaring(&[&witness], &mut world).await;

    // Each start shows the witness what was signed before it.
    world.serve().await;
    world.ask("!count one").await;
    world.settled().await;
    world.stop().await;
    let told = world.quarterdeck(&["audit", "verify", "--ops", world.ops.path().to_str().unwrap()]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("entries are witnessed by witness.example.org/w1 ("), "{told}");
    let dump = folder.path().join("dump");
    postgres("pg_dump", &world, &["-Fc", "-f", dump.to_str().unwrap()]);

    // A witness that is away is not waited for, and when it is there again it is shown all that it has missed.
    let port = witness.url.rsplit(':').next().unwrap().parse().unwrap();
    drop(witness);
    world.serve().await;
    assert_eq!(world.ask("!count two").await.state, "succeeded");
    world.settled().await;
    world.stop().await;
    let _witness = Witness::listening(folder.path(), &public, port, None);
    world.serve().await;
    world.stop().await;

    let dump = dump.to_str().unwrap();
    postgres("pg_restore", &world, &["--clean", "--if-exists", "--single-transaction", dump]);
    let signed = world.count("SELECT max(size) FROM checkpoints").await;
    for _ in 0..2 {
        let said = world.refused_to_serve(false).await;
        assert!(said.contains("has seen") && said.contains("this log's key has signed"), "{said}");
        assert!(said.contains("Put back a newer backup"), "{said}");
    }
    assert_eq!(world.count("SELECT max(size) FROM checkpoints").await, signed, "nothing was signed");
    // What waited when the backup was made waits in it for ever.
    world.leave_pending();
}

/// A world whose settings declare these witnesses, with `serve` stopped.
pub async fn declaring(witnesses: &[&Witness], world: &mut World) {
    world.stop().await;
    let mut settings = world.ops.read("quarterdeck.toml");
    for witness in witnesses {
        settings += &*format!("\n[[audit.witness]]\nurl = \"{}\"\nkey = \"{}\"\n", witness.url, witness.key);
    }
    world.ops.file("quarterdeck.toml", &settings);
}

#[tokio::test]
async fn it_is_shown_which_witness_has_seen_what() {
    let mut world = World::start().await;
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let public = public(&world);
    let seen = Witness::start(folders[0].path(), &public, None);
    let other = Witness::named("witness.example.org/w2", folders[1].path(), &public);
    let number = world.ask("!count one").await.number;
    declaring(&[&seen, &other], &mut world).await;
    drop(other);
    // The start shows the witness what was signed before it; the one that is away is not waited for.
    world.serve().await;
    let story = world.ask(&format!("!audit {number}")).await.body;
    assert!(story.contains("In the signed checkpoint of"), "{story}");
    assert!(story.contains("witnessed by **witness.example.org/w1** (up to"), "{story}");
    assert!(!story.contains("witness.example.org/w2"), "{story}");
    let key_of_seen = seen.key.to_string();
    drop(seen);
    let later = world.ask("!count two").await.number;
    sealed(&world).await;
    let unseen = world.ask(&format!("!audit {later}")).await.body;
    assert!(unseen.contains("witnessed by nobody yet"), "{unseen}");

    let asked = world.alice.say(&world.room, &format!("!prove {number}")).await;
    let answer = world.alice.outcome(&world.bot(), &asked).await;
    assert!(answer.body.contains("Cosigned by witness.example.org/w1."), "{}", answer.body);
    let file = world.alice.answer_that(&world.bot(), &asked, |it| it["content"]["msgtype"] == "m.file").await;
    let address = file["content"]["url"].as_str().unwrap().strip_prefix("mxc://").unwrap();
    let proof = folders[0].path().join("proof");
    std::fs::write(&proof, world.alice.download(address).await).unwrap();
    let (key, seen) = (public.to_string(), key_of_seen);
    let stranger = CosignKey::read(&CosignKey::draw(NAME, &SystemRandom).unwrap()).unwrap();
    let stranger = stranger.public().to_string();
    let verified = |file: &Path, witness: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quarterdeck"));
        command.args(["audit", "verify", "--key", &key]).args(witness).arg(file).env_clear();
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (well, said) = verified(&proof, &["--witness", &seen]);
    assert!(well && said.contains("witnessed by witness.example.org/w1 ("), "{said}");
    let (well, said) = verified(&proof, &[]);
    assert!(well && said.contains("1 further signatures are by keys that you did not give"), "{said}");
    let (well, said) = verified(&proof, &["--witness", &stranger]);
    assert!(!well && said.contains("no cosignature by witness.example.org/w1"), "{said}");

    let bundle = folders[0].path().join("bundle");
    let ops = world.ops.path().to_str().unwrap().to_owned();
    let exported =
        world.quarterdeck(&["audit", "export", "--ops", &ops, "--witnessed", bundle.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let (well, said) = verified(&bundle, &["--witness", &seen]);
    assert!(well && said.contains("witnessed by witness.example.org/w1 ("), "{said}");
    let text = std::fs::read_to_string(&bundle).unwrap();
    assert!(
        text.contains(&format!("\"request\":{number},")) && !text.contains(&format!("\"request\":{later},"))
    );
    let line = text.lines().find(|line| line.starts_with("— witness.example.org/w1 ")).unwrap();
    let forged = line.replacen("w1 ", "w1 A", 1);
    std::fs::write(&bundle, text.replacen(line, &forged[..line.len()], 1)).unwrap();
    assert!(!verified(&bundle, &["--witness", &seen]).0);
}
