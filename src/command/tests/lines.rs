//! Built-ins that take a command's line: what is meant is exactly what was typed there.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{command::keyboard, model::quoted};

static OPS: LazyLock<Ops> = LazyLock::new(ops);

fn line_of(typed: &str) -> String {
    let parsed = parse_line(&OPS, typed).unwrap_or_else(|mistake| panic!("{typed}: {mistake:?}"));
    parsed.invocation.arguments["line"].to_string()
}

#[test]
fn quotes_and_options_after_the_time_are_the_commands_own() {
    for (typed, line) in [
        ("every weekday 09:00 note two  words", "note two words"),
        ("every weekday 09:00 note 'two  words' x", "note 'two  words' x"),
        ("every weekday 09:00 note \"it's\"", r"note 'it'\''s'"),
        ("every weekday 09:00 deploy web --at 5 at=6 --when day", "deploy web --at 5 'at=6' --when day"),
        ("every weekday 09:00 note -- --who x", "note -- --who x"),
        ("every --when weekday at=09:00 note --at x", "note --at x"),
        ("every weekday 09:00 !note 'a b'", "note 'a b'"),
        ("every weekday 09:00 'note a | head 3'", "note a | head 3"),
        ("every weekday 09:00 --line 'note a b'", "note a b"),
        ("every weekday 09:00 dry deploy web staging v1.4.2", "dry deploy web staging v1.4.2"),
        ("why note --line x 'a b'", "note --line x 'a b'"),
        ("can @bob:example.org note user=x 'a b'", "note 'user=x' 'a b'"),
    ] {
        assert_eq!(line_of(typed), line, "{typed}");
    }
    let parsed = parse_line(&OPS, "every weekday 09:00 note 'a  b'").unwrap();
    assert_eq!(say(&parsed.command, &parsed.invocation), "every weekday 09:00 note 'a  b'");
}

/// Words as people type them, and as they had better not.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "--at", "--when", "--line", "at=07:00", "when=day", "--", "-", "—", "note", "!note", "|", "'",
            "\"", "#x"
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,6}",
        "\\PC{0,12}",
        "[ '\"\\\\$`;|=-]{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_schedule_runs_is_what_was_typed_after_the_time(
        first in "[a-z]{1,8}", others in prop::collection::vec(word(), 0..6)
    ) {
        let words: Vec<String> = std::iter::once(first).chain(others).collect();
        let typed = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        for before in ["every weekday 09:00", "every --at 09:00 --when weekday", "why"] {
            match parse_line(&OPS, &format!("{before} {typed}")) {
                Ok(parsed) => {
                    let line = parsed.invocation.arguments["line"].to_string();
                    let read = keyboard::words(&line).unwrap();
                    let kept = words.iter().map(|it| it.replace(['\u{a0}', '\u{202f}', '\u{2007}'], " "));
                    prop_assert_eq!(&read.words, &kept.collect::<Vec<_>>(), "{:?} {:?}", typed, line);
                    prop_assert!(read.filters.is_empty());
                    // And it prints back to itself.
                    let printed = parsed.invocation.to_string();
                    prop_assert_eq!(parse_line(&OPS, &printed).unwrap().invocation, parsed.invocation);
                }
                Err(Mistake::Character { .. }) => {}
                Err(other) => prop_assert!(false, "{before} {typed}: {other:?}"),
            }
        }
    }
}
