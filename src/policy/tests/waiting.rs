//! What waits for an approval or a confirmation, and what counts as one.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId, user_id};

use super::{ask, compile, question, run};
use crate::policy::{Action, Answer, Decision, NeedOf, Question, Rules, Wait, Why};

const ALICE: &str = "@alice:example.org";
const BOB: &str = "@bob:example.org";
const CAROL: &str = "@carol:partner.example";
const ERIN: &str = "@erin:example.org";

const RULES: &str = r#"
@id("all") permit (principal, action in Action::"run", resource);
@id("two-person-rule") @says("Changes in production need one approval by a lead who is not the requester.")
@remedy("approval") @by("leads") @count("1")
forbid (principal, action in Action::"change", resource in Environment::"production")
unless { context.approvals.leads >= 1 };
@id("both") @says("Wiping needs one of web and one of partner.")
@remedy("approval") @by("web, partner")
forbid (principal, action == Action::"wipe", resource)
unless { context.approvals.web >= 1 && context.approvals.partner >= 1 && context.approvals.total >= 2 };
@id("sure") @says("Say it twice.") @remedy("confirm")
forbid (principal, action == Action::"wipe", resource)
unless { context.confirmed };
@id("no-sundays") @says("Not on Sundays.")
forbid (principal, action in Action::"change", resource)
when { context.time.weekday == "sunday" };
"#;

fn people(ids: &[&str]) -> BTreeSet<OwnedUserId> {
    ids.iter().map(|&id| OwnedUserId::try_from(id).unwrap()).collect()
}

fn decide(rules: &Rules, who: &str, line: &str, approvals: &[&str], confirmed: bool) -> Decision {
    let (invocation, approvals) = (run(line), people(approvals));
    rules.decide(&Question { approvals: &approvals, confirmed, ..question(who, &invocation) })
}

fn waits(decision: Decision) -> Wait {
    match decision {
        Decision::Waits(wait) => wait,
        other => panic!("does not wait: {other:?}"),
    }
}

#[test]
fn what_needs_an_approval_waits_for_it_and_says_of_whom() {
    let wait = waits(decide(&compile(RULES), BOB, "deploy web production", &[], false));
    assert_eq!(wait.policies, ["two-person-rule"]);
    let [need] = &*wait.needs else { panic!("{wait:?}") };
    assert_eq!(need.rule, "two-person-rule");
    assert!(need.says.starts_with("Changes in production need"));
    assert_eq!(need.of, [NeedOf { team: "leads".to_owned(), count: 1, given: 0 }]);
    assert_eq!((need.of[0].missing(), wait.confirm), (1, vec![]));
}

#[test]
fn an_approval_of_somebody_who_counts_permits() {
    let rules = compile(RULES);
    let Decision::Permitted(permit) = decide(&rules, BOB, "deploy web production", &[ERIN], false) else {
        panic!("not permitted")
    };
    assert_eq!(permit.inputs().to_json()["approved_by"][0], ERIN);
    assert_eq!(permit.inputs().to_json()["context"]["approvals"]["leads"], 1);
    let _ = waits(decide(&rules, BOB, "deploy web production", &[CAROL], false));
}

#[test]
fn the_one_who_asks_never_counts() {
    let wait = waits(decide(&compile(RULES), ALICE, "deploy web production", &[ALICE], false));
    assert_eq!(wait.needs[0].of[0].given, 0);
    assert_eq!(wait.inputs.to_json()["context"]["approvals"]["total"], 0);
}

#[test]
fn one_of_each_team_means_two_people_and_a_confirmation_is_asked_for_beside_them() {
    let rules = compile(RULES);
    let wait = waits(decide(&rules, ALICE, "wipe web", &[BOB], false));
    assert_eq!(wait.policies, ["both", "sure"]);
    assert_eq!(wait.confirm, [("sure".to_owned(), "Say it twice.".to_owned())]);
    let given: Vec<_> = wait.needs[0].of.iter().map(|of| (of.team.as_str(), of.given)).collect();
    assert_eq!(given, [("web", 1), ("partner", 0)]);
    assert_eq!(waits(decide(&rules, ALICE, "wipe web", &[BOB, CAROL], false)).policies, ["sure"]);
    assert_eq!(waits(decide(&rules, ALICE, "wipe web", &[BOB], true)).policies, ["both"]);
    assert!(matches!(decide(&rules, ALICE, "wipe web", &[BOB, CAROL], true), Decision::Permitted(_)));
}

#[test]
fn nothing_waits_that_another_rule_forbids_or_no_rule_permits() {
    let rules = compile(RULES);
    let deploy = run("deploy web production");
    let sunday = Question { now: "2026-11-22T10:00:00Z".parse().unwrap(), ..question(BOB, &deploy) };
    let Decision::Refused(refusal) = rules.decide(&sunday) else { panic!("not refused") };
    assert_eq!((refusal.why, refusal.policies.len()), (Why::Forbidden, 2));
    let alone = compile(&RULES.replace(r#"action in Action::"run""#, r#"action == Action::"help""#));
    let refusal = ask(&alone, BOB, "deploy web production").unwrap_err();
    assert_eq!((refusal.why, refusal.policies), (Why::Forbidden, vec!["two-person-rule".to_owned()]));
    assert!(matches!(decide(&alone, BOB, "deploy web production", &[], false), Decision::Refused(_)));
}

#[test]
fn nothing_waits_where_a_rule_cannot_be_evaluated() {
    let rules = compile(&format!(
        r#"{RULES} @id("errs") permit (principal, action == Action::"deploy", resource)
        when {{ context.time.hour * 9223372036854775807 > 5 }};"#
    ));
    let deploy = run("deploy web production");
    let later = Question { now: "2026-11-23T10:00:00Z".parse().unwrap(), ..question(BOB, &deploy) };
    let Decision::Refused(refusal) = rules.decide(&later) else { panic!("not refused") };
    assert_eq!(refusal.why, Why::Evaluation);
}

#[test]
fn somebody_may_be_of_a_team_for_a_while_and_it_is_recorded() {
    let rules = compile(
        r#"@id("on-call") permit (principal in Team::"on-call", action in Action::"run", resource);
        @id("leads") permit (principal in Team::"leads", action == Action::"wipe", resource);"#,
    );
    let (uptime, wipe) = (run("uptime"), run("wipe web"));
    let may = |invocation, teams: &[&str]| {
        let elevated = teams.iter().map(|&team| team.to_owned()).collect();
        match rules.decide(&Question { elevated: &elevated, ..question(BOB, invocation) }) {
            Decision::Permitted(permit) => {
                assert_eq!(permit.inputs().to_json()["elevated"], serde_json::json!(elevated));
                true
            }
            _ => false,
        }
    };
    assert!(!may(&uptime, &[]) && !may(&uptime, &["partner"]) && !may(&uptime, &["no-such-team"]));
    assert!(may(&uptime, &["on-call"]) && may(&uptime, &["on-call-leads"]));
    assert!(may(&wipe, &["web-leads"]));
}

#[test]
fn a_team_for_a_while_makes_nobody_an_approver() {
    let rules = compile(RULES);
    let deploy = run("deploy web production");
    let (approvals, elevated) = (people(&[CAROL]), BTreeSet::from(["leads".to_owned()]));
    let asked = Question { approvals: &approvals, elevated: &elevated, ..question(BOB, &deploy) };
    let _ = waits(rules.decide(&asked));
}

#[test]
fn approving_refusing_and_stopping_are_actions_of_their_own() {
    let rules = compile(
        r#"@id("approve") permit (principal in Team::"leads", action in [Action::"approve", Action::"deny"],
            resource in Environment::"production")
        when { context.command == "deploy" && context.effect == "change" } unless { context.requester == principal };
        @id("own") permit (principal, action == Action::"cancel", resource) when { context.requester == principal };"#,
    );
    let (of, bob) = (&run("deploy web production"), user_id!("@bob:example.org"));
    let may = |who: &str, action| {
        let asked = Question { action, ..question(who, of) };
        matches!(rules.decide(&asked), Decision::Permitted(_))
    };
    assert!(
        may(ERIN, Action::Approve { of, requester: bob }) && may(ERIN, Action::Deny { of, requester: bob })
    );
    assert!(!may(BOB, Action::Approve { of, requester: bob }));
    let requester: &UserId = user_id!("@erin:example.org");
    assert!(!may(ERIN, Action::Approve { of, requester }) && may(ERIN, Action::Cancel { of, requester }));
    assert!(!may(BOB, Action::Cancel { of, requester }));
    let staging = &run("deploy web staging");
    assert!(!may(ERIN, Action::Approve { of: staging, requester: bob }));
}

#[test]
fn permits_to_do_different_things_about_one_request_are_different() {
    let rules = compile(r#"@id("all") permit (principal, action, resource);"#);
    let (of, other) = (&run("deploy web production"), &run("deploy web staging"));
    let requester = user_id!("@bob:example.org");
    let (approve, deny) = (Action::Approve { of, requester }, Action::Deny { of, requester });
    let another = Action::Approve { of: other, requester };
    let elsewhere = Action::Approve { of, requester: user_id!("@erin:example.org") };
    let digests: BTreeSet<_> = [approve, deny, another, elsewhere, Action::Cancel { of, requester }]
        .into_iter()
        .map(|action| match rules.decide(&Question { action, ..question(ALICE, of) }) {
            Decision::Permitted(permit) => permit.invocation_digest(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(digests.len(), 5);
    assert!(!digests.contains(&of.digest()));
}

#[test]
fn what_was_printed_is_decided_without_time_and_approvals() {
    let found = super::mistakes(
        r#"@id("r") permit (principal, action == Action::"read_output", resource)
        when { context.time.hour > 5 };"#,
    );
    assert!(found[0].what.contains("time"), "{found:?}");
}

#[test]
fn the_hour_is_that_of_the_zone_of_the_settings() {
    let mut company = super::ops(
        r#"@id("r") permit (principal, action in Action::"run", resource)
        when { context.time.weekday == "monday" && context.time.hour == 2 }
        when { context.time.now == datetime("2026-11-23T01:30:00Z") };"#,
    );
    let utc = Rules::compile(&company).unwrap();
    assert!(ask(&utc, BOB, "uptime").is_err());
    company.settings.time_zone = jiff::tz::TimeZone::get("Europe/Zurich").unwrap();
    let zurich = Rules::compile(&company).unwrap();
    assert!(ask(&zurich, BOB, "uptime").is_ok());
    assert_ne!(utc.digest(), zurich.digest());
}

#[test]
fn an_explanation_tells_what_permits_what_forbids_and_what_is_missing() {
    let rules = compile(RULES);
    let deploy = run("deploy web production");
    let why = rules.explain(&question(BOB, &deploy));
    assert_eq!(why.answer, Answer::Waits);
    let ids = |told: &[crate::policy::Told]| told.iter().map(|told| told.id.clone()).collect::<Vec<_>>();
    assert_eq!(
        (ids(&why.permits), ids(&why.forbids)),
        (vec!["all".to_owned()], vec!["two-person-rule".to_owned()])
    );
    assert_eq!(why.forbids[0].place, "policies/rules.cedar:3");
    assert_eq!(why.needs[0].of[0].missing(), 1);
    assert_eq!((why.elsewhere, why.errors), (vec![], vec![]));
}

#[test]
fn an_explanation_tells_nothing_permits_it_from_this_forbids_it() {
    let rules = compile(
        r#"@id("web") @says("The web team deploys.") permit (principal in Team::"web", action == Action::"deploy", resource);
        @id("uptime") permit (principal, action == Action::"uptime", resource);
        @id("never") @says("Never.") forbid (principal, action == Action::"wipe", resource);"#,
    );
    let (deploy, wipe) = (run("deploy web staging"), run("wipe web"));
    let why = rules.explain(&question(CAROL, &deploy));
    assert_eq!((why.answer, why.elsewhere.len()), (Answer::Refused(Why::NothingPermits), 1));
    assert_eq!(why.elsewhere[0].says, "The web team deploys.");
    let why = rules.explain(&question(CAROL, &wipe));
    assert_eq!((why.answer, why.forbids.len()), (Answer::Refused(Why::Forbidden), 1));
    let nothing = rules.explain(&question(CAROL, &run("nothing")));
    assert_eq!((nothing.answer, nothing.errors.len()), (Answer::Refused(Why::Evaluation), 1));
}
