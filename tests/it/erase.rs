//! Erasing: what was typed and printed goes from everywhere that we keep it, under a rule, on the record; and the log verifies.

use quarterdeck::model::fault::Point;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::harness::{OpsFolder, Plan, World};

/// Leads may erase; nobody else is said to.
pub fn leads_erase(ops: &OpsFolder) {
    let rules = ops.read("policies/rules.cedar");
    let rule = r#"@id("erasing") permit (principal in Team::"leads", action == Action::"erase", resource);"#;
    ops.file("policies/rules.cedar", &format!("{rules}\n{rule}\n"));
}

/// The tables in which a word stands, as text or as bytes.
async fn tables_with(world: &World, word: &str) -> Vec<String> {
    let pool = world.sql();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let sql = format!(
            "SELECT count(*) FROM {table} t WHERE t::text LIKE '%{word}%' OR t::text LIKE '%' || encode('{word}', 'hex') || '%'"
        );
        if world.count(&sql).await > 0 {
            found.push(table);
        }
    }
    found
}

fn verify(world: &World) -> (bool, String) {
    let output = world.quarterdeck(&["audit", "verify", "--ops", world.ops.path().to_str().unwrap()]);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn what_is_erased_is_nowhere_any_more_and_the_log_still_verifies() {
    let world = World::changed(leads_erase).await;
    let said = world.alice.say(&world.room, "!count sesame").await;
    let counted = world.alice.outcome(&world.bot(), &said).await.number;
    let story = world.ask(&format!("!audit {counted}")).await;
    assert!(story.body.contains("sesame"), "{}", story.body);
    world.nothing_pending().await;
    let before = tables_with(&world, "sesame").await;
    for table in ["contents", "trail", "requests"] {
        // What is searched is made when somebody searches.
        world.ask("!audit --text sesame --since 1h").await;
        assert!(table == "trail" || before.contains(&table.to_owned()), "{before:?}");
    }
    assert!(tables_with(&world, "sesame").await.contains(&"trail".to_owned()));
    // Those searches hold the word themselves: they are requests of their own.
    let searches: Vec<i64> = sqlx::query_scalar(
        "SELECT DISTINCT request FROM contents WHERE request <> $1 AND encode(bytes, 'escape') LIKE '%sesame%'",
    )
    .bind(counted)
    .fetch_all(&world.sql())
    .await
    .unwrap();

    let answer = world.ask(&format!("!erase {counted} a customer asked for it")).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert!(answer.body.contains("redacted") && answer.body.contains("may keep copies"), "{}", answer.body);
    for number in searches {
        assert_eq!(
            world.ask(&format!("!erase {number} it says what was searched for")).await.state,
            "succeeded"
        );
    }
    world.nothing_pending().await;
    assert_eq!(tables_with(&world, "sesame").await, Vec::<String>::new());

    // It is on record, by whom and for what, and its story still says what happened.
    let story = world.ask(&format!("!audit {counted}")).await;
    for part in [world.alice.id.as_str(), "succeeded", "was permitted", "had its words and output erased"] {
        assert!(story.body.contains(part), "{part} is not in {}", story.body);
    }
    assert!(!story.body.contains("sesame"), "{}", story.body);
    let entries = world.entries(counted).await;
    assert_eq!(entries.last().map(String::as_str), Some("content.erased"), "{entries:?}");
    let again = world.ask(&format!("!again {counted}")).await;
    assert!(again.body.contains("was erased"), "{}", again.body);
    assert_eq!(world.ops.counted("sesame"), 1);

    // What we said of it is taken back in the room.
    let outcome: String = sqlx::query_scalar(
        "SELECT event_id FROM outbox WHERE request = $1 AND kind = 'm.room.message' AND event_id IS NOT NULL LIMIT 1",
    )
    .bind(counted)
    .fetch_one(&world.sql())
    .await
    .unwrap();
    let content = world.event(&world.room, &outcome).await;
    assert!(content["content"].get("body").is_none(), "{content}");

    let (fits, told) = verify(&world);
    assert!(fits, "{told}");
    let twice = world.ask(&format!("!erase {counted} once more")).await;
    assert!(twice.state == "failed" && twice.body.contains("Nothing is left"), "{}", twice.body);
}

#[tokio::test]
async fn nothing_is_erased_without_a_rule_while_it_runs_or_from_another_room() {
    let world = World::prepared(Plan { other_room: true, ..Plan::default() }).await;
    leads_erase(&world.ops);
    let mut world = world;
    world.serve().await;
    world.gather().await;
    let counted = world.ask("!count kept").await.number;
    let contents = format!("SELECT count(*) FROM contents WHERE request = {counted}");
    let before = world.count(&contents).await;
    let refused = world.ask_as(&world.bob, &format!("!erase {counted} please")).await;
    assert_eq!(refused.state, "refused", "{}", refused.body);
    let no_reason = world.ask(&format!("!erase {counted}")).await;
    assert!(no_reason.state == "refused" && no_reason.body.contains("reason"), "{}", no_reason.body);

    let other = world.alice.join(&world.alias("other")).await;
    let there = world.alice.say(&other, &format!("!erase {counted} from elsewhere")).await;
    let there = world.alice.outcome(&world.bot(), &there).await;
    assert!(there.state == "failed" && there.body.contains("no request"), "{}", there.body);

    let running = world.alice.say(&world.room, "!slow 60 running").await;
    world.started("running begins").await;
    let number = world.count("SELECT number FROM requests WHERE state = 'running'").await;
    let answer = world.ask(&format!("!erase {number} too early")).await;
    assert!(answer.state == "failed" && answer.body.contains("not over yet"), "{}", answer.body);
    assert_eq!(world.ask(&format!("!cancel {number}")).await.state, "succeeded");
    world.alice.outcome(&world.bot(), &running).await;
    assert_eq!(world.count(&contents).await, before);
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE kind = 'content.erased'").await, 0);
}

#[tokio::test]
async fn the_hosts_command_erases_by_the_same_rules_and_a_content_that_just_went_is_found() {
    let mut world = World::prepared(Plan::default()).await;
    leads_erase(&world.ops);
    let socket = world.ops.path().parent().unwrap().join("run.sock");
    let settings = world.ops.read("quarterdeck.toml");
    world.ops.file("quarterdeck.toml", &format!("{settings}[local]\nsocket = \"{}\"\n", socket.display()));
    let team = world.ops.read("teams/web.toml");
    let (uid, alice) = (nix::unistd::getuid(), world.alice.id.clone());
    world.ops.file("teams/web.toml", &format!("{team}[[local]]\nuid = {uid}\nuser = \"{alice}\"\n"));
    world.serve().await;
    world.gather().await;
    let erased = world.ask("!count sesame").await.number;
    let gone = world.ask("!count mustard").await.number;
    world.nothing_pending().await;
    let ops = world.ops.path().to_str().unwrap();
    let number = erased.to_string();
    let output = world.quarterdeck(&["audit", "erase", &number, "--reason", "it's private", "--ops", ops]);
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("are erased"), "{told}");
    world.nothing_pending().await;
    let body: String =
        sqlx::query_scalar("SELECT body FROM entries WHERE kind = 'content.erased' AND request = $1")
            .bind(erased)
            .fetch_one(&world.sql())
            .await
            .unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["by"], alice.as_str());
    assert_eq!(world.count(&format!("SELECT count(*) FROM contents WHERE request = {erased}")).await, 0);
    let output = world.quarterdeck(&["audit", "erase", &number, "--reason", "twice", "--ops", ops]);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let (fits, told) = verify(&world);
    assert!(fits, "{told}");

    // Without an entry that says so not even a superuser removes one; one who switches the triggers off does.
    let silent = format!("DELETE FROM contents WHERE request = {gone} AND kind = 'text'");
    let refused = world.sql().execute(AssertSqlSafe(silent)).await.unwrap_err();
    assert!(refused.to_string().contains("no entry says"), "{refused}");
    let mut tampering = world.sql().acquire().await.unwrap();
    for sql in [
        "ALTER TABLE contents DISABLE TRIGGER ALL".to_owned(),
        format!("DELETE FROM contents WHERE request = {gone} AND kind = 'text'"),
        "ALTER TABLE contents ENABLE TRIGGER ALL".to_owned(),
    ] {
        tampering.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    drop(tampering);
    let (fits, told) = verify(&world);
    assert!(!fits && told.contains(&format!("a content of request {gone} is gone")), "{told}");
}

/// What was said of a request, in its room and in others, is redacted: how many messages that are.
async fn redacted(world: &World, number: i64) -> usize {
    let said: Vec<(String, String)> = sqlx::query_as(
        "SELECT coalesce(d.room_id, o.room_id), o.event_id FROM outbox o LEFT JOIN direct_rooms d ON d.user_id = o.room_id
         WHERE o.request = $1 AND o.kind = 'm.room.message' AND o.event_id IS NOT NULL",
    )
    .bind(number)
    .fetch_all(&world.sql())
    .await
    .unwrap();
    for (room, event) in &said {
        let event = world.as_bot().must("GET", &["rooms", room, "event", event], &Value::Null).await;
        assert_eq!(event["content"].as_object().map(serde_json::Map::len), Some(0), "{event}");
    }
    said.len()
}

#[tokio::test]
async fn what_went_to_who_asked_alone_what_a_file_held_and_what_was_shown_meanwhile_is_taken_back_as_well() {
    let world = World::changed(|ops| {
        leads_erase(ops);
        let echo = ops.read("commands/echo.toml").replace("effect =", "answer = \"private\"\neffect =");
        ops.file("commands/echo.toml", &echo);
        ops.command("fail", "read", "", "for i in 1 2 3 4 5 6; do echo sesame $i; sleep 1; done");
    })
    .await;
    let bot = world.bot();
    let alone = world.ask("!echo sesame").await.number;
    let long = world.ask("!lines 20000").await.number;
    let talking = world.alice.say(&world.room, "!fail").await;
    let message = world
        .alice
        .answer_that(&bot, &talking, |event| crate::approvals::body(event).contains(" runs · "))
        .await;
    let message = message["event_id"].as_str().unwrap().to_owned();
    world.alice.answer_that(&bot, &message, |edit| crate::approvals::body(edit).contains("sesame")).await;
    let shown = world.alice.outcome(&bot, &talking).await.number;
    world.settled().await;
    let edits = world.alice.answers(&bot, &message);
    assert!(edits.len() > 1, "{edits:?}");

    for number in [alone, long, shown] {
        let answer = world.ask(&format!("!erase {number} private")).await;
        assert_eq!(answer.state, "succeeded", "{}", answer.body);
    }
    world.nothing_pending().await;
    // The note in the room and the answer to her; the answer and the file; the live message and the answer, at least.
    for number in [alone, long, shown] {
        assert!(redacted(&world, number).await >= 2, "{number}");
    }
    for edit in edits {
        let edit = world.event(&world.room, edit["event_id"].as_str().unwrap()).await;
        assert!(
            edit["content"].get("body").is_none() && edit["content"].get("m.new_content").is_none(),
            "{edit}"
        );
    }
    let (fits, told) = verify(&world);
    assert!(fits, "{told}");
}

#[tokio::test]
async fn what_other_answers_told_of_it_what_repeats_it_and_an_erasure_itself_are_not_forgotten() {
    let world = World::changed(leads_erase).await;
    let running = world.alice.say(&world.room, "!slow 60 sesame").await;
    world.started("sesame begins").await;
    let running_number = world.count("SELECT number FROM requests WHERE state = 'running'").await;
    let listed = world.ask("!ps").await;
    assert!(listed.body.contains("sesame"), "{}", listed.body);
    assert_eq!(world.ask(&format!("!cancel {running_number}")).await.state, "succeeded");
    world.alice.outcome(&world.bot(), &running).await;
    world.nothing_pending().await;
    let erased = world.ask(&format!("!erase {running_number} private")).await;
    assert_eq!(erased.state, "succeeded", "{}", erased.body);
    world.nothing_pending().await;
    assert_eq!(redacted(&world, listed.number).await, 1);

    // What is still to be done again holds the words, and is ended first; what did it again is named.
    let scheduled = world.ask("!every weekday 09:00 count sesame").await;
    assert_eq!(scheduled.state, "succeeded", "{}", scheduled.body);
    let lives = world.ask(&format!("!erase {} private", scheduled.number)).await;
    assert!(lives.state == "failed" && lives.body.contains("!unschedule"), "{}", lives.body);
    assert!(world.ask("!schedules").await.body.contains("sesame"));
    assert_eq!(world.ask(&format!("!unschedule {}", scheduled.number)).await.state, "succeeded");
    let counted = world.ask("!count sesame").await.number;
    let again = world.ask(&format!("!again {counted}")).await.number;
    world.nothing_pending().await;
    for number in [scheduled.number, counted, again] {
        let answer = world.ask(&format!("!erase {number} private")).await;
        assert_eq!(answer.state, "succeeded", "{}", answer.body);
        if number == counted {
            assert!(answer.body.contains(&format!("stands there still: {again}.")), "{}", answer.body);
        }
    }
    world.nothing_pending().await;
    assert_eq!(tables_with(&world, "sesame").await, Vec::<String>::new());

    // For what it was erased may have to go as well; and that it was erased stays.
    let words = world.ask(&format!("!erase {} mustard", erased.number)).await;
    assert_eq!(words.state, "succeeded", "{}", words.body);
    assert_eq!(world.ask(&format!("!erase {} it said too much", words.number)).await.state, "succeeded");
    world.nothing_pending().await;
    assert_eq!(tables_with(&world, "mustard").await, Vec::<String>::new());
    assert_eq!(world.entries(erased.number).await.iter().filter(|kind| *kind == "content.erased").count(), 1);
    let (fits, told) = verify(&world);
    assert!(fits, "{told}");
}

/// Kills `serve` at `point` while it erases; `is_gone` tells whether the contents are gone by then.
async fn killed(point: Point, is_gone: bool) {
    let mut world = World::changed(leads_erase).await;
    let counted = world.ask("!count sesame").await.number;
    world.ask("!audit --since 1h").await;
    world.settled().await;
    world.stop().await;
    let contents = format!("SELECT count(*) FROM contents WHERE request = {counted}");
    let records = "SELECT count(*) FROM entries WHERE kind = 'content.erased'";
    world.serve_until(point).await;
    let command = world.alice.say(&world.room, &format!("!erase {counted} private")).await;
    world.died().await;
    assert_eq!(
        (world.count(&contents).await == 0, world.count(records).await),
        (is_gone, i64::from(is_gone))
    );

    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    world.restart().await;
    world.settled().await;
    assert_eq!(world.alice.outcomes(&world.bot(), &command).len(), 1);
    assert_eq!((world.count(&contents).await, world.count(records).await), (0, 1));
    assert_eq!(tables_with(&world, "sesame").await, Vec::<String>::new());
    assert!(redacted(&world, counted).await > 0);
    let (fits, told) = verify(&world);
    assert!(fits, "{told}");
}

#[tokio::test]
async fn killed_before_the_commit_of_an_erasure_nothing_is_gone_and_it_is_done_after_the_restart() {
    killed(Point::BeforeErasureCommit, false).await;
}

#[tokio::test]
async fn killed_after_the_commit_of_an_erasure_it_is_done_and_said_after_the_restart() {
    killed(Point::BeforeAnswer, true).await;
}

#[tokio::test]
async fn whoever_makes_what_is_searched_at_that_moment_does_not_put_the_words_back() {
    let world = World::changed(leads_erase).await;
    let counted = world.ask("!count sesame").await.number;
    world.nothing_pending().await;
    // A search that has read the contents, and has not written yet what it found them by.
    let mut search = world.sql().begin().await.unwrap();
    search.execute("SELECT FROM trail_head FOR UPDATE").await.unwrap();
    let command = world.alice.say(&world.room, &format!("!erase {counted} private")).await;
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%erase_contents%'";
    let begun = std::time::Instant::now();
    while world.count(waits).await == 0 {
        assert!(begun.elapsed().as_secs() < 20, "it does not wait");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let trail = format!("SELECT trail_of_requests(ARRAY[{counted}]::bigint[])");
    search.execute(AssertSqlSafe(trail)).await.unwrap();
    search.commit().await.unwrap();
    assert_eq!(world.alice.outcome(&world.bot(), &command).await.state, "succeeded");
    world.nothing_pending().await;
    assert_eq!(tables_with(&world, "sesame").await, Vec::<String>::new());
}
