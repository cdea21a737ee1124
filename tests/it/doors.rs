//! Every door asks: what can be done is listed here from the code and from the catalogue, and each thing is shown to need a
//! decision, by its types or by trying it under rules that permit nothing.

use std::{collections::BTreeMap, fs, path::Path};

use quarterdeck::{catalogue, command};
use ruma::UserId;

use crate::{
    approvals::{Company, digits, in_thread, number},
    harness::Answer,
};

/// The Rust files of a folder of src/, without their tests.
fn code(folder: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut open = vec![root.join(folder)];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !name.ends_with("tests") {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") && !name.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines();
                let code = code.filter(|line| !line.trim_start().starts_with("//"));
                found.insert(name, code.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    found
}

/// The methods of a type that others can call, with their signatures: as rustfmt writes them.
fn methods(folder: &str, of: &str) -> BTreeMap<String, String> {
    let opening = format!("impl {of} {{");
    let mut found = BTreeMap::new();
    for text in code(folder).values() {
        for block in text.split(&opening).skip(1) {
            let block = block.split("\n}").next().unwrap();
            for method in block.split("\n    pub ").skip(1) {
                let method = method.trim_start_matches("const ").trim_start_matches("async ");
                if let Some(rest) = method.strip_prefix("fn ") {
                    let name = rest.split(['(', '<']).next().unwrap();
                    found.insert(name.to_owned(), rest.split(" {\n").next().unwrap().to_owned());
                }
            }
        }
    }
    found
}

/// Fails with each method that changes something, demands no permit, and is not told of in `without`; and with each that is told of
/// there and is not needed.
fn demand(whose: &str, what: &str, methods: &BTreeMap<String, String>, without: &[(&str, &[&str])]) {
    let told: BTreeMap<&str, &str> =
        without.iter().flat_map(|(why, names)| names.iter().map(|name| (*name, *why))).collect();
    let undecided: Vec<_> = methods
        .iter()
        .filter(|(name, signature)| !signature.contains(what) && !told.contains_key(name.as_str()))
        .map(|(name, _)| name)
        .collect();
    assert!(
        undecided.is_empty(),
        "{whose} can do these without a {what}: {undecided:?}. Have each take one; or write beside the others here why none is needed"
    );
    let idle: Vec<_> = told
        .keys()
        .filter(|name| methods.get(**name).is_none_or(|signature| signature.contains(what)))
        .collect();
    assert!(idle.is_empty(), "{whose}: these are told of here for nothing: {idle:?}");
}

#[test]
fn what_work_can_do_for_somebody_takes_the_permit_that_a_decision_gave() {
    let all = methods("storage", "Work");
    let changing: BTreeMap<_, _> =
        all.into_iter().filter(|(_, signature)| !signature.contains("(&self")).collect();
    for name in
        ["permitted", "start", "conclude", "approve", "elevate", "erase", "keep_version", "wish_to_cancel"]
    {
        assert!(changing[name].contains("Permit"), "{name} is what is done, and takes no permit");
    }
    demand(
        "a piece of work",
        "Permit",
        &changing,
        &[
            ("writes what is read and said, and does nothing", &["append", "content", "send"]),
            ("opens the request that is decided", &["open_request", "put_down_request", "asked_locally"]),
            (
                "holds or ends a request; only a start makes it run, and that takes a permit",
                &["transition", "wait", "satisfied"],
            ),
            ("what it confirms is decided anew, as confirmed, in the same commit", &["confirm"]),
            ("takes something away that was given", &["end_approval", "approval_refused"]),
            ("puts a row into the inbox, which is decided when it comes out", &["enqueue"]),
            ("keeps what the homeserver says of a room", &["set_member", "set_power_levels"]),
            (
                "reads",
                &[
                    "approvals",
                    "approval_by_event",
                    "ahead",
                    "joined",
                    "over",
                    "prompt",
                    "request_by_event",
                    "request_by_number",
                    "requests_of_thread",
                    "schedules_of",
                    "standing",
                    "standing_to_ask",
                    "waiting",
                    "waiting_requests_in",
                    "waiting_requests_of",
                ],
            ),
            ("is the commit, or the end without one", &["done", "failed"]),
            ("goes on with a warrant, which `start` gave for a permit", &["done_starting"]),
        ],
    );
}

#[test]
fn nothing_is_run_but_by_a_warrant() {
    let run = methods("executor", "Executor");
    assert!(run["run"].contains("warrant: Warrant"), "{}", run["run"]);
    demand(
        "the executor",
        // The word alone would also be that of a pending one.
        "warrant: Warrant",
        &run,
        &[
            ("is made, told of secrets, and made ready", &["new", "replace_secrets", "warm"]),
            (
                "asks an endpoint of the folder in force what it offers, which changes nothing there or here",
                &["listing"],
            ),
            ("makes a child ready that runs nothing until `run` brings the warrant", &["poise"]),
            ("looks at, ends or forgets what was started", &["probe", "leftovers", "end_leftover", "forget"]),
        ],
    );
}

#[test]
fn all_work_goes_through_the_one_pipeline() {
    // Work is claimed from the inbox, or made of what arrives; there is no third way to get any.
    for (way, file) in [(".claim(", "dispatch/dispatcher.rs"), (".arriving(", "dispatch/arrival.rs")] {
        let all: BTreeMap<_, _> =
            ["dispatch", "cli", "web", "appservice", "matrix", "audit", "knowledge", "executor"]
                .iter()
                .flat_map(|folder| code(folder))
                .collect();
        let takers: Vec<_> =
            all.iter().filter(|(_, text)| text.contains(way)).map(|(name, _)| name).collect();
        assert_eq!(takers, [file], "who takes work by `{way}`");
        assert_eq!(all[file].matches(way).count(), 1);
        let after = all[file].split(way).nth(1).unwrap();
        assert!(after.contains("pipeline::process(house, work)"), "{file} hands its work to the pipeline");
    }
    let makers: Vec<_> = code("storage")
        .into_iter()
        .filter(|(_, text)| {
            text.contains("Work::new(") || text.contains("Work::hold(") || text.contains("Self::hold(")
        })
        .map(|(name, _)| name)
        .collect();
    assert_eq!(makers, ["storage/arriving.rs", "storage/claim.rs", "storage/work.rs"]);
}

#[test]
fn every_route_stores_into_the_inbox_or_only_tells() {
    let known = BTreeMap::from([
        ("/transactions/{transaction}", "stores into the inbox"),
        ("/ping", "tells the homeserver that we are here"),
        ("/users/{user}", "tells the homeserver whether a user is ours"),
        ("/rooms/{alias}", "tells the homeserver whether an alias is a room of ours"),
        ("/_matrix/{*rest}", "knows nothing"),
        ("/health/live", "tells that the process lives"),
        ("/health/ready", "tells whether work is taken"),
        ("/metrics", "tells numbers"),
        ("/", "tells of rooms, as `sight` decides it for the session's person (tests/it/pages.rs)"),
        ("/trail", "tells of the rooms of `sight`, and records that it was read (tests/it/pages_read.rs)"),
        (
            "/requests/{number}",
            "tells of a request of those rooms; of its output what `may_read_output` permits",
        ),
        ("/requests/{number}/live", "tells the same again to the session that opened it, decided anew"),
        (
            "/requests/{number}/output",
            "tells all that it printed to whom `may_read_output` permits it, and records the reading",
        ),
        ("/requests/{number}/files/{place}", "tells a file that it left, in the same way"),
        ("/rules", "tells the rules that `!rules` would in those rooms"),
        ("/charts", "tells counts of those rooms"),
        ("/checking", "tells how the log is checked"),
        ("/checking/key", "tells the log's public key"),
        ("/login", "tells whose a link is; its form uses the link up, and begins a session of that person's"),
        ("/logout", "ends a session, for a form that stands in one of its own pages"),
        ("/sessions", "tells somebody their own sessions"),
        ("/sessions/end", "ends a session of one's own, for a form that stands in a page of one's own"),
        ("/assets/{name}", "tells what is the same for everybody: styles and a script"),
        ("/log/checkpoint", "tells what was signed, which holds nothing of any entry"),
        ("/log/tile/{*path}", "tells hashes, which tell nothing of any entry"),
        ("/{digest}/checkpoint", "is a witness's as well, and tells the checkpoint that it saw last"),
        (
            "/add-checkpoint",
            "is a witness's, a server of its own without a house, and asks for a log's signature",
        ),
    ]);
    let mut routes = Vec::new();
    for (file, text) in code("appservice").into_iter().chain(code("web")) {
        routes.extend(text.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        // What a route can reach: an answer, or the inbox.
        for doing in ["work.", "Work", "executor::", "matrix::", ".say(", ".transition(", ".record("] {
            assert!(!text.contains(doing), "{file} reaches `{doing}` past the inbox");
        }
    }
    let strange: Vec<_> = routes.iter().filter(|route| !known.contains_key(route.as_str())).collect();
    assert!(strange.is_empty(), "say of these routes what they do, and that it is decided: {strange:?}");
    assert_eq!(routes.len(), known.len(), "{routes:?}");
}

#[test]
fn every_subcommand_asks_the_server_or_has_nothing_done_for_anybody() {
    let known = BTreeMap::from([
        ("Serve", "is the server: its work goes through the one pipeline"),
        ("Run", "asks through the server's socket, like a line in the room"),
        ("Reload", "asks the same way, for `reload`"),
        ("Migrate", "changes the schema, with the owner's role"),
        ("Registration", "writes a file for the homeserver"),
        ("Check", "reads a folder"),
        ("Try", "reads a folder, and decides about a line that nobody sent"),
        ("New", "writes a file into a folder"),
        ("Import", "writes files into a folder; of a program it asks its help"),
        ("Note", "records what was done elsewhere"),
        ("Console", "is a client: what it sends, the homeserver brings us"),
        ("Access", "reads a folder, or the version that the log kept, and records that"),
        ("Rules", "decides anew what was decided, on record, and starts nothing"),
        ("Audit", "reads the log, on record"),
        ("Witness", "is a server of its own, without a house"),
        ("Recover", "records that an old backup was put back"),
        ("Secret", "encrypts what it is given, or makes a key"),
        ("Rooms", "records which room is ours, for who has the database"),
        ("Doctor", "looks; of the executor it tries the sandbox, on a program of its own"),
        ("ExecRun", "becomes the program of a run, for its parent alone"),
    ]);
    let cli = code("cli");
    let declared = cli["cli/mod.rs"].split("\nenum Command {").nth(1).unwrap().split("\n}").next().unwrap();
    let there: Vec<_> = declared.lines().filter_map(|line| Some(line.trim().split_once('(')?.0)).collect();
    let there: Vec<_> = there.into_iter().filter(|name| !name.starts_with('#')).collect();
    let strange: Vec<_> = there.iter().filter(|name| !known.contains_key(**name)).collect();
    assert!(strange.is_empty(), "say of these subcommands how what they do is decided: {strange:?}");
    assert_eq!(there.len(), known.len(), "{there:?}");

    // Who can reach the house, its socket, or a program: all others cannot have anything done.
    for (reach, files) in [
        ("local::", &["cli/run.rs", "cli/serve.rs"][..]),
        ("To,", &["cli/reload.rs", "cli/run.rs"]),
        ("Executor::new(", &["cli/doctor/host.rs", "cli/serve.rs"]),
        ("House::new(", &["cli/serve.rs"]),
        ("Dispatcher::", &["cli/serve.rs"]),
        ("Warrant", &[]),
        ("Work", &[]),
    ] {
        let reaching: Vec<_> =
            cli.iter().filter(|(_, text)| text.contains(reach)).map(|(name, _)| name.as_str()).collect();
        let others: Vec<_> = reaching.iter().filter(|file| !files.contains(file)).collect();
        assert!(others.is_empty(), "`{reach}` is reached from {others:?}");
        assert!(files.iter().all(|file| reaching.contains(file)), "`{reach}`: {reaching:?}");
    }
}

#[test]
fn every_action_of_the_rules_is_asked_by_some_door() {
    let actions: Vec<String> = code("policy")["policy/request.rs"]
        .split("pub enum Action<'a> {")
        .nth(1)
        .unwrap()
        .split("\n}")
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("    ") && line.as_bytes().get(4).is_some_and(u8::is_ascii_uppercase))
        .map(|line| line.trim().split(['(', ',', ' ']).next().unwrap().to_owned())
        .collect();
    assert_eq!(actions, ["Run", "Approve", "Deny", "Cancel", "ReadAudit", "ReadOutput"]);
    let doors: String = code("dispatch").into_values().chain(code("web").into_values()).collect();
    let unasked: Vec<_> =
        actions.iter().filter(|action| !doors.contains(&format!("Action::{action}"))).collect();
    assert!(unasked.is_empty(), "rules speak of these, and no door asks them: {unasked:?}");
}

/// Nobody may do anything, but for one who may load other rules.
fn nothing(company: &Company) -> String {
    format!(
        "@id(\"reload\") permit (principal == User::\"{}\", action == Action::\"reload\", resource);",
        company.carol.id
    )
}

/// What was done to the world, to requests and to the rules, as the record and the programs tell it.
async fn done(company: &Company) -> (Vec<String>, Vec<i64>) {
    let mut counts = Vec::new();
    for kind in [
        "command.permitted",
        "run.started",
        "run.cancel_requested",
        "approval.requested",
        "approval.given",
        "confirmation.given",
        "command.denied",
        "command.cancelled",
        "elevation.given",
        "rules.loaded",
        "audit.read",
    ] {
        counts.push(company.count(&format!("SELECT count(*) FROM entries WHERE kind = '{kind}'")).await);
    }
    (company.ops.traced(), counts)
}

#[tokio::test]
async fn where_the_rules_permit_nothing_every_command_there_is_does_nothing_and_the_refusal_is_on_record() {
    let company = Company::start().await;
    company.ops.team("dba", &[&company.lease.homeserver.name], &[], 0);
    company.reload(&nothing(&company), true).await;
    let before = done(&company).await;
    let ops = catalogue::load(company.ops.path(), &|_| None).unwrap();
    let bob = <&UserId>::try_from(company.bob.id.as_str()).unwrap();
    let mut tried = 0;
    for command in ops.commands.values() {
        // Words to another request: the next test.
        if ["approve", "deny", "cancel", "confirm"].contains(&command.name.as_str()) {
            continue;
        }
        let line = match command.name.as_str() {
            // What it asks for must exist, which is looked at before the rules are asked.
            "elevate" => "!elevate dba 5m to look at it".to_owned(),
            _ => format!(
                "!{}",
                command::samples(&ops, command, command::Asker { user: bob, room: None }).remove(0)
            ),
        };
        let said = company.bob.say(&company.room, &line).await;
        let answer: Answer = company.bob.outcome(&company.bot(), &said).await;
        assert_eq!(answer.state, "refused", "{line}: {}", answer.body);
        assert_eq!(company.why_refused(&said).await, "rules", "{line}: {}", answer.body);
        assert_eq!(company.kinds(answer.number).await, ["command.received", "command.refused"], "{line}");
        tried += 1;
    }
    assert_eq!(tried, ops.commands.len() - 4);
    assert!(tried > 15, "the built-ins are among them: {tried}");
    assert_eq!(done(&company).await, before);
}

#[tokio::test]
async fn where_the_rules_permit_nothing_no_word_to_a_request_counts_by_whichever_door_it_comes() {
    let company = Company::start().await;
    let mut waiting = Vec::new();
    for version in 1..=5 {
        waiting.push(company.waits(&format!("!deploy web production v{version}")).await);
    }
    waiting.push(company.waits("!wipe cache").await);
    let running = company.bob.say(&company.room, "!slow 100 running").await;
    company.started("running begins").await;
    company.reload(&nothing(&company), true).await;
    let before = done(&company).await;

    // By a typed command, in a thread, and by a reaction.
    let prompt = |place: usize| &waiting[place].1;
    for (who, line) in [
        (&company.alice, format!("!approve {} {}", number(prompt(0)), digits(prompt(0)))),
        (&company.alice, format!("!deny {} no", number(prompt(2)))),
        (&company.dave, format!("!cancel {}", number(prompt(4)))),
        (&company.bob, format!("!confirm {}", number(prompt(5)))),
    ] {
        let answer = company.ask_as(who, &line).await;
        assert_eq!(answer.state, "refused", "{line}: {}", answer.body);
        let kinds = company.kinds(answer.number).await;
        assert_eq!(kinds, ["command.received", "command.refused"], "{line}");
    }
    let said = in_thread(&company, &company.dave, &running, "!cancel").await;
    company.alice.until_seen(&said).await;
    company.react(&company.carol, prompt(1), "✅").await;
    company.react(&company.carol, prompt(3), "⛔").await;
    company.alice.react(&company.room, &running, "🛑").await;
    company.all_decided().await;
    assert_eq!(done(&company).await, before);
    for (command, _) in &waiting {
        let state = company.state(command).await;
        assert!(state.starts_with("awaiting") || state == "refused", "{state}");
    }
    assert_eq!(company.state(&running).await, "running");

    // Whoever asked takes it back without anybody's leave: it is the one thing that no rule need permit.
    let number = company.count("SELECT max(number) FROM requests WHERE state = 'running'").await;
    assert_eq!(company.ask_as(&company.bob, &format!("!cancel {number}")).await.state, "succeeded");
    for (command, prompt) in &waiting {
        if company.state(command).await.starts_with("awaiting") {
            let line = format!("!cancel {}", crate::approvals::number(prompt));
            assert_eq!(company.ask_as(&company.bob, &line).await.state, "succeeded");
        }
    }
}
