//! What a decision costs beside Cedar's own evaluation of the same request: `cargo bench --bench decide`.
//!
//! [`Rules::decide`] makes the request and the entities from the question, validates, evaluates, and writes
//! the inputs for the record. Cedar's `is_authorized` is given request and entities ready made (from what
//! was recorded). The two are timed in turn, so that whatever else the machine does weighs on both.

use std::{
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Request, Schema};
use quarterdeck::{
    catalogue,
    model::{Invocation, Value},
    policy::{Action, Decision, Question, Rules},
};
use ruma::user_id;

const ROUNDS: usize = 2000;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/example/ops");
    let ops = catalogue::load(&folder, &|_| None).expect("the example folder is right");
    let rules = Rules::compile(&ops).expect("its rules are right");
    let invocation = Invocation {
        command: "deploy".to_owned(),
        arguments: [
            ("app".to_owned(), Value::Choice("web".to_owned())),
            ("env".to_owned(), Value::Choice("staging".to_owned())),
            ("dry-run".to_owned(), Value::Boolean(false)),
            ("version".to_owned(), Value::Text("v1.4.2".to_owned())),
        ]
        .into(),
        subject: Some("web@staging".to_owned()),
    };
    let now = "2026-11-23T01:30:00Z".parse().expect("a time");
    let question = Question::new(user_id!("@bob:example.org"), 0, "deploy", now, Action::Run(&invocation));

    let Decision::Permitted(permit) = rules.decide(&question) else { panic!("the example refuses") };
    let inputs = permit.inputs();
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
    let (mut ours, mut cedars) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(|| drop(black_box(rules.decide(black_box(&question))))));
        cedars.push(time(|| {
            drop(black_box(authorizer.is_authorized(black_box(&request), &policies, &entities)));
        }));
    }
    let (ours, cedars) = (median(ours), median(cedars));
    println!(
        "{} rules, {} entities looked at: decide {ours:?}, is_authorized alone {cedars:?}, ratio {:.1}",
        rules.len(),
        entities.len(),
        ours.as_secs_f64() / cedars.as_secs_f64(),
    );
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
