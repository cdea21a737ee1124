//! Tests, on the example company.

use std::path::Path;

use clap::Parser as _;

use super::*;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn attempt(arguments: &[&str]) -> (String, Verdict) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/example/ops");
    let ops = catalogue::load(&folder, &|_| None).unwrap();
    let rules = Rules::compile(&ops).unwrap();
    let given = ["try", "--at", "2026-11-23T03:00:00Z"].iter().chain(arguments);
    Line::try_parse_from(given).unwrap().options.show(&ops, &rules)
}

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "no line {line:?} in\n{text}");
    }
}

#[test]
fn a_permitted_line_shows_what_is_understood_who_permits_it_and_what_would_run() {
    let (text, verdict) = attempt(&["!deploy web staging v1.4.2", "--as", "@bob:example.org"]);
    assert_eq!(verdict, Verdict::Permitted, "{text}");
    has(
        &text,
        &[
            "Understood  deploy --app web --env staging --version v1.4.2",
            "  app             web (choice)",
            "  version         v1.4.2 (text)",
            "  effect          change",
            "  acts on         system web@staging",
            "When        Monday 2026-11-23 03:00 UTC",
            "In deploy: permitted by",
            "Would run: /opt/quarterdeck/example/bin/app",
            "  argument 1      deploy",
            "  environment     EXAMPLE_DATA, PATH",
            "  timeout         2m",
            "  lock            web@staging: one run at a time",
            "Nothing was run.",
        ],
    );
    assert!(text.contains("  staging-by-its-team (policies/staging.cedar:"), "{text}");
}

#[test]
fn a_refused_line_shows_the_rules_own_words_and_where_they_are_written() {
    let (text, verdict) =
        attempt(&["deploy web production v1.4.2", "--as", "@bob:example.org", "--room", "deploy"]);
    assert_eq!(verdict, Verdict::Refused, "{text}");
    has(
        &text,
        &["In deploy: refused by", "Would run, if it were permitted: /opt/quarterdeck/example/bin/app"],
    );
    let says = "): Changes in production are for the leads of the team that owns the system.";
    assert!(
        text.contains("  production-is-for-leads (policies/production.cedar:") && text.contains(says),
        "{text}"
    );
}

#[test]
fn what_nothing_permits_is_said_to_be_so() {
    let (text, verdict) = attempt(&["!deploy web staging v1.4.2", "--as", "@stranger:elsewhere.example"]);
    assert_eq!(verdict, Verdict::Refused);
    assert!(text.contains("refused, because no rule permits it"), "{text}");
    assert!(text.contains("@stranger:elsewhere.example, in no team"), "{text}");
}

#[test]
fn a_mistyped_line_says_what_to_type() {
    let (text, verdict) = attempt(&["!depoly web staging v1.4.2", "--as", "@bob:example.org"]);
    assert_eq!(verdict, Verdict::NotUnderstood);
    assert!(text.starts_with("Not understood. ") && text.contains("deploy"), "{text}");
}

#[test]
fn an_incomplete_line_is_told_by_the_room_that_has_the_command() {
    let (text, verdict) = attempt(&["!deploy web", "--as", "@bob:example.org"]);
    assert_eq!(verdict, Verdict::NotUnderstood);
    assert!(text.contains("env") && text.contains("staging"), "{text}");
}

#[test]
fn a_room_that_does_not_exist_is_told_with_those_that_do() {
    let (text, verdict) = attempt(&["!help", "--as", "@bob:example.org", "--room", "kitchen"]);
    assert_eq!(verdict, Verdict::NotUnderstood);
    assert!(text.contains("`kitchen`") && text.contains("deploy"), "{text}");
}

#[test]
fn a_command_of_several_rooms_is_decided_in_each() {
    let (text, verdict) = attempt(&["!help", "--as", "@bob:example.org"]);
    assert_eq!(verdict, Verdict::Permitted);
    assert!(text.contains("In deploy: permitted by") && text.contains("In status: permitted by"), "{text}");
    assert!(text.contains("a built-in, which Quarterdeck answers itself"), "{text}");
}

#[test]
fn a_name_that_is_no_mxid_is_refused_with_an_example() {
    let error = Line::try_parse_from(["try", "!help", "--as", "bob"]).unwrap_err().to_string();
    assert!(error.contains("@bob:example.org"), "{error}");
}
