//! Searching the log, in a room and on the command line: one language, and nothing for whom the rules say no.

use serde_json::Value;

use crate::harness::{Answer, Plan, World};

/// The numbers of the requests that a list in a room tells of, in its order.
fn listed(answer: &Answer) -> Vec<i64> {
    let items = answer.body.lines().filter(|line| line.contains(" · `"));
    items.filter_map(|line| line.split('`').nth(1)?.parse().ok()).collect()
}

/// `quarterdeck audit list` with these options.
fn list(world: &World, options: &[&str]) -> (bool, String, String) {
    let ops = world.ops.path().to_str().unwrap();
    let output = world.quarterdeck(&[&["audit", "list", "--ops", ops], options].concat());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// The numbers of the requests in a table for spreadsheets.
fn in_table(world: &World, options: &[&str]) -> Vec<i64> {
    let (success, table, errors) = list(world, &[options, &["--csv"]].concat());
    assert!(success, "{options:?}: {errors}");
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let names: Vec<_> = reader.headers().unwrap().iter().map(ToOwned::to_owned).collect();
    let request = names.iter().position(|name| name == "request").unwrap();
    reader.records().filter_map(|row| row.unwrap()[request].parse().ok()).collect()
}

#[tokio::test]
async fn one_language_finds_the_same_in_the_room_and_on_the_command_line() {
    let world = World::with(Plan { other_room: true, ..Plan::default() }).await;
    let (alice, bob) = (&world.alice, &world.bob);
    let counted = world.ask("!count sesame").await.number;
    let failed = world.ask("!fail").await.number;
    let staging = world.ask_as(bob, "!deploy web staging v7").await.number;
    let refused = world.ask_as(bob, "!deploy web production").await.number;
    let mistyped = world.ask_as(bob, "!frobnicate sesame").await.number;
    let all = [counted, failed, staging, refused, mistyped];
    let (by_alice, by_bob) = (format!("--by {}", alice.id), format!("--by {}", bob.id));
    let server = format!("--server {}", world.lease.homeserver.name);
    let cases: [(&str, &[i64]); 17] = [
        (&by_alice, &[counted, failed]),
        (&by_bob, &[staging, refused, mistyped]),
        ("--team web", &all),
        (&server, &all),
        ("--server elsewhere.example", &[]),
        ("--command deploy", &[staging, refused]),
        ("--system web", &[staging, refused]),
        ("--system web@production", &[refused]),
        ("--argument env=staging", &[staging]),
        ("--argument version=v7", &[staging]),
        ("--outcome failed", &[failed]),
        ("--outcome refused", &[refused, mistyped]),
        ("--rule production-is-for-leads", &[refused]),
        ("--kind run.finished --outcome succeeded --since 1h", &[counted, staging]),
        ("--text sesame", &[counted, mistyped]),
        // It is said by the program alone.
        ("--text \"went wrong\"", &[failed]),
        ("--until 1h", &[]),
    ];
    let words = |line: &str| shell_words::split(line).unwrap();
    for (line, wanted) in cases {
        // What was asked before is itself on the record.
        let only =
            |found: Vec<i64>| found.into_iter().filter(|number| all.contains(number)).collect::<Vec<_>>();
        let newest_first: Vec<_> = wanted.iter().rev().copied().collect();
        let answer = world.ask(&format!("!audit {line}")).await;
        assert_eq!(only(listed(&answer)), newest_first, "{line}: {}", answer.body);
        let options = words(line);
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        assert_eq!(only(in_table(&world, &options)), newest_first, "{line}");
    }

    // The same as JSON: all entries of what is found, and of nothing else.
    let (_, text, _) = list(&world, &["--command", "deploy", "--json"]);
    let entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(entries.iter().all(|entry| entry["request"] == staging || entry["request"] == refused), "{text}");
    assert_eq!(entries.len(), world.entries(staging).await.len() + world.entries(refused).await.len());

    // Each reading is one entry, and an entry, which is for ever, holds nobody's own words.
    let queries: Vec<String> = sqlx::query_scalar(
        "SELECT body::jsonb ->> 'query' FROM entries WHERE kind = 'audit.read' ORDER BY place",
    )
    .fetch_all(&world.sql())
    .await
    .unwrap();
    assert_eq!(queries.len(), 2 * cases.len() + 1, "{queries:?}");
    assert_eq!(queries[1], format!("list --by {} --limit 50", alice.id));
    let rule = "of deploy: --rule production-is-for-leads";
    assert!(queries.iter().any(|query| query == rule), "{queries:?}");
    assert!(queries.iter().any(|query| query == "of deploy: --text …"), "{queries:?}");
    assert!(!queries.iter().any(|query| query.contains("sesame") || query.contains("v7")), "{queries:?}");
}

#[tokio::test]
async fn a_mistake_in_a_search_gets_one_line_and_an_example_that_works() {
    let world = World::start().await;
    for (line, wanted) in [
        ("!audit --outcome faild", "Did you mean `!audit --outcome failed`?"),
        ("!audit --since yesterday", "For example `!audit --since 7d`"),
        ("!audit --team wbe", "Did you mean `!audit --team web`?"),
        ("!audit --room other", "For example `!audit --room deploy`"),
        ("!audit --argument staging", "For example `!audit --argument 'env=staging'`"),
        ("!audit --before 7", "the page before ended"),
        ("!audit --comand deploy", "`--command`"),
        ("!audit 1 --outcome failed", "`!audit --outcome failed`"),
    ] {
        let answer = world.ask(line).await;
        assert_eq!(answer.state, "refused", "{line}: {}", answer.body);
        assert!(answer.body.contains(wanted), "{line}: {}", answer.body);
        assert_eq!(world.why_refused_number(answer.number).await, "unreadable");
    }
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE kind = 'audit.read'").await, 0);
    let nothing = world.ask("!audit --command depoly").await;
    assert!(nothing.body.contains("Did you mean deploy?"), "{}", nothing.body);

    let (success, _, errors) = list(&world, &["--outcome", "faild"]);
    assert!(
        !success && errors.contains("Did you mean `quarterdeck audit list --outcome failed`?"),
        "{errors}"
    );
    let (success, _, errors) = list(&world, &["--room", "dploy"]);
    assert!(!success && errors.contains("`quarterdeck audit list --room deploy`"), "{errors}");
}

#[tokio::test]
async fn a_long_list_goes_on_by_the_line_that_it_says() {
    let world = World::start().await;
    let mut asked = Vec::new();
    for count in 0..18 {
        asked.push(world.ask(&format!("!count w{count}")).await.number);
    }
    asked.reverse();
    let first = world.ask("!audit --command count").await;
    assert_eq!(listed(&first), asked[..15]);
    let line = first
        .body
        .lines()
        .find(|line| line.starts_with("Older ones: "))
        .unwrap_or_else(|| panic!("{}", first.body));
    let line = line.split('`').nth(1).unwrap();
    // What comes meanwhile moves nothing.
    world.ask("!count meanwhile").await;
    let second = world.ask(line).await;
    assert_eq!(listed(&second), asked[15..], "{}", second.body);
    assert!(!second.body.contains("Older ones"), "{}", second.body);

    let (_, _, errors) = list(&world, &["--command", "count", "--limit", "10"]);
    let cursor = errors.split("--before ").nth(1).unwrap_or_else(|| panic!("{errors}")).trim().to_owned();
    assert_eq!(in_table(&world, &["--command", "count", "--before", &cursor]), asked[9..]);
}

#[tokio::test]
async fn what_was_printed_is_not_found_by_whom_the_rules_do_not_let_read_it() {
    let world = World::changed(|ops| {
        let rules = ops.read("policies/rules.cedar");
        let log = rules.find(r#"@id("log")"#).unwrap();
        let end = log + rules[log..].find(';').unwrap() + 1;
        ops.file("policies/rules.cedar", &format!("{}{}", &rules[..log], &rules[end..]));
    })
    .await;
    let failed = world.ask("!fail").await.number;
    // Those may read it who asked; but bob is in the room as well, and would see it there.
    for person in [&world.alice, &world.bob] {
        let answer = world.ask_as(person, "!audit --text \"went wrong\"").await;
        assert!(!listed(&answer).contains(&failed), "{}", answer.body);
        let answer = world.ask_as(person, "!audit --text fail").await;
        assert!(listed(&answer).contains(&failed), "what was typed everybody here has seen: {}", answer.body);
    }
}
