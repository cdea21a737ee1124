//! What people type to the methods of endpoints: as the endpoint lists it, and as everything else is typed.

use super::*;
use crate::{
    catalogue::{Listing, RunKind},
    command::rpc_call,
};

const LISTING: &str = r#"{"namespace":"deploy","methods":{
    "options":{"regex":"options(?: (?<app>\\S+))?","params":["app"],"path":"wcid"},
    "lock":{"regex":"lock (?<app>\\S+) because (?<reason>.+)","params":["app","reason","force"],"path":"lock"},
    "any":{"regex":"(?<first>o\\S+)( (?<second>.*))?","params":["first","second"],"path":"any"}}}"#;

fn ops() -> Ops {
    let folder = tempfile::tempdir().unwrap();
    let url = "https://deploys.example.org/_chatops";
    let listing = Listing::read(url, LISTING.as_bytes()).unwrap().text();
    let endpoint =
        format!("url = \"{url}\"\nkey = \"k\"\nprefix = \"ship\"\neffect = \"read\"\ntags = [\"ships\"]\n");
    for (path, text) in [
        ("quarterdeck.toml", "[homeserver]\nurl = \"http://127.0.0.1:8008\"\nname = \"example.org\"\n"),
        ("rooms/deploy.toml", "name = \"D\"\npurpose = \"D\"\ncommands = [\"#ships\"]\n"),
        ("secrets/k.toml", "environment = \"K\"\n"),
        ("endpoints/ship.toml", &endpoint),
        ("endpoints/ship.json", &listing),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    catalogue::load(folder.path(), &|_| None).unwrap()
}

#[test]
fn a_line_is_read_as_the_endpoint_lists_it_and_as_the_grammar_has_it() {
    let ops = ops();
    for (line, expected) in [
        ("ship lock web because it burns", "ship-lock --app web --reason 'it burns'"),
        ("Ship LOCK web BECAUSE 'it  burns'", "ship-lock --app web --reason 'it  burns'"),
        ("ship lock web because it burns --force yes", "ship-lock --app web --force yes --reason 'it burns'"),
        ("ship-lock web --reason fire", "ship-lock --app web --reason fire"),
        ("ship-options web", "ship-options --app web"),
    ] {
        let parsed =
            parse_line(&ops, line).unwrap_or_else(|mistake| panic!("{line}: {}", mistake.plain("!")));
        assert_eq!(parsed.invocation.to_string(), expected, "{line}");
        // What was understood is shown where it was not said in so many words, and says the same again.
        assert_eq!(parsed.understood, !line.starts_with("ship-"), "{line}");
        assert_eq!(said(&ops, expected), expected);
    }
}

#[test]
fn a_line_that_two_methods_list_is_not_guessed_at() {
    let ops = ops();
    assert_eq!(
        said(&ops, "ship options web"),
        "There are two: `!ship-any --first options --second web`, `!ship-options --app web`"
    );
}

#[test]
fn a_line_is_anchored_and_what_no_method_lists_is_told_with_what_there_is() {
    let ops = ops();
    for line in ["ship lock web", "ship please lock web because", "ship lock web because ", "ship"] {
        let told = said(&ops, line);
        assert!(
            told.starts_with("The endpoint ship does not know that. It has `!ship-any`, `!ship-lock`"),
            "{told}"
        );
    }
    let mut silent = ops.clone();
    silent.rooms.get_mut("deploy").unwrap().commands.retain(|name| !name.starts_with("ship"));
    assert!(said(&silent, "ship lock web because fire").contains("has not said yet what it offers"));
}

#[test]
fn only_what_a_method_takes_is_sent_and_nothing_empty() {
    let ops = ops();
    let of = |line: &str| {
        let parsed = parse_line(&ops, line).unwrap();
        let RunKind::ChatopsRpc(rpc) = &parsed.command.run.kind else { panic!("{parsed:?}") };
        ((**rpc).clone(), parsed.invocation)
    };
    let (rpc, invocation) = of("ship lock web because \"a\\\"b\"");
    let call = rpc_call(&rpc, &invocation).unwrap();
    let body: Json =
        serde_json::from_str(&call.body("alice", user_id!("@alice:example.org"), "deploy")).unwrap();
    let expected = json!({ "user": "alice", "mention_slug": "@alice:example.org", "room_id": "deploy", "method": "lock",
        "params": { "app": "web", "reason": "a\"b" } });
    assert_eq!((call.url.as_str(), body), ("https://deploys.example.org/_chatops/lock", expected));
    let mut less = rpc.clone();
    less.takes.remove("reason");
    assert!(rpc_call(&less, &invocation).unwrap_err().contains("takes no parameter reason"));
    let gone = crate::catalogue::RpcRun { url: None, ..rpc };
    assert!(rpc_call(&gone, &invocation).unwrap_err().contains("does so no longer"));
}
