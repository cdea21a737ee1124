//! What programs print as records, and what of it a line asks to see.

use serde_json::Value;

use crate::harness::World;

/// A program of records, with something hostile and something that is none.
const SCRIPT: &str = r#"echo versions >> "$TRACE"
cat <<'END'
{"type":"table","columns":["app","env","version"],"rows":[["web","staging","v2"],["web","production","v1"],["api","staging","<b>v3</b>"]]}
{"type":"table","columns":["broken"
{"type":"link","text":"All of them","url":"https://example.org/versions"}
{"type":"progress","done":3,"of":4,"text":"asked"}
END
test "$1" != fail || { echo '{"type":"error","text":"api does not answer","hint":"look at its log"}'; exit 1; }"#;

async fn world() -> World {
    World::changed(|ops| {
        let argument = "[[argument]]\nname = \"how\"\ntype = \"choice\"\nchoices = [\"well\", \"fail\"]\ndefault = \"well\"\n";
        ops.command("versions", "read", argument, SCRIPT);
        let file = ops.read("commands/versions.toml");
        ops.file("commands/versions.toml", &format!("output = \"records\"\n{file}"));
        let room = ops.read("rooms/deploy.toml").replace("commands = [", "commands = [\"versions\", ");
        ops.file("rooms/deploy.toml", &room);
    })
    .await
}

#[tokio::test]
async fn records_are_shown_as_tables_and_what_is_asked_of_them_runs_nothing_more() {
    let world = world().await;
    let html = |content: &Value| content["formatted_body"].as_str().unwrap_or_default().to_owned();
    let command = world.alice.say(&world.room, "!versions").await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert!(answer.body.contains("api  staging     <b>v3</b>"), "{}", answer.body);
    let event = world.alice.answers(&world.bot(), &command).pop().unwrap();
    let shown = html(&event["content"]);
    assert!(shown.contains("<tr><td>web</td><td>staging</td><td>v2</td></tr>"), "{shown}");
    assert!(shown.contains("&lt;b&gt;v3&lt;/b&gt;") && !shown.contains("<b>"), "{shown}");
    assert!(
        shown.contains("{&quot;type&quot;:&quot;table&quot;,&quot;columns&quot;:[&quot;broken&quot;"),
        "{shown}"
    );
    assert!(shown.contains("<a href=\"https://example.org/versions\">All of them</a>"), "{shown}");
    assert!(answer.body.contains("3 of 4 · asked"), "{}", answer.body);

    let mut asked = 0;
    for (line, with, without) in [
        ("!versions | filter web", "production", "api"),
        ("!versions | filter env=staging | head 1", "v2", "v3"),
        ("!versions | json", "\"app\": \"web\"", "app  env"),
    ] {
        let ran = world.ops.counted("versions");
        let answer = world.ask(line).await;
        assert_eq!(answer.state, "succeeded", "{line}: {}", answer.body);
        assert!(answer.body.contains(with) && !answer.body.contains(without), "{line}: {}", answer.body);
        assert_eq!(world.ops.counted("versions"), ran + 1, "{line}");
        // What was asked is recorded with the request, as part of what was understood.
        let recorded = "SELECT count(*) FROM contents WHERE kind = 'invocation' AND position('\"filters\"'::bytea IN bytes) > 0";
        asked += 1;
        assert_eq!(world.count(recorded).await, asked, "{line}");
    }

    let answer = world.ask("!versions fail").await;
    assert_eq!(answer.state, "failed", "{}", answer.body);
    assert!(
        answer.body.contains("api does not answer") && answer.body.contains("look at its log"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn lines_are_shaped_as_well_and_what_cannot_be_shaped_is_refused_before_anything_runs() {
    let world = world().await;
    let answer = world.ask("!lines 30 | filter 'line 1' | head 2").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert!(answer.body.contains("line 1 of the output\nline 10 of the output"), "{}", answer.body);
    assert!(!answer.body.contains("line 11 of"), "{}", answer.body);
    for line in ["!lines 3 | json", "!help | head 3", "!count x | grep x", "!count x |"] {
        let answer = world.ask(line).await;
        assert_eq!(answer.state, "refused", "{line}: {}", answer.body);
    }
    assert_eq!(world.ops.counted("x"), 0);
}
