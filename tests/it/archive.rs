//! Retention: what is old goes to files that can be checked by themselves, is said to be there, and is lost at no moment.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use quarterdeck::model::fault::Point;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::harness::{OpsFolder, Plan, World};

/// Declares that what ended a year ago goes, of `count` after 30 days, of `echo` never.
fn retained(ops: &OpsFolder) {
    let folder = archive(ops.path());
    fs::create_dir_all(&folder).unwrap();
    let settings = ops.read("quarterdeck.toml");
    let retention = format!(
        "[retention]\nfolder = \"{}\"\nafter = \"365d\"\n\
         [[retention.rule]]\ncommands = [\"count\"]\nrooms = [\"deploy\"]\nafter = \"30d\"\n\
         [[retention.rule]]\ncommands = [\"echo\"]\nafter = \"never\"\n",
        folder.display()
    );
    ops.file("quarterdeck.toml", &format!("{settings}{retention}"));
}

fn archive(ops: &Path) -> PathBuf {
    ops.parent().unwrap().join("archive")
}

/// The files there, in order.
fn files(world: &World) -> Vec<PathBuf> {
    let files = fs::read_dir(archive(world.ops.path())).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| !path.ends_with("lock")).collect();
    files.sort();
    files
}

/// Lets so many days go by since a request ended.
async fn age(world: &World, number: i64, days: u32) {
    let sql =
        format!("UPDATE requests SET ended_at = ended_at - interval '{days} days' WHERE number = {number}");
    world.sql().execute(AssertSqlSafe(sql)).await.unwrap();
}

fn audit(world: &World, arguments: &[&str]) -> (bool, String) {
    audit_at(world, arguments, None)
}

fn audit_at(world: &World, arguments: &[&str], point: Option<Point>) -> (bool, String) {
    let ops = world.ops.path().to_str().unwrap();
    let arguments = [&["audit", "--ops", ops][..], arguments].concat();
    let environment: Vec<_> = point.map(|point| ("QUARTERDECK_DIE_AT", point.name())).into_iter().collect();
    let output = world.quarterdeck_with(&arguments, &environment);
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
    (output.status.success(), told)
}

async fn contents(world: &World, number: i64) -> i64 {
    world.count(&format!("SELECT count(*) FROM contents WHERE request = {number}")).await
}

/// All that was recorded is in a signed tree.
async fn sealed(world: &World) {
    world.settled().await;
    signed(world).await;
}

/// The same, whatever still runs.
async fn signed(world: &World) {
    let open = "SELECT (SELECT count(*) FROM pending) + (SELECT sum(size) FROM head)
                       - (SELECT max(size) FROM checkpoints)";
    let begun = std::time::Instant::now();
    while world.count(&format!("SELECT ({open})::bigint")).await > 0 {
        assert!(begun.elapsed().as_secs() < 20, "the log is not signed");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_is_old_goes_to_a_file_that_checks_by_itself_and_everything_says_where_it_is() {
    let world = World::changed(retained).await;
    let old = world.ask("!count sesame").await.number;
    let young = world.ask("!count mustard").await.number;
    let never = world.ask("!echo pepper").await.number;
    let of_all = world.ask("!lines 3").await.number;
    sealed(&world).await;
    for (number, days) in [(old, 31), (young, 29), (never, 4000), (of_all, 364)] {
        age(&world, number, days).await;
    }
    let before = contents(&world, old).await;
    assert!(before >= 3, "text, invocation, inputs: {before}");

    // A dry run says what would go, and does nothing.
    let (well, said) = audit(&world, &["archive", "--dry-run"]);
    assert!(well && said.contains("nothing was done"), "{said}");
    assert!(said.contains(&format!("count in deploy after 30 days: {before} contents (")), "{said}");
    assert!(said.contains("echo never: 0 contents") && said.contains("all after 365 days: 0 "), "{said}");
    assert_eq!((files(&world), contents(&world, old).await), (Vec::new(), before));

    let (well, said) = audit(&world, &["archive"]);
    assert!(well && said.contains(&format!("{before} contents of 1 requests went to 1 files")), "{said}");
    let [file] = files(&world).try_into().unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(contents(&world, old).await, 0);
    for number in [young, never, of_all] {
        assert!(contents(&world, number).await > 0, "{number}");
    }
    // Nor is what was typed anywhere else in the database.
    let copies = format!(
        "SELECT count(*) FROM requests r, outbox o WHERE r.number = {old} AND o.request = {old}
                          AND (r.invocation IS NOT NULL OR encode(o.content, 'escape') LIKE '%sesame%')"
    );
    assert_eq!(world.count(&copies).await, 0);
    assert_eq!(world.entries(old).await.last().map(String::as_str), Some("content.archived"));

    // The file holds it, and shows by itself that it is what was signed.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["audit", "verify"])
        .arg(&file)
        .env_clear()
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains(&format!("and {before} contents are what they")),
        "{said}"
    );
    let text = crate::canaries::with_its_contents(&fs::read_to_string(&file).unwrap());
    assert!(
        text.contains("!count sesame") && !text.contains("pepper") && !text.contains("mustard"),
        "{text}"
    );

    // The log fits, and says where it is: in its story, in lists, to whoever wants it again or gone.
    let (well, said) = audit(&world, &["verify"]);
    assert!(well, "{said}");
    let name = file.file_name().unwrap().to_str().unwrap();
    for question in [format!("!audit {old}"), "!audit --command count --since 1h".to_owned()] {
        let answer = world.ask(&question).await;
        assert!(answer.body.contains(name), "{}", answer.body);
    }
    let again = world.ask(&format!("!again {old}")).await;
    assert!(again.body.contains("was archived on ") && again.body.contains(name), "{}", again.body);
    let (well, said) = audit(&world, &["archive"]);
    assert!(well && said.contains("0 contents of 0 requests"), "{said}");
    assert_eq!(files(&world).len(), 1);
}

#[tokio::test]
async fn nothing_goes_that_runs_or_waits_or_by_rules_that_are_not_in_force() {
    let mut world = World::prepared(Plan::default()).await;
    retained(&world.ops);
    let rules = world.ops.read("policies/rules.cedar");
    let erase = r#"@id("erasing") permit (principal in Team::"leads", action == Action::"erase", resource);"#;
    world.ops.file("policies/rules.cedar", &format!("{rules}\n{erase}\n"));
    world.serve().await;
    world.gather().await;
    let scheduled = world.ask("!every weekday 09:00 count sesame").await;
    assert_eq!(scheduled.state, "succeeded", "{}", scheduled.body);
    let running = world.alice.say(&world.room, "!slow 60 running").await;
    world.started("running begins").await;
    let number = world.count("SELECT number FROM requests WHERE state = 'running'").await;
    let old = world.ask("!count sesame").await.number;
    signed(&world).await;
    age(&world, scheduled.number, 4000).await;
    age(&world, old, 4000).await;

    // Rules that nobody loaded take nothing away.
    let settings = world.ops.read("quarterdeck.toml");
    world.ops.file("quarterdeck.toml", &settings.replace("after = \"30d\"", "after = \"1d\""));
    let (well, said) = audit(&world, &["archive"]);
    assert!(!well && said.contains("not the version in force"), "{said}");
    world.ops.file("quarterdeck.toml", &settings);
    let (well, said) = audit(&world, &["archive"]);
    assert!(well && said.contains("of 1 requests went to 1 files"), "{said}");
    assert!(contents(&world, number).await > 0, "it runs");
    assert!(contents(&world, scheduled.number).await > 0, "it is still done");
    assert_eq!(contents(&world, old).await, 0);

    // Not even a superuser takes a content away of which no entry says so.
    let silent = format!("DELETE FROM contents WHERE request = {number}");
    let refused = world.sql().execute(AssertSqlSafe(silent)).await.unwrap_err();
    assert!(refused.to_string().contains("was erased or archived"), "{refused}");
    // What is in a file cannot be erased from here, and that is said.
    let erased = world.ask(&format!("!erase {old} private")).await;
    assert!(erased.state == "failed" && erased.body.contains("was archived on "), "{}", erased.body);
    assert_eq!(world.ask(&format!("!cancel {number}")).await.state, "succeeded");
    world.alice.outcome(&world.bot(), &running).await;
}

/// Kills the archiving at `point`; then asks for it again.
async fn killed(point: Point, is_gone: bool) {
    let world = World::changed(retained).await;
    let old = world.ask("!count sesame").await.number;
    sealed(&world).await;
    age(&world, old, 31).await;
    let before = contents(&world, old).await;
    let (well, said) = audit_at(&world, &["archive"], Some(point));
    assert!(!well, "{said}");
    let entries = format!("SELECT count(*) FROM entries WHERE request = {old} AND kind = 'content.archived'");
    let left = if is_gone { 0 } else { before };
    assert_eq!((contents(&world, old).await, world.count(&entries).await), (left, i64::from(is_gone)));
    // Wherever it was killed, all of it is somewhere, and the log fits.
    let [file] = files(&world).try_into().unwrap();
    assert!(file.extension().is_some_and(|end| end == "new"), "{}", file.display());
    let (well, said) = audit(&world, &["verify", file.to_str().unwrap()]);
    assert!(well && said.contains(&format!("and {before} contents")), "{said}");
    let (well, said) = audit(&world, &["verify"]);
    assert!(well, "{said}");

    let (well, said) = audit(&world, &["archive"]);
    assert!(well, "{said}");
    let [file] = files(&world).try_into().unwrap();
    assert!(file.extension().is_some_and(|end| end == "bundle"), "{}", file.display());
    assert_eq!((contents(&world, old).await, world.count(&entries).await), (0, 1));
    let (well, said) = audit(&world, &["verify", file.to_str().unwrap()]);
    assert!(well && said.contains(&format!("and {before} contents")), "{said}");
    let name = file.file_name().unwrap().to_str().unwrap();
    let named = format!("{entries} AND body LIKE '%\"file\":\"{name}\"%'");
    assert_eq!(world.count(&named).await, 1, "the log names the file that is there");
    let (well, said) = audit(&world, &["verify"]);
    assert!(well, "{said}");
}

#[tokio::test]
async fn killed_when_the_file_is_written_nothing_is_taken_away_and_the_file_is_written_anew() {
    killed(Point::AfterArchiveWritten, false).await;
}

#[tokio::test]
async fn killed_before_the_commit_nothing_is_taken_away_and_the_file_is_written_anew() {
    killed(Point::BeforeArchiveCommit, false).await;
}

#[tokio::test]
async fn killed_after_the_commit_the_file_gets_its_name_by_the_next_round() {
    killed(Point::AfterArchiveCommit, true).await;
}
