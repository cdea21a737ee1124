//! The cases that rules must satisfy.

use super::{ops, run};
use crate::{
    catalogue::{Ops, RuleTest, RuleTestAction, RuleTestAnswer},
    model::Invocation,
    policy::{Mutation, Rehearsal, Rules},
};

const RULES: &str = r#"
@id("web-changes") permit (principal in Team::"web", action in Action::"change", resource is System);
@id("reads") permit (principal in Team::"web", action in Action::"read", resource);
@id("two-person-rule") @says("Production needs a lead's word.") @remedy("approval") @by("leads")
forbid (principal, action in Action::"change", resource in Environment::"production")
unless { context.approvals.leads >= 1 };
@id("nights") @says("Not at night.")
forbid (principal, action in Action::"change", resource) when { context.time.hour < 6 };
"#;

fn test(who: &str, what: &str, answer: RuleTestAnswer) -> RuleTest {
    RuleTest {
        file: "policies/tests/all.toml".to_owned(),
        line: Some(3),
        name: "A case".to_owned(),
        who: vec![who.try_into().unwrap()],
        power_level: 0,
        elevated: Vec::new(),
        room: "deploy".to_owned(),
        action: RuleTestAction::Run,
        what: vec![what.to_owned()],
        requester: None,
        at: "2026-01-07T12:00:00Z".parse().unwrap(),
        approved_by: Vec::new(),
        confirmed: false,
        answer,
    }
}

fn permitted(by: &[&str]) -> RuleTestAnswer {
    RuleTestAnswer::Permitted { by: by.iter().map(|&id| id.to_owned()).collect() }
}

fn refused(by: &[&str]) -> RuleTestAnswer {
    RuleTestAnswer::Refused { by: by.iter().map(|&id| id.to_owned()).collect() }
}

fn waits(waits_for: &[&str]) -> RuleTestAnswer {
    RuleTestAnswer::Waits { waits_for: waits_for.iter().map(|&group| group.to_owned()).collect() }
}

const ALICE: &str = "@alice:example.org";
const BOB: &str = "@bob:example.org";
const CAROL: &str = "@carol:partner.example";
const ERIN: &str = "@erin:example.org";

fn read(_room: &str, line: &str) -> Result<Invocation, String> {
    if line.starts_with("depoly") { Err("Did you mean `deploy`?".to_owned()) } else { Ok(run(line)) }
}

fn with(tests: Vec<RuleTest>) -> (Ops, Rules) {
    let mut company = ops(RULES);
    company.rule_tests = tests;
    let rules = Rules::compile(&company).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    (company, rules)
}

fn failures(test: RuleTest) -> Vec<String> {
    let (company, rules) = with(vec![test]);
    rules.rehearse(&company, &read).failures().into_iter().map(|mistake| mistake.what).collect()
}

fn night(test: RuleTest) -> RuleTest {
    RuleTest { at: "2026-01-07T03:00:00Z".parse().unwrap(), ..test }
}

fn approved(test: RuleTest, by: &str) -> RuleTest {
    RuleTest { approved_by: vec![by.try_into().unwrap()], ..test }
}

#[test]
fn a_case_that_the_rules_satisfy_says_nothing() {
    for test in [
        test(BOB, "deploy web staging", permitted(&[])),
        test(BOB, "deploy web staging", permitted(&["web-changes"])),
        test(BOB, "wipe web", refused(&[])),
        night(test(BOB, "deploy web staging", refused(&["nights"]))),
        test(BOB, "deploy web production", waits(&["leads"])),
        approved(test(BOB, "deploy web production", permitted(&["web-changes"])), ERIN),
        approved(test(ALICE, "deploy web production", waits(&["leads"])), ALICE),
        RuleTest { elevated: vec!["web".to_owned()], ..test(CAROL, "deploy web staging", permitted(&[])) },
        RuleTest {
            action: RuleTestAction::Reload,
            what: Vec::new(),
            ..test(ERIN, "", permitted(&["reload"]))
        },
        RuleTest {
            action: RuleTestAction::Approve,
            requester: Some(BOB.try_into().unwrap()),
            ..test(ERIN, "deploy web production", refused(&[]))
        },
    ] {
        let name = format!("{test:?}");
        assert_eq!(failures(test), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_case_that_fails_is_told_in_a_sentence_at_its_place() {
    let (company, rules) = with(vec![test(BOB, "deploy web production", permitted(&[]))]);
    let found = rules.rehearse(&company, &read).failures();
    assert_eq!(
        found[0].to_string(),
        "policies/tests/all.toml:3: \"A case\": `deploy web production` by @bob:example.org in deploy is waiting for `leads`, \
         and should be permitted. Mend the rule, or the test if it is the test that is wrong."
    );
    for (test, says) in [
        (
            test(BOB, "wipe web", permitted(&["reads"])),
            "is refused, because no rule permits it, and should be permitted by `reads`",
        ),
        (
            test(BOB, "deploy web staging", refused(&["nights"])),
            "is permitted by `web-changes`, and should be refused by `nights`",
        ),
        (
            night(test(BOB, "deploy web staging", refused(&[]))),
            "is refused by `nights`, and should be refused, because no rule permits it",
        ),
        (
            approved(test(BOB, "deploy web production", waits(&["leads"])), ERIN),
            "and should be waiting for `leads`",
        ),
        (
            test(BOB, "nothing", permitted(&[])),
            "is refused with an error (there is no command `nothing` in the ops folder)",
        ),
        (test(BOB, "depoly web", permitted(&[])), "`depoly web` is not understood in deploy"),
    ] {
        let failures = failures(test);
        assert!(failures.len() == 1 && failures[0].contains(says), "{says}\n{failures:?}");
    }
}

#[test]
fn a_case_that_names_what_does_not_exist_is_a_mistake_with_the_nearest() {
    for (case, what, mend) in [
        (test(BOB, "uptime", refused(&["nihgts"])), "there is no rule `nihgts`", "Did you mean \"nights\"?"),
        (test(BOB, "uptime", waits(&["leeds"])), "there is no team `leeds`", "Did you mean \"leads\"?"),
        (
            RuleTest { room: "deplyo".to_owned(), ..test(BOB, "uptime", permitted(&[])) },
            "there is no room `deplyo`",
            "Did you mean \"deploy\"?",
        ),
        (
            RuleTest { elevated: vec!["wbe".to_owned()], ..test(BOB, "uptime", permitted(&[])) },
            "there is no team `wbe`",
            "Did you mean \"web\"?",
        ),
    ] {
        let mut company = ops(RULES);
        company.rule_tests = vec![case];
        let found = Rules::compile(&company).unwrap_err();
        assert_eq!(found[0].what, format!("\"A case\": {what}"));
        assert_eq!((found[0].mend.as_str(), found[0].line), (mend, Some(3)));
    }
}

fn whole() -> Vec<RuleTest> {
    vec![
        test(BOB, "deploy web staging", permitted(&[])),
        test(BOB, "uptime", permitted(&[])),
        test(CAROL, "uptime", refused(&[])),
        test(BOB, "deploy web production", waits(&["leads"])),
        approved(test(BOB, "deploy web production", permitted(&[])), ERIN),
        night(test(BOB, "deploy web staging", refused(&["nights"]))),
        RuleTest { action: RuleTestAction::Reload, what: Vec::new(), ..test(ERIN, "", permitted(&[])) },
    ]
}

#[test]
fn rules_that_no_case_reaches_are_told() {
    let unreached = |tests| {
        let (company, rules) = with(tests);
        rules.rehearse(&company, &read).unreached()
    };
    assert_eq!(unreached(whole()), Vec::<String>::new());
    let mut less = whole();
    less.truncate(4);
    assert_eq!(unreached(less), ["nights", "reload"]);
}

#[test]
fn commands_that_no_case_decides_for_a_team_of_their_room_are_told() {
    let (company, rules) = with(vec![test(BOB, "deploy web staging", permitted(&[]))]);
    let undecided = rules.rehearse(&company, &read).undecided();
    assert_eq!(undecided.keys().collect::<Vec<_>>(), ["hand-over", "uptime", "wipe"]);
    assert_eq!(undecided["wipe"], ["web"]);
}

#[test]
fn a_change_to_a_rule_that_no_case_notices_is_told() {
    let survivors = |tests| {
        let (company, rules) = with(tests);
        let rehearsal: Rehearsal<'_> = rules.rehearse(&company, &read);
        let survivors = rehearsal.survivors();
        survivors.into_iter().map(|it| format!("{} {}", it.rule, it.change.name())).collect::<Vec<_>>()
    };
    assert_eq!(survivors(whole()), Vec::<String>::new());
    let mut less = whole();
    less.remove(5);
    assert_eq!(survivors(less), [format!("nights {}", Mutation::Dropped.name())]);
    let mut less = whole();
    less.remove(6);
    assert_eq!(survivors(less), ["reload dropped"]);
}
