//! A rule keeps what its remedy promises, or is a mistake.

use super::{compile, mistakes};

fn rule(annotations: &str, conditions: &str) -> String {
    format!(
        r#"@id("all") permit (principal, action, resource);
@id("r") @says("No.") {annotations}
forbid (principal, action in Action::"run", resource) {conditions};"#
    )
}

/// What is wrong with a rule that asks for one approval by leads.
fn wrong(annotations: &str, conditions: &str) -> String {
    let found = mistakes(&rule(annotations, conditions));
    assert_eq!(found.len(), 1, "{conditions}\n{found:#?}");
    assert_eq!(found[0].line, Some(2));
    format!("{}. {}", found[0].what, found[0].mend)
}

const LEAD: &str = r#"@remedy("approval") @by("leads") @count("1")"#;
const TWO: &str = r#"@remedy("approval") @by("web, on-call")"#;
const SURE: &str = r#"@remedy("confirm")"#;

#[test]
fn a_rule_that_counts_as_its_remedy_says_is_right_however_it_is_written() {
    for conditions in [
        "unless { context.approvals.leads >= 1 }",
        "unless { context.approvals[\"leads\"] > 0 }",
        "when { context.approvals.leads < 1 }",
        "when { !(1 <= context.approvals.leads) }",
        "when { context.approvals.leads == 0 }",
        "unless { if context.approvals.leads >= 1 then true else false }",
        "when { context.time.hour < 6 } unless { context.approvals.leads >= 1 }",
        "unless { context.approvals.leads >= 1 || principal in Team::\"on-call\" }",
        "when { context.time.hour < 6 && context.approvals.leads + 1 < 2 }",
        "unless { context has approvals && context.approvals has leads && context.approvals.leads >= 1 }",
    ] {
        compile(&rule(LEAD, conditions));
    }
    compile(&rule(
        TWO,
        r#"unless { context.approvals.web >= 1 && context.approvals["on-call"] >= 1 && context.approvals.total >= 2 }"#,
    ));
    compile(&rule(
        r#"@remedy("approval") @by("total") @count("3")"#,
        "unless { context.approvals.total >= 3 }",
    ));
    compile(&rule(SURE, "unless { context.confirmed }"));
    compile(&rule(SURE, "when { context.time.hour < 6 && !context.confirmed }"));
}

#[test]
fn a_rule_that_forbids_although_it_has_what_it_asks_for_is_a_mistake() {
    let never = "rule `r` asks for 1 of leads, and may still forbid with them. Write `unless { context.approvals.leads >= 1 }`, \
                 and other conditions in a `when` of their own.";
    for conditions in [
        "",
        "unless { context.approvals.leads >= 2 }",
        "unless { context.approvals.web >= 1 }",
        "unless { context.approvals.leads >= 1 && context.time.hour > 6 }",
        "unless { context.confirmed }",
    ] {
        assert_eq!(wrong(LEAD, conditions), never, "{conditions}");
    }
    assert!(wrong(SURE, "unless { context.approvals.leads >= 1 }").contains("may still forbid with it"));
}

#[test]
fn a_rule_that_is_content_with_less_than_it_asks_for_is_a_mistake() {
    for conditions in [
        "unless { context.approvals.leads >= 0 }",
        "unless { context.approvals.leads >= 1 || context.approvals.total >= 1 }",
        "when { false } unless { context.approvals.leads >= 1 }",
    ] {
        assert!(wrong(LEAD, conditions).contains("is content with 0 of leads"), "{conditions}");
    }
    let one = "unless { context.approvals.web >= 1 && context.approvals.total >= 2 }";
    assert!(wrong(TWO, one).contains("is content with 0 of on-call"));
    assert!(wrong(SURE, "unless { true }").contains("is content without"));
}

#[test]
fn a_rule_that_names_two_teams_asks_for_two_people() {
    let both = r#"context.approvals.web >= 1 && context.approvals["on-call"] >= 1"#;
    let found = wrong(TWO, &format!("unless {{ {both} }}"));
    assert!(found.contains("fewer than 2 people: somebody may be in two teams"), "{found}");
    assert!(found.contains("context.approvals.total >= 2"), "{found}");
    let twice = r#"@remedy("approval") @by("web, on-call") @count("2")"#;
    let of_each = r#"context.approvals.web >= 2 && context.approvals["on-call"] >= 2"#;
    assert!(
        wrong(twice, &format!("unless {{ {of_each} && context.approvals.total >= 3 }}"))
            .contains("fewer than 4")
    );
    compile(&rule(twice, &format!("unless {{ {of_each} && context.approvals.total >= 4 }}")));
}

#[test]
fn a_rule_that_looks_at_approvals_that_nobody_is_asked_for_is_warned_of() {
    let found = compile(&rule("", "unless { context.approvals.leads >= 1 || context.confirmed }"));
    let told: Vec<_> = found.warnings().iter().map(|warning| warning.0.what.as_str()).collect();
    assert_eq!(
        told,
        [
            "rule `r` looks at a confirmation, and no rule asks for any",
            "rule `r` looks at approvals, and no rule asks for any"
        ]
    );
}

#[test]
fn a_folder_in_which_nobody_may_reload_is_a_mistake() {
    let mut company = super::ops(r#"@id("run") permit (principal, action in Action::"run", resource);"#);
    assert!(crate::policy::Rules::compile(&company).is_ok());
    company.policies.pop();
    let found = crate::policy::Rules::compile(&company).unwrap_err();
    assert!(found[0].what.starts_with("nobody may reload"), "{found:?}");
    let forbidden = super::mistakes(
        r#"@id("never") @says("Never.") forbid (principal, action == Action::"reload", resource);"#,
    );
    assert!(forbidden[0].what.starts_with("nobody may reload"), "{forbidden:?}");
}
