//! Endpoints and what they list: right ones, each mistake with its place, and listings that are not what they should be.

use super::*;

const ENDPOINT: &str = r#"url = "https://deploys.example.org/_chatops"
key = "deploy-token"
prefix = "ship"
effect = "change"
tags = ["shipping"]
users = { "@alice:example.org" = "alice-there" }
"#;

/// As an endpoint of the protocol's first implementation answers.
const LISTING: &str = r#"{"namespace":"deploy","help":null,"error_response":"Ask #deploys","version":"3","methods":{
    "options":{"help":"hubot deploy options <app> - List environments","regex":"options(?: (?<app>\\S+))?","params":["app"],"path":"wcid"},
    "lock_it":{"help":null,"regex":"lock (?<app>\\S+) because (?<reason>.+)","params":["reason","app"],"path":"lock_it"},
    "look":{"regex":"look (?=ahead)","params":[],"path":"look"},
    "up":{"regex":"up","params":[],"path":"../up"}}}"#;

const COMMAND: &str = r#"summary = "What can be deployed"
effect = "read"
[[argument]]
name = "of"
type = "system"
[run]
executor = "chatops_rpc"
endpoint = "ship"
method = "options"
params = { app = "of" }
"#;

fn listing() -> Listing {
    Listing::read("https://deploys.example.org/_chatops", LISTING.as_bytes()).unwrap()
}

fn with<'a>(endpoint: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let room = "name = \"D\"\npurpose = \"D\"\ncommands = [\"#shipping\", \"deploy\"]\nteams = [\"web\"]\n";
    let mut files = vec![("endpoints/ship.toml", endpoint), ("rooms/deploy.toml", room)];
    files.extend_from_slice(more);
    files
}

#[test]
fn what_an_endpoint_lists_becomes_commands_with_its_tags_and_its_effect() {
    let text = listing().text();
    let ops = load_with(&with(ENDPOINT, &[("endpoints/ship.json", &text)])).unwrap();
    let options = &ops.commands["ship-options"];
    assert_eq!(options.summary, "deploy options <app> - List environments");
    assert_eq!((options.effect, options.tags.contains("shipping")), (Effect::Change, true));
    assert_eq!(options.run.timeout, jiff::SignedDuration::from_secs(150));
    let RunKind::ChatopsRpc(rpc) = &options.run.kind else { panic!("{options:?}") };
    assert_eq!(rpc.url.as_deref(), Some("https://deploys.example.org/_chatops/wcid"));
    assert_eq!(
        (options.run.kind.name(), options.run.kind.credentials()),
        ("chatops_rpc", vec![("key", "deploy-token")])
    );
    let names: Vec<_> =
        ops.commands["ship-lock-it"].arguments.iter().map(|it| (it.name.as_str(), it.rest)).collect();
    assert_eq!(names, [("app", false), ("reason", true)]);
    assert!(ops.rooms["deploy"].commands.contains("ship-options"));
    // What cannot be matched can still be said in the usual way; what leads elsewhere cannot be called at all.
    let left_out = &ops.endpoints["ship"].left_out;
    assert!(
        left_out["look"].contains("look-around") && ops.commands.contains_key("ship-look"),
        "{left_out:?}"
    );
    assert!(
        left_out["up"].contains("below the listing") && !ops.commands.contains_key("ship-up"),
        "{left_out:?}"
    );
    assert_eq!(ops.file_of(options), "endpoints/ship.toml");
}

#[test]
fn without_a_listing_a_folder_is_right_and_its_rules_may_speak_of_the_tag() {
    let ops = load_with(&with(ENDPOINT, &[])).unwrap();
    assert!(ops.tags().contains("shipping"));
    assert!(!ops.commands.contains_key("ship-options"));
    let other = Listing { url: "https://elsewhere.example.org/_chatops".into(), ..listing() };
    let ops = load_with(&with(ENDPOINT, &[("endpoints/ship.json", &other.text())])).unwrap();
    assert!(!ops.commands.contains_key("ship-options"), "what was said elsewhere is no word of this one");
}

#[test]
fn a_command_that_names_a_method_stands_for_it() {
    let text = listing().text();
    let files = with(ENDPOINT, &[("endpoints/ship.json", &text), ("commands/what.toml", COMMAND)]);
    let ops = load_with(&files).unwrap();
    assert!(!ops.commands.contains_key("ship-options") && ops.commands.contains_key("ship-look"));
    let RunKind::ChatopsRpc(rpc) = &ops.commands["what"].run.kind else {
        panic!("{:?}", ops.commands["what"])
    };
    assert_eq!(rpc.params["of"], "app");
    let endpoint = format!("{ENDPOINT}methods = \"declared\"\n");
    let ops = load_with(&with(&endpoint, &files[2..])).unwrap();
    assert!(ops.commands.contains_key("what") && !ops.commands.contains_key("ship-look"));
}

#[test]
fn each_mistake_of_an_endpoint_or_of_its_command_is_told_with_its_line() {
    for (from, to, place, expected) in [
        ("https://dep", "dep", "endpoints/ship.toml:1", "neither https:// nor http://"),
        ("https://dep", "http://dep", "endpoints/ship.toml:1", "everybody on the way can read"),
        ("https://dep", "https://x:y@dep", "endpoints/ship.toml:1", "more than a host and a path"),
        ("_chatops\"", "_chatops?a=b\"", "endpoints/ship.toml:1", "more than a host and a path"),
        ("https://deploys", "https://DEPLOYS", "endpoints/ship.toml:1", "could be written otherwise"),
        ("\"deploy-token\"", "\"nothing\"", "endpoints/ship.toml:2", "no secret is called"),
        (
            "prefix = \"ship\"",
            "prefix = \"deploy\"",
            "endpoints/ship.toml:",
            "a command is called \"deploy\"",
        ),
        ("prefix = \"ship\"", "prefix = \"audit\"", "endpoints/ship.toml:3", "cannot be the first word"),
        ("\"change\"", "\"some\"", "endpoints/ship.toml:4", "is not known"),
        ("\"shipping\"]", "\"read\", \"shipping\"]", "endpoints/ship.toml:5", "a tag cannot be called"),
        ("@alice:example.org", "alice", "endpoints/ship.toml:6", "no whole MXID"),
        (
            "endpoint = \"ship\"",
            "endpoint = \"shop\"",
            "commands/what.toml:8",
            "no endpoint is called \"shop\"",
        ),
        ("{ app = \"of\" }", "{ app = \"off\" }", "commands/what.toml:10", "no argument is called \"off\""),
    ] {
        assert!(ENDPOINT.contains(from) || COMMAND.contains(from), "{from}");
        let (endpoint, command) = (ENDPOINT.replace(from, to), COMMAND.replace(from, to));
        let told = told(&with(&endpoint, &[("commands/what.toml", &command)]));
        assert!(
            told.iter().any(|it| it.starts_with(place) && it.contains(expected)),
            "{from} -> {to}: {told:?}"
        );
    }
}

#[test]
fn what_is_no_listing_of_this_version_of_the_protocol_is_refused() {
    let read = |text: &str| Listing::read("https://deploys.example.org/_chatops", text.as_bytes());
    for (from, to, expected) in [
        ("{", "<html>", "no JSON"),
        ("\"version\":\"3\"", "\"version\":\"2\"", "version 3"),
        ("\"namespace\":\"deploy\"", "\"namespace\":\"a b\"", "namespace"),
        ("\"methods\":{", "\"method\":{", "without methods"),
        ("\"lock_it\":{", "\"lock it\":{", "whose name is more than"),
        ("[\"reason\",\"app\"]", "\"app\"", "whose method lock_it has params"),
        ("[\"reason\",\"app\"]", "[\"a b\"]", "whose method lock_it has a parameter"),
        ("\"path\":\"wcid\"", "\"path\":7", "whose method options has a path"),
    ] {
        assert!(LISTING.contains(from), "{from}");
        let error = read(&LISTING.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
    // A listing that says the same in another order is the same.
    let other = LISTING.replace("[\"reason\",\"app\"]", "[\"app\",\"reason\"]").replace("\"3\"", "3");
    assert_eq!(read(&other).unwrap().text(), listing().text());
}
