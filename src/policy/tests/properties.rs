//! What holds for any rules, any people and any commands.

use proptest::prelude::*;

use super::{ask, compile};

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

fn rule() -> impl Strategy<Value = String> {
    (principal(), action(), resource(), condition()).prop_map(|(principal, action, resource, condition)| {
        // Who may see what was printed knows no time and no approvals, so a rule about those names its actions.
        let timed = action == "action" && condition.contains("context.");
        let action = if timed { r#"action in Action::"run""# } else { action };
        format!("({principal}, {action}, {resource}) {condition};")
    })
}

fn text(permits: &[String], forbids: &[String]) -> String {
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
