//! What is understood, what is refused, and how it is said.

use std::fs;

use ruma::{UserId, user_id};
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    catalogue::{self, Ops},
    model::Value,
};

mod dry;
mod endpoints;
mod grammar;
mod lines;
mod messages;
mod property;

/// A small folder: two rooms, and commands of every type of argument.
const FILES: &[(&str, &str)] = &[
    ("quarterdeck.toml", "[homeserver]\nurl = \"http://127.0.0.1:8008\"\nname = \"example.org\"\n"),
    ("teams/web.toml", "homeservers = [\"example.org\"]\nusers = [\"@bob:example.org\"]\n"),
    ("systems/web.toml", "owner = \"web\"\nenvironments = [\"staging\", \"production\"]\n"),
    ("systems/db.toml", "owner = \"web\"\nenvironments = [\"production\"]\n"),
    (
        "rooms/deploy.toml",
        "name = \"Deploy\"\npurpose = \"Releases\"\nteams = [\"web\"]\ncommands = [\"deploy\", \"restart\", \"note\", \"scale\"]\n",
    ),
    (
        "rooms/data.toml",
        "name = \"Database\"\npurpose = \"Backups\"\nteams = [\"web\"]\ncommands = [\"backup\"]\n",
    ),
    (
        "commands/deploy.toml",
        r#"summary = "Deploys a version"
effect = "change"
subject = "{app}@{env}"
phrases = ["deploy {app} to {env} at {version}", "ship {app} to {env} at {version}"]
examples = ["deploy web staging v1.4.2"]
[[argument]]
name = "app"
type = "system"
[[argument]]
name = "env"
type = "choice"
choices = ["staging", "production"]
[[argument]]
name = "version"
type = "text"
pattern = 'v\d+\.\d+\.\d+'
[[argument]]
name = "dry-run"
type = "boolean"
default = false
[run]
executor = "process"
program = "/opt/deploy"
arguments = ["{app}", "--env={env}", "--version={version}", "--dry-run={dry-run}"]
lock = "{app}@{env}"
[dry]
arguments = ["plan", "{version}", "--env={env}", "{app}"]
"#,
    ),
    (
        "commands/restart.toml",
        r#"summary = "Restarts"
effect = "change"
subject = "{app}@{env}"
[[argument]]
name = "app"
type = "system"
[[argument]]
name = "env"
type = "choice"
choices = ["staging", "production"]
[run]
executor = "process"
program = "/opt/restart"
"#,
    ),
    (
        "commands/note.toml",
        r#"summary = "Notes something"
effect = "read"
[[argument]]
name = "who"
type = "user"
required = false
[[argument]]
name = "where"
type = "room"
required = false
[[argument]]
name = "words"
type = "text"
required = false
rest = true
[run]
executor = "process"
program = "/bin/echo"
arguments = ["{words}", "--who={who}", "--where={where}"]
"#,
    ),
    (
        "commands/scale.toml",
        r#"summary = "Scales"
effect = "change"
[[argument]]
name = "apps"
type = "list"
items = "system"
[[argument]]
name = "count"
type = "integer"
min = -5
max = 50
[[argument]]
name = "wait"
type = "duration"
default = "10m"
[[argument]]
name = "label"
type = "text"
min_length = 0
required = false
[run]
executor = "process"
program = "/opt/scale"
arguments = ["{apps}", "{count}", "{wait}", "--", "{label}"]
"#,
    ),
    (
        "commands/backup.toml",
        "summary = \"Backs up\"\neffect = \"change\"\n[run]\nexecutor = \"process\"\nprogram = \"/opt/backup\"\n",
    ),
];

fn ops() -> Ops {
    ops_with(&[])
}

fn ops_with(further: &[(&str, &str)]) -> Ops {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in FILES.iter().chain(further) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    catalogue::load(folder.path(), &|_| None).unwrap()
}

fn bot() -> &'static UserId {
    user_id!("@quarterdeck:example.org")
}

fn parse_line(ops: &Ops, line: &str) -> Result<Parsed, Mistake> {
    parse(ops, &ops.rooms["deploy"], &Line::typed(line))
}

/// What a line means, printed; or what is wrong with it, as it is answered.
fn said(ops: &Ops, line: &str) -> String {
    match parse_line(ops, line) {
        Ok(parsed) => parsed.invocation.to_string(),
        Err(mistake) => mistake.plain("!"),
    }
}

fn message(body: &str) -> Json {
    json!({ "msgtype": "m.text", "body": body })
}

fn html(body: &str, formatted: &str) -> Json {
    json!({ "msgtype": "m.text", "body": body, "format": "org.matrix.custom.html", "formatted_body": formatted })
}

/// The text of the command in a message.
fn command(content: &Json) -> String {
    match recognise("!", bot(), content) {
        Recognised::Command(line) => line.text,
        other => panic!("no command: {other:?}"),
    }
}

fn refused(content: &Json) -> String {
    match recognise("!", bot(), content) {
        Recognised::Refused { mistake, .. } => mistake.plain("!"),
        other => panic!("not refused: {other:?}"),
    }
}

fn is_talk(content: &Json) -> bool {
    recognise("!", bot(), content) == Recognised::Talk
}

/// What a message comes to in the room `deploy`.
fn whole(ops: &Ops, content: &Json) -> Result<Parsed, Mistake> {
    match recognise("!", bot(), content) {
        Recognised::Command(line) => parse(ops, &ops.rooms["deploy"], &line),
        Recognised::Refused { mistake, .. } => Err(mistake),
        Recognised::Talk => panic!("talk: {content}"),
    }
}

#[test]
fn a_command_of_emergency_without_a_log_room_is_warned_of() {
    const FAILOVER: &str = "summary = \"Fails over\"\neffect = \"danger\"\nemergency = true\n[[argument]]\nname = \"reason\"\ntype = \"text\"\nmin_length = 10\nrest = true\n[run]\nexecutor = \"process\"\nprogram = \"/opt/failover\"\narguments = [\"--\", \"{reason}\"]\n";
    let room = |log: &str| {
        format!("name = \"Fires\"\npurpose = \"Fires\"\nteams = [\"web\"]\ncommands = [\"failover\"]\n{log}")
    };
    let warned = |log: &str| {
        let ops = ops_with(&[("commands/failover.toml", FAILOVER), ("rooms/fires.toml", &room(log))]);
        warnings(&ops).into_iter().any(|warning| warning.0.what.contains("no log room"))
    };
    assert!(warned(""));
    assert!(!warned("log = true\n"));
}
