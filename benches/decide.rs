//! What a decision costs beside Cedar's own evaluation of the same request: `cargo bench --bench decide`.
//!
//! 1,000 users in 50 teams, under 10, 100 and 1,000 rules. [`Rules::decide`] makes the request from the question,
//! validates, evaluates, and writes the inputs for the record. It is timed twice: `again`, where the same person has asked
//! about the same thing under these rules before, at whatever time, and `first`, where nobody has, so that entities and
//! rules are still to be chosen. Cedar's `is_authorized` is given request and entities ready made (from what was recorded).
//! The three are timed in turn, so that whatever else the machine does weighs on all.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Request, Schema};
use quarterdeck::{
    catalogue::{self, Ops, PolicyFile, Team},
    model::{Invocation, Value},
    policy::{Action, Decision, Question, Rules},
};
use ruma::{OwnedUserId, UserId};

const TEAMS: usize = 50;
const USERS: usize = 1_000;

fn main() {
    println!("{USERS} users in {TEAMS} teams; the median of each, in microseconds\n");
    println!(
        "{:>6}  {:>8}  {:>8}  {:>14}  {:>6}  {:>6}",
        "rules", "again", "first", "is_authorized", "ratio", "first"
    );
    for count in [10, 100, 1_000] {
        measure(count, if count > 100 { 300 } else { 1_000 });
    }
}

fn measure(count: usize, rounds: usize) {
    let ops = company(count);
    let rules = Rules::compile(&ops).expect("the rules of the benchmark are right");
    let invocation = Invocation {
        command: "deploy".to_owned(),
        arguments: [
            ("app".to_owned(), Value::Choice("web".to_owned())),
            ("env".to_owned(), Value::Choice("staging".to_owned())),
            ("version".to_owned(), Value::Text("v1.4.2".to_owned())),
        ]
        .into(),
        subject: Some("web@staging".to_owned()),
        filters: Vec::new(),
        dry: false,
    };
    let (who, now) = (user(1), "2026-11-23T01:30:00Z".parse().expect("a time"));
    let question = Question::new(&who, 0, "deploy", now, Action::Run(&invocation));
    let Decision::Permitted(permit) = rules.decide(&question) else { panic!("the benchmark's rules refuse") };
    let inputs = permit.inputs().to_json();
    let schema: Schema = rules.schema().parse().expect("the schema is Cedar's language");
    let text: String = ops.policies.iter().map(|file| file.text.as_str()).collect();
    let policies: PolicySet = text.parse().expect("the rules are Cedar's language");
    let uid = |key: &str| {
        inputs[key].as_str().and_then(|uid| uid.parse::<EntityUid>().ok()).expect("a recorded name")
    };
    let context = Context::from_json_value(inputs["context"].clone(), Some((&schema, &uid("action"))));
    let request = Request::new(
        uid("principal"),
        uid("action"),
        uid("resource"),
        context.expect("the recorded context"),
        Some(&schema),
    )
    .expect("the recorded request");
    let entities =
        Entities::from_json_value(inputs["entities"].clone(), None).expect("the recorded entities");

    let authorizer = Authorizer::new();
    let (mut ours, mut firsts, mut cedars) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        // What is kept of one question for the next is not cloned.
        let fresh = rules.clone();
        firsts.push(time(|| drop(black_box(fresh.decide(black_box(&question))))));
        ours.push(time(|| drop(black_box(rules.decide(black_box(&question))))));
        cedars.push(time(|| {
            drop(black_box(authorizer.is_authorized(black_box(&request), &policies, &entities)));
        }));
    }
    let (ours, firsts, cedars) = (median(ours), median(firsts), median(cedars));
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let ratio = |time| micros(time) / micros(cedars);
    println!(
        "{count:>6}  {:>8.1}  {:>8.1}  {:>14.1}  {:>6.2}  {:>6.2}",
        micros(ours),
        micros(firsts),
        micros(cedars),
        ratio(ours),
        ratio(firsts)
    );
}

fn user(number: usize) -> OwnedUserId {
    UserId::parse(format!("@user{number}:example.org")).expect("a user")
}

/// The example company, grown: each user in one team, each team with a lead, and so many rules of a few kinds.
fn company(count: usize) -> Ops {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/example/ops");
    let mut ops = catalogue::load(&folder, &|_| None).expect("the example folder is right");
    for number in 0..TEAMS {
        let users: BTreeSet<_> = (0..USERS).filter(|user| user % TEAMS == number).map(user).collect();
        let team = Team {
            key: format!("team{number}"),
            leads: users.first().cloned().into_iter().collect(),
            users,
            ..ops.teams["web"].clone()
        };
        ops.teams.insert(team.key.clone(), team);
    }
    ops.rule_tests.clear();
    let mut text = String::from(
        "@id(\"reload\") permit (principal in Team::\"leads\", action == Action::\"reload\", resource);\n\
         @id(\"team1\") permit (principal in Team::\"team1\", action == Action::\"deploy\", resource in System::\"web\");\n",
    );
    for number in 2..count {
        let team = number % TEAMS;
        let _ = match number % 4 {
            0 => writeln!(
                text,
                "@id(\"r{number}\") permit (principal in Team::\"team{team}\", action in Action::\"change\", \
                 resource in Environment::\"staging\") when {{ context.time.hour < 20 }};"
            ),
            1 => writeln!(
                text,
                "@id(\"r{number}\") @says(\"No.\") forbid (principal in Team::\"team{team}\", action in Action::\"danger\", \
                 resource) unless {{ principal in Team::\"leads\" }};"
            ),
            2 => writeln!(
                text,
                "@id(\"r{number}\") permit (principal in Team::\"team{team}\", action in Action::\"read\", resource);"
            ),
            _ => writeln!(
                text,
                "@id(\"r{number}\") @says(\"Ask.\") @remedy(\"approval\") @by(\"leads\") forbid (principal, \
                 action in Action::\"change\", resource in Environment::\"production\") \
                 unless {{ context.approvals.leads >= 1 }};"
            ),
        };
    }
    ops.policies = vec![PolicyFile { path: "policies/bench.cedar".to_owned(), text }];
    ops
}

/// One at a time: a longer stretch would be cut up by whatever else the machine does.
fn time(once: impl FnOnce()) -> Duration {
    let start = Instant::now();
    once();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
