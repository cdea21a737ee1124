//! What a run prints is kept whole, however much it is: in parts that the log names, as a file where the homeserver takes
//! one, and never whole in memory.

use std::fs;

use quarterdeck::model::{Digest, fault::Point};

use crate::harness::{OpsFolder, World};

/// How much memory `serve` may ever have had, in KiB.
const MEMORY: u64 = 100_000;

fn commands(ops: &OpsFolder) {
    ops.command("seq", "read", "", "seq 1 1000000");
    ops.command("much", "read", "", "yes 0123456789abcde | head -c 104857600");
    ops.command("binary", "read", "", "printf '\\377\\376'; head -c 3000000 /dev/zero; printf '\\303end'");
    ops.command("two", "read", "", "head -c 2500000 /dev/zero | tr '\\0' y; echo two >> \"$TRACE\"");
    ops.command(
        "stuck",
        "read",
        "",
        "head -c 2500000 /dev/zero | tr '\\0' y; echo stuck >> \"$TRACE\"; sleep 100",
    );
    let room = ops.read("rooms/deploy.toml");
    let named = "\"count\", \"seq\", \"much\", \"binary\", \"two\", \"stuck\"";
    ops.file("rooms/deploy.toml", &room.replace("\"count\"", named));
    let rules = ops.read("policies/rules.cedar");
    let rule = r#"@id("erasing") permit (principal in Team::"leads", action == Action::"erase", resource);"#;
    ops.file("policies/rules.cedar", &format!("{rules}\n{rule}\n"));
}

/// The most memory that `serve` ever had, in KiB, without the pages of its own program: a build for tests has many.
fn peak(world: &World) -> u64 {
    let id = world.server.as_ref().unwrap().id();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let of = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    of("VmHWM:") - of("RssFile:")
}

fn audit(world: &World, what: &[&str]) -> std::process::Output {
    let ops = world.ops.path().to_str().unwrap();
    world.quarterdeck(&[&["audit"], what, &["--ops", ops]].concat())
}

/// All that `quarterdeck audit output` gives.
fn output(world: &World, number: i64) -> Vec<u8> {
    let given = audit(world, &["output", &number.to_string()]);
    assert!(given.status.success(), "{}", String::from_utf8_lossy(&given.stderr));
    given.stdout
}

fn verified(world: &World) {
    let verified = audit(world, &["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

async fn parts(world: &World, number: i64) -> i64 {
    world.count(&format!("SELECT count(*) FROM contents WHERE kind = 'part' AND request = {number}")).await
}

/// What stands in the thread of a command, beside its outcome, once `find` is among it.
async fn in_thread(
    world: &World,
    event: &str,
    find: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    world.alice.answer_that(&world.bot(), event, |answer| find(&answer["content"])).await
}

#[tokio::test]
async fn a_million_lines_are_one_file_in_the_room_and_memory_stays_small() {
    let world = World::changed(commands).await;
    let event = world.alice.say(&world.room, "!seq").await;
    let answer = world.alice.outcome(&world.bot(), &event).await;
    assert_eq!(answer.state, "succeeded");
    assert!(answer.body.contains("1000000") && answer.body.contains("left out"), "{}", answer.body);
    let file = in_thread(&world, &event, |content| content["msgtype"] == "m.file").await;
    let mut whole = (1..=1_000_000).map(|line: u32| line.to_string()).collect::<Vec<_>>().join("\n");
    whole.push('\n');
    assert_eq!(file["content"]["info"]["size"], whole.len());
    let address = file["content"]["url"].as_str().unwrap().strip_prefix("mxc://").unwrap();
    assert_eq!(Digest::of(world.alice.download(address).await.as_bytes()), Digest::of(whole.as_bytes()));
    assert!(
        file["content"]
            .as_object()
            .unwrap()
            .keys()
            .all(|key| !key.contains("kept_as") && !key.contains("too_large"))
    );
    assert_eq!(output(&world, answer.number), whole.as_bytes());
    assert!(peak(&world) < MEMORY, "{} KiB", peak(&world));
    // The outcome and the file; what showed it as it ran, where it took that long.
    assert!(world.alice.answers(&world.bot(), &event).len() <= 4);
    verified(&world);

    // Erased, it is gone with all its parts, and the log says so and verifies.
    world.nothing_pending().await;
    assert_eq!(parts(&world, answer.number).await, 7);
    let erased = world.ask(&format!("!erase {} a test", answer.number)).await;
    assert_eq!(erased.state, "succeeded", "{}", erased.body);
    assert_eq!(parts(&world, answer.number).await, 0);
    let gone = audit(&world, &["output", &answer.number.to_string()]);
    assert!(!gone.status.success() && String::from_utf8_lossy(&gone.stderr).contains("erased"));
    verified(&world);
}

#[tokio::test]
async fn of_a_hundred_megabytes_the_room_says_where_they_are_and_memory_stays_small() {
    let world = World::changed(commands).await;
    let event = world.alice.say(&world.room, "!much").await;
    let answer = world.alice.outcome(&world.bot(), &event).await;
    assert_eq!(answer.state, "succeeded");
    // The homeserver takes 50 MiB.
    let command = format!("quarterdeck audit output {}", answer.number);
    let said = in_thread(&world, &event, |content| {
        content["body"].as_str().is_some_and(|body| body.contains("100 MiB") && body.contains(&command))
    })
    .await;
    assert_eq!(said["content"]["msgtype"], "m.notice");
    let whole = output(&world, answer.number);
    assert_eq!(whole.len(), 100 << 20);
    assert!(whole.chunks(16).all(|line| line == b"0123456789abcde\n"));
    assert!(peak(&world) < MEMORY, "{} KiB", peak(&world));
    // No more than that, its outcome, and the one that showed it while it ran.
    assert!(world.alice.answers(&world.bot(), &event).len() <= 3);
    verified(&world);
    // A part that somebody changes or takes away is found.
    let owner = world.sql();
    for statement in [
        "ALTER TABLE contents DISABLE TRIGGER ALL",
        "DELETE FROM contents WHERE commitment = (SELECT commitment FROM contents WHERE kind = 'part' LIMIT 1)",
    ] {
        sqlx::query(statement).execute(&owner).await.unwrap();
    }
    assert!(!audit(&world, &["verify"]).status.success());
    assert!(!audit(&world, &["output", &answer.number.to_string()]).status.success());
}

#[tokio::test]
async fn what_is_no_text_is_kept_byte_for_byte() {
    let world = World::changed(commands).await;
    let answer = world.ask("!binary").await;
    assert_eq!(answer.state, "succeeded");
    let whole = output(&world, answer.number);
    assert_eq!(whole.len(), 2 + 3_000_000 + 4);
    assert!(whole.starts_with(b"\xff\xfe\0\0") && whole.ends_with(b"\0\xc3end"));
    // It is found by what comes before; nothing chokes on it.
    assert_eq!(world.ask("!audit --command binary").await.state, "succeeded");
    verified(&world);
}

#[tokio::test]
async fn killed_in_the_middle_of_an_output_what_was_spooled_is_kept_whole() {
    let mut world = World::changed(commands).await;
    let event = world.alice.say(&world.room, "!stuck").await;
    world.started("stuck").await;
    world.kill();
    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &event).await;
    assert_eq!(answer.state, "interrupted");
    let whole = output(&world, answer.number);
    assert!(whole.len() > 2_000_000 && whole.iter().all(|&byte| byte == b'y'), "{}", whole.len());
    verified(&world);
}

#[tokio::test]
async fn killed_when_all_parts_are_kept_it_is_interrupted_and_no_part_is_kept_twice() {
    let mut world = World::changed(commands).await;
    world.settled().await;
    world.stop().await;
    world.serve_until(Point::AfterPartsKept).await;
    let event = world.alice.say(&world.room, "!two").await;
    world.died().await;
    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &event).await;
    assert_eq!(answer.state, "interrupted");
    assert_eq!(world.ops.counted("two"), 1);
    assert_eq!(parts(&world, answer.number).await, 3);
    assert_eq!(output(&world, answer.number).len(), 2_500_000);
    verified(&world);
    // Nothing is left in the spool that no attempt owns.
    let spool = world.ops.path().parent().unwrap().join("state").join("spool").join("main");
    assert_eq!(fs::read_dir(spool).map_or(0, Iterator::count), 0);
}
