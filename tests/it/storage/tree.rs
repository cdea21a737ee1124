//! The log's tree: every entry gets one leaf, whoever dies or fights, and no second history is signed.

use quarterdeck::{
    audit::{
        Round, Sequencer, SequencerError,
        note::{LogKey, PublicKey},
        tree::{Edge, leaf_hash},
    },
    model::{Event, SignedDuration, SystemRandom},
    storage::{Growth, Storage, migrate},
};
use sqlx::{AssertSqlSafe, PgPool, Row as _, migrate::Migrator};

use super::{
    lost_commits::{Between, Fate},
    support::Store,
};
use crate::harness::Database;

const ORIGIN: &str = "example.org/quarterdeck";

/// A key, and another copy of it for another instance.
fn key() -> (LogKey, LogKey) {
    let text = LogKey::draw(ORIGIN, &SystemRandom);
    (LogKey::read(&text, ORIGIN).unwrap(), LogKey::read(&text, ORIGIN).unwrap())
}

async fn record(storage: &Storage, count: usize) {
    for number in 0..count {
        let event = Event::AuditRead { by: "root".into(), query: format!("query {number}") };
        storage.record(None, None, event).await.unwrap();
    }
}

/// Rebuilds the tree from the entries by itself, and compares everything that is kept with it. Gives its size.
pub async fn is_whole(pool: &PgPool, key: &PublicKey) -> u64 {
    let leaves = sqlx::query(
        "SELECT l.index, l.hash, e.body FROM leaves l JOIN entries e ON e.id = l.entry_id ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let checkpoints =
        sqlx::query("SELECT size, root, note FROM checkpoints ORDER BY size").fetch_all(pool).await.unwrap();
    let (mut edge, mut full) = (Edge::default(), Vec::new());
    let mut checkpoints = checkpoints.iter().peekable();
    for (number, leaf) in (0_i64..).zip(&leaves) {
        assert_eq!(leaf.get::<i64, _>("index"), number);
        let hash = leaf_hash(leaf.get::<&str, _>("body").as_bytes());
        assert_eq!(leaf.get::<&[u8], _>("hash"), hash);
        edge.push(hash, &mut full);
        if let Some(kept) = checkpoints.next_if(|kept| kept.get::<i64, _>("size") == number + 1) {
            let opened = key.open(kept.get("note")).unwrap();
            assert_eq!((opened.head.size, opened.head.root), (edge.size(), edge.root().unwrap()));
            assert_eq!(kept.get::<&[u8], _>("root"), opened.head.root);
        }
    }
    assert!(checkpoints.next().is_none(), "a checkpoint is of more leaves than there are");
    let tiles = sqlx::query("SELECT level, index, hashes, root FROM tiles ORDER BY index, level")
        .fetch_all(pool)
        .await
        .unwrap();
    assert_eq!(tiles.len(), full.len());
    for tile in &tiles {
        let (level, index) = (tile.get::<i16, _>("level"), tile.get::<i64, _>("index"));
        let made = full
            .iter()
            .find(|made| i16::from(made.tile.level) == level && made.tile.index == index.cast_unsigned());
        let made = made.expect("a tile that the tree does not have");
        assert_eq!(tile.get::<&[u8], _>("hashes"), made.hashes);
        assert_eq!(tile.get::<&[u8], _>("root"), made.root);
    }
    let head = sqlx::query("SELECT size, root FROM head").fetch_one(pool).await.unwrap();
    assert_eq!(head.get::<i64, _>("size"), i64::try_from(leaves.len()).unwrap());
    assert_eq!(head.get::<&[u8], _>("root"), edge.root().unwrap());
    edge.size()
}

#[tokio::test]
async fn every_entry_gets_a_leaf_and_the_tree_is_signed() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (key, _) = key();
    let public = key.public().clone();
    let mut sequencer = Sequencer::new(storage.clone(), key);
    sequencer.start().await.unwrap();
    record(&storage, 3).await;
    assert!(storage.tree_is_due().await.unwrap());
    let Round::Grew(first) = sequencer.round().await.unwrap() else { panic!("nothing waited") };
    assert!(!storage.tree_is_due().await.unwrap());
    assert_eq!(sequencer.round().await.unwrap(), Round::Nothing);
    // Over the end of a tile, by two sequencers that know nothing of each other.
    record(&storage, 300).await;
    sequencer.catch_up().await.unwrap();
    record(&storage, 5).await;
    let pool = store.database.superuser();
    assert_eq!(is_whole(&pool, &public).await, first + 300);
    assert_eq!(store.count("SELECT count(*) FROM pending").await, 5);
    assert_eq!(store.count("SELECT count(*) FROM tiles").await, 1);
}

#[tokio::test]
async fn entries_from_before_the_tree_get_their_leaf() {
    let database = Database::create().await;
    let mut before = Migrator::new(std::path::Path::new("migrations")).await.unwrap();
    before.migrations.to_mut().retain(|migration| migration.version < 40);
    let owner = PgPool::connect(database.owner_url().expose()).await.unwrap();
    before.run(&owner).await.unwrap();
    for number in 0..3 {
        let insert = format!(
            "INSERT INTO entries (id, at, kind, body) VALUES (gen_random_uuid(), now(), 'audit.read', '{{\"n\":{number}}}')"
        );
        sqlx::query(AssertSqlSafe(insert)).execute(&owner).await.unwrap();
    }
    migrate(&database.owner_url(), Some(&database.runtime_role())).await.unwrap();
    let store = Store::of(database).await;
    let (key, _) = key();
    let public = key.public().clone();
    let mut sequencer = Sequencer::new(store.unregistered("main"), key);
    sequencer.catch_up().await.unwrap();
    assert!(is_whole(&store.database.superuser(), &public).await >= 3);
    let waiting =
        "SELECT count(*) FROM entries e WHERE NOT EXISTS (SELECT FROM leaves l WHERE l.entry_id = e.id)";
    assert_eq!(store.count(waiting).await, 0);
}

#[tokio::test]
async fn two_instances_that_fight_over_the_tree_sign_one_history() {
    let store = Store::new().await;
    let (first, second) = key();
    let public = first.public().clone();
    let sequencers = [(first, "one"), (second, "two")];
    let mut tasks = tokio::task::JoinSet::new();
    for (key, name) in sequencers {
        let storage = store.storage(name).await;
        let writer = storage.clone();
        tasks.spawn(async move { record(&writer, 150).await });
        tasks.spawn(async move {
            let mut sequencer = Sequencer::new(storage, key);
            for _ in 0..60 {
                sequencer.round().await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let (storage, pool) = (store.unregistered("three"), store.database.superuser());
    assert!(is_whole(&pool, &public).await > 0);
    // Without the courtesy of a turn, the step of the head lets only one through.
    let head = storage.tree_head().await.unwrap();
    let mut turn = storage.tree_turn().await.unwrap().unwrap();
    assert!(store.unregistered("four").tree_turn().await.unwrap().is_none(), "one at a time");
    record(&storage, 1).await;
    let waiting = turn.pending(1).await.unwrap();
    if let Some(entry) = waiting.first() {
        let hash = leaf_hash(entry.body.as_bytes());
        let growth = Growth { leaves: vec![(entry.clone(), hash)], tiles: vec![], root: hash };
        turn.grow(head.size - 1, growth).await.expect_err("built on a tree that has grown");
    }
    assert_eq!(storage.tree_head().await.unwrap(), head);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_read_back() {
    for fate in [Fate::IsLost, Fate::IsDoneUnheard] {
        let store = Store::new().await;
        let (key, _) = key();
        let public = key.public().clone();
        let between = Between::new();
        let storage = store.at(&between.url(&store), "main");
        storage.register_boot().await.unwrap();
        let mut sequencer = Sequencer::new(storage.clone(), key);
        record(&storage, 2).await;
        sequencer.catch_up().await.unwrap();
        record(&storage, 2).await;
        between.next_commit(fate);
        sequencer.round().await.unwrap_err();
        record(&storage, 1).await;
        sequencer.catch_up().await.unwrap();
        let entries = store.count("SELECT count(*) FROM entries").await;
        assert_eq!(is_whole(&store.database.superuser(), &public).await, entries.cast_unsigned(), "{fate:?}");
    }
}

#[tokio::test]
async fn what_was_changed_beneath_the_signatures_is_not_signed_over() {
    for (tampering, rows) in [
        ("UPDATE leaves SET hash = sha256('other') WHERE index = 1", "leaves"),
        ("UPDATE checkpoints SET root = sha256('other')", "checkpoints"),
        ("UPDATE head SET root = sha256('other')", "head"),
        ("DELETE FROM checkpoints; UPDATE leaves SET hash = sha256('other') WHERE index = 2", "leaves"),
    ] {
        let store = Store::new().await;
        let storage = store.storage("main").await;
        let (key, copy) = key();
        let mut sequencer = Sequencer::new(storage.clone(), key);
        record(&storage, 5).await;
        sequencer.catch_up().await.unwrap();
        let pool = store.database.superuser();
        for table in ["leaves", "checkpoints", "head"] {
            let off = format!("ALTER TABLE {table} DISABLE TRIGGER ALL");
            sqlx::query(AssertSqlSafe(off)).execute(&pool).await.unwrap();
        }
        sqlx::raw_sql(tampering).execute(&pool).await.unwrap();
        record(&storage, 1).await;
        let before = store.count("SELECT count(*) FROM checkpoints").await;
        // Another instance, or this one after a restart: neither signs.
        let mut other = Sequencer::new(store.unregistered("other"), copy);
        let error = other.catch_up().await.unwrap_err();
        assert!(!matches!(error, SequencerError::Storage(_)), "{rows}: {error}");
        assert!(error.to_string().contains("Nothing is signed"), "{error}");
        assert_eq!(store.count("SELECT count(*) FROM checkpoints").await, before, "{tampering}");
    }
}

#[tokio::test]
async fn a_log_goes_on_with_its_own_key_only() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    record(&storage, 1).await;
    Sequencer::new(storage.clone(), key().0).catch_up().await.unwrap();
    let error = Sequencer::new(storage, key().0).start().await.unwrap_err();
    assert!(error.to_string().contains("is not signed by example.org/quarterdeck"), "{error}");
}

#[tokio::test]
async fn a_silent_hour_has_a_heartbeat() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    record(&storage, 1).await;
    let beats = "SELECT count(*) FROM entries WHERE kind = 'log.heartbeat'";
    for (seconds, expected) in [(0, 0), (3500, 0), (101, 1), (0, 1), (3599, 1), (2, 2)] {
        store.clock.pass(seconds);
        let mut turn = storage.tree_turn().await.unwrap().unwrap();
        turn.beat_where_silent(SignedDuration::from_hours(1)).await.unwrap();
        turn.done().await.unwrap();
        assert_eq!(store.count(beats).await, expected);
    }
}

#[tokio::test]
async fn the_runtime_role_can_only_let_the_tree_grow() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    record(&storage, 3).await;
    Sequencer::new(storage.clone(), key().0).catch_up().await.unwrap();
    record(&storage, 1).await;
    let runtime = PgPool::connect(store.database.runtime_url().expose()).await.unwrap();
    for sql in [
        "UPDATE leaves SET index = index + 10",
        "DELETE FROM leaves",
        "TRUNCATE leaves",
        "DELETE FROM tiles",
        "UPDATE checkpoints SET note = note",
        "DELETE FROM checkpoints",
        "DELETE FROM head",
        "UPDATE head SET size = size - 1",
        "UPDATE head SET size = size + 1",
        "UPDATE head SET root = sha256('other')",
        // An entry does not stop waiting by being forgotten, and none waits that was not written.
        "DELETE FROM pending",
        "TRUNCATE pending",
        "INSERT INTO pending VALUES (1)",
        // That a log ends is for the owner to say.
        "INSERT INTO logs (number, origin, begun_at) VALUES (2, 'example.org/2', now())",
        "INSERT INTO head (log, size, root) VALUES (1, 1, sha256('other'))",
        "DELETE FROM logs",
    ] {
        let error = sqlx::query(sql).execute(&runtime).await.expect_err(sql);
        let code = error.as_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "42501", "{sql}: {error}");
    }
    // And one that has ended is not gone on with, by whoever has not heard of it.
    let owner = PgPool::connect(store.database.owner_url().expose()).await.unwrap();
    sqlx::raw_sql("INSERT INTO logs (number, origin, begun_at) VALUES (2, 'example.org/2', now())")
        .execute(&owner)
        .await
        .unwrap();
    let ended = Sequencer::new(storage.of_log(1), key().0).round().await.unwrap_err();
    assert!(ended.to_string().contains("has ended"), "{ended}");
}
