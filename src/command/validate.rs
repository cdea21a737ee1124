//! What only the grammar can tell of an ops folder: lines in it that must work.

use std::collections::BTreeSet;

use ruma::OwnedRoomAliasId;

use super::{Line, parse};
use crate::catalogue::{
    Answers, Effect, Join, Mistake, Ops, Room, RunKind, SecretSource, Warning, scheduled,
};

/// Every mistake in the lines of a folder: the status of systems, the examples of commands.
///
/// Whoever puts a folder in force calls this after [`crate::catalogue::load`].
pub fn validate(ops: &Ops) -> Vec<Mistake> {
    let mut mistakes = super::shut_in::mistakes(ops);
    let Some(everywhere) = everywhere(ops) else { return mistakes };
    for system in ops.systems.values() {
        let file = format!("systems/{}.toml", system.key);
        for status in &system.status {
            let place = |what: String, mend: String| Mistake {
                line: line_of(ops, &file, status),
                file: file.clone(),
                what,
                mend,
            };
            match parse(ops, &everywhere, &Line::typed(status)) {
                Err(mistake) => mistakes
                    .push(place(format!("the status line \"{status}\" cannot be read"), mistake.plain(""))),
                Ok(parsed) if parsed.command.effect != Effect::Read => mistakes.push(place(
                    format!(
                        "the status line \"{status}\" runs a command of effect {}",
                        parsed.command.effect.name()
                    ),
                    "A status only looks: name a command of effect read.".to_owned(),
                )),
                Ok(parsed) if matches!(parsed.command.run.kind, RunKind::Builtin) => mistakes.push(place(
                    format!("the status line \"{status}\" is a built-in"),
                    "Name a command of commands/.".to_owned(),
                )),
                Ok(_) => {}
            }
        }
    }
    for command in ops.commands.values().filter(|it| !matches!(it.run.kind, RunKind::Builtin)) {
        let file = format!("commands/{}.toml", command.name);
        for example in &command.examples {
            let what = match parse(ops, &everywhere, &Line::typed(example)) {
                Ok(parsed) if parsed.command.name == command.name => continue,
                Ok(parsed) => (
                    format!("the example \"{example}\" is one of {}", parsed.command.name),
                    "Begin it with this command's name.".to_owned(),
                ),
                Err(mistake) => (format!("the example \"{example}\" does not work"), mistake.plain("")),
            };
            mistakes.push(Mistake {
                line: line_of(ops, &file, example),
                file: file.clone(),
                what: what.0,
                mend: what.1,
            });
        }
    }
    mistakes.extend(schedules(ops));
    mistakes.sort();
    mistakes
}

/// What is wrong with schedules: the room, the person, the line.
fn schedules(ops: &Ops) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (name, schedule) in scheduled(&ops.commands) {
        let file = format!("commands/{name}.toml");
        let mut wrong = |text: &str, what: String, mend: String| {
            let line = line_of(ops, &file, text);
            mistakes.push(Mistake { line, file: file.clone(), what, mend });
        };
        let Some(room) = ops.rooms.get(&schedule.room) else {
            let rooms = ops.rooms.keys().cloned().collect::<Vec<_>>().join(", ");
            let what = format!("[schedule] names a room \"{}\" that is not declared", schedule.room);
            wrong(&schedule.room, what, format!("Declared are: {rooms}."));
            continue;
        };
        if !ops.teams.values().any(|team| team.users.contains(&schedule.who)) {
            let what = format!("[schedule] is as {}, whom no team names", schedule.who);
            wrong(schedule.who.as_str(), what, "Name a member of a team.".to_owned());
        }
        match parse(ops, room, &Line::typed(&schedule.line)) {
            Ok(parsed) if parsed.command.name == name => {}
            Ok(parsed) => wrong(
                &schedule.line,
                format!("the line \"{}\" of [schedule] is one of {}", schedule.line, parsed.command.name),
                "Begin it with this command's name.".to_owned(),
            ),
            Err(mistake) => wrong(
                &schedule.line,
                format!(
                    "the line \"{}\" of [schedule] does not work in the room {}",
                    schedule.line, room.key
                ),
                mistake.plain(""),
            ),
        }
    }
    mistakes
}

/// What is allowed, and most likely not meant.
pub fn warnings(ops: &Ops) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |file: String, what: String, mend: String| {
        warnings.push(Warning(Mistake { file, line: None, what, mend }));
    };
    let listed: BTreeSet<&String> = ops.rooms.values().flat_map(|room| &room.commands).collect();
    for command in ops.commands.values().filter(|it| !listed.contains(&it.name)) {
        if matches!(command.run.kind, RunKind::Builtin) {
            continue;
        }
        warn(
            ops.file_of(command),
            match &command.run.kind {
                RunKind::ChatopsRpc(rpc) => {
                    format!("no room lists `{}`, its method {}", command.name, rpc.method)
                }
                _ => "no room lists it".to_owned(),
            },
            format!("Add \"{}\", or one of its tags, to commands in a file of rooms/.", command.name),
        );
    }
    if ops.rooms.is_empty() {
        warn("rooms".to_owned(), "no room is declared".to_owned(), "Write rooms/NAME.toml.".to_owned());
    }
    if !ops.rooms.values().any(|room| room.log) {
        for command in ops.commands.values().filter(|it| it.is_emergency() && listed.contains(&it.name)) {
            warn(
                ops.file_of(command),
                "its use is an emergency, and there is no log room in which it would be told".to_owned(),
                "Say log = true in the file of the room that is to hear of it.".to_owned(),
            );
        }
    }
    for room in ops.rooms.values().filter(|room| room.teams.is_empty()) {
        warn(
            format!("rooms/{}.toml", room.key),
            "no team is invited".to_owned(),
            "Add teams = [\"...\"]: files of teams/, without .toml.".to_owned(),
        );
    }
    for team in ops.teams.values().filter(|team| team.users.is_empty()) {
        warn(
            format!("teams/{}.toml", team.key),
            "it has no members".to_owned(),
            "Add users = [\"@alice:example.org\"].".to_owned(),
        );
    }
    for endpoint in ops.endpoints.values() {
        let file = format!("endpoints/{}.toml", endpoint.key);
        for (method, why) in &endpoint.left_out {
            warn(
                file.clone(),
                format!("its method {method} cannot be said as the endpoint lists it: {why}"),
                format!("Write a command with endpoint = \"{}\" and method = \"{method}\".", endpoint.key),
            );
        }
    }
    let of_endpoints = ops.endpoints.values().map(|endpoint| endpoint.secret.as_str());
    let used: BTreeSet<&str> =
        ops.commands.values().flat_map(|command| command.secrets()).chain(of_endpoints).collect();
    for (secret, source) in ops.secrets.iter().filter(|(secret, _)| !used.contains(secret.as_str())) {
        let extension = if matches!(source, SecretSource::Sealed(_)) { "age" } else { "toml" };
        warn(
            format!("secrets/{secret}.{extension}"),
            "no command uses it".to_owned(),
            "Remove it, or name it in the credentials of a command.".to_owned(),
        );
    }
    warnings.sort();
    warnings
}

/// The line of a file that holds a text.
pub(super) fn line_of(ops: &Ops, file: &str, text: &str) -> Option<usize> {
    let bytes = ops.files.get(file)?;
    let whole = String::from_utf8_lossy(bytes);
    whole.lines().position(|line| line.contains(text)).map(|index| index + 1)
}

/// A room that lists every command: lines of the folder belong to no room of their own.
pub(super) fn everywhere(ops: &Ops) -> Option<Room> {
    let alias: OwnedRoomAliasId = format!("#everywhere:{}", ops.settings.server_name).try_into().ok()?;
    Some(Room {
        key: "everywhere".to_owned(),
        alias,
        name: String::new(),
        purpose: String::new(),
        commands: ops.commands.keys().cloned().collect(),
        teams: Vec::new(),
        join: Join::Invite,
        answers: Answers::Thread,
        log: false,
    })
}
