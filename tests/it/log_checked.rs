//! The log is checked: by its own commands, by a superuser's worst, and by Go's implementation, which nobody here wrote.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use quarterdeck::{
    audit::{Sequencer, note::LogKey, tree::Tile},
    model::{Event, SystemRandom},
};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use crate::{
    harness::{World, server::client},
    log_tree::{public, sealed},
    storage::support::Store,
};

/// A log of 270 entries with a full tile, three checkpoints and contents, and its key.
struct Log {
    store: Store,
    folder: TempDir,
}

impl Log {
    async fn new() -> Self {
        let (store, folder) = (Store::new().await, TempDir::new().unwrap());
        let key = LogKey::draw("example.org/quarterdeck", &SystemRandom);
        fs::write(folder.path().join("key"), key.expose()).unwrap();
        let storage = store.storage("main").await;
        let mut sequencer =
            Sequencer::new(storage.clone(), LogKey::read(&key, "example.org/quarterdeck").unwrap());
        for (count, from) in [(100, 0), (160, 100), (8, 260)] {
            for number in from..from + count {
                let event = Event::AuditRead { by: "root".into(), query: format!("query {number}") };
                storage.record(None, None, event).await.unwrap();
            }
            let (work, _) = store.opened(&storage).await;
            work.done().await.unwrap();
            sequencer.catch_up().await.unwrap();
        }
        Self { store, folder }
    }

    /// Runs `quarterdeck audit` with these arguments; gives its status and what it printed.
    fn audit(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(["audit", "--ops"])
            .arg(self.store.folder.path())
            .args(arguments)
            .env("QUARTERDECK_DATABASE_URL", self.store.database.runtime_url().expose())
            .env("QUARTERDECK_AUDIT_KEY", self.folder.path().join("key"))
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    }

    /// Does something as a superuser who has switched off whatever stands in the way.
    async fn tamper(&self, sql: &str) {
        let pool = self.store.database.superuser();
        for table in ["entries", "leaves", "tiles", "head", "checkpoints", "pending", "contents"] {
            let off = format!("ALTER TABLE {table} DISABLE TRIGGER ALL");
            sqlx::query(AssertSqlSafe(off)).execute(&pool).await.unwrap();
        }
        let rest = "ALTER TABLE leaves DROP CONSTRAINT leaves_entry_id_fkey; ALTER TABLE contents DROP CONSTRAINT contents_check";
        sqlx::raw_sql(rest).execute(&pool).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&pool).await.unwrap();
    }
}

#[tokio::test]
async fn a_log_that_nobody_touched_fits() {
    let log = Log::new().await;
    let (well, said) = log.audit(&["verify"]);
    assert!(well, "{said}");
    assert!(
        said.contains("entries and 3 contents fit") && said.contains("Signed by example.org/quarterdeck+"),
        "{said}"
    );
    // An entry that waits for its leaf is no fault, and is told.
    log.store.unregistered("other").record(None, None, Event::LogHeartbeat {}).await.unwrap();
    let (well, said) = log.audit(&["verify"]);
    assert!(well && said.contains("1 not in the tree yet"), "{said}");
    let (well, said) = log.audit(&[
        "verify",
        "--key",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ]);
    assert!(!well && said.contains("is not signed by example.com/foo"), "{said}");
}

macro_rules! found {
    ($($name:ident: $sql:literal, $said:literal;)*) => {
        $(#[tokio::test]
        async fn $name() {
            let log = Log::new().await;
            log.tamper($sql).await;
            let (well, said) = log.audit(&["verify"]);
            assert!(!well && said.contains($said), "{said}");
        })*
    };
}

found! {
    a_changed_entry_is_found:
        "UPDATE entries SET body = replace(body, 'query 5\"', 'query 6\"')", "is not the one that its leaf was made of";
    a_changed_entry_with_a_leaf_to_match_is_found:
        "UPDATE entries SET body = replace(body, 'query 5\"', 'query 6\"');
         UPDATE leaves l SET hash = sha256('\\x00'::bytea || convert_to(e.body, 'UTF8')) FROM entries e WHERE e.id = l.entry_id",
        "the leaves before it make another root";
    a_row_that_says_something_else_than_its_entry_is_found:
        "UPDATE entries SET room_id = '!elsewhere:example.org' WHERE place = 7", "what its row repeats of it";
    a_deleted_entry_is_found: "DELETE FROM entries WHERE place = 7", "is gone";
    a_deleted_entry_with_its_leaf_is_found:
        "DELETE FROM leaves WHERE index = 6; DELETE FROM entries WHERE place = 7", "entry 6 does not fit: its leaf is gone";
    an_entry_that_was_put_in_is_found:
        "INSERT INTO entries (id, at, kind, body) VALUES (gen_random_uuid(), now(), 'audit.read', '{}')", "put in beside the log";
    entries_that_changed_places_are_found:
        "UPDATE leaves SET index = 100000 WHERE index = 5; UPDATE leaves SET index = 5 WHERE index = 6;
         UPDATE leaves SET index = 6 WHERE index = 100000", "the leaves before it make another root";
    leaves_that_were_cut_off_are_found:
        "DELETE FROM leaves WHERE index >= 260; UPDATE head SET size = 260", "it is of more leaves than there are";
    roots_that_were_swapped_are_found:
        "UPDATE checkpoints c SET root = (SELECT o.root FROM checkpoints o WHERE o.size <> c.size LIMIT 1)",
        "its row has another root than was signed";
    notes_that_were_swapped_are_found:
        "UPDATE checkpoints c SET note = (SELECT o.note FROM checkpoints o WHERE o.size <> c.size LIMIT 1)", "what is signed is of size";
    a_changed_head_is_found: "UPDATE head SET root = sha256('other')", "the tree's head does not fit";
    a_changed_tile_is_found:
        "UPDATE tiles SET hashes = set_byte(hashes, 99, 255 - get_byte(hashes, 99))", "the tile tile/0/000 does not fit";
    a_deleted_tile_is_found: "DELETE FROM tiles", "the tile tile/0/000 is gone";
    a_tile_that_was_put_in_is_found:
        "INSERT INTO tiles (log, level, index, hashes, root) SELECT log, level, 7, hashes, root FROM tiles", "1 tiles are there that the tree does not have";
    a_changed_content_is_found: "UPDATE contents SET bytes = bytes || '!'", "is not what its entry names";
}

#[tokio::test]
async fn an_older_log_is_found_by_a_checkpoint_that_was_kept_elsewhere() {
    let log = Log::new().await;
    let kept = log.folder.path().join("checkpoint");
    let pool = log.store.database.superuser();
    let note: String = sqlx::query_scalar("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")
        .fetch_one(&pool)
        .await
        .unwrap();
    fs::write(&kept, note).unwrap();
    let against = ["verify", "--since", kept.to_str().unwrap()];
    let (well, said) = log.audit(&against);
    assert!(well, "{said}");
    // As if a backup had been restored: everything in it fits.
    log.tamper(
        "DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints);
         DELETE FROM leaves WHERE index >= (SELECT max(size) FROM checkpoints);
         DELETE FROM entries e WHERE NOT EXISTS (SELECT FROM leaves l WHERE l.entry_id = e.id);
         UPDATE head SET (size, root) = (SELECT size, root FROM checkpoints ORDER BY size DESC LIMIT 1)",
    )
    .await;
    let (well, said) = log.audit(&["verify"]);
    assert!(well, "{said}");
    let (well, said) = log.audit(&against);
    assert!(!well && said.contains("it is of more leaves than there are"), "{said}");
}

#[tokio::test]
async fn what_is_exported_is_checked_without_us() {
    let log = Log::new().await;
    let bundle = log.folder.path().join("bundle");
    let (well, said) = log.audit(&["export", bundle.to_str().unwrap()]);
    assert!(well, "{said}");
    let key = said.trim().rsplit(' ').next().unwrap().to_owned();
    // Nothing of an installation is there: no folder, no database, no key.
    let verify = |key: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(["audit", "verify", "--key", key])
            .arg(&bundle)
            .env_clear()
            .current_dir("/")
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (well, said) = verify(&key);
    assert!(well && said.contains("with none left out between"), "{said}");
    let other =
        LogKey::read(&LogKey::draw("example.org/quarterdeck", &SystemRandom), "example.org/quarterdeck");
    let (well, said) = verify(&other.unwrap().public().to_string());
    assert!(!well && said.contains("not the key that you gave"), "{said}");
    let text = fs::read_to_string(&bundle).unwrap();
    fs::write(&bundle, text.replacen("query 5\"", "query 6\"", 1)).unwrap();
    let (well, said) = verify(&key);
    assert!(!well && said.contains("does not fit: it is not the entry that was signed"), "{said}");
    // That it was exported is on the record, and a file is not overwritten.
    let read = "SELECT count(*) FROM entries WHERE kind = 'audit.read' AND body LIKE '%export: to %'";
    assert_eq!(log.store.count(read).await, 1);
    assert!(!log.audit(&["export", bundle.to_str().unwrap()]).0);
    let of_room = log.folder.path().join("room");
    let (well, said) = log.audit(&["export", "--room", "deploy", of_room.to_str().unwrap()]);
    assert!(well && said.contains("Wrote 3 entries"), "{said}");
    let (well, said) = log.audit(&["verify", of_room.to_str().unwrap()]);
    assert!(well && said.matches("none left out between").count() == 3, "{said}");
}

#[tokio::test]
async fn contents_go_with_their_entries_where_they_are_asked_for_and_are_checked_without_us() {
    let log = Log::new().await;
    let bundle = log.folder.path().join("bundle");
    let (well, said) = log.audit(&["export", "--contents", bundle.to_str().unwrap()]);
    let contents = log.store.count("SELECT count(*) FROM contents").await;
    assert!(well && contents > 0 && said.contains(&format!("with {contents} contents to")), "{said}");
    let (well, said) = log.audit(&["verify", bundle.to_str().unwrap()]);
    assert!(well && said.contains(&format!("and {contents} contents are what they name")), "{said}");
    let text = fs::read_to_string(&bundle).unwrap();
    assert!(text.starts_with("quarterdeck.audit/v2\n"), "{text}");
    assert_eq!(text.matches("\ncontent ").count(), usize::try_from(contents).unwrap());
    let read =
        "SELECT count(*) FROM entries WHERE kind = 'audit.read' AND body LIKE '%export: with contents, to %'";
    assert_eq!(log.store.count(read).await, 1);
    // A content with another byte is found, and said where.
    let line = text.lines().find(|line| line.starts_with("content ")).unwrap();
    let (before, bytes) = line.rsplit_once(' ').unwrap();
    let other = format!("{before} {}", if bytes.starts_with("QUJD") { "QUJE" } else { "QUJD" });
    fs::write(&bundle, text.replacen(line, &other, 1)).unwrap();
    let (well, said) = log.audit(&["verify", bundle.to_str().unwrap()]);
    assert!(!well && said.contains("the entry before it does not name it"), "{said}");
}

#[test]
fn what_checks_a_bundle_uses_nothing_of_what_writes_the_log() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (file, allowed) in [
        ("audit/verify.rs", &["cosign::", "note::", "tree::", "model::Timestamp"][..]),
        ("audit/verify/walk.rs", &[]),
        ("audit/verify/named.rs", &["model::{Commitment, Digest, Salt}"]),
        ("audit/verify/entry.rs", &[]),
        ("audit/cosign.rs", &["note::{Error, Said, said}", "model::{Random, Secret, Timestamp}"]),
        ("audit/note.rs", &["tree::TreeHash", "model::{Random, Secret}"]),
        ("audit/tree.rs", &[]),
        ("cli/audit/verify_file.rs", &["audit::{cosign::Cosigner, note::PublicKey, verify}"]),
    ] {
        let text = fs::read_to_string(source.join(file)).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for forbidden in ["storage", "sqlx", "sequencer", "bundle::", "reqwest", "tokio"] {
            let used = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            let found = used.clone().find(|line| {
                line.contains(&format!("{forbidden}::")) || line.contains(&format!("use {forbidden}"))
            });
            assert_eq!(found, None, "{file}");
        }
        for line in
            code.lines().filter(|line| line.starts_with("use crate::") || line.starts_with("use super::"))
        {
            assert!(line.ends_with('{') || allowed.iter().any(|one| line.contains(one)), "{file}: {line}");
        }
    }
}

/// Go's golang.org/x/mod/sumdb reads the key, the checkpoint and the tiles as they are served, makes proofs from them by
/// itself, and checks them.
#[tokio::test]
async fn go_checks_what_is_served() {
    let world = World::start().await;
    for word in ["one", "two"] {
        world.ask(&format!("!count {word}")).await;
    }
    sealed(&world).await;
    let folder = TempDir::new().unwrap();
    let at = |path: &str| folder.path().join(path);
    let served =
        async |path: &str| client().get(format!("http://{}{path}", world.address())).send().await.unwrap();
    let answer = served("/log/checkpoint").await;
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    let note = answer.text().await.unwrap();
    let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
    let tile = Tile { level: 0, index: 0 }.path(size);
    let hashes = served(&format!("/log/{tile}")).await.bytes().await.unwrap();
    for wrong in [
        "tile/0/000",
        "tile/1/000.p/1",
        "tile/0/00",
        "tile/entries/000",
        &format!("tile/0/000.p/{}", size + 50),
    ] {
        assert_eq!(served(&wrong.replacen("tile/", "/log/tile/", 1)).await.status().as_u16(), 404, "{wrong}");
    }
    let old: String = sqlx::query_scalar("SELECT note FROM checkpoints ORDER BY size LIMIT 1")
        .fetch_one(&world.sql())
        .await
        .unwrap();
    let entry: String = sqlx::query_scalar(
        "SELECT e.body FROM leaves l JOIN entries e ON e.id = l.entry_id WHERE l.index = 2",
    )
    .fetch_one(&world.sql())
    .await
    .unwrap();
    fs::create_dir_all(at(&tile).parent().unwrap()).unwrap();
    for (path, bytes) in [
        ("key", public(&world).to_string().as_bytes()),
        ("checkpoint", note.as_bytes()),
        ("old", old.as_bytes()),
        ("entry", entry.as_bytes()),
        (&tile, &hashes),
    ] {
        fs::write(at(path), bytes).unwrap();
    }
    let said = go(&folder, 2);
    assert_eq!(said, Ok(format!("{size} entries, as Go reads them\n")));
    // And it is no friend of ours: it finds another entry, and another tile.
    fs::write(at("entry"), entry.replace('2', "3")).unwrap();
    assert!(go(&folder, 2).unwrap_err().contains("invalid transparency proof"));
    fs::write(at("entry"), entry).unwrap();
    let mut flipped = hashes.to_vec();
    flipped[3] ^= 1;
    fs::write(at(&tile), flipped).unwrap();
    assert!(go(&folder, 2).unwrap_err().contains("inconsistent tile"));
}

#[tokio::test]
async fn a_request_is_proved_to_whoever_has_the_key() {
    let world = World::start().await;
    let number = world.ask("!count one").await.number;
    sealed(&world).await;
    let asked = world.alice.say(&world.room, &format!("!prove {number}")).await;
    let answer = world.alice.outcome(&world.bot(), &asked).await;
    assert!(answer.body.contains("that are signed"), "{}", answer.body);
    let file = world.alice.answer_that(&world.bot(), &asked, |it| it["content"]["msgtype"] == "m.file").await;
    assert_eq!(file["content"]["filename"], format!("{number}.tlog-proof"));
    let address = file["content"]["url"].as_str().unwrap().strip_prefix("mxc://").unwrap();
    let file = world.alice.download(address).await.into_bytes();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("proof");
    let verify = |bytes: &[u8], key: &[&str]| {
        fs::write(&path, bytes).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(["audit", "verify"])
            .args(key)
            .arg(&path)
            .env_clear()
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let key = public(&world).to_string();
    let (well, said) = verify(&file, &["--key", &key]);
    assert!(well && said.contains("\"type\":\"run.finished\""), "{said}");
    let (well, said) = verify(&file, &[]);
    assert!(!well && said.contains("--key"), "{said}");
    let mut flipped = file.clone();
    flipped[40] ^= 1;
    assert!(!verify(&flipped, &["--key", &key]).0);
    // What another room asked for, or nobody did, does not exist here; and that it was asked is on the record.
    let none = world.ask(&format!("!prove {}", number + 1000)).await;
    assert!(none.body.contains("There is no request"), "{}", none.body);
    let read =
        "SELECT count(*) FROM entries WHERE kind = 'audit.read' AND body LIKE '%the proof of request%'";
    assert_eq!(world.count(read).await, 2);
}

/// Runs the program beside this file in the folder of what was served.
fn go(folder: &TempDir, index: u64) -> Result<String, String> {
    let program: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/log_checked.go");
    let output = Command::new("go")
        .arg("run")
        .arg(program)
        .arg(index.to_string())
        .current_dir(folder.path())
        // Debian's golang-golang-x-mod-dev; nothing is fetched.
        .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", "")])
        .env("GOCACHE", std::env::temp_dir().join("quarterdeck-go-cache"))
        .output()
        .unwrap_or_else(|error| {
            panic!("go: {error}; `deploy/test --install` brings golang-go and golang-golang-x-mod-dev")
        });
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}
