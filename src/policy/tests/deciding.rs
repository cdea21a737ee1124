//! What is permitted, what is refused, and what is said about it.

use cedar_policy::{
    Authorizer, Context, Decision as Verdict, Entities, EntityUid, PolicySet, Request, Schema,
};
use ruma::user_id;
use serde_json::json;

use super::{ask, compile, invocation, ops, question, run};
use crate::{
    model::Value,
    policy::{Action, Decision, Question, Refusal, Remedy, Rules, Why},
};

const ALICE: &str = "@alice:example.org";
const BOB: &str = "@bob:example.org";
const CAROL: &str = "@carol:partner.example";
const ERIN: &str = "@erin:example.org";
const MALLORY: &str = "@mallory:elsewhere.example";

const ALL: &str = r#"@id("all") permit (principal, action, resource);"#;

fn refused(decision: Decision) -> Refusal {
    match decision {
        Decision::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_no_rule_permits_is_refused() {
    let rules =
        compile(r#"@id("web") permit (principal in Team::"web", action in Action::"change", resource);"#);
    let refusal = ask(&rules, BOB, "wipe web").unwrap_err();
    assert_eq!(refusal.why, Why::NothingPermits);
    assert_eq!((refusal.policies, refusal.says, refusal.errors), (vec![], vec![], vec![]));
    assert_eq!(refusal.rules, rules.digest());
}

#[test]
fn without_any_rule_everything_is_refused_even_help() {
    let rules = compile("");
    assert_eq!(rules.ids().collect::<Vec<_>>(), ["reload"]);
    for line in ["help", "uptime", "deploy web staging"] {
        assert_eq!(ask(&rules, ALICE, line).unwrap_err().why, Why::NothingPermits, "{line}");
    }
}

#[test]
fn a_permit_names_the_rules_it_comes_from_and_is_for_exactly_one_invocation() {
    let rules = compile(&format!(
        r#"{ALL}
        @id("a-web") permit (principal in Team::"web", action, resource);"#
    ));
    let staging = run("deploy web staging");
    let Decision::Permitted(permit) = rules.decide(&question(BOB, &staging)) else { panic!("refused") };
    assert_eq!(permit.policies(), ["a-web", "all"]);
    assert_eq!((permit.principal().as_str(), permit.room()), (BOB, "deploy"));
    assert_eq!(permit.rules(), rules.digest());
    assert_eq!(permit.decided_at().to_string(), "2026-11-23T01:30:00Z");
    assert_eq!(permit.invocation_digest(), staging.digest());
    assert!(permit.is_for(&staging));
    assert!(!permit.is_for(&run("deploy web production")));
}

#[test]
fn a_forbid_beats_every_permit_and_says_why_in_its_own_words() {
    let rules = compile(&format!(
        r#"{ALL}
        @id("freeze") @says("Nothing changes this week.")
        forbid (principal, action in Action::"change", resource);
        @id("bob-waits") @says("Bob is on leave.")
        forbid (principal == User::"@bob:example.org", action, resource);"#
    ));
    let refusal = ask(&rules, BOB, "deploy web staging").unwrap_err();
    assert_eq!(refusal.why, Why::Forbidden);
    assert_eq!(refusal.policies, ["bob-waits", "freeze"]);
    assert_eq!(
        refusal.says,
        [
            ("bob-waits".to_owned(), "Bob is on leave.".to_owned()),
            ("freeze".to_owned(), "Nothing changes this week.".to_owned())
        ]
    );
    assert_eq!(ask(&rules, ALICE, "uptime"), Ok(vec!["all".to_owned()]));
}

#[test]
fn a_forbid_that_cannot_be_evaluated_refuses_and_is_named() {
    // Cedar itself skips a rule that errs, and would permit this.
    let rules = compile(&format!(
        r#"{ALL}
        @id("no-overflow") @says("Too much.")
        forbid (principal, action == Action::"hand-over", resource)
        when {{ context.arguments has count && context.arguments.count * 9223372036854775807 > 9 }};"#
    ));
    let with = |count| {
        let to = Value::User(user_id!("@bob:example.org").to_owned());
        invocation("hand-over", &[("to", to), ("count", Value::Integer(count))], None)
    };
    let refusal = refused(rules.decide(&question(ALICE, &with(2))));
    assert_eq!(refusal.why, Why::Evaluation);
    assert_eq!(refusal.policies, ["no-overflow"]);
    assert!(refusal.errors[0].starts_with("rule `no-overflow`: "), "{:?}", refusal.errors);
    assert!(matches!(rules.decide(&question(ALICE, &with(0))), Decision::Permitted(_)));
}

#[test]
fn a_permit_that_cannot_be_evaluated_refuses_what_another_permits() {
    let rules = compile(&format!(
        r#"{ALL}
        @id("errs") permit (principal, action == Action::"hand-over", resource)
        when {{ context.arguments.to.power_level > 50 }};"#
    ));
    let refusal = ask(&rules, ALICE, "hand-over @bob:example.org").unwrap_err();
    assert_eq!((refusal.why, refusal.policies), (Why::Evaluation, vec!["errs".to_owned()]));
    assert!(ask(&rules, ALICE, "uptime").is_ok());
}

#[test]
fn somebody_whom_no_team_knows_is_in_no_group() {
    let rules = compile(
        r#"@id("teams") permit (principal in Team::"web", action, resource);
        @id("help") permit (principal, action == Action::"help", resource);"#,
    );
    assert_eq!(ask(&rules, MALLORY, "deploy web staging").unwrap_err().why, Why::NothingPermits);
    assert_eq!(ask(&rules, MALLORY, "help"), Ok(vec!["help".to_owned()]));
}

#[test]
fn a_name_that_looks_like_a_members_is_another_person() {
    let rules = compile(r#"@id("web") permit (principal in Team::"web", action, resource);"#);
    for who in
        ["@alice:elsewhere.example", "@Alice:example.org", "@alice:example.org:8448", "@аlice:example.org"]
    {
        assert!(ask(&rules, who, "uptime").is_err(), "{who}");
    }
}

#[test]
fn the_homeserver_of_a_remote_user_is_an_attribute() {
    let rules = compile(&format!(
        r#"{ALL}
        @id("partner-looks") @says("Partners look.")
        forbid (principal, action in [Action::"change", Action::"danger"], resource)
        when {{ principal.homeserver != "example.org" }};"#
    ));
    assert_eq!(ask(&rules, CAROL, "uptime"), Ok(vec!["all".to_owned()]));
    assert_eq!(ask(&rules, CAROL, "deploy web staging").unwrap_err().policies, ["partner-looks"]);
    assert!(ask(&rules, BOB, "deploy web staging").is_ok());
}

#[test]
fn leads_are_in_their_teams_leads_and_in_the_leads_of_all_teams() {
    let may = |rule: &str, who| ask(&compile(rule), who, "uptime").is_ok();
    let all = r#"@id("r") permit (principal in Team::"leads", action, resource);"#;
    assert!(may(all, ALICE) && may(all, ERIN));
    assert!(!may(all, BOB) && !may(all, CAROL));
    let of_web = r#"@id("r") permit (principal in Team::"web-leads", action, resource);"#;
    assert!(may(of_web, ALICE));
    assert!(!may(of_web, ERIN) && !may(of_web, BOB));
    let web = r#"@id("r") permit (principal in Team::"web", action, resource);"#;
    assert!(may(web, ALICE) && may(web, BOB));
}

#[test]
fn a_subject_is_in_its_system_and_its_environment_and_has_an_owner() {
    let may = |rule: &str, who, line| ask(&compile(rule), who, line).is_ok();
    let staging = r#"@id("r") permit (principal, action, resource in Environment::"staging");"#;
    assert!(may(staging, BOB, "deploy web staging"));
    assert!(!may(staging, BOB, "deploy web production"));
    let web = r#"@id("r") permit (principal, action, resource in System::"web");"#;
    assert!(may(web, BOB, "deploy web production"));
    assert!(!may(web, BOB, "deploy db production"));
    let one = r#"@id("r") permit (principal, action, resource == System::"web@staging");"#;
    assert!(may(one, BOB, "deploy web staging"));
    let owner = r#"@id("r") permit (principal, action in Action::"change", resource is System)
        when { principal in resource.owner };"#;
    assert!(may(owner, BOB, "deploy web production") && may(owner, ERIN, "deploy db production"));
    assert!(!may(owner, BOB, "deploy db production"));
    let lead = r#"@id("r") permit (principal, action in Action::"change", resource is System)
        when { principal in resource.owner_leads && resource.criticality == "high" };"#;
    assert!(may(lead, ALICE, "deploy web production"));
    assert!(!may(lead, BOB, "deploy web production") && !may(lead, ERIN, "deploy db production"));
}

#[test]
fn a_command_without_subject_acts_on_the_room() {
    let rules = compile(r#"@id("r") permit (principal, action, resource == Room::"deploy");"#);
    assert!(ask(&rules, BOB, "uptime").is_ok());
    let uptime = run("uptime");
    let elsewhere = Question { room: "status", ..question(BOB, &uptime) };
    assert_eq!(refused(rules.decide(&elsewhere)).why, Why::NothingPermits);
}

#[test]
fn the_room_is_in_the_context_of_a_command_with_a_subject() {
    let rules = compile(
        r#"@id("r") permit (principal, action == Action::"deploy", resource)
        when { context.room == Room::"deploy" };"#,
    );
    let deploy = run("deploy web staging");
    assert!(matches!(rules.decide(&question(BOB, &deploy)), Decision::Permitted(_)));
    let _ = refused(rules.decide(&Question { room: "status", ..question(BOB, &deploy) }));
}

#[test]
fn groups_of_effect_and_tag_hold_their_commands() {
    let may = |group: &str, line| {
        let rule = format!(r#"@id("r") permit (principal, action in Action::"{group}", resource);"#);
        ask(&compile(&rule), BOB, line).is_ok()
    };
    assert!(may("read", "uptime") && may("read", "help") && !may("read", "wipe web"));
    assert!(may("change", "deploy web staging") && !may("change", "wipe web"));
    assert!(may("danger", "wipe web") && !may("danger", "uptime"));
    assert!(may("tag:release", "wipe web") && !may("tag:release", "ping"));
    assert!(may("tag:builtin", "ping") && !may("tag:builtin", "uptime"));
    assert!(may("run", "wipe web") && may("run", "ping"));
}

#[test]
fn arguments_are_typed_and_optional_ones_may_be_absent() {
    let rules = compile(
        r#"@id("r") permit (principal, action == Action::"hand-over", resource)
        when { context.arguments.to in Team::"web" }
        unless { context.arguments has "dry-run" && context.arguments["dry-run"] }
        unless { context.arguments has "in" && context.arguments["in"] > duration("1h") }
        unless { context.arguments has hosts && context.arguments.hosts.contains("db1") };"#,
    );
    let to = |id: &str| ("to", Value::User(id.try_into().unwrap()));
    let may = |arguments: &[_]| {
        let invocation = invocation("hand-over", arguments, None);
        matches!(rules.decide(&question(ALICE, &invocation)), Decision::Permitted(_))
    };
    assert!(may(&[to(BOB)]));
    assert!(!may(&[to(CAROL)]) && !may(&[to(MALLORY)]));
    assert!(may(&[to(BOB), ("dry-run", Value::Boolean(false))]));
    assert!(!may(&[to(BOB), ("dry-run", Value::Boolean(true))]));
    assert!(may(&[to(BOB), ("in", Value::Duration(3600))]));
    assert!(!may(&[to(BOB), ("in", Value::Duration(3601))]));
    let hosts = |names: &[&str]| {
        ("hosts", Value::List(names.iter().map(|&name| Value::Text(name.to_owned())).collect()))
    };
    assert!(may(&[to(BOB), hosts(&["web1"])]) && may(&[to(BOB), hosts(&[])]));
    assert!(!may(&[to(BOB), hosts(&["web1", "db1"])]));
}

#[test]
fn the_time_is_that_of_the_question_in_utc() {
    let rules = compile(
        r#"@id("r") permit (principal, action in Action::"run", resource)
        when { context.time.weekday == "monday" && context.time.hour == 1 && context.time.minute == 30 }
        when { context.time.now >= datetime("2026-11-23") && context.time.now < datetime("2026-11-24") };"#,
    );
    assert!(ask(&rules, BOB, "uptime").is_ok());
    let uptime = run("uptime");
    for now in ["2026-11-23T02:30:00Z", "2026-11-22T01:30:00Z", "2026-11-30T01:30:00Z"] {
        let _ = refused(rules.decide(&Question { now: now.parse().unwrap(), ..question(BOB, &uptime) }));
    }
}

#[test]
fn the_power_level_is_that_of_the_question() {
    let rules =
        compile(r#"@id("r") permit (principal, action, resource) when { principal.power_level >= 50 };"#);
    let uptime = run("uptime");
    let _ = refused(rules.decide(&Question { power_level: 49, ..question(BOB, &uptime) }));
    let decision = rules.decide(&Question { power_level: 50, ..question(BOB, &uptime) });
    assert!(matches!(decision, Decision::Permitted(_)));
}

#[test]
fn nobody_has_approved_yet_and_the_refusal_says_who_could() {
    let rules = compile(&format!(
        r#"{ALL}
        @id("two-person-rule") @says("Changes in production need one approval by a lead who is not the requester.")
        @remedy("approval") @by("leads, on-call") @count("2")
        forbid (principal, action in Action::"change", resource in Environment::"production")
        unless {{ context.approvals.leads >= 2 && context.approvals["on-call"] >= 2 && context.approvals.total >= 4 }};"#
    ));
    let refusal = ask(&rules, ALICE, "deploy web production").unwrap_err();
    let remedy = Remedy::Approval { by: vec!["leads".to_owned(), "on-call".to_owned()], count: 2 };
    assert_eq!(refusal.remedies, [("two-person-rule".to_owned(), remedy)]);
    assert!(ask(&rules, ALICE, "deploy web staging").is_ok());
}

#[test]
fn what_the_ops_folder_does_not_have_is_refused_whatever_the_rules_say() {
    let rules = compile(ALL);
    for (what, invocation) in [
        ("a command", run("nothing")),
        ("a system", run("deploy nothing staging")),
        ("an environment", run("deploy db staging")),
        (
            "no subject",
            invocation(
                "deploy",
                &run("deploy web staging")
                    .arguments
                    .iter()
                    .map(|(k, v)| (k.as_str(), v.clone()))
                    .collect::<Vec<_>>(),
                None,
            ),
        ),
        ("a missing argument", invocation("deploy", &[], Some("web@staging"))),
        ("an unknown argument", invocation("uptime", &[("x", Value::Boolean(true))], None)),
        ("a wrong type", invocation("hand-over", &[("to", Value::Text("bob".to_owned()))], None)),
        ("a group", run("run")),
        ("what is no command", run("read_audit")),
    ] {
        let refusal = refused(rules.decide(&question(ALICE, &invocation)));
        assert_eq!(refusal.why, Why::Evaluation, "{what}");
        assert_eq!(refusal.errors.len(), 1, "{what}");
    }
    let uptime = run("uptime");
    let refusal = refused(rules.decide(&Question { room: "nowhere", ..question(ALICE, &uptime) }));
    assert_eq!(refusal.errors, ["there is no room `nowhere` in the ops folder"]);
}

#[test]
fn reading_the_log_and_the_output_of_others_are_actions_of_their_own() {
    let rules = compile(
        r#"@id("log") permit (principal in Team::"leads", action == Action::"read_audit", resource == Room::"deploy");
        @id("own-output") permit (principal, action == Action::"read_output", resource)
        when { context.requester == principal && context.command == "deploy" };"#,
    );
    let uptime = run("uptime");
    let may = |who, action| {
        matches!(rules.decide(&Question { action, ..question(who, &uptime) }), Decision::Permitted(_))
    };
    assert!(may(ALICE, Action::ReadAudit) && !may(BOB, Action::ReadAudit));
    let output =
        |requester| Action::ReadOutput { command: "deploy", requester, subject: Some("web@staging") };
    assert!(may(BOB, output(user_id!("@bob:example.org"))));
    assert!(!may(ALICE, output(user_id!("@bob:example.org"))));
}

#[test]
fn the_inputs_hold_the_request_and_the_entities_that_rules_could_look_at_and_no_others() {
    let rules = compile(r#"@id("web") permit (principal in Team::"web", action, resource);"#);
    let inputs = ask(&rules, ERIN, "deploy web staging").unwrap_err().inputs.to_json();
    assert_eq!(inputs["principal"], r#"User::"@erin:example.org""#);
    assert_eq!(inputs["action"], r#"Action::"deploy""#);
    assert_eq!(inputs["resource"], r#"System::"web@staging""#);
    assert_eq!(inputs["context"]["arguments"]["env"], "staging");
    assert_eq!(inputs["context"]["approvals"]["total"], 0);
    let ids: Vec<_> =
        inputs["entities"].as_array().unwrap().iter().map(|entity| &entity["uid"]["id"]).collect();
    for id in ["@erin:example.org", "on-call", "leads", "web@staging", "staging", "web", "deploy"] {
        assert!(ids.contains(&&json!(id)), "{id}");
    }
    for id in ["@bob:example.org", "db", "db@production", "partner", "uptime", "status"] {
        assert!(!ids.contains(&&json!(id)), "{id}");
    }
    assert_eq!(
        inputs,
        ask(&rules, ERIN, "deploy web staging").unwrap_err().inputs.to_json(),
        "the same each time"
    );
}

#[test]
fn from_what_is_recorded_cedar_alone_comes_to_the_same_verdict() {
    let company = ops(r#"@id("all") permit (principal, action, resource);
        @id("owners") @says("For its owners.") forbid (principal, action in Action::"change", resource)
        unless { resource is System && principal in resource.owner };
        @id("monday") @says("Not on Mondays.") forbid (principal, action == Action::"hand-over", resource)
        when { context.time.weekday == "monday" && context.arguments.to in Team::"web" };"#);
    let rules = Rules::compile(&company).unwrap();
    let schema: Schema = rules.schema().parse().unwrap();
    let policies: PolicySet = company.policies[0].text.parse().unwrap();
    for who in [ALICE, BOB, CAROL, MALLORY] {
        for line in ["deploy web staging", "deploy db production", "hand-over @bob:example.org", "uptime"] {
            let invocation = run(line);
            let (inputs, permitted) = match rules.decide(&question(who, &invocation)) {
                Decision::Permitted(permit) => (permit.inputs().to_json(), true),
                Decision::Waits(wait) => (wait.inputs.to_json(), false),
                Decision::Refused(refusal) => (refusal.inputs.to_json(), false),
            };
            let uid = |key: &str| inputs[key].as_str().unwrap().parse::<EntityUid>().unwrap();
            let context =
                Context::from_json_value(inputs["context"].clone(), Some((&schema, &uid("action"))));
            let request = Request::new(
                uid("principal"),
                uid("action"),
                uid("resource"),
                context.unwrap(),
                Some(&schema),
            );
            let entities = Entities::from_json_value(inputs["entities"].clone(), None).unwrap();
            let verdict = Authorizer::new().is_authorized(&request.unwrap(), &policies, &entities);
            assert_eq!(verdict.decision() == Verdict::Allow, permitted, "{who} {line}");
        }
    }
}

#[test]
fn what_a_condition_names_can_be_looked_at() {
    let rules = compile(
        r#"@id("r") permit (principal, action == Action::"uptime", resource)
        when { principal in System::"db".owner && Team::"web-leads" in Team::"leads" };"#,
    );
    assert!(ask(&rules, ERIN, "uptime").is_ok());
    assert_eq!(ask(&rules, BOB, "uptime").unwrap_err().why, Why::NothingPermits);
}

#[test]
fn the_digest_changes_with_what_decides_and_with_nothing_else() {
    let digest = |change: fn(&mut crate::catalogue::Ops)| {
        let mut ops = ops(ALL);
        change(&mut ops);
        Rules::compile(&ops).unwrap().digest()
    };
    let before = digest(|_| {});
    assert_eq!(before, digest(|ops| ops.teams.get_mut("web").unwrap().summary = "New words".to_owned()));
    assert_eq!(
        before,
        digest(|ops| drop(ops.systems.get_mut("web").unwrap().links.insert("a".to_owned(), "b".to_owned())))
    );
    assert_eq!(before, digest(|ops| ops.files = [("docs/x.md".to_owned(), vec![1])].into()));
    assert_ne!(before, digest(|ops| ops.policies[0].text.push(' ')));
    assert_ne!(before, digest(|ops| drop(ops.teams.get_mut("web").unwrap().leads.pop_first())));
    assert_ne!(before, digest(|ops| ops.systems.get_mut("web").unwrap().owner = "on-call".to_owned()));
    assert_ne!(before, digest(|ops| drop(ops.commands.remove("wipe"))));
}
