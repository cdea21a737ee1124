//! What a writer of rules is told.

use super::{compile, mistakes, ops};
use crate::{catalogue::Mistake, policy::Rules};

fn only(rules: &str) -> Mistake {
    let found = mistakes(rules);
    assert_eq!(found.len(), 1, "{rules}\n{found:#?}");
    found.into_iter().next().unwrap()
}

#[test]
fn a_rule_that_names_a_missing_argument_fails_with_file_and_line() {
    let mistake = only(
        r#"@id("all") permit (principal, action, resource);

@id("typing-error")
permit (principal, action == Action::"deploy", resource)
when {
  context.arguments.evn == "staging"
};"#,
    );
    assert_eq!((mistake.file.as_str(), mistake.line), ("policies/rules.cedar", Some(6)), "{mistake}");
    assert!(mistake.what.contains("evn") && mistake.what.contains("typing-error"), "{mistake}");
    assert!(mistake.mend.contains("env"), "{mistake}");
}

#[test]
fn a_rule_that_uses_an_optional_argument_without_asking_for_it_is_a_mistake() {
    let rule = |condition: &str| {
        format!(
            r#"@id("r") permit (principal, action == Action::"deploy", resource) when {{ {condition} }};"#
        )
    };
    let mistake = only(&rule(r#"context.arguments.version == "v1""#));
    assert!(mistake.what.contains("version"), "{mistake}");
    compile(&rule(r#"context.arguments has version && context.arguments.version == "v1""#));
}

#[test]
fn a_rule_for_many_commands_may_speak_of_an_argument_that_some_have() {
    compile(
        r#"@id("r") permit (principal, action in Action::"change", resource)
        when { context.arguments has env && context.arguments.env == "staging" };"#,
    );
}

#[test]
fn a_comparison_of_two_types_is_a_mistake() {
    let mistake = only(
        r#"@id("r") permit (principal, action == Action::"hand-over", resource)
        when { context.arguments.to == "@bob:example.org" };"#,
    );
    assert!(mistake.what.contains('r'), "{mistake}");
}

#[test]
fn a_command_that_does_not_exist_is_a_mistake_with_the_nearest_one() {
    let mistake = only(r#"@id("r") permit (principal, action == Action::"depoly", resource);"#);
    assert!(mistake.what.contains("depoly") && mistake.mend.contains("deploy"), "{mistake}");
}

#[test]
fn text_that_is_no_cedar_is_a_mistake_at_its_line() {
    let mistake = only("@id(\"a\")\npermit (principal, action, resource)\nwhen { context.room = 1 };");
    assert_eq!(mistake.line, Some(3), "{mistake}");
}

#[test]
fn every_mistake_is_told_at_once() {
    let found = mistakes(
        r#"permit (principal, action, resource);
@id("a") forbid (principal, action, resource);
@id("b") @remdy("approval") permit (principal in Team::"wbe", action, resource);
@id("b") permit (principal, action, resource);"#,
    );
    let told: Vec<_> = found.iter().map(|mistake| (mistake.line.unwrap(), mistake.what.as_str())).collect();
    assert_eq!(
        told,
        [
            (1, "a rule without a name"),
            (2, "rule `a` forbids and does not say why"),
            (3, "rule `b`: there is no `Team::\"wbe\"`: it is not in teams"),
            (3, "there is no annotation `@remdy`"),
            (4, "a second rule is called `b`"),
        ]
    );
    assert_eq!(found[4].mend, "Rename it: the first is at policies/rules.cedar:3.");
}

#[test]
fn a_name_is_unique_across_files() {
    let mut ops = ops(r#"@id("a") permit (principal, action, resource);"#);
    ops.policies.push(ops.policies[0].clone());
    ops.policies.last_mut().unwrap().path = "policies/second.cedar".to_owned();
    let found = Rules::compile(&ops).unwrap_err();
    assert_eq!((found.len(), found[0].file.as_str()), (1, "policies/second.cedar"));
}

#[test]
fn names_of_things_that_do_not_exist_are_mistakes_with_the_nearest_one() {
    let rule = |scope: &str| only(&format!("@id(\"r\")\npermit ({scope});"));
    for (scope, mend) in [
        (r#"principal in Team::"wbe", action, resource"#, r#"Did you mean "web"?"#),
        (r#"principal in Team::"web-lead", action, resource"#, r#"Did you mean "web-leads"?"#),
        (r#"principal, action, resource in Environment::"prodution""#, r#"Did you mean "production"?"#),
        (r#"principal, action, resource == System::"web@stagng""#, r#"Did you mean "web@staging"?"#),
        (r#"principal, action, resource == Room::"elsewhere""#, r#"There are: "deploy", "status"."#),
        (r#"principal == User::"bob", action, resource"#, r#"Write it like `User::"@alice:example.org"`."#),
    ] {
        let mistake = rule(scope);
        assert_eq!((mistake.line, mistake.mend.as_str()), (Some(2), mend), "{mistake}");
    }
}

#[test]
fn somebody_who_is_in_no_team_may_be_named() {
    compile(r#"@id("r") @says("Gone.") forbid (principal == User::"@gone:example.org", action, resource);"#);
}

#[test]
fn a_value_that_can_never_be_is_a_mistake() {
    let rule = |scope: &str, condition: &str| {
        only(&format!("@id(\"r\")\npermit (principal, {scope})\nwhen {{ {condition} }};"))
    };
    let deploy = r#"action == Action::"deploy", resource"#;
    for (scope, condition, mend) in [
        (deploy, r#"context.arguments.env == "prodution""#, r#"Did you mean "production"?"#),
        (deploy, r#"["stagng"].contains(context.arguments.env)"#, r#"Did you mean "staging"?"#),
        (deploy, r#"resource.criticality != "hihg""#, r#"Did you mean "high"?"#),
        (
            r#"action in Action::"run", resource"#,
            r#"context.time.weekday == "Monday""#,
            r#"Did you mean "monday"?"#,
        ),
    ] {
        let mistake = rule(scope, condition);
        assert_eq!((mistake.line, mistake.mend.as_str()), (Some(3), mend), "{mistake}");
    }
}

#[test]
fn a_remedy_says_what_who_and_how_many() {
    let rule = |annotations: &str| {
        format!(
            r#"@id("r") @says("No.") {annotations} forbid (principal, action in Action::"run", resource)
            unless {{ context.confirmed }};"#
        )
    };
    compile(&rule(r#"@remedy("confirm")"#));
    for (annotations, what) in [
        (r#"@remedy("prayer") @by("leads")"#, "there is no remedy `prayer`"),
        (r#"@remedy("approval")"#, "`@remedy` without `@by`"),
        (r#"@remedy("approval") @by("wbe")"#, "`@by` names `wbe`, which is no team"),
        (r#"@remedy("approval") @by("leads") @count("0")"#, "`@count(\"0\")` is no number of approvals"),
        (
            r#"@remedy("approval") @by("leads") @count("many")"#,
            "`@count(\"many\")` is no number of approvals",
        ),
        (r#"@remedy("approval") @by("web, web")"#, "`@by` names `web` twice"),
        (r#"@remedy("confirm") @by("leads")"#, "`@by` beside `@remedy(\"confirm\")`"),
        (r#"@by("leads")"#, "`@by` without `@remedy`"),
        (r#"@count("1")"#, "`@count` without `@remedy`"),
    ] {
        assert_eq!(only(&rule(annotations)).what, format!("rule `r`: {what}"));
    }
    let permit = r#"@id("r") @remedy("approval") @by("leads") permit (principal, action, resource);"#;
    assert_eq!(only(permit).what, "rule `r`: a permit needs no remedy");
}

#[test]
fn a_rule_with_a_slot_is_a_mistake() {
    let mistake = only(r#"@id("r") permit (principal == ?principal, action, resource);"#);
    assert!(mistake.what.contains("slot"), "{mistake}");
}

#[test]
fn names_that_the_rules_use_themselves_are_refused() {
    let found = |change: fn(&mut crate::catalogue::Ops)| {
        let mut ops = ops("");
        change(&mut ops);
        Rules::compile(&ops).unwrap_err().into_iter().map(|mistake| mistake.file).collect::<Vec<_>>()
    };
    for key in ["leads", "total", "web-leads"] {
        let mut ops = ops("");
        let mut team = ops.teams["web"].clone();
        team.key = key.to_owned();
        ops.teams.insert(key.to_owned(), team);
        assert_eq!(Rules::compile(&ops).unwrap_err()[0].file, format!("teams/{key}.toml"));
    }
    let renamed = found(|ops| {
        let mut command = (*ops.commands["uptime"]).clone();
        command.name = "change".to_owned();
        ops.commands.insert("change".to_owned(), command.into());
    });
    assert_eq!(renamed, ["commands/change.toml"]);
    let at = found(|ops| {
        let system = ops.systems["web"].clone();
        ops.systems
            .insert("web@x".to_owned(), crate::catalogue::System { key: "web@x".to_owned(), ..system });
    });
    assert_eq!(at, ["systems/web@x.toml"]);
}

#[test]
fn every_name_works_that_is_no_identifier() {
    let mut changed = ops(
        r#"@id("r") permit (principal in Team::"4 \"ever\"", action == Action::"a", resource == Room::"in")
        when { context.arguments["if"] == "x" && context.arguments["a b\"\\"] == "y" }
        when { context.approvals["4 \"ever\""] >= 0 };"#,
    );
    let team = changed.teams.remove("web").unwrap();
    let key = "4 \"ever\"".to_owned();
    changed.systems.get_mut("web").unwrap().owner.clone_from(&key);
    changed.teams.insert(key.clone(), crate::catalogue::Team { key, ..team });
    let room = changed.rooms["status"].clone();
    changed.rooms.insert("in".to_owned(), crate::catalogue::Room { key: "in".to_owned(), ..room });
    let mut command = (*changed.commands["uptime"]).clone();
    let argument = changed.commands["deploy"].arguments[2].clone();
    command.name = "a".to_owned();
    command.tags = ["\u{202e}odd \" tag".to_owned()].into();
    command.arguments = ["if", "a b\"\\", "\u{fe}", "🙂"]
        .map(|name| crate::catalogue::Argument { name: name.to_owned(), required: true, ..argument.clone() })
        .to_vec();
    changed.commands.insert("a".to_owned(), command.into());
    Rules::compile(&changed).unwrap();
}

#[test]
fn a_command_that_no_rule_permits_is_warned_of() {
    let warned = |rules: &str| {
        compile(rules).warnings().iter().map(|warning| warning.0.what.clone()).collect::<Vec<_>>()
    };
    assert_eq!(warned(r#"@id("all") permit (principal, action, resource);"#), Vec::<String>::new());
    let reads = warned(
        r#"@id("reads") permit (principal, action in Action::"read", resource);
        @id("web") permit (principal in Team::"web", action == Action::"deploy", resource in Environment::"staging");"#,
    );
    assert_eq!(
        reads,
        ["no rule permits `hand-over`: everybody is refused", "no rule permits `wipe`: everybody is refused"]
    );
}

#[test]
fn a_command_that_is_always_forbidden_is_warned_of() {
    let found = compile(
        r#"@id("all") permit (principal, action, resource);
        @id("never") @says("Never.") forbid (principal, action == Action::"wipe", resource);
        @id("sometimes") @says("Not now.") forbid (principal, action == Action::"deploy", resource)
        when { context.time.hour < 6 };"#,
    );
    let found: Vec<_> = found.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["commands/wipe.toml: `wipe` is always forbidden by `never`. \
          Give the forbid an `unless`, or take the command away."]
    );
}

#[test]
fn a_rule_that_can_never_apply_is_warned_of_at_its_line() {
    let found = compile(
        "@id(\"all\") permit (principal, action, resource);\n\
         @id(\"r\") @says(\"No.\") forbid (principal, action == Action::\"deploy\", resource == Room::\"deploy\");",
    );
    let [warning, ..] = found.warnings() else { panic!("no warning") };
    assert_eq!((warning.0.file.as_str(), warning.0.line), ("policies/rules.cedar", Some(2)), "{warning}");
}
