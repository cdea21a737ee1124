//! What holds for any rules, any people and any commands.

use std::collections::BTreeSet;

use proptest::prelude::*;
use ruma::OwnedUserId;

use super::{ask, compile, question, run};
use crate::policy::{Decision, Question};

const PEOPLE: &[&str] = &[
    "@alice:example.org",
    "@bob:example.org",
    "@carol:partner.example",
    "@erin:example.org",
    "@mallory:elsewhere.example",
];
const LINES: &[&str] = &[
    "deploy web staging",
    "deploy web production",
    "deploy db production",
    "wipe web",
    "hand-over @bob:example.org",
    "uptime",
    "help",
];

fn principal() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "principal",
        r#"principal in Team::"web""#,
        r#"principal in Team::"leads""#,
        r#"principal == User::"@bob:example.org""#,
        r#"principal in Team::"partner""#,
    ])
}

fn action() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "action",
        r#"action in Action::"run""#,
        r#"action in Action::"change""#,
        r#"action in [Action::"read", Action::"danger"]"#,
        r#"action == Action::"deploy""#,
        r#"action in Action::"tag:release""#,
    ])
}

fn resource() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "resource",
        r#"resource in Environment::"production""#,
        r#"resource in System::"web""#,
        "resource is Room",
        r#"resource == System::"web@staging""#,
    ])
}

fn condition() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        r#"when { principal.homeserver == "example.org" }"#,
        "unless { principal.power_level >= 50 }",
        "when { context.time.hour < 6 }",
        "unless { context.approvals.total >= 1 }",
        "when { context.time.hour * 9223372036854775807 > 0 }",
        "when { resource is System && principal in resource.owner }",
    ])
}

pub fn rule() -> impl Strategy<Value = String> {
    (principal(), action(), resource(), condition()).prop_map(|(principal, action, resource, condition)| {
        // Who may see what was printed knows no time and no approvals, so a rule about those names its actions.
        let timed = action == "action" && condition.contains("context.");
        let action = if timed { r#"action in Action::"run""# } else { action };
        format!("({principal}, {action}, {resource}) {condition};")
    })
}

pub fn text(permits: &[String], forbids: &[String]) -> String {
    let permits = permits.iter().enumerate().map(|(n, rule)| format!("@id(\"p{n}\") permit {rule}\n"));
    // A forbid of everything would leave nobody who may reload, and such a folder is a mistake.
    let forbids: Vec<_> =
        forbids.iter().map(|rule| rule.replace(", action,", r#", action in Action::"run","#)).collect();
    let forbids =
        forbids.iter().enumerate().map(|(n, rule)| format!("@id(\"f{n}\") @says(\"No.\") forbid {rule}\n"));
    permits.chain(forbids).collect()
}

fn permitted(rules: &str) -> Vec<(&'static str, &'static str)> {
    let rules = compile(rules);
    PEOPLE
        .iter()
        .flat_map(|&who| LINES.iter().map(move |&line| (who, line)))
        .filter(|(who, line)| ask(&rules, who, line).is_ok())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn adding_a_forbid_never_widens_what_is_permitted(
        permits in prop::collection::vec(rule(), 1..4),
        forbids in prop::collection::vec(rule(), 0..3),
        added in rule(),
    ) {
        let before = permitted(&text(&permits, &forbids));
        let after = permitted(&text(&permits, &[forbids, vec![added]].concat()));
        prop_assert!(after.iter().all(|pair| before.contains(pair)), "{after:?}\n{before:?}");
    }

    #[test]
    fn without_a_permit_nothing_is_permitted(forbids in prop::collection::vec(rule(), 0..4)) {
        prop_assert_eq!(permitted(&text(&[], &forbids)), vec![]);
    }

    #[test]
    fn any_text_gives_rules_or_mistakes_with_a_place_and_never_a_panic(text in ".{0,200}") {
        for mistake in super::mistakes(&text) {
            prop_assert!(mistake.line.is_some() && !mistake.mend.is_empty(), "{}", mistake);
        }
    }

    #[test]
    fn a_command_without_warning_may_be_permitted_and_one_nobody_may_run_has_one(
        permits in prop::collection::vec((principal(), action(), resource()), 1..4),
    ) {
        // Without conditions the warnings are exact.
        let permits: Vec<_> = permits.into_iter().map(|(p, a, r)| format!("({p}, {a}, {r});")).collect();
        let text = text(&permits, &[]);
        let warned: Vec<_> = compile(&text).warnings().iter().map(|warning| warning.0.what.clone()).collect();
        let permitted = permitted(&text);
        for command in ["deploy", "wipe", "hand-over", "uptime", "help"] {
            let may = permitted.iter().any(|(_, line)| line.split(' ').next() == Some(command));
            let warns = warned.iter().any(|what| what.contains(&format!("`{command}`")));
            prop_assert_eq!(may, !warns, "{}: {:?}", command, warned);
        }
    }
}

/// A rule that asks for so many of each of some groups, as `check` would have it.
fn asks_for(groups: &[&str], count: i64) -> String {
    let each: Vec<_> =
        groups.iter().map(|group| format!("context.approvals[\"{group}\"] >= {count}")).collect();
    let people = count * i64::try_from(groups.len()).unwrap();
    format!(
        r#"@id("all") permit (principal, action in Action::"run", resource);
        @id("asks") @says("Ask.") @remedy("approval") @by("{}") @count("{count}")
        forbid (principal, action in Action::"run", resource)
        unless {{ {} && context.approvals.total >= {people} }};"#,
        groups.join(","),
        each.join(" && "),
    )
}

/// Everybody who could say a word, with the groups they are in.
const APPROVERS: &[(&str, &[&str])] = &[
    ("@alice:example.org", &["web", "on-call", "leads", "web-leads"]),
    ("@bob:example.org", &["web"]),
    ("@carol:partner.example", &["partner"]),
    ("@erin:example.org", &["on-call", "leads", "on-call-leads"]),
    ("@mallory:elsewhere.example", &[]),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn fewer_distinct_approvers_than_a_rule_asks_for_never_give_a_permit(
        groups in prop::sample::subsequence(vec!["web", "on-call", "partner", "leads"], 1..=2),
        count in 1_i64..=2,
        asks in prop::sample::select(APPROVERS),
        said in prop::sample::subsequence(APPROVERS.to_vec(), 0..=5),
    ) {
        let rules = compile(&asks_for(&groups, count));
        let invocation = run("uptime");
        let approvals: BTreeSet<OwnedUserId> =
            said.iter().map(|(who, _)| OwnedUserId::try_from(*who).unwrap()).collect();
        let decision = rules.decide(&Question { approvals: &approvals, ..question(asks.0, &invocation) });
        let others: Vec<_> = said.iter().filter(|(who, _)| *who != asks.0).collect();
        let of = |group: &str| others.iter().filter(|(_, groups)| groups.contains(&group)).count();
        let number = usize::try_from(count).unwrap();
        let enough = groups.iter().all(|group| of(group) >= number) && others.len() >= number * groups.len();
        match decision {
            Decision::Permitted(_) => prop_assert!(enough, "{said:?}"),
            Decision::Waits(wait) => {
                prop_assert!(!enough, "{said:?}");
                prop_assert_eq!(wait.needs[0].of.len(), groups.len());
            }
            Decision::Refused(refusal) => prop_assert!(false, "{refusal:?}"),
        }
    }
}
