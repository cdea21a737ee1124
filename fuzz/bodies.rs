//! What holds of every text that somebody types: a function for each target of cargo-fuzz, which panics where it does not.
//!
//! From the message of a room to the vector of a program, the line of another host, the body of a request and the
//! parameters of a call: a value arrives there whole, in its place, and as nothing else.

use std::{path::Path, sync::LazyLock};

use quarterdeck::{
    catalogue::{self, Ops, RunKind},
    command::{self, Line, Mistake, Parsed, Recognised},
    model::{Value, quoted},
};
use ruma::user_id;
use serde_json::json;

/// The folder `ops/`: a command for each kind of executor.
static OPS: LazyLock<Ops> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = if folder.ends_with("fuzz") { folder.join("ops") } else { folder.join("fuzz/ops") };
    catalogue::load(&folder, &|_| None).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
});

/// What a message of the room comes to. `None` where it is talk.
fn heard(body: &str) -> Option<Result<Parsed, Mistake>> {
    let content = json!({ "msgtype": "m.text", "body": body });
    match command::recognise("!", user_id!("@quarterdeck:example.org"), &content) {
        Recognised::Talk => None,
        Recognised::Refused { mistake, .. } => Some(Err(mistake)),
        Recognised::Command(line) => Some(command::parse(&OPS, &OPS.rooms["deploy"], &line)),
    }
}

/// Any text as a message: it gives a mistake that says something, or an invocation that prints back to itself.
pub fn message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for body in
        [text.to_owned(), format!("!{text}"), format!("!dry {text}"), format!("!every day 09:00 {text}")]
    {
        match heard(&body) {
            None => {}
            Some(Err(mistake)) => assert!(!mistake.plain("!").is_empty(), "{body:?}"),
            Some(Ok(parsed)) => {
                let printed = parsed.invocation.to_string();
                let again = command::parse(&OPS, &OPS.rooms["deploy"], &Line::typed(&printed));
                let again = again.unwrap_or_else(|mistake| panic!("{body:?}, {printed:?}: {mistake:?}"));
                assert_eq!(again.invocation, parsed.invocation, "{body:?}");
                assert_eq!(again.invocation.digest(), parsed.invocation.digest(), "{body:?}");
                built(&parsed);
            }
        }
    }
}

/// Any text as the value of an argument: by each spelling that it can be given in, through each kind of executor.
pub fn value(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The grammar takes the spaces that keyboards put in the place of others for those.
    let meant = text.replace(['\u{a0}', '\u{202f}', '\u{2007}'], " ");
    for name in ["program", "dry program", "bare", "there", "request", "ship-say"] {
        for line in [format!("!{name} --text {}", quoted(text)), format!("!{name} text={}", quoted(text))] {
            match heard(&line) {
                Some(Ok(parsed)) => {
                    assert_eq!(parsed.invocation.arguments["text"], Value::Text(meant.clone()), "{line:?}");
                    built(&parsed);
                }
                Some(Err(mistake)) => assert!(is_right(&mistake, name, &meant), "{line:?}: {mistake:?}"),
                None => panic!("talk: {line:?}"),
            }
        }
    }
}

/// Whether a value may be refused so.
fn is_right(mistake: &Mistake, command: &str, value: &str) -> bool {
    match mistake {
        Mistake::SeveralLines => {
            value.contains(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'])
        }
        Mistake::Character { character, .. } => {
            value.contains(*character) || character.is_control() || character.is_whitespace()
        }
        Mistake::Dash { .. } => command == "bare" && value.starts_with('-'),
        // An endpoint's parameters are shorter.
        Mistake::WrongValue { .. } => {
            value.is_empty() || value.chars().count() > if command == "ship-say" { 4_000 } else { 60_000 }
        }
        // A line ends where its text does: what is left of quotes around spaces at its end is not closed.
        Mistake::Unclosed { .. } => value.ends_with(char::is_whitespace),
        _ => false,
    }
}

/// What would be run for it holds each value in its place, and nothing more.
fn built(parsed: &Parsed) {
    let Parsed { command, invocation, .. } = parsed;
    let text = match invocation.arguments.get("text") {
        Some(Value::Text(text)) => text.clone(),
        _ => return,
    };
    let vector = command::argument_vector(command, invocation);
    match &command.run.kind {
        RunKind::Process(_) if command.name == "bare" => {
            assert_eq!(vector, [text.clone(), "end".to_owned()]);
            assert!(!text.starts_with('-'), "an option: {text:?}");
        }
        RunKind::Process(_) if invocation.dry => {
            assert_eq!(vector, ["plan".to_owned(), format!("--text={text}")]);
        }
        RunKind::Process(_) => {
            assert_eq!(vector, ["run".to_owned(), format!("--text={text}"), "--".to_owned(), text.clone()]);
        }
        RunKind::Ssh(ssh) => {
            let remote = command::ssh_command(ssh, command, invocation).expect("a host is named");
            let words = ["/opt/there".to_owned(), format!("--text={text}"), "--".to_owned(), text.clone()];
            assert_eq!(remote.words, words);
            let line: Vec<_> = remote.words.iter().map(|word| command::quoted_for_a_shell(word)).collect();
            assert_eq!(shell_words::split(&line.join(" ")).expect("a line of a shell"), words);
        }
        RunKind::Http(http) => match command::http_request(http, invocation) {
            Err(_) => assert!(["", ".", ".."].contains(&text.as_str()), "{text:?}"),
            Ok(request) => {
                let url = &request.url;
                assert_eq!(
                    (url.scheme(), url.host_str(), url.port()),
                    ("https", Some("ci.example.org"), None)
                );
                assert_eq!((url.username(), url.password(), url.fragment()), ("", None, None));
                assert_eq!(url.path().split('/').count(), 3, "{url}");
                let query: Vec<_> = url.query_pairs().into_owned().collect();
                assert_eq!(query, [("q".to_owned(), format!("is {text}"))]);
                let body = request.body.expect("a body").to_string();
                let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
                assert_eq!(body, json!({ "text": text, "said": format!("so {text}"), "fixed": true }));
            }
        },
        RunKind::ChatopsRpc(rpc) => {
            let call = command::rpc_call(rpc, invocation).expect("it takes this parameter");
            assert_eq!(call.url, "https://ship.example.org/_chatops/say");
            let body = call.body("bob", user_id!("@bob:example.org"), "deploy");
            let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(body["params"], json!({ "text": text }));
            assert_eq!((&body["method"], &body["user"]), (&json!("say"), &json!("bob")));
        }
        RunKind::Builtin => {}
    }
}
