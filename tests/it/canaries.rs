//! Secrets are planted, used and printed in every way; then everything that was kept, logged or sent is searched.

use std::{fmt::Write as _, fs};

use quarterdeck::model::{Identity, Random as _, Sealed, Secret, SystemRandom};
use serde_json::json;
use sqlx::{AssertSqlSafe, Row as _};

use crate::harness::World;

/// Prints the secrets that it is given, in every encoding, whole and byte by byte, to both streams, and leaves files that hold
/// them and are named after them.
const LEAK: &str = r#"#!/usr/bin/python3
import base64, json, os, sys, time, urllib.parse

given = [os.environ["BY_VARIABLE"], open(os.environ["BY_FILE"]).read(), sys.stdin.read()]
assert len(set(given)) == 3 and all(given)
for secret in given:
    plain = secret.encode()
    spellings = [plain, json.dumps(secret).encode(), json.dumps(secret, ensure_ascii=False).encode()]
    spellings += [urllib.parse.quote(secret).encode(), urllib.parse.quote_plus(secret).encode()]
    for before in (b"", b"a", b"ab"):
        spellings += [base64.b64encode(before + plain), base64.urlsafe_b64encode(before + plain)]
    for stream in (1, 2):
        for spelling in spellings:
            os.write(stream, b"<" + spelling + b">\n")
        for byte in plain:
            os.write(stream, bytes([byte]))
            time.sleep(0.001)
        os.write(stream, b"\n")
    name = os.path.join(os.environ["QUARTERDECK_OUT"], urllib.parse.quote(secret, safe=""))
    with open(name + ".left", "wb") as left:
        left.write(b"begin " + b"\0".join(spellings) + b" end")
if sys.argv[1] == "much":
    for number in range(20000):
        os.write(1, b"line %d " % number + given[number % 3].encode() + b"\n")
sys.exit(int(sys.argv[1] == "fail"))
"#;

/// A secret with a character for every encoding to change.
fn canary(number: u32) -> String {
    format!("c4nary{number}-{}/\"q\\u+ \u{f6}?", &SystemRandom.uuid().simple().to_string()[..12])
}

/// What betrays a secret in whatever spelling: a piece of it that each one keeps, or its base64.
fn traces(secret: &str) -> Vec<String> {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let core = secret.split('/').next().unwrap().to_owned();
    let mut traces = vec![core.clone()];
    for before in ["", "a", "ab"] {
        let encoded = BASE64_STANDARD.encode(format!("{before}{core}"));
        traces.push(encoded[4..encoded.len() - 4].to_owned());
    }
    // So a table shows bytes.
    let hex = |text: &String| {
        text.bytes().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    };
    traces.iter().cloned().chain(traces.iter().map(hex)).collect()
}

/// Every row of every table, bytes as hexadecimal digits and as the text that they are.
async fn whole_database(world: &World) -> String {
    let sql = world.sql();
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
            .fetch_all(&sql)
            .await
            .unwrap();
    let mut whole = String::new();
    for table in tables {
        let rows = sqlx::query(AssertSqlSafe(format!("SELECT t::text AS row FROM {table} t")))
            .fetch_all(&sql)
            .await
            .unwrap();
        for row in rows {
            whole.push_str(&row.get::<String, _>("row"));
            whole.push('\n');
        }
    }
    whole
}

#[tokio::test]
async fn no_canary_is_found_in_the_database_the_log_the_room_the_spool_or_a_bundle() {
    let secrets = [canary(1), canary(2), canary(3)];
    let mut world = World::prepared(crate::harness::Plan::default()).await;
    let (identity, recipient) = Identity::generate();
    let folder = world.ops.path().parent().unwrap().to_owned();
    let key = folder.join("age.key");
    fs::write(&key, identity.text().expose()).unwrap();
    let settings = world.ops.read("quarterdeck.toml");
    world.ops.file(
        "quarterdeck.toml",
        &format!("{settings}[secrets]\nidentity = \"{}\"\nrecipients = [\"{recipient}\"]\n", key.display()),
    );
    let sealed = Sealed::seal(&Secret::new(secrets[0].clone()), std::slice::from_ref(&recipient)).unwrap();
    world.ops.file("secrets/one.age", sealed.as_str());
    let plain = folder.join("two");
    fs::write(&plain, &secrets[1]).unwrap();
    world.ops.file("secrets/two.toml", &format!("file = \"{}\"\n", plain.display()));
    let sealed = Sealed::seal(&Secret::new(secrets[2].clone()), std::slice::from_ref(&recipient)).unwrap();
    world.ops.file("secrets/three.age", sealed.as_str());
    let program = folder.join("bin/count");
    fs::write(&program, LEAK).unwrap();
    let command = world.ops.read("commands/count.toml");
    let shut = command.replace("sandbox = \"none\"\n", "");
    assert_ne!(command, shut);
    world.ops.file(
        "commands/count.toml",
        &format!(
            "{shut}credentials = {{ BY_VARIABLE = \"one\" }}\ncredential_files = {{ BY_FILE = \"two\" }}\n\
             credential_input = \"three\"\nout = true\n"
        ),
    );
    world.serve().await;
    world.gather().await;

    let (mut shown, mut command) = (String::new(), None);
    for word in ["short", "fail", "much"] {
        let answer = world.ask(&format!("!count {word}")).await;
        let expected = if word == "fail" { "failed" } else { "succeeded" };
        assert_eq!(answer.state, expected, "{}", answer.body);
        assert!(answer.body.contains("[secret "), "{}", answer.body);
        command = answer.content("m.relates_to")["event_id"].as_str().map(str::to_owned);
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT jsonb_array_elements_text(body::jsonb->'secrets') FROM entries
             WHERE request = $1 AND kind = 'run.started' ORDER BY 1",
        )
        .bind(answer.number)
        .fetch_all(&world.sql())
        .await
        .unwrap();
        assert_eq!(names, ["one", "three", "two"], "their use is on the record, by name");
        let _ = writeln!(shown, "{}", world.ask(&format!("!audit {}", answer.number)).await.body);
    }
    let command = command.expect("the last one");
    let names = ["one", "two", "three"].map(|name| format!("[secret {name}].left"));
    for wanted in ["txt", &names[0], &names[1], &names[2]] {
        let fits = |event: &serde_json::Value| {
            let content = &event["content"];
            content["msgtype"] == "m.file" && content["body"].as_str().is_some_and(|it| it.ends_with(wanted))
        };
        let file = world.alice.answer_that(&world.bot(), &command, fits).await;
        let address = file["content"]["url"].as_str().unwrap().strip_prefix("mxc://").unwrap();
        let text = world.alice.download(address).await;
        assert!(wanted == "txt" || (text.starts_with("begin [secret ") && text.ends_with(" end")), "{text}");
        shown.push_str(&text);
    }
    world.settled().await;
    world.alice.sync(std::time::Duration::ZERO).await;
    for event in world.alice.seen() {
        let _ = writeln!(shown, "{event}");
    }
    assert!(shown.matches("line 19999 [secret").count() >= 1, "the file with the whole of it was seen");

    let bundle = folder.join("bundle");
    let ops = world.ops.path().to_str().unwrap();
    let exported =
        world.quarterdeck(&["audit", "export", "--contents", "--ops", ops, bundle.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let bundle = with_its_contents(&fs::read_to_string(&bundle).unwrap());
    assert!(bundle.contains("[secret "), "what was printed is in it, masked");
    let kept = [
        ("the room", shown),
        ("the database", whole_database(&world).await),
        ("the log", world.log_text()),
        ("the bundle", bundle),
        ("the spool", spooled(&folder.join("state"))),
    ];
    for (place, text) in &kept {
        for secret in &secrets {
            for trace in traces(secret) {
                assert!(!text.contains(&trace), "{place} holds {trace} of {secret}");
            }
        }
    }
    // What is searched for would be found: the program itself had all three.
    let found = json!(secrets).to_string();
    assert!(secrets.iter().all(|secret| found.contains(&traces(secret)[0])));
}

/// A bundle with what its contents are, beside how they are written.
pub fn with_its_contents(bundle: &str) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let contents = bundle.lines().filter_map(|line| line.strip_prefix("content ")?.split_once(' '));
    let contents = contents.map(|(_, bytes)| BASE64_STANDARD.decode(bytes).unwrap());
    contents.fold(bundle.to_owned(), |text, bytes| text + "\n" + &*String::from_utf8_lossy(&bytes))
}

/// All that is in the files of a folder.
fn spooled(folder: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            text.push_str(&spooled(&entry.path()));
        } else {
            text.push_str(&String::from_utf8_lossy(&fs::read(entry.path()).unwrap_or_default()));
        }
    }
    text
}

#[tokio::test]
async fn a_secret_is_rotated_by_a_reload_and_one_that_cannot_be_opened_starts_nothing() {
    let mut world = World::prepared(crate::harness::Plan::default()).await;
    let folder = world.ops.path().parent().unwrap().to_owned();
    let key = folder.join("age.key");
    let made = world.quarterdeck(&["secret", "key", key.to_str().unwrap()]);
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success() && said.contains("recipients = [\"age1"), "{said}");
    let section: String = said.lines().skip_while(|line| !line.contains("[secrets]")).take(3).fold(
        String::new(),
        |mut text, line| {
            text.push_str(line.trim());
            text.push('\n');
            text
        },
    );
    let settings = world.ops.read("quarterdeck.toml");
    world.ops.file("quarterdeck.toml", &format!("{settings}{section}"));
    let command = world.ops.read("commands/count.toml");
    world.ops.file("commands/count.toml", &format!("{command}credentials = {{ TOKEN = \"token\" }}\n"));
    let digest = folder.join("bin/count");
    fs::write(&digest, "#!/bin/sh\nprintf %s \"$TOKEN\" | sha256sum\necho \"$1\" >> \"$TRACE\"\n").unwrap();
    set_secret(&world, "first-value\n");
    world.serve().await;
    world.gather().await;
    let of = |value: &str| quarterdeck::model::Digest::of(value.as_bytes()).to_string();
    let answer = world.ask("!count one").await;
    assert!(answer.body.contains(&of("first-value")), "{}", answer.body);

    set_secret(&world, "second-value");
    let answer = world.ask("!reload").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    let answer = world.ask("!count two").await;
    assert!(answer.body.contains(&of("second-value")), "{}", answer.body);

    // The identity goes: nothing starts, and it is said why.
    fs::write(&key, Identity::generate().0.text().expose()).unwrap();
    let answer = world.ask("!count three").await;
    assert_eq!(answer.state, "failed", "{}", answer.body);
    assert!(
        answer.body.contains("secrets/token.age") && answer.body.contains("somebody else"),
        "{}",
        answer.body
    );
    assert_eq!(world.ops.traced(), ["one", "two"]);
}

/// Encrypts a value as an operator does.
fn set_secret(world: &World, value: &str) {
    use std::{io::Write as _, process::Stdio};
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["secret", "set", "token", "--ops"])
        .arg(world.ops.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(!String::from_utf8_lossy(&output.stdout).contains(value.trim()));
}
