//! A backup is restored and gone on from, as docs/backup.md has it.

use std::{path::Path, process::Command, time::Duration};

use quarterdeck::audit::note::PublicKey;
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;

use crate::{
    harness::World,
    log_tree::public,
    witness::{Witness, declaring},
};

/// The commands of a block of docs/backup.md, for this world.
fn documented(block: &str, world: &World) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/backup.md");
    let text = std::fs::read_to_string(path).unwrap();
    let commands = text.split(&format!("```sh {block}\n")).nth(1).unwrap().split("```").next().unwrap();
    let database = &world.database;
    commands
        .replace("/etc/quarterdeck/ops", world.ops.path().to_str().unwrap())
        .replace("quarterdeck_restored", database.name())
        .replace("quarterdeck_owner", &database.owner_role())
        .replace("quarterdeck_runtime", &database.runtime_role())
}

/// Runs them in a folder as an administrator would; gives whether all went well, and what was said.
fn run(commands: &str, world: &World, folder: &Path) -> (bool, String) {
    let database = &world.database;
    let programs = Path::new(env!("CARGO_BIN_EXE_quarterdeck")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let superuser = database.superuser_url().parse::<sqlx::postgres::PgConnectOptions>().unwrap();
    let output = Command::new("sh")
        .args(["-e", "-c", commands])
        .current_dir(folder)
        .env("PATH", path)
        .env("PGHOST", superuser.get_socket().unwrap())
        .env("PGPORT", superuser.get_port().to_string())
        .env("PGUSER", superuser.get_username())
        .env("QUARTERDECK_OWNER_DATABASE_URL", database.owner_url().expose())
        .env("QUARTERDECK_DATABASE_URL", database.runtime_url().expose())
        .env("NO_PROXY", "*")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// The server's own database, from which others are renamed and dropped.
async fn beside(world: &World, statements: &[String]) {
    let url = world.database.superuser_url();
    let (server, _) = url.rsplit_once('/').unwrap();
    let pool = PgPool::connect(&format!("{server}/postgres")).await.unwrap();
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement.clone())).execute(&pool).await.unwrap();
    }
}

/// Waits until all entries are in a tree, and that is signed.
async fn sealed(world: &World) {
    let open = "SELECT (SELECT count(*) FROM pending) + h.size
            - coalesce((SELECT max(size) FROM checkpoints k WHERE k.log = h.log), 0)
        FROM head h ORDER BY h.log DESC LIMIT 1";
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while world.count(open).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("entries stay without a signed leaf");
}

/// `quarterdeck audit` on this world.
fn audit(world: &World, arguments: &[&str]) -> (bool, String) {
    let ops = world.ops.path().to_str().unwrap();
    let output = world.quarterdeck(&[&["audit"], arguments, &["--ops", ops]].concat());
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn a_restored_backup_is_gone_on_from_with_a_new_log_and_nothing_is_run_twice() {
    let mut world = World::start().await;
    let folder = TempDir::new().unwrap();
    let first = public(&world);
    let witness = Witness::start(folder.path(), &first, None);
    declaring(&[&witness], &mut world).await;
    world.serve().await;

    // The backup has one that runs and one that waits for it.
    let running = world.alice.say(&world.room, "!slow 60 first").await;
    world.started("first begins").await;
    let queued = world.alice.say(&world.room, "!slow 0 second").await;
    world.all_decided().await;
    let (well, said) = run(&documented("backup", &world), &world, folder.path());
    assert!(well, "{said}");
    // While it serves, nobody recovers.
    let recover = "quarterdeck recover --restored --reason mistaken --ops ";
    let recover = format!("{recover}{}", world.ops.path().display());
    let (well, said) = run(&recover, &world, folder.path());
    assert!(!well && said.contains("stop it first"), "{said}");
    assert_eq!(world.count("SELECT count(*) FROM logs").await, 1);

    // After it more is done, and what waited is run. The next start shows the witness all of it.
    world.restart().await;
    world.started("second ends").await;
    world.ask("!count lost").await;
    world.settled().await;
    world.restart().await;
    world.stop().await;
    let name = world.database.name().to_owned();
    let gone = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    beside(&world, &[gone, format!("ALTER DATABASE {name} RENAME TO {name}_lost")]).await;

    let restore = documented("restore", &world);
    let (before, after) = restore.split_once("quarterdeck recover").unwrap();
    let (well, said) = run(before, &world, folder.path());
    assert!(well, "{said}");
    // The witness knows more: nothing goes on, and the way is named.
    let said = world.refused_to_serve(false).await;
    assert!(said.contains("quarterdeck recover --restored"), "{said}");
    let unheard = world.alice.say(&world.room, "!count unheard").await;
    let (well, said) = run(&format!("quarterdeck recover{after}"), &world, folder.path());
    assert!(well, "{said}");
    assert!(said.contains("witness.example.org/w1 has seen") && said.contains("Interrupted: "), "{said}");
    assert!(said.contains("of a log that has ended fit"), "{said}");
    let begun = format!("{}/", first.origin());
    let next = said.lines().find(|line| line.starts_with(&begun) && line.contains('+')).unwrap();
    let next = PublicKey::read(next).unwrap();

    assert_eq!(world.state_of(&running).await.as_deref(), Some("interrupted"));
    assert_eq!(world.state_of(&queued).await.as_deref(), Some("interrupted"));
    let interrupted = "SELECT count(*) FROM entries WHERE kind = 'command.interrupted' AND body LIKE '%\"was\":\"queued\"%'";
    assert_eq!(world.count(interrupted).await, 1);
    // The first entry of the new log names the old one's end, and the gap.
    let gap =
        "SELECT (e.body::json -> 'witnesses' -> 0 ->> 'size')::bigint - (e.body::json ->> 'size')::bigint
        FROM leaves l JOIN entries e ON e.id = l.entry_id
        WHERE l.log = 2 AND l.index = 0 AND e.kind = 'log.recovered'";
    assert!(world.count(gap).await > 0);

    world.serve().await;
    world.all_decided().await;
    assert_eq!(world.why_refused(&unheard).await, "stale");
    let fresh = world.ask("!count fresh").await;
    assert_eq!(fresh.state, "succeeded");
    sealed(&world).await;
    let story = world.ask(&format!("!audit {}", fresh.number)).await.body;
    assert!(story.contains("In the signed checkpoint of"), "{story}");
    let told = "SELECT count(*) FROM outbox WHERE state = 'sent' AND step LIKE 'restored/%/deploy'";
    world.nothing_pending().await;
    assert_eq!(world.count(told).await, 1);
    for (line, times) in
        [("first begins", 1), ("second begins", 1), ("lost", 1), ("unheard", 0), ("fresh", 1)]
    {
        assert_eq!(world.ops.counted(line), times, "{line}: {:?}", world.ops.traced());
    }
    world.stop().await;

    // Both logs fit, by the key of either; a bundle of the old one is the old one's.
    for key in [&first, &next] {
        let (well, said) = audit(&world, &["verify", "--key", &key.to_string()]);
        assert!(well && said.contains(&first.to_string()) && said.contains(&next.to_string()), "{said}");
    }
    let bundle = folder.path().join("bundle");
    let (well, said) = audit(&world, &["export", "--log", "1", bundle.to_str().unwrap()]);
    assert!(well && said.contains(&first.to_string()), "{said}");
    let (well, said) = audit(&world, &["verify", bundle.to_str().unwrap()]);
    assert!(well, "{said}");
    // The witness follows the new one when it is given its key.
    drop(witness);
    let port = world.ops.read("quarterdeck.toml").split("http://127.0.0.1:").nth(2).unwrap()[..5].to_owned();
    let port = port.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    let _witness = Witness::listening(folder.path(), &next, port, None);
    world.serve().await;
    world.stop().await;
    let (well, said) = audit(&world, &["verify"]);
    assert!(well && said.matches("entries are witnessed by witness.example.org/w1 (").count() == 2, "{said}");

    // What is cut off the old one is found by the new one.
    let sql = world.sql();
    for table in ["checkpoints", "cosignatures"] {
        let off = format!("ALTER TABLE {table} DISABLE TRIGGER ALL");
        sqlx::query(AssertSqlSafe(off)).execute(&sql).await.unwrap();
    }
    let cut = "DELETE FROM cosignatures WHERE log = 1;
        DELETE FROM checkpoints k WHERE log = 1 AND size = (SELECT max(size) FROM checkpoints o WHERE o.log = 1)";
    sqlx::raw_sql(cut).execute(&sql).await.unwrap();
    let (well, said) = audit(&world, &["verify"]);
    assert!(!well && said.contains("the log before it ended as"), "{said}");
    sql.close().await;
    beside(&world, &[format!("DROP DATABASE {name}_lost WITH (FORCE)")]).await;
}
