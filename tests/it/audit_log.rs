//! The audit log: what was asked and what came of it, who may read it, and that nobody can change it.

use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::harness::{Plan, World};

/// What a command that ran has in the log, whoever ran it.
const RAN: [&str; 4] = ["command.received", "command.permitted", "run.started", "run.finished"];

#[tokio::test]
async fn every_command_and_every_result_is_on_the_record_and_its_words_only_beside_it() {
    let world = World::start().await;
    let (alice, bob) = (&world.alice, &world.bob);
    let refused = ["command.received", "command.refused"];
    let cases = [
        (alice, "!count sesame", "succeeded", &RAN[..]),
        (alice, "!fail", "failed", &RAN),
        (alice, "!ping", "succeeded", &RAN),
        (alice, "!frobnicate sesame", "refused", &refused),
        (alice, "!count", "refused", &refused),
        (alice, "!count one\nsesame", "refused", &refused),
        (alice, "!deploy web \"sesame", "refused", &refused),
        (bob, "!deploy web production", "refused", &refused),
    ];
    for (person, line, state, entries) in &cases {
        let answer = world.ask_as(person, line).await;
        assert_eq!(answer.state, *state, "{line}: {}", answer.body);
        assert_eq!(world.entries(answer.number).await, *entries, "{line}");
    }
    assert_eq!(world.count("SELECT count(*) FROM requests").await, i64::try_from(cases.len()).unwrap());

    // Every end that a request shows is also in the log, as its last entry.
    let told =
        "SELECT count(*) FROM requests r WHERE EXISTS (SELECT FROM entries e WHERE e.request = r.number
                AND e.kind = CASE r.state WHEN 'refused' THEN 'command.refused' ELSE 'run.finished' END)";
    assert_eq!(world.count(told).await, i64::try_from(cases.len()).unwrap());

    // What was typed can be erased one day: it stands in the contents, and an entry only names it.
    let anywhere = |table: &str, column: &str| {
        format!("SELECT count(*) FROM {table} WHERE position('sesame' IN {column}) > 0")
    };
    assert_eq!(
        world.count(&anywhere("entries", "convert_from(convert_to(body::text, 'UTF8'), 'UTF8')")).await,
        0
    );
    assert!(world.count(&anywhere("contents", "encode(bytes, 'escape')")).await >= 4);
}

#[tokio::test]
async fn a_room_is_shown_what_happened_there_and_nothing_of_another() {
    let world = World::with(Plan { other_room: true, ..Plan::default() }).await;
    let bot = world.bot();
    let other = world.alice.join(&world.alias("other")).await;
    let there = world.alice.say(&other, "!count there").await;
    let there = world.alice.outcome(&bot, &there).await.number;
    let here = world.ask("!count here").await.number;
    let failed = world.ask("!fail").await.number;
    let mistyped = world.ask("!cuont here").await.number;
    let refused = world.ask_as(&world.bob, "!deploy web production").await.number;

    // A line for each: the number that can be typed, the whole MXID, what was asked, what became of it.
    let list = world.ask("!audit").await;
    let line = |number: i64| {
        let found = list.body.lines().find(|line| line.contains(&format!("`{number}`")));
        found.unwrap_or_else(|| panic!("no {number} in {}", list.body)).to_owned()
    };
    let (alice, bob) = (&world.alice.id, &world.bob.id);
    for (number, who, what) in [
        (here, alice, "`count` · succeeded after "),
        (failed, alice, "`fail` · failed after "),
        (failed, alice, ": exit status 3"),
        (mistyped, alice, "not run: it could not be understood"),
        (refused, bob, "`deploy web@production` · not run: the rules say no (rule production-is-for-leads)"),
    ] {
        assert!(
            line(number).contains(who.as_str()) && line(number).contains(what),
            "{what}: {}",
            line(number)
        );
    }
    assert!(!list.body.contains(&format!("`{there}`")), "{}", list.body);
    assert!(list.body.contains("`!audit "), "how to read on: {}", list.body);

    // The whole story of one.
    let story = world.ask(&format!("!audit {here}")).await;
    for part in [alice.as_str(), "!count here", "succeeded", "was permitted (rule reading)", "counted here"] {
        assert!(story.body.contains(part), "{part} is not in {}", story.body);
    }
    let story_of_no = world.ask(&format!("!audit {refused}")).await;
    for part in [bob.as_str(), "!deploy web production", "Changes in production are for leads."] {
        assert!(story_of_no.body.contains(part), "{part} is not in {}", story_of_no.body);
    }

    // A number of another room is answered as one that nobody has.
    let theirs = world.ask(&format!("!audit {there}")).await;
    let nobodys = world.ask("!audit 999999").await;
    assert_eq!(
        theirs.body.replace(&there.to_string(), "N"),
        nobodys.body.replace("999999", "N"),
        "it gives away that there is one"
    );

    // Each reading is on the record, with its reader and what was read.
    for (answer, query) in [(&list, "the last of deploy"), (&story, &*format!("request {here}"))] {
        let body: String =
            sqlx::query_scalar("SELECT body FROM entries WHERE request = $1 AND kind = 'audit.read'")
                .bind(answer.number)
                .fetch_one(&world.sql())
                .await
                .unwrap();
        let entry: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((entry["by"].as_str(), entry["query"].as_str()), (Some(alice.as_str()), Some(query)));
    }
}

#[tokio::test]
async fn what_a_command_printed_is_told_only_to_whom_the_rules_let_read_it() {
    let world = World::changed(|ops| {
        let rules = ops.read("policies/rules.cedar");
        let mine = r#"@id("own-output") permit (principal, action == Action::"read_output", resource)
            when { context.requester == principal };"#;
        let log = rules.find(r#"@id("log")"#).unwrap();
        let end = log + rules[log..].find(';').unwrap() + 1;
        ops.file("policies/rules.cedar", &format!("{}{mine}{}", &rules[..log], &rules[end..]));
    })
    .await;
    let failed = world.ask("!fail").await.number;
    // bob is there as well, so the room is told where it went.
    let hers = world.ask(&format!("!audit {failed}")).await;
    assert!(!hers.body.contains("it went wrong"), "{}", hers.body);
    assert!(hers.body.contains("went to you alone"), "{}", hers.body);
    let his = world.ask_as(&world.bob, &format!("!audit {failed}")).await;
    assert_eq!(his.state, "succeeded");
    assert!(his.body.contains("exit status 3") && !his.body.contains("it went wrong"), "{}", his.body);
    assert!(his.body.contains("The rules do not let you read here what it printed."), "{}", his.body);
}

#[tokio::test]
async fn the_log_is_read_on_the_command_line_while_nothing_else_runs() {
    let mut world = World::start().await;
    let counted = world.ask("!count line").await.number;
    let refused = world.ask("!frobnicate").await.number;
    world.nothing_pending().await;
    world.stop().await;
    let ops = world.ops.path().to_str().unwrap().to_owned();
    let audit = |arguments: &[&str]| {
        let output = world.quarterdeck(&[&["audit"], arguments, &["--ops", &ops]].concat());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };

    // Each line is an entry as it was written: of the newest request first, and of each the newest first.
    let written: Vec<String> = sqlx::query_scalar(
        "SELECT body FROM entries WHERE request IS NOT NULL ORDER BY request DESC, place DESC",
    )
    .fetch_all(&world.sql())
    .await
    .unwrap();
    let (status, printed, errors) = audit(&["list", "--json", "--limit", "1000"]);
    assert_eq!(status, 0, "{errors}");
    let printed: Vec<_> = printed.lines().filter(|line| line.contains("\"request\":")).collect();
    assert_eq!(printed, written);
    assert!(printed.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));

    let (_, printed, _) = audit(&["list", "--json", "--kind", "command.refused"]);
    let entries: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["request"], refused);

    let (status, story, errors) = audit(&["show", &counted.to_string()]);
    assert_eq!(status, 0, "{errors}");
    for part in [world.alice.id.as_str(), "!count line", "succeeded", "counted line"] {
        assert!(story.contains(part), "{part} is not in {story}");
    }
    let (status, _, errors) = audit(&["show", "999999"]);
    assert_ne!(status, 0);
    assert!(errors.contains("there is no request 999999"), "{errors}");

    // Who read it on the command line is on the record as well, before anything was shown.
    let reads: Vec<String> =
        sqlx::query_scalar("SELECT body FROM entries WHERE kind = 'audit.read' ORDER BY place")
            .fetch_all(&world.sql())
            .await
            .unwrap();
    assert_eq!(reads.len(), 3, "{reads:?}");
    assert!(reads[2].contains(&format!("request {counted}")), "{reads:?}");
    world.serve().await;
}

#[tokio::test]
async fn the_role_that_serves_cannot_rewrite_what_it_wrote() {
    let world = World::start().await;
    world.ask("!count fixed").await;
    world.nothing_pending().await;
    let before = world.count("SELECT count(*) FROM entries").await;
    // The very role that the running server is connected as.
    let roles: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT usename::text FROM pg_stat_activity
         WHERE datname = current_database() AND usename <> current_user",
    )
    .fetch_all(&world.sql())
    .await
    .unwrap();
    assert_eq!(roles.len(), 1, "{roles:?}");
    let mut connection = world.sql().acquire().await.unwrap();
    let mut run =
        async |sql: &str| sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut *connection).await;
    run(&format!("SET ROLE \"{}\"", roles[0])).await.unwrap();
    for sql in [
        "UPDATE entries SET body = '{}'",
        "UPDATE entries SET kind = 'command.permitted' WHERE kind = 'command.refused'",
        "DELETE FROM entries",
        "TRUNCATE entries CASCADE",
        "DELETE FROM contents",
        "UPDATE contents SET bytes = ''",
        "ALTER TABLE entries DISABLE TRIGGER ALL",
        "DROP TABLE entries CASCADE",
        "SET session_replication_role = 'replica'",
        "CREATE TABLE entries2 AS TABLE entries",
    ] {
        let error = run(sql).await.expect_err(sql);
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "42501", "{sql}: {error}");
    }
    run("RESET ROLE").await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM entries").await, before);
}

#[tokio::test]
async fn help_marks_what_its_reader_may_not_run_and_a_status_is_bound_by_the_same_rules() {
    let world = World::changed(|ops| {
        let rules = ops.read("policies/rules.cedar");
        let further = r#"@id("counting") @says("Leads count.")
            forbid (principal, action == Action::"count", resource) unless { principal in Team::"leads" };"#;
        ops.file("policies/rules.cedar", &format!("{rules}\n{further}"));
    })
    .await;
    let marked = |body: &str, command: &str| {
        let line = body.lines().find(|line| line.contains(&format!("!{command}")));
        line.unwrap_or_else(|| panic!("no {command} in {body}")).contains("not for you")
    };
    for line in ["!help", "!commands"] {
        let hers = world.ask(line).await.body;
        let his = world.ask_as(&world.bob, line).await.body;
        assert!(marked(&his, "count") && !marked(&his, "deploy") && !marked(&his, "fail"), "{his}");
        assert!(!marked(&hers, "count"), "{hers}");
    }
    // No rule of this folder lets anybody approve; what is one's own is taken back by anybody.
    let hers = world.ask("!commands").await.body;
    assert!(marked(&hers, "approve") && marked(&hers, "deny") && !marked(&hers, "cancel"), "{hers}");
    let his = world.ask_as(&world.bob, "!help count").await.body;
    assert!(his.contains("The rules do not let you run it."), "{his}");

    // The status of a system is what its commands say, asked by whoever asked.
    let his = world.ask_as(&world.bob, "!status web").await;
    assert_eq!(his.state, "refused", "{}", his.body);
    assert!(world.ops.traced().is_empty());
    let hers = world.ask("!status web").await;
    assert_eq!(hers.state, "succeeded", "{}", hers.body);
    assert_eq!(world.ops.traced(), ["status"]);
    assert_eq!(world.entries(hers.number).await, RAN, "and recorded as a request of its own");

    let systems = world.ask("!status").await.body;
    assert!(systems.contains("web") && systems.contains("The shop") && systems.contains("api"), "{systems}");
    let found = world.ask("!docs roll back").await.body;
    assert!(found.contains("Go back to the version before.") && found.contains("Deploying"), "{found}");
    let nothing = world.ask("!docs unicorns").await;
    assert_eq!(nothing.state, "succeeded");
    assert!(nothing.body.contains("unicorns"), "{}", nothing.body);
    let pong = world.ask("!ping").await;
    assert!(pong.body.starts_with("✅ ") && pong.body.contains(&pong.number.to_string()), "{}", pong.body);
}
