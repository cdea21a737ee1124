use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::catalogue::http::UrlTemplate;

fn declared(url: &str) -> HttpRun {
    let url = UrlTemplate::read(url).expect("an address");
    HttpRun {
        method: "POST".to_owned(),
        hosts: BTreeSet::from(["ci.example.org".to_owned(), "127.0.0.1:8080".to_owned()]),
        url,
        query: BTreeMap::from([
            ("q".to_owned(), "is {text}".to_owned()),
            ("b".to_owned(), "{absent}".to_owned()),
        ]),
        headers: BTreeMap::from([("x-note".to_owned(), "by {who}".to_owned())]),
        credentials: BTreeMap::new(),
        json: Some(json!({
            "ref": "{text}", "said": "so {text}, {{so}}", "count": "{count}", "dry": "{dry}", "all": "{all}",
            "absent": "{absent}", "nested": [{ "a": 1 }, "{absent}", "{text}"],
        })),
        expect: BTreeSet::new(),
        answer: None,
        private: false,
        answer_limit: 1 << 20,
        poll: None,
    }
}

fn given(text: &str, who: &str) -> Invocation {
    let arguments = [
        ("text", Value::Text(text.to_owned())),
        ("who", Value::Text(who.to_owned())),
        ("count", Value::Integer(3)),
        ("dry", Value::Boolean(true)),
        ("all", Value::List(vec![Value::Integer(1), Value::Text("b".to_owned())])),
    ];
    Invocation {
        command: "ci".to_owned(),
        arguments: arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        subject: None,
        filters: Vec::new(),
        dry: false,
    }
}

#[test]
fn json_is_built_of_values_with_their_types_and_without_what_is_absent() {
    let request =
        http_request(&declared("https://ci.example.org/api/{text}/x"), &given("v1", "alice")).expect("built");
    assert_eq!(
        request.body,
        Some(json!({
            "ref": "v1", "said": "so v1, {so}", "count": 3, "dry": true, "all": [1, "b"], "nested": [{ "a": 1 }, "v1"],
        }))
    );
    assert_eq!(request.url.as_str(), "https://ci.example.org/api/v1/x?q=is+v1");
    assert_eq!(request.headers[0], ("x-note".to_owned(), "by alice".to_owned()));
    assert_eq!(request.headers[1].1, "application/json");
}

#[test]
fn a_host_that_is_an_argument_is_one_of_those_that_are_declared() {
    let declared = declared("https://{text}/api");
    for host in ["ci.example.org", "CI.example.org", "127.0.0.1:8080"] {
        assert!(http_request(&declared, &given(host, "a")).is_ok(), "{host}");
    }
    for host in [
        "",
        "evil.example",
        "ci.example.org:8443",
        "ci.example.org.evil.example",
        "ci.example.org@evil.example",
        "127.0.0.1",
        "ci.example.org/",
        "evil.example#ci.example.org",
        "ci.example.org\n",
        "127.1:8080",
        "2130706433:8080",
    ] {
        let refused = http_request(&declared, &given(host, "a")).expect_err(host);
        assert!(refused.contains("not among the hosts"), "{host:?}: {refused}");
    }
}

#[test]
fn what_would_lead_elsewhere_in_the_path_is_refused() {
    let whole = declared("https://ci.example.org/api/{text}/x");
    for text in ["", ".", ".."] {
        assert!(http_request(&whole, &given(text, "a")).expect_err(text).contains("path"), "{text:?}");
    }
    let part = declared("https://ci.example.org/api/.{text}/x");
    assert!(http_request(&part, &given(".", "a")).is_err());
    assert!(http_request(&part, &given("x", "a")).is_ok());
}

/// What people have smuggled into requests before, and anything else.
fn hostile() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "/../",
        "..",
        ".",
        "%2e%2e",
        "%00",
        "?",
        "#",
        "&",
        "=",
        "\r\nX-Evil: 1",
        "\n",
        "\0",
        "\"",
        "'",
        "\\",
        "{text}",
        "}}",
        "\",\"admin\":true,\"",
        "@evil.example",
        "//evil.example",
        "\u{202e}",
        "ä",
        " ",
        ";",
        "+",
    ]);
    prop::collection::vec(prop_oneof![known.prop_map(str::to_owned), any::<String>()], 0..6)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn whatever_an_argument_holds_the_request_keeps_its_structure(text in hostile(), who in hostile()) {
        let declared = declared("https://ci.example.org/api/{text}/v-{text}");
        let Ok(request) = http_request(&declared, &given(&text, &who)) else {
            // Refused where it cannot be said, and only there.
            let header = HeaderValue::from_str(&who).is_err();
            prop_assert!(header || ["", ".", ".."].contains(&text.as_str()), "{text:?} {who:?}");
            return Ok(());
        };
        let url = &request.url;
        prop_assert_eq!(url.host_str(), Some("ci.example.org"));
        prop_assert_eq!((url.username(), url.password(), url.fragment(), url.port()), ("", None, None, None));
        let segments: Vec<String> = url.path().split('/').map(|it| percent_decode_str(it).decode_utf8_lossy().into_owned()).collect();
        prop_assert_eq!(segments, [String::new(), "api".to_owned(), text.clone(), format!("v-{text}")]);
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        prop_assert_eq!(query, [("q".to_owned(), format!("is {text}"))]);
        // Read again, it is the same.
        prop_assert_eq!(&Url::parse(url.as_str()).expect("a URL"), url);
        prop_assert!(url.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(request.headers.len(), 2);
        prop_assert_eq!(&request.headers[0].1, &format!("by {who}"));
        let body: Json = serde_json::from_str(&request.body.expect("a body").to_string()).expect("JSON");
        prop_assert_eq!(body, json!({
            "ref": text, "said": format!("so {text}, {{so}}"), "count": 3, "dry": true, "all": [1, "b"],
            "nested": [{ "a": 1 }, text],
        }));
    }
}
