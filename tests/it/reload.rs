//! Another version of the ops folder comes into force as a whole or not at all, from the machine and from a room.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use quarterdeck::model::fault::Point;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::harness::{OpsFolder, Plan, World};

/// A rule that a new version has.
const STAGING_CLOSED: &str = r#"
@id("staging-is-closed")
@says("Staging is being rebuilt.")
forbid (principal, action == Action::"deploy", resource in Environment::"staging");
"#;

async fn world() -> World {
    World::start().await
}

/// The `rules.loaded` entries, in order.
async fn loaded(world: &World) -> Vec<Value> {
    let sql = "SELECT body FROM entries WHERE kind = 'rules.loaded' ORDER BY place";
    let bodies: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&world.sql()).await.unwrap();
    bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

/// Waits until the log of `serve` has this.
async fn logged(world: &World, what: &str) {
    let begun = Instant::now();
    while !world.log_text().contains(what) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what:?} was not logged");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_lead_loads_another_version_from_the_room_and_reads_in_words_what_changed() {
    let world = world().await;
    assert_eq!(world.ask_as(&world.bob, "!deploy web staging").await.state, "succeeded");
    world.ops.file("policies/closed.cedar", STAGING_CLOSED);
    world
        .ops
        .file("commands/look.toml", &world.ops.read("commands/count.toml").replace("\"count\"", "\"look\""));

    // The rules in force decide it.
    let refused = world.ask_as(&world.bob, "!reload").await;
    assert_eq!(refused.state, "refused", "{}", refused.body);
    assert_eq!(loaded(&world).await.len(), 1);
    assert_eq!(world.ask_as(&world.bob, "!deploy web staging").await.state, "succeeded");

    let answer = world.ask("!reload").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    for part in
        ["In force now", "staging-is-closed", "added", "Staging is being rebuilt.", "command look added"]
    {
        assert!(answer.body.replace('`', "").contains(part), "{part} in {}", answer.body);
    }
    let log = loaded(&world).await;
    assert_eq!(log.len(), 2);
    assert_eq!(log[1]["by"], world.alice.id.as_str());
    let no = world.ask_as(&world.bob, "!deploy web staging").await;
    assert!(no.body.contains("Staging is being rebuilt."), "{}", no.body);
    // Each decision names the rules that it was made under.
    let rules = sqlx::query_scalar::<_, String>(
        "SELECT body FROM entries WHERE kind = 'command.refused' ORDER BY place DESC LIMIT 1",
    );
    let entry: Value = serde_json::from_str(&rules.fetch_one(&world.sql()).await.unwrap()).unwrap();
    assert_eq!(entry["rules"], log[1]["rules"]);
    // Once more: nothing is new, and nothing is recorded.
    assert!(world.ask("!reload").await.body.contains("In force already"));
    assert_eq!(loaded(&world).await.len(), 2);
}

#[tokio::test]
async fn a_version_with_a_mistake_changes_nothing_and_says_which() {
    let world = world().await;
    world.ops.file("policies/closed.cedar", STAGING_CLOSED);
    world.ops.file("policies/broken.cedar", "permit (principal, action == Action::\"depoly\", resource);");
    let answer = world.ask("!reload").await;
    assert_eq!(answer.state, "refused", "{}", answer.body);
    assert!(answer.body.contains("policies/broken.cedar"), "{}", answer.body);
    world.server.as_ref().unwrap().signal(Signal::SIGHUP);
    logged(&world, "the ops folder was not put in force; the old one stays").await;
    assert_eq!(world.ask_as(&world.bob, "!deploy web staging").await.state, "succeeded");
    assert_eq!(loaded(&world).await.len(), 1);
    // Mended, a signal is enough.
    fs::remove_file(world.ops.path().join("policies/broken.cedar")).unwrap();
    world.server.as_ref().unwrap().signal(Signal::SIGHUP);
    logged(&world, "the ops folder is in force").await;
    assert_eq!(world.ask_as(&world.bob, "!deploy web staging").await.state, "refused");
    assert_eq!(loaded(&world).await[1].get("by"), None);
}

#[tokio::test]
async fn settings_that_count_after_a_restart_only_are_named_and_roots_are_not_torn_out() {
    let world = world().await;
    let settings = world.ops.read("quarterdeck.toml");
    let (head, rest) = settings.split_once("[homeserver]").unwrap();
    let limits = format!("{head}prefix = \"?\"\n[homeserver]{rest}grace = \"7s\"\n");
    world.ops.file("quarterdeck.toml", &limits);
    let answer = world.ask("!reload").await;
    assert!(answer.body.contains("[limits] grace"), "{}", answer.body);
    assert!(!answer.body.contains("prefix,"), "{}", answer.body);
    assert_eq!(world.ask("?count one").await.state, "succeeded");
    world.ops.file("quarterdeck.toml", &limits.replace("alias_prefix = \"", "alias_prefix = \"x"));
    let answer = world.ask("?reload").await;
    assert_eq!(answer.state, "refused");
    assert!(answer.body.contains("alias_prefix"), "{}", answer.body);
}

#[tokio::test]
async fn a_signal_before_everything_runs_ends_nothing() {
    let mut world = World::prepared(Plan::default()).await;
    // The database is not there: `serve` waits for it.
    let nowhere = "postgres://nobody@127.0.0.1:1/none";
    let log = world.ops.path().parent().unwrap().join("early.log");
    let mut server = crate::harness::Server::start(
        world.ops.path(),
        &world.address(),
        &[("QUARTERDECK_DATABASE_URL", nowhere)],
        &log,
    );
    let begun = Instant::now();
    while !fs::read_to_string(&log).unwrap_or_default().contains("waiting for the database") {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.signal(Signal::SIGHUP);
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.signal(Signal::SIGTERM);
    assert!(server.ended().await.success(), "the first signal did not end it, the second did in good order");
    world.leave_pending();
}

async fn killed(point: Point) {
    let mut world = world().await;
    world.ops.file("policies/closed.cedar", STAGING_CLOSED);
    world.settled().await;
    world.stop().await;
    // What the server would load at its start anyway is put there after it.
    fs::remove_file(world.ops.path().join("policies/closed.cedar")).unwrap();
    world.serve_until(point).await;
    world.ops.file("policies/closed.cedar", STAGING_CLOSED);
    let command = world.alice.say(&world.room, "!reload").await;
    world.died().await;
    let log = loaded(&world).await;
    // Before the commit nothing is said of the new version; after it, it is what is in force.
    assert_eq!(log.len(), if point == Point::BeforeReloadCommit { 1 } else { 2 }, "{log:?}");
    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    let no = world.ask_as(&world.bob, "!deploy web staging").await;
    assert!(no.body.contains("Staging is being rebuilt."), "{}", no.body);
    assert_eq!(loaded(&world).await.len(), 2, "it came into force once");
    assert_eq!(world.alice.outcomes(&world.bot(), &command).len(), 1, "answered once");
}

#[tokio::test]
async fn killed_before_a_version_is_recorded_nothing_had_come_into_force() {
    killed(Point::BeforeReloadCommit).await;
}

#[tokio::test]
async fn killed_after_a_version_was_recorded_it_is_in_force_at_the_next_start() {
    killed(Point::AfterReloadCommit).await;
}

#[tokio::test]
async fn whoever_is_struck_from_a_team_loses_what_waits() {
    let world = world().await;
    let first = world.alice.say(&world.room, "!slow 8 first").await;
    world.started("first begins").await;
    let waiting = world.bob.say(&world.room, "!slow 0 second").await;
    world
        .bob
        .answer_that(&world.bot(), &waiting, |event| event["content"]["body"].to_string().contains("Waits"))
        .await;
    world.ops.team("web", &[&world.lease.homeserver.name], &[&world.alice.id], 1);
    let answer = world.ask("!reload").await;
    assert!(answer.body.contains(&format!("strikes {}", world.bob.id)), "{}", answer.body);
    let no = world.bob.outcome(&world.bot(), &waiting).await;
    assert_eq!(no.state, "refused");
    assert!(no.body.contains("does not name"), "{}", no.body);
    assert_eq!(world.why_refused(&waiting).await, "struck");
    assert_eq!(world.alice.outcome(&world.bot(), &first).await.state, "succeeded");
    assert_eq!(world.ops.counted("second begins"), 0);
}

/// A repository that holds the ops folder of a world.
struct Repository {
    folder: tempfile::TempDir,
}

impl Repository {
    /// With the folder as it is, in `ops`.
    fn of(ops: &OpsFolder) -> Self {
        let repository = Self { folder: tempfile::tempdir().unwrap() };
        repository.git(&["init", "--quiet", "--initial-branch=main", "."]);
        copy(ops.path(), &repository.path().join("ops"));
        let key = repository.path().join(".git/key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.unwrap().success());
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        fs::write(repository.signers(), format!("alice@example.org {public}")).unwrap();
        repository
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn signers(&self) -> PathBuf {
        self.path().join(".git/signers")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=A", "-c", "user.email=alice@example.org"])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path().join("ops").join(path), text).unwrap();
    }

    fn commit(&self, signed: bool) -> String {
        self.git(&["add", "--all"]);
        let key = format!("user.signingkey={}", self.path().join(".git/key").display());
        let sign: &[&str] =
            if signed { &["-c", "gpg.format=ssh", "-c", &key, "commit", "-S"] } else { &["commit"] };
        self.git(&[sign, &["--quiet", "-m", "a version"]].concat());
        self.git(&["rev-parse", "HEAD"])
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).map(drop).unwrap();
        }
    }
}

#[tokio::test]
async fn a_signed_version_comes_from_a_repository_and_nothing_else_is_admitted() {
    let mut world = World::prepared(Plan::default()).await;
    let repository = Repository::of(&world.ops);
    let settings = world.ops.read("quarterdeck.toml");
    let source = format!(
        "{settings}[ops]\ngit = \"{}\"\nfolder = \"ops\"\nallowed_signers = \"{}\"\n",
        repository.path().display(),
        repository.signers().display()
    );
    world.ops.file("quarterdeck.toml", &source);
    repository.write("quarterdeck.toml", &source);
    world.serve().await;
    world.gather().await;

    // Not signed.
    repository.write("policies/closed.cedar", STAGING_CLOSED);
    repository.commit(false);
    let answer = world.ask("!reload main").await;
    assert_eq!(
        (answer.state.as_str(), answer.body.contains("no signature")),
        ("refused", true),
        "{}",
        answer.body
    );
    // Whom the rules refuse has nothing fetched.
    assert!(world.ask_as(&world.bob, "!reload main").await.body.contains("No rule permits"));
    assert!(world.ask("!reload --ref=nowhere").await.body.contains("no branch, tag or commit"));
    // Signed: in force, and said by whom.
    repository.write("policies/closed.cedar", &STAGING_CLOSED.replace("rebuilt", "moved"));
    let commit = repository.commit(true);
    let answer = world.ask("!reload").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    for part in ["Staging is being moved.", &commit[..12], "signed by alice@example.org"] {
        assert!(answer.body.replace('*', "").contains(part), "{part} in {}", answer.body);
    }
    let entry = loaded(&world).await.pop().unwrap();
    assert_eq!(entry["commit"], commit.as_str());
    assert_eq!(entry["reference"], "main");
    assert_eq!(entry["signer"], "alice@example.org");
    let closed = async |world: &World, words: &str| {
        let no = world.ask_as(&world.bob, "!deploy web staging").await;
        assert!(no.body.contains(words), "{}", no.body);
    };
    closed(&world, "Staging is being moved.").await;

    // A signal reads again what was admitted: neither what lies on the host, nor what is new in the repository.
    repository.write("policies/closed.cedar", &STAGING_CLOSED.replace("rebuilt", "sold"));
    repository.commit(true);
    world.server.as_ref().unwrap().signal(Signal::SIGHUP);
    logged(&world, "the ops folder is in force").await;
    closed(&world, "Staging is being moved.").await;
    // So does a start; and one on a host that has lost its copy.
    fs::remove_dir_all(world.ops.path().parent().unwrap().join("state/ops.versions")).unwrap();
    world.restart().await;
    closed(&world, "Staging is being moved.").await;
    assert_eq!(loaded(&world).await.pop().unwrap()["commit"], commit.as_str());
    // A commit by its name, forward and back.
    let newest = repository.git(&["rev-parse", "HEAD"]);
    assert_eq!(world.ask(&format!("!reload {}", &newest[..10])).await.state, "succeeded");
    closed(&world, "Staging is being sold.").await;
    assert_eq!(world.ask(&format!("!reload {commit}")).await.state, "succeeded");
    closed(&world, "Staging is being moved.").await;
}

#[tokio::test]
async fn the_log_names_the_commit_of_a_clean_checkout_and_none_of_another() {
    let mut world = World::prepared(Plan::default()).await;
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=A", "-c", "user.email=a@example.org"]).args(arguments);
        let output =
            git.current_dir(world.ops.path()).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    git(&["init", "--quiet", "."]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "-m", "x"]);
    let commit = git(&["rev-parse", "HEAD"]);
    world.serve().await;
    world.gather().await;
    assert_eq!(loaded(&world).await[0]["commit"], commit.as_str());
    world.ops.file("policies/closed.cedar", STAGING_CLOSED);
    assert_eq!(world.ask("!reload").await.state, "succeeded");
    assert_eq!(loaded(&world).await[1]["commit"], Value::Null);
}
