//! What cargo-fuzz tries without end (`fuzz/`) is tried here on its seeds and on texts that are drawn, so that it cannot rot: from a
//! message to the vector, the line, the body and the parameters, a value stays one value.

use std::{fs, path::Path};

use proptest::prelude::*;

#[path = "../../fuzz/bodies.rs"]
mod bodies;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    fs::read_dir(folder).unwrap().map(|seed| fs::read(seed.unwrap().path()).unwrap()).collect()
}

#[test]
fn every_seed_of_the_fuzz_targets_holds() {
    let (values, messages) = (seeds("value"), seeds("message"));
    assert!(values.len() >= 25 && messages.len() >= 15);
    for seed in &values {
        bodies::value(seed);
    }
    for seed in messages.iter().chain(&values) {
        bodies::message(seed);
    }
}

/// What people have smuggled through arguments before, joined with anything else.
fn hostile() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "--",
        "-",
        "--text=",
        "-rf",
        "=",
        "$(id)",
        "`id`",
        ";",
        "&&",
        "|",
        ">",
        "'",
        "\"",
        "\\",
        "\n",
        "\r\n",
        "\0",
        "\t",
        "\u{a0}",
        "\u{2028}",
        "\u{202e}",
        "—",
        "“",
        "’",
        "{text}",
        "}}",
        "../",
        "%2e",
        "?",
        "#",
        "&",
        "@evil.example",
        "!",
        " ",
        "  ",
        "[]",
        "*",
        "~",
        "a",
        "text",
        "--at",
        "at=07:00",
    ]);
    let part = prop_oneof![3 => known.prop_map(str::to_owned), 1 => any::<String>(), 1 => "[a-z]{1,300}"];
    prop::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_value_holds_it_arrives_whole_and_in_its_place(value in hostile()) {
        bodies::value(value.as_bytes());
    }

    #[test]
    fn whatever_a_message_holds_it_is_refused_or_prints_back_to_itself(
        name in prop::sample::select(vec!["program ", "bare ", "there ", "request ", "ship say ", "dry program ", "every day 09:00 program ", ""]),
        text in hostile()
    ) {
        bodies::message(format!("{name}{text}").as_bytes());
    }
}

#[test]
fn a_value_as_long_as_can_be_arrives_whole() {
    for sign in ["x", "'", "\\", "ä", "-"] {
        bodies::value(sign.repeat(50_000).as_bytes());
    }
}
