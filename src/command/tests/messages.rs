//! Messages and which of them are commands. The names are those of MATRIX's rules.

use super::*;

#[test]
fn a_message_is_a_command_only_if_a_letter_follows_the_prefix() {
    assert_eq!(command(&message("!deploy web staging")), "deploy web staging");
    assert_eq!(command(&message(" !deploy web \n\n")), "deploy web");
    for body in
        ["deploy web", "!", "!!", "! deploy", "!1", "!?", "", "that was close!deploy", "/deploy", "\n!deploy"]
    {
        assert!(is_talk(&message(body)), "{body}");
    }
}

#[test]
fn only_text_is_a_command_and_edits_and_notices_are_not() {
    for kind in ["m.notice", "m.emote", "m.image"] {
        assert!(is_talk(&json!({ "msgtype": kind, "body": "!deploy web" })), "{kind}");
    }
    assert!(is_talk(&json!({
        "msgtype": "m.text", "body": "* !deploy web", "m.new_content": { "msgtype": "m.text", "body": "!deploy web" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": "$x" }
    })));
    assert!(is_talk(&json!({
        "msgtype": "m.text", "body": "!deploy web", "m.relates_to": { "rel_type": "m.replace", "event_id": "$x" }
    })));
    for content in [
        json!({}),
        json!(null),
        json!([]),
        json!({ "msgtype": "m.text" }),
        json!({ "msgtype": 1, "body": 2 }),
    ] {
        assert!(is_talk(&content), "{content}");
    }
}

#[test]
fn quoting_somebodys_command_does_not_run_it() {
    let reply = |body: &str| json!({ "msgtype": "m.text", "body": body, "m.relates_to": { "m.in_reply_to": { "event_id": "$x" } } });
    assert!(is_talk(&reply("> <@alice:example.org> !deploy web\n\nare you sure?")));
    assert!(is_talk(&reply("> !deploy web")));
    assert!(is_talk(&message("> !deploy web")));
    assert_eq!(
        command(&reply("> <@alice:example.org> hm\n> two\n\n!restart web staging")),
        "restart web staging"
    );
    assert_eq!(command(&reply("!restart web staging")), "restart web staging");
    let content = html(
        "!note hello",
        "<mx-reply><blockquote><a href=\"https://matrix.to/#/@eve:evil.example\">eve</a></blockquote></mx-reply>!note hello",
    );
    assert_eq!(command(&content), "note hello");
}

#[test]
fn a_message_with_further_lines_is_refused() {
    assert!(
        refused(&message("!note a\n!deploy web production")).starts_with("Not run: a command is one line")
    );
    assert!(refused(&message("!note a\r\nb")).starts_with("Not run: a command is one line"));
}

#[test]
fn characters_that_hide_something_are_refused_by_name() {
    for (character, name) in [
        ('\0', "a NUL (U+0000)"),
        ('\u{1b}', "an escape (U+001B)"),
        ('\u{7}', "a control character (U+0007)"),
        ('\r', "a line break (U+000D)"),
        ('\u{2028}', "a line break (U+2028)"),
        ('\u{202e}', "a text-direction override (U+202E)"),
        ('\u{2066}', "a text-direction override (U+2066)"),
        ('\u{200b}', "an invisible character (U+200B)"),
        ('\u{e0041}', "an invisible character (U+E0041)"),
    ] {
        let text = refused(&message(&format!("!note a{character}b")));
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn mentioning_the_bot_instead_of_the_prefix_works() {
    for body in [
        "@quarterdeck:example.org deploy web",
        "@quarterdeck:example.org: deploy web",
        "@quarterdeck:example.org, !deploy web",
    ] {
        assert_eq!(command(&message(body)), "deploy web", "{body}");
    }
    let pill = "<a href=\"https://matrix.to/#/%40quarterdeck%3Aexample.org\">Quarter Deck</a>";
    assert_eq!(command(&html("Quarter Deck: deploy web", &format!("{pill}: deploy web"))), "deploy web");
    assert_eq!(
        command(&html("@quarterdeck:example.org deploy web", &format!("<p>{pill} deploy web</p>"))),
        "deploy web"
    );
    // A name proves nothing, a longer id is somebody else, and a mention in the middle is talk.
    assert!(is_talk(&message("Quarter Deck: deploy web")));
    assert!(is_talk(&message("@quarterdeck:example.org:8448 deploy web")));
    assert!(is_talk(&message("@quarterdeck:example.organic deploy web")));
    assert!(is_talk(&html("ask Quarter Deck: deploy web", &format!("ask {pill}: deploy web"))));
    let other = "<a href=\"https://matrix.to/#/@eve:evil.example\">Quarter Deck</a>";
    assert!(is_talk(&html("Quarter Deck: deploy web", &format!("{other}: deploy web"))));
}

#[test]
fn a_pill_gives_the_id_of_its_link() {
    let ops = ops();
    let alice = "<a href=\"https://matrix.to/#/@alice:example.org\">Alice &amp; Co</a>";
    let content = html("!note --who Alice & Co --words hello", &format!("!note --who {alice} --words hello"));
    let parsed = whole(&ops, &content).unwrap();
    assert_eq!(parsed.invocation.to_string(), "note --who @alice:example.org --words hello");
    assert!(parsed.understood);
    let content = html(
        "!note --who [Alice](https://matrix.to/#/@alice:example.org)",
        "!note --who <a href='https://matrix.to/#/@alice:example.org'><b>Alice</b></a>",
    );
    assert_eq!(whole(&ops, &content).unwrap().invocation.to_string(), "note --who @alice:example.org");
    let room = "<a href=\"https://matrix.to/#/!abc:example.org?via=example.org\">Data</a>";
    let content = html("!note --where Data", &format!("!note --where {room}"));
    assert_eq!(whole(&ops, &content).unwrap().invocation.to_string(), "note --where '!abc:example.org'");
    let uri = "<a href=\"matrix:u/alice:example.org\">Alice</a>";
    assert_eq!(
        command(&html("!note --who Alice", &format!("!note --who {uri}"))),
        "note --who @alice:example.org"
    );
}

#[test]
fn a_pill_that_cannot_be_matched_one_to_one_is_refused() {
    let alice = "<a href=\"https://matrix.to/#/@alice:example.org\">Alice</a>";
    let eve = "<a href=\"https://matrix.to/#/@eve:evil.example\">@alice:example.org</a>";
    for (body, formatted) in [
        ("!note --who Bob", format!("!note --who {alice}")),
        ("!note --who Alice Alice", format!("!note --who {alice} Alice")),
        ("!note --who Alicent", format!("!note --who {alice}nt")),
        ("!note --who @alice:example.org", format!("!note --who {eve}")),
        (
            "!note --who Alice",
            "!note --who <a href=\"https://matrix.to/#/@alice:example.org\">Alice".to_owned(),
        ),
    ] {
        let text = refused(&html(body, &formatted));
        assert!(text.contains("do not match one to one"), "{body}: {text}");
    }
    // Links to elsewhere are no pills.
    let link = "<a href=\"https://example.org/\">Alice</a>";
    assert_eq!(command(&html("!note Alice", &format!("!note {link}"))), "note Alice");
}

fn structured(body: &str, block: &Json) -> Json {
    json!({
        "msgtype": "m.text", "body": body, "org.matrix.msc4391.command": block,
        "m.mentions": { "user_ids": ["@quarterdeck:example.org"] }
    })
}

#[test]
fn a_structured_command_is_accepted_where_it_agrees_with_the_text() {
    let ops = ops();
    let block =
        json!({ "command": "scale", "arguments": { "apps": ["web", "db"], "count": 3, "label": null } });
    for body in ["/scale web,db 3", "!scale web,db 3", "@quarterdeck:example.org scale web,db 3"] {
        let parsed = whole(&ops, &structured(body, &block)).unwrap();
        assert_eq!(parsed.invocation.to_string(), "scale --apps web,db --count 3 --wait 10m", "{body}");
    }
    let block = json!({ "command": "note", "arguments": { "where": { "type": "room_id", "id": "!a:example.org", "via": [] } } });
    assert!(whole(&ops, &structured("/note --where !a:example.org", &block)).is_ok());
}

#[test]
fn a_structured_command_that_disagrees_with_the_text_is_refused() {
    let ops = ops();
    for (body, block) in [
        ("!scale web 3", json!({ "command": "scale", "arguments": { "apps": ["web"], "count": 4 } })),
        ("!scale web 3", json!({ "command": "deploy", "arguments": { "apps": ["web"], "count": 3 } })),
        ("!scale web 3", json!({ "command": "scale", "arguments": { "apps": ["web"], "count": 3, "x": 1 } })),
        ("!scale web 3", json!({ "command": "scale", "arguments": "web 3" })),
        ("!scale web 3", json!({ "command": "scale", "arguments": { "apps": ["web,db"], "count": 3 } })),
        ("!scale web 3", json!("scale web 3")),
    ] {
        assert_eq!(whole(&ops, &structured(body, &block)).unwrap_err(), Mistake::Disagree, "{block}");
    }
    assert!(whole(&ops, &structured("please scale web to three", &json!({ "command": "scale" }))).is_err());
}

#[test]
fn a_structured_command_for_another_bot_is_talk() {
    let content = json!({
        "msgtype": "m.text", "body": "!deploy web", "org.matrix.msc4391.command": { "command": "deploy" },
        "m.mentions": { "user_ids": ["@draupnir:example.org"] }
    });
    assert!(is_talk(&content));
}

#[test]
fn a_message_of_nothing_but_pills_is_refused_at_once() {
    let pill = r#"<a href="https://matrix.to/#/@a:b.c">a</a> "#;
    let html = html(&format!("!deploy {}", "a ".repeat(1_000)), &format!("!deploy {}", pill.repeat(1_000)));
    assert!(matches!(
        recognise("!", bot(), &html),
        Recognised::Refused { mistake: Mistake::Pill { .. }, .. }
    ));
}
