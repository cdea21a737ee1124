use ruma::owned_event_id;

use super::*;
use crate::catalogue::Answers;

fn rendered(said: &Message) -> Value {
    message(said, &Placement::Timeline, &[], Loudness::Notice, "482/answer")
}

fn thread() -> Placement {
    Placement::Thread { root: owned_event_id!("$root"), reply_to: owned_event_id!("$command") }
}

#[test]
fn the_plain_body_says_the_same_as_the_html() {
    let said = Message::marked(StateMark::Refused)
        .line([
            Span::text("Not run. "),
            Span::emphasis("Changes are for <them>."),
            Span::text(" (rule "),
            Span::code("a&b"),
        ])
        .list(vec![vec![Span::strong("one")], vec![Span::text("two")]])
        .verbatim("x < y\n  z\n");
    let content = rendered(&said);
    assert_eq!(
        content["body"],
        "⛔ Not run. *Changes are for <them>.* (rule `a&b`\n• **one**\n• two\nx < y\n  z"
    );
    assert_eq!(
        content["formatted_body"],
        "⛔ Not run. <em>Changes are for &lt;them&gt;.</em> (rule <code>a&amp;b</code>\
         <ul><li><strong>one</strong></li><li>two</li></ul><pre><code>x &lt; y\n  z\n</code></pre>"
    );
    assert_eq!(content["msgtype"], "m.notice");
    assert_eq!(content[STEP], "482/answer");
}

#[test]
fn no_value_can_smuggle_markup_or_control_characters() {
    let evil = "</code></pre><img src=\"http://x/\" onerror='a'>\x1b]0;owned\x07\u{202e}@room";
    for said in [
        Message::plain().line([Span::text(evil), Span::code(evil), Span::strong(evil), Span::emphasis(evil)]),
        Message::plain().list(vec![vec![Span::text(evil)]]),
        Message::plain().verbatim(evil),
        blocks([Block::Table { head: vec![evil.into()], rows: vec![vec![evil.into()]] }]),
        blocks([Block::Table { head: Vec::new(), rows: vec![vec![evil.into(), evil.into()]] }]),
    ] {
        let content = rendered(&said);
        let html = content["formatted_body"].as_str().unwrap();
        assert!(!html.contains("<img") && !html.contains('"') && !html.contains('\''), "{html}");
        assert_eq!(html.matches("</code>").count(), html.matches("<code>").count());
        for key in ["body", "formatted_body"] {
            let text = content[key].as_str().unwrap();
            assert!(!text.contains(['\x1b', '\x07', '\u{202e}']), "{text:?}");
        }
    }
}

#[test]
fn output_can_ping_nobody() {
    let content = rendered(&Message::plain().verbatim("@room @alice:example.org"));
    assert_eq!(content["m.mentions"], json!({}));
}

#[test]
fn what_somebody_waits_for_mentions_exactly_them_and_makes_a_sound() {
    let alice = ruma::owned_user_id!("@alice:example.org");
    let said = Message::plain().line([Span::text("done")]);
    let content = message(&said, &thread(), &[alice], Loudness::Text, "s");
    assert_eq!(content["m.mentions"], json!({ "user_ids": ["@alice:example.org"] }));
    assert_eq!(content["msgtype"], "m.text");
}

#[test]
fn an_answer_hangs_in_a_thread_with_a_reply_for_clients_without_threads() {
    let content = message(&Message::plain(), &thread(), &[], Loudness::Notice, "s");
    assert_eq!(
        content["m.relates_to"],
        json!({ "rel_type": "m.thread", "event_id": "$root", "is_falling_back": true,
                "m.in_reply_to": { "event_id": "$command" } })
    );
}

#[test]
fn an_event_with_a_relation_is_no_thread_root() {
    let event = owned_event_id!("$e");
    let with = |relation: Value| Placement::thread_root(&event, &json!({ "m.relates_to": relation }));
    assert_eq!(Placement::thread_root(&event, &json!({ "body": "!x" })), Some(event.clone()));
    assert_eq!(with(json!({ "m.in_reply_to": { "event_id": "$r" } })), Some(event.clone()));
    assert_eq!(with(json!({ "rel_type": "m.thread", "event_id": "$r" })), Some(owned_event_id!("$r")));
    assert_eq!(with(json!({ "rel_type": "m.thread", "event_id": 7 })), None);
    assert_eq!(with(json!({ "rel_type": "m.reference", "event_id": "$r" })), None);
    assert_eq!(with(json!([])), Some(event));
}

#[test]
fn a_room_may_have_its_answers_in_the_main_timeline() {
    let (command, root) = (owned_event_id!("$c"), owned_event_id!("$r"));
    let place = |root, answers| Placement::answer(&command, root, answers);
    assert_eq!(place(Some(&command), Answers::Timeline), Placement::Reply { to: command.clone() });
    assert!(matches!(place(Some(&command), Answers::Thread), Placement::Thread { .. }));
    assert!(matches!(place(Some(&root), Answers::Timeline), Placement::Thread { .. }));
    assert_eq!(place(None, Answers::Thread), Placement::Reply { to: command.clone() });
}

#[test]
fn nothing_is_too_long_for_an_event() {
    let many = "<&\"\x01'\n".repeat(40_000);
    for said in [
        Message::plain().verbatim(many.clone()),
        Message::plain().line((0..5_000).map(|_| Span::code(many[..100].to_owned()))),
        Message::plain().list((0..5_000).map(|_| vec![Span::text(many[..100].to_owned())]).collect()),
        (0..5_000).fold(Message::plain(), |said, _| said.verbatim(many[..1_000].to_owned())),
    ] {
        let content = rendered(&said);
        assert!(content.to_string().len() <= LARGEST, "{}", content.to_string().len());
        assert!(!content["body"].as_str().unwrap().is_empty());
    }
}

#[test]
fn an_edit_keeps_the_new_content_whole_and_without_relation() {
    let new = message(&Message::plain().line([Span::text("18 s")]), &thread(), &[], Loudness::Notice, "s");
    let content = edit(&owned_event_id!("$first"), &new);
    assert_eq!(content["m.relates_to"], json!({ "rel_type": "m.replace", "event_id": "$first" }));
    assert_eq!(content["m.new_content"]["body"], "18 s");
    assert_eq!(content["body"], "* 18 s");
    assert!(content["m.new_content"].get("m.relates_to").is_none());
}

fn blocks(blocks: impl IntoIterator<Item = Block>) -> Message {
    Message { mark: None, blocks: blocks.into_iter().collect() }
}

#[test]
fn a_table_has_rows_for_eyes_and_aligned_columns_for_the_plain_body() {
    let cells = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
    let rows = vec![cells(["web", "v1"]), cells(["api", "v20"])];
    let content = rendered(&blocks([
        Block::Line(vec![Span::text("versions")]),
        Block::Table { head: cells(["app", "version"]), rows: rows.clone() },
        Block::Table { head: Vec::new(), rows },
    ]));
    assert_eq!(content["body"], "versions\napp  version\nweb  v1\napi  v20\nweb  v1\napi  v20");
    assert_eq!(
        content["formatted_body"],
        "versions<table><tr><th>app</th><th>version</th></tr><tr><td>web</td><td>v1</td></tr><tr><td>api</td><td>v20</td></tr></table>\
         <table><tr><th>web</th><td>v1</td></tr><tr><th>api</th><td>v20</td></tr></table>"
    );
}

#[test]
fn a_link_shows_where_it_leads_whatever_its_text_says() {
    let link = |text: &str, url: &str| blocks([Block::Link { text: text.into(), url: url.into() }]);
    let content = rendered(&link("https://bank.example/", "https://evil.example/?a=\"><img src=x>"));
    assert_eq!(content["body"], "https://bank.example/: https://evil.example/?a=\"><img src=x>");
    let html = content["formatted_body"].as_str().unwrap();
    assert!(html.ends_with("</a> (https://evil.example/?a=&quot;&gt;&lt;img src=x&gt;)"), "{html}");
    assert_eq!((html.matches('<').count(), html.matches('"').count()), (2, 2), "{html}");
    // One that does not fit is no link: cut, it would lead elsewhere.
    let long = format!("https://example.org/{}", "x".repeat(60_000));
    let content = rendered(&link("there", &long));
    assert!(!content["formatted_body"].as_str().unwrap().contains("href"));
}

#[test]
fn a_table_of_any_size_fits_into_an_event() {
    let rows: Vec<_> = (0..5_000).map(|row| vec!["x".repeat(row), "<".repeat(200)]).collect();
    let content = rendered(&blocks([Block::Table { head: vec!["a".into(), "b".into()], rows }]));
    assert!(content.to_string().len() <= 48 * 1024, "{}", content.to_string().len());
    assert!(content["body"].as_str().unwrap().contains("more"));
}
