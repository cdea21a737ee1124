//! Commands that send requests: a right one, and each mistake with its place.

use super::*;

/// A right one.
const REQUEST: &str = r#"summary = "Deploy by the pipeline"
effect = "change"
[[argument]]
name = "app"
type = "system"
[[argument]]
name = "ref"
type = "text"
required = false
[run]
executor = "http"
method = "POST"
url = "https://ci.example.org/api/projects/{app}/deploys"
query = { dry = "{ref}" }
headers = { Accept = "application/json" }
credentials = { Authorization = "Bearer deploy-token" }
json = { ref = "{ref}", tries = 3, ratio = 0.5, who = ["{app}", true] }
expect = [201, 202]
answer = "/status"
[run.poll]
at = "/url"
every = "10s"
field = "/status"
done = ["success"]
failed = ["failed"]
"#;

fn with(from: &str, to: &str) -> Vec<String> {
    assert!(REQUEST.contains(from), "{from}");
    told(&[("commands/ci.toml", &REQUEST.replace(from, to))])
}

#[test]
fn a_request_is_read_with_all_its_parts() {
    let ops = load_with(&[("commands/ci.toml", REQUEST)]).unwrap();
    let run = &ops.commands["ci"].run;
    let RunKind::Http(http) = &run.kind else { panic!("{run:?}") };
    assert_eq!((run.kind.name(), run.kind.output()), ("http", 1 << 20));
    assert_eq!(run.kind.credentials(), [("authorization", "deploy-token")]);
    assert_eq!(http.credentials["authorization"].before, "Bearer ");
    assert_eq!(http.hosts.iter().collect::<Vec<_>>(), ["ci.example.org"]);
    assert_eq!(http.url.segments, ["api", "projects", "{app}", "deploys"]);
    assert_eq!(
        http.json,
        Some(serde_json::json!({ "ref": "{ref}", "tries": 3, "ratio": 0.5, "who": ["{app}", true] }))
    );
    assert_eq!(http.expect.iter().copied().collect::<Vec<_>>(), [201, 202]);
    assert_eq!(http.poll.as_ref().unwrap().every_s, 10);
}

#[test]
fn each_mistake_of_a_request_is_told_with_its_line_and_its_mend() {
    for (from, to, line, expected) in [
        ("method = \"POST\"\n", "", 10, "method is missing"),
        ("\"POST\"", "\"STEAL\"", 12, "\"STEAL\" is not known"),
        ("\"POST\"", "\"GET\"", 17, "a GET has no body"),
        ("https://ci", "ftp://ci", 13, "neither https:// nor http://"),
        ("https://ci", "http://ci", 13, "everybody on the way can read"),
        ("https://ci", "https://user:word@ci", 13, "a user or a password"),
        ("https://ci.example.org", "https://", 13, "is no host"),
        ("/deploys\"", "/deploys?x={ref}\"", 13, "a query or a fragment"),
        ("/deploys\"", "/../deploys\"", 13, "by way of \"..\""),
        ("/deploys\"", "/%2E./deploys\"", 13, "by way of"),
        ("/deploys\"", "//deploys\"", 13, "two slashes"),
        ("/deploys\"", "/de ploys\"", 13, "cannot stand in a path"),
        ("{app}/deploys", "{ref}/deploys", 13, "needs \"ref\", which may be left out"),
        ("{app}/deploys", "{apq}/deploys", 13, "\"apq\" that is not declared"),
        ("https://ci.example.org", "https://{app}", 13, "no hosts are declared"),
        ("query = {", "hosts = [\"a b\"]\nquery = {", 14, "is no host"),
        ("dry = \"{ref}\"", "dry = \"{reff}\"", 14, "\"reff\" that is not declared"),
        ("Accept = ", "Host = ", 15, "not yours to set"),
        ("Accept = ", "\"Ac cept\" = ", 15, "is no name of a header"),
        ("application/json", "a\\r\\nb", 15, "line breaks"),
        ("Accept = ", "authorization = ", 16, "given twice"),
        ("Bearer deploy-token", "Bearer depoly-token", 16, "no secret is called \"depoly-token\""),
        ("{app}\", true", "{apq}\", true", 17, "\"apq\" that is not declared"),
        ("tries = 3", "tries = 1979-05-27", 17, "JSON has no such value"),
        ("[201, 202]", "[2010]", 18, "no list of statuses"),
        ("\"/status\"\n[run.poll]", "\"status\"\n[run.poll]", 19, "no JSON pointer"),
        ("at = \"/url\"", "at = \"body\"", 21, "\"body\" is not known"),
        ("field = \"/status\"\n", "", 23, "no field that holds them"),
        ("done = [\"success\"]\n", "", 20, "done is missing"),
        ("[\"failed\"]", "[\"success\"]", 25, "both success and failure"),
        ("[run.poll]", "answer_limit = \"1 GiB\"\n[run.poll]", 20, "more than 16 MiB"),
        ("[run.poll]", "program = \"/bin/sh\"\n[run.poll]", 20, "\"program\" is not known"),
        ("executor = \"http\"", "executor = \"htpp\"", 11, "\"htpp\" is not known"),
    ] {
        let mistakes = with(from, to);
        let place = format!("commands/ci.toml:{line}");
        let found = mistakes.iter().any(|it| it.contains(&place) && it.contains(expected));
        assert!(found, "{to}: {expected} at {place}, among {mistakes:#?}");
    }
}
