//! What holds for every text.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// Read once: every case asks the same folder.
static OPS: LazyLock<Ops> = LazyLock::new(ops);

/// Words that come near to commands, and everything else.
fn near() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("deploy".to_owned()),
        Just("scale".to_owned()),
        Just("note".to_owned()),
        Just("ship".to_owned()),
        Just("dry".to_owned()),
        Just("dry deploy".to_owned()),
        Just("restart".to_owned()),
        Just("web".to_owned()),
        Just("staging".to_owned()),
        Just("to".to_owned()),
        Just("v1.2.3".to_owned()),
        Just("--env".to_owned()),
        Just("--label=—x".to_owned()),
        Just("—".to_owned()),
        Just("--".to_owned()),
        Just("'".to_owned()),
        Just("“a b”".to_owned()),
        Just("-3".to_owned()),
        Just("\\".to_owned()),
        "[a-z]{1,6}=[^|]{0,4}",
        "\\PC{0,8}",
        "'[^']{0,12}'",
    ];
    prop::collection::vec(word, 0..8).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_an_invocation_or_a_mistake(text in any::<String>(), other in near()) {
        for text in [text.as_str(), other.as_str()] {
            if let Err(mistake) = parse_line(&OPS, text) {
                prop_assert!(!mistake.plain("!").is_empty());
            }
            let _ = recognise("!", bot(), &message(text));
            let _ = recognise("!", bot(), &html(&format!("!{text}"), text));
            let _ = recognise("!", bot(), &message(&format!("!{text}")));
        }
    }

    #[test]
    fn what_is_understood_prints_back_to_itself(text in near()) {
        if let Ok(parsed) = parse_line(&OPS, &text) {
            let printed = parsed.invocation.to_string();
            let again = parse_line(&OPS, &printed);
            prop_assert!(again.is_ok(), "{text:?} -> {printed:?} -> {again:?}");
            prop_assert_eq!(again.unwrap().invocation, parsed.invocation);
        }
    }

    #[test]
    fn each_argument_arrives_as_exactly_one_element(label in "\\PC{1,40}", count in -5_i64..=50) {
        let line = format!("scale web {count} --label {}", crate::model::quoted(&label));
        match parse_line(&OPS, &line) {
            Ok(parsed) => {
                let vector = argument_vector(&parsed.command, &parsed.invocation);
                let kept = label.replace(['\u{a0}', '\u{202f}', '\u{2007}'], " ");
                prop_assert_eq!(vector, vec!["web".to_owned(), count.to_string(), "10m".to_owned(), "--".to_owned(), kept]);
            }
            Err(Mistake::Character { .. }) => {}
            Err(other) => prop_assert!(false, "{line:?}: {other:?}"),
        }
    }
}
