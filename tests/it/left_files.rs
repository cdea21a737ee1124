//! Files that a run leaves in its out folder come back after its answer, once, to those who may read what it printed.

use std::fs;

use quarterdeck::model::fault::Point;
use serde_json::Value;

use crate::{
    harness::{OpsFolder, Plan, World},
    pages::{Browser, entries, with_pages},
    seeing::{direct, read_there},
};

const REPORT: &str = "cd \"$QUARTERDECK_OUT\" || exit 9\nprintf 'app,version\\nweb,v2\\n' > report.csv\nseq 1 300000 > numbers\n\
                      ln -s /etc/passwd link\necho \"report\" >> \"$TRACE\"\necho done";

fn commands(ops: &OpsFolder) {
    ops.command("report", "read", "", REPORT);
    ops.command("mine", "read", "", REPORT);
    let private = ops.read("commands/mine.toml").replace("effect =", "answer = \"private\"\neffect =");
    ops.file("commands/mine.toml", &private);
    for name in ["report", "mine"] {
        let path = format!("commands/{name}.toml");
        let command = ops.read(&path).replace("sandbox = \"none\"\n", "sandbox = \"none\"\nout = true\n");
        ops.file(&path, &command);
    }
    let room = ops.read("rooms/deploy.toml");
    ops.file("rooms/deploy.toml", &room.replace("commands = [", "commands = [\"report\", \"mine\", "));
    let rules = ops.read("policies/rules.cedar");
    let rule = r#"@id("erasing") permit (principal in Team::"leads", action == Action::"erase", resource);"#;
    ops.file("policies/rules.cedar", &format!("{rules}\n{rule}\n"));
}

fn numbers() -> String {
    let mut text = (1..=300_000).map(|line: u32| line.to_string()).collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}

/// The file of this name among the answers to a command.
async fn file(world: &World, event: &str, name: &str) -> Value {
    world.alice.answer_that(&world.bot(), event, |answer| answer["content"]["body"] == name).await
}

async fn bytes_of(world: &World, message: &Value) -> String {
    assert_eq!(message["content"]["msgtype"], "m.file");
    let address = message["content"]["url"].as_str().unwrap().strip_prefix("mxc://").unwrap();
    world.alice.download(address).await
}

fn audit(world: &World, what: &[&str]) -> std::process::Output {
    let ops = world.ops.path().to_str().unwrap();
    world.quarterdeck(&[&["audit"], what, &["--ops", ops]].concat())
}

fn verified(world: &World) {
    let verified = audit(world, &["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

async fn parts(world: &World, number: i64) -> i64 {
    world
        .count(&format!(
            "SELECT count(*) FROM contents WHERE kind IN ('part', 'whole') AND request = {number}"
        ))
        .await
}

#[tokio::test]
async fn what_a_run_left_comes_after_its_answer_is_on_the_record_and_can_be_erased() {
    let mut world = World::prepared(Plan::default()).await;
    with_pages(&world.ops);
    commands(&world.ops);
    world.serve().await;
    world.gather().await;
    let event = world.alice.say(&world.room, "!report").await;
    let answer = world.alice.outcome(&world.bot(), &event).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    for told in ["numbers", "report.csv", "(19 bytes)", "link: it is a link"] {
        assert!(answer.body.contains(told), "{told}: {}", answer.body);
    }
    let report = file(&world, &event, "report.csv").await;
    assert_eq!(bytes_of(&world, &report).await, "app,version\nweb,v2\n");
    assert_eq!(report["content"]["info"]["mimetype"], "text/plain");
    let long = file(&world, &event, "numbers").await;
    assert!(bytes_of(&world, &long).await == numbers());
    let place = |wanted: &str| {
        let answers = world.alice.answers(&world.bot(), &event);
        answers.iter().position(|it| it["content"]["body"].as_str().is_some_and(|body| body.contains(wanted)))
    };
    assert!(place("Files: ") < place("report.csv") || place("Files: ") == Some(0), "the answer comes first");
    world.nothing_pending().await;

    // On the record, for whoever may read what it printed.
    let finished = entries(&world, "run.finished").await.pop().unwrap();
    assert_eq!(finished["files"].as_array().unwrap().len(), 2);
    let story = world.ask(&format!("!audit {}", answer.number)).await.body;
    assert!(story.contains("report.csv"), "{story}");
    let number = answer.number.to_string();
    for wanted in ["2", "report.csv"] {
        let given = audit(&world, &["output", &number, "--file", wanted]);
        assert_eq!(given.stdout, b"app,version\nweb,v2\n", "{}", String::from_utf8_lossy(&given.stderr));
    }
    let none = audit(&world, &["output", &number, "--file", "other"]);
    assert!(
        !none.status.success()
            && String::from_utf8_lossy(&none.stderr).contains("1 (numbers), 2 (report.csv)")
    );
    let mut browser = Browser::of(&world, &world.alice).await;
    let page = browser.get(&format!("/requests/{number}")).await.text;
    assert!(
        page.contains(&format!("href=\"/requests/{number}/files/2\">report.csv</a> (19 bytes)")),
        "{page}"
    );
    let given = browser.get(&format!("/requests/{number}/files/2")).await;
    assert_eq!(given.text, "app,version\nweb,v2\n");
    assert_eq!(given.headers["content-type"], "application/octet-stream");
    assert!(browser.get(&format!("/requests/{number}/files/1")).await.text == numbers());
    for nothing in ["0", "3", "x", "-1"] {
        let there = browser.get(&format!("/requests/{number}/files/{nothing}")).await;
        assert_eq!(there.status, reqwest::StatusCode::NOT_FOUND, "{nothing}");
    }
    verified(&world);
    // A file that somebody takes away, or a part of one, is missed.
    let erased = world.ask(&format!("!erase {number} a test")).await;
    assert_eq!(erased.state, "succeeded", "{}", erased.body);
    assert_eq!(parts(&world, answer.number).await, 0);
    assert!(
        String::from_utf8_lossy(&audit(&world, &["output", &number, "--file", "1"]).stderr)
            .contains("erased")
    );
    assert_eq!(
        browser.get(&format!("/requests/{number}/files/2")).await.status,
        reqwest::StatusCode::NOT_FOUND
    );
    world.settled().await;
    assert!(world.event(&world.room, report["event_id"].as_str().unwrap()).await["content"]["url"].is_null());
    verified(&world);
}

#[tokio::test]
async fn a_part_of_a_file_that_is_taken_away_is_missed() {
    let world = World::changed(commands).await;
    let answer = world.ask("!report").await;
    world.nothing_pending().await;
    verified(&world);
    let owner = world.sql();
    for statement in [
        "ALTER TABLE contents DISABLE TRIGGER ALL",
        "DELETE FROM contents WHERE commitment = (SELECT commitment FROM contents WHERE kind = 'part' LIMIT 1)",
    ] {
        sqlx::query(statement).execute(&owner).await.unwrap();
    }
    assert!(parts(&world, answer.number).await > 0);
    assert!(!audit(&world, &["verify"]).status.success());
}

#[tokio::test]
async fn with_a_private_answer_its_files_go_to_who_asked_alone() {
    let world = World::changed(commands).await;
    let event = world.alice.say(&world.room, "!mine").await;
    let answer = world.alice.outcome(&world.bot(), &event).await;
    assert!(!answer.body.contains("report.csv") && !answer.body.contains("link"), "{}", answer.body);
    let room = direct(&world, &world.alice).await;
    let said = read_there(&world.alice, &room, "Files: ").await;
    assert!(said["content"]["body"].as_str().unwrap().contains("report.csv"), "{said}");
    let report = read_there(&world.alice, &room, "report.csv").await;
    let newest = if report["content"]["msgtype"] == "m.file" {
        report
    } else {
        read_there(&world.alice, &room, "numbers").await
    };
    assert_eq!(newest["content"]["msgtype"], "m.file", "{newest}");
    world.settled().await;
    world.alice.sync(std::time::Duration::ZERO).await;
    let in_room = world.alice.seen();
    let told = in_room.iter().filter(|it| it["room_id"] == *world.room);
    assert!(told.filter(|it| it["content"].to_string().contains("report.csv")).count() == 0);
}

/// Kills `serve` at this point of a run that leaves files; gives the command and what became of it.
async fn killed(point: Point) -> (World, String, crate::harness::Answer) {
    let mut world = World::changed(commands).await;
    world.settled().await;
    world.stop().await;
    world.serve_until(point).await;
    let event = world.alice.say(&world.room, "!report").await;
    world.died().await;
    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &event).await;
    world.restart().await;
    world.settled().await;
    assert_eq!(world.ops.counted("report"), 1);
    assert_eq!(world.alice.outcomes(&world.bot(), &event).len(), 1, "answered once");
    verified(&world);
    (world, event, answer)
}

/// How often a file was sent.
async fn sent(world: &World, event: &str) -> usize {
    world.alice.sync(std::time::Duration::ZERO).await;
    let answers = world.alice.answers(&world.bot(), event);
    answers.iter().filter(|it| it["content"]["msgtype"] == "m.file").count()
}

#[tokio::test]
async fn killed_after_the_outcomes_commit_each_file_is_sent_once() {
    let (world, event, answer) = killed(Point::AfterOutcomeCommit).await;
    assert_eq!(answer.state, "succeeded");
    file(&world, &event, "report.csv").await;
    file(&world, &event, "numbers").await;
    assert_eq!(sent(&world, &event).await, 2);
}

#[tokio::test]
async fn killed_after_a_message_was_sent_each_file_is_sent_once() {
    let (world, event, answer) = killed(Point::AfterAnswer).await;
    assert_eq!(answer.state, "succeeded");
    file(&world, &event, "report.csv").await;
    file(&world, &event, "numbers").await;
    assert_eq!(sent(&world, &event).await, 2);
}

#[tokio::test]
async fn killed_before_the_outcome_no_file_is_sent_that_is_said_and_nothing_of_it_stays() {
    for point in [Point::AfterProcessEnd, Point::AfterPartsKept, Point::BeforeOutcomeCommit] {
        let (world, event, answer) = killed(point).await;
        assert_eq!(answer.state, "interrupted");
        assert!(answer.body.contains("What it left in its out folder is not kept"), "{}", answer.body);
        assert_eq!(sent(&world, &event).await, 0);
        assert_eq!(parts(&world, answer.number).await, 0, "what nothing names goes");
        let spool = world.ops.path().parent().unwrap().join("state").join("spool").join("main");
        assert_eq!(fs::read_dir(spool).map_or(0, Iterator::count), 0);
    }
}
