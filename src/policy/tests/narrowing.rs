//! What is spared in a decision changes none: the rules left out by their scope, what of the context none of the others
//! looks at, the validation left out by the shape of a question, the scenes that are kept, and the record written without Cedar.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Authorizer, Entities, PolicySet, Request};
use proptest::prelude::*;
use ruma::{OwnedUserId, UserId};

use super::{
    compile, ops,
    properties::{rule, text},
    question, run,
};
use crate::{
    model::{Invocation, Value},
    policy::{Action, Decision, Question, Rules, inputs::At, scene::permits_of},
};

const PEOPLE: &[&str] = &[
    "@alice:example.org",
    "@bob:example.org",
    "@carol:partner.example",
    "@erin:example.org",
    "@mallory:elsewhere.example",
];

fn person() -> impl Strategy<Value = OwnedUserId> {
    prop::sample::select(PEOPLE).prop_map(|who| UserId::parse(who).unwrap())
}

/// A value that an argument can have, of any type, with what JSON and Cedar must write with care.
fn value() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        prop::sample::select(vec!["v1.4.2", "", "a \"b\" \\ \u{7}\n\u{2028}ß", "staging"])
            .prop_map(|text| Value::Text(text.to_owned())),
        Just(Value::Choice("production".to_owned())),
        prop::sample::select(vec![0, -3, i64::MAX, i64::MIN]).prop_map(Value::Integer),
        any::<bool>().prop_map(Value::Boolean),
        prop::sample::select(vec![0, 90, 86_400]).prop_map(Value::Duration),
        person().prop_map(Value::User),
        Just(Value::Room("!room:example.org".try_into().unwrap())),
        prop::sample::select(vec!["web", "db", "web@staging", "nothing"])
            .prop_map(|key| Value::System(key.to_owned())),
    ];
    let list = prop::collection::vec(plain.clone(), 0..4).prop_map(Value::List);
    prop_oneof![4 => plain, 1 => list]
}

/// An invocation as the grammar makes them.
fn understood() -> impl Strategy<Value = Invocation> {
    let texts = prop::collection::vec("[a-c]{1,2}", 0..5)
        .prop_map(|texts| Value::List(texts.into_iter().map(Value::Text).collect()));
    let hand_over = (person(), prop::option::of(texts), any::<bool>(), prop::option::of(0..9i64)).prop_map(
        |(to, hosts, dry, count)| {
            let mut of = run("uptime");
            "hand-over".clone_into(&mut of.command);
            of.arguments =
                [("to", Some(Value::User(to))), ("hosts", hosts), ("dry-run", Some(Value::Boolean(dry)))]
                    .into_iter()
                    .chain([("in", count.map(Value::Duration)), ("count", count.map(Value::Integer))])
                    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                    .collect();
            of
        },
    );
    let lines = vec!["deploy web staging", "deploy db production", "wipe web", "uptime"];
    prop_oneof![hand_over, prop::sample::select(lines).prop_map(run)]
}

/// An invocation of whatever shape, such as one of another version of the folder.
fn invocation() -> impl Strategy<Value = Invocation> {
    let names = vec!["to", "dry-run", "in", "hosts", "count", "app", "env", "version", "other"];
    let name = prop::sample::select(names).prop_map(str::to_owned);
    let command =
        prop::sample::select(vec!["deploy", "hand-over", "uptime", "reload", "approve", "help", "gone"]);
    let subject = prop::sample::select(vec![None, Some("web@staging"), Some("db"), Some("gone")]);
    let odd = (command, subject, prop::collection::btree_map(name, value(), 0..4)).prop_map(
        |(command, subject, arguments)| Invocation {
            command: command.to_owned(),
            subject: subject.map(str::to_owned),
            arguments,
            filters: Vec::new(),
            dry: false,
        },
    );
    let one_off = (understood(), value(), any::<prop::sample::Index>()).prop_map(|(mut of, value, at)| {
        if !of.arguments.is_empty() {
            let name = of.arguments.keys().nth(at.index(of.arguments.len())).unwrap().clone();
            of.arguments.insert(name, value);
        }
        of
    });
    prop_oneof![understood(), odd, one_off]
}

/// Everything that a question is made of, owned.
#[derive(Debug)]
struct Asking {
    kind: u8,
    principal: OwnedUserId,
    other: OwnedUserId,
    of: Invocation,
    power_level: i64,
    confirmed: bool,
    approvals: BTreeSet<OwnedUserId>,
    elevated: BTreeSet<String>,
    seconds: i64,
}

fn asking() -> impl Strategy<Value = Asking> {
    let teams = prop::sample::select(vec!["web", "on-call", "partner", "gone"]).prop_map(str::to_owned);
    let given = (
        prop::collection::btree_set(person(), 0..3),
        prop::collection::btree_set(teams, 0..2),
        0..7 * 86_400i64,
    );
    let levels = prop::sample::select(vec![0, 50, 100]);
    (0..8u8, person(), person(), invocation(), levels, any::<bool>(), given).prop_map(
        |(kind, principal, other, of, power_level, confirmed, (approvals, elevated, seconds))| Asking {
            kind,
            principal,
            other,
            of,
            power_level,
            confirmed,
            approvals,
            elevated,
            seconds,
        },
    )
}

impl Asking {
    fn question(&self) -> Question<'_> {
        let (of, requester) = (&self.of, &*self.other);
        let action = match self.kind {
            0 => Action::Approve { of, requester },
            1 => Action::Deny { of, requester },
            2 => Action::Cancel { of, requester },
            3 => Action::ReadAudit,
            4 => Action::ReadOutput { command: &of.command, requester, subject: of.subject.as_deref() },
            _ => Action::Run(of),
        };
        let now = jiff::Timestamp::from_second(1_795_000_000 + self.seconds).unwrap();
        Question {
            approvals: &self.approvals,
            elevated: &self.elevated,
            confirmed: self.confirmed,
            ..Question::new(&self.principal, self.power_level, "deploy", now, action)
        }
    }
}

/// The verdict of Cedar alone, with what determines it and what could not be evaluated.
fn verdict(request: &Request, policies: &PolicySet, entities: &Entities) -> String {
    let response = Authorizer::new().is_authorized(request, policies, entities);
    let mut reasons: Vec<_> = response.diagnostics().reason().map(ToString::to_string).collect();
    let mut errors: Vec<_> = response.diagnostics().errors().map(ToString::to_string).collect();
    reasons.sort();
    errors.sort();
    format!("{:?} {reasons:?} {errors:?}", response.decision())
}

fn told(decision: Decision) -> (String, String) {
    match decision {
        Decision::Permitted(permit) => {
            (format!("permitted {:?}", permit.policies()), permit.inputs().to_string())
        }
        Decision::Waits(wait) => {
            (format!("waits {:?} {:?}", wait.needs, wait.confirm), wait.inputs.to_string())
        }
        Decision::Refused(no) => {
            (format!("{:?} {:?} {:?}", no.why, no.policies, no.errors), no.inputs.to_string())
        }
    }
}

/// Rules that permit, forbid, can be remedied and cannot be evaluated.
fn rules() -> impl Strategy<Value = Rules> {
    let permits = prop::collection::vec(rule(), 1..6);
    let forbids = prop::collection::vec(rule(), 0..5);
    (permits, forbids).prop_map(|(permits, forbids)| {
        let asks = r#"@id("asks") @says("Ask.") @remedy("approval") @by("leads")
            forbid (principal, action in Action::"change", resource in Environment::"production")
            unless { context.approvals.leads >= 1 };
            @id("sure") @says("Sure?") @remedy("confirm")
            forbid (principal in Team::"web", action == Action::"hand-over", resource) unless { context.confirmed };"#;
        compile(&format!("{}{asks}", text(&permits, &forbids)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_decision_is_what_all_rules_say_of_the_strictly_validated_question(
        rules in rules(),
        asked in prop::collection::vec(asking(), 40..60),
    ) {
        for asking in &asked {
            let question = asking.question();
            let first = told(rules.decide(&question));
            prop_assert_eq!(&first, &told(rules.decide(&question)), "what is kept changes nothing: {:?}", asking);
            prop_assert_eq!(&first, &told(rules.clone().decide(&question)), "nor does its loss: {:?}", asking);
            let Ok(of) = rules.ask(&question) else { continue };

            let whole = |request: &Request, policies| verdict(request, policies, &of.scene.entities);
            let at = At::new(question.now, &rules.zone);
            let (context, names) = (rules.whole_context(&question, &at).unwrap(), [&of.scene.principal, &of.scene.action, &of.scene.resource]);
            let [principal, action, resource] = names.map(Clone::clone);
            let strict = Request::new(principal, action, resource, context.clone(), Some(&rules.schema));
            prop_assert!(strict.is_ok(), "{:?}\n{:?}", strict.err(), asking);
            let strict = strict.unwrap();
            prop_assert_eq!(whole(&strict, &rules.policies), whole(&of.request, &of.scene.policies), "{:?}", asking);
            let permits = permits_of(&rules.policies);
            prop_assert_eq!(whole(&strict, &permits), whole(&of.request, of.scene.permits()), "{:?}", asking);

            let mut recorded = of.inputs.to_json();
            prop_assert_eq!(of.inputs.as_str(), recorded.to_string(), "written as anything else is");
            if let Some(approvals) = recorded["context"].get_mut("approvals") {
                let counts = approvals.as_object_mut().unwrap();
                prop_assert_eq!(counts.len(), rules.counts.len());
                counts.retain(|name, _| rules.counted.contains(name));
                // Cedar writes a record in the order of names.
                let sorted: BTreeMap<_, _> = counts.clone().into_iter().collect();
                *approvals = serde_json::json!(sorted);
            }
            prop_assert_eq!(recorded["context"].to_string(), context.to_json_value().unwrap().to_string());
        }
    }

    #[test]
    fn what_the_grammar_makes_is_known_to_be_of_the_schemas_shape(of in understood()) {
        let rules = compile("");
        prop_assert!(rules.shapes.fits(&Action::Run(&of)), "{:?}", of);
    }
}

#[test]
fn what_an_older_folder_left_is_refused_in_the_words_of_cedar() {
    let rules = compile(r#"@id("all") permit (principal, action, resource);"#);
    let mut of = run("hand-over @bob:example.org");
    of.arguments.insert("count".to_owned(), Value::Text("nine".to_owned()));
    let Decision::Refused(refusal) = rules.decide(&question(PEOPLE[0], &of)) else {
        panic!("it was not refused")
    };
    assert!(refusal.errors[0].contains("context") && refusal.errors[0].contains("hand-over"), "{refusal:?}");
}

#[test]
fn only_rules_about_a_question_are_asked() {
    let rules = compile(
        r#"@id("web") permit (principal in Team::"web", action == Action::"deploy", resource in System::"web");
        @id("db") permit (principal, action == Action::"deploy", resource in System::"db");
        @id("carol") permit (principal == User::"@carol:partner.example", action in Action::"run", resource);
        @id("read") permit (principal, action in Action::"read", resource);"#,
    );
    let invocation = run("deploy web staging");
    let of = |who| rules.ask(&question(who, &invocation)).unwrap().scene;
    let ids =
        |policies: &PolicySet| policies.policies().map(|rule| rule.id().to_string()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&of(PEOPLE[0]).policies), ["web".to_owned()].into());
    assert_eq!(ids(&of(PEOPLE[2]).policies), ["carol".to_owned()].into());
    assert_eq!(ids(&of(PEOPLE[4]).policies), [].into());
}

#[test]
fn what_is_kept_for_the_next_question_is_bounded() {
    let rules = Rules::compile(&ops(r#"@id("all") permit (principal, action, resource);"#)).unwrap();
    let most = (0..1_000)
        .map(|number| {
            let who = format!("@somebody-{number}:example.org");
            drop(told(rules.decide(&question(&who, &run("uptime")))));
            rules.scenes.len()
        })
        .max();
    assert_eq!(most, Some(256));
    assert_eq!(rules.clone().scenes.len(), 0);
}
