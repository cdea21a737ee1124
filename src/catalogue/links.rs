//! What one file says of another: every reference must lead somewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ArgumentType, Command, Document, Endpoint, Listings, PolicyFile, Room, RuleTest, SecretSource, SshHost,
    System, Team, builtins,
    names::did_you_mean,
    problems::{Located, Problems},
    read::{References, fits_subject},
    template::{Piece, pieces},
    values::Known,
};
use crate::model::DRY;

mod endpoints;
mod hosts;

/// Everything that was declared, whatever its file's state.
#[derive(Debug, Default)]
pub(super) struct Everything {
    pub(super) teams: BTreeMap<String, Team>,
    pub(super) systems: BTreeMap<String, System>,
    pub(super) commands: BTreeMap<String, Command>,
    pub(super) secrets: BTreeMap<String, SecretSource>,
    pub(super) hosts: BTreeMap<String, SshHost>,
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    pub(super) documents: Vec<Document>,
    pub(super) policies: Vec<PolicyFile>,
    pub(super) rule_tests: Vec<RuleTest>,
    declared: BTreeMap<String, BTreeSet<String>>,
}

impl Everything {
    /// A file of this kind and key exists.
    pub(super) fn declare(&mut self, kind: &str, key: &str) {
        self.declared.entry(kind.to_owned()).or_default().insert(key.to_owned());
    }

    fn keys(&self, kind: &str) -> Vec<&str> {
        self.declared.get(kind).into_iter().flatten().map(String::as_str).collect()
    }
}

/// Resolves what refers to other files, and fills in what had to wait for them.
pub(super) fn resolve(
    everything: &mut Everything,
    rooms: &mut BTreeMap<String, Room>,
    listings: &Listings,
    references: &References,
    problems: &Problems,
) {
    endpoints::join(everything, listings, references, problems);
    for (kind, what, found) in [
        ("teams", "team", &references.teams),
        ("secrets", "secret", &references.secrets),
        ("docs", "document", &references.documents),
    ] {
        let keys = everything.keys(kind);
        for reference in found.iter().filter(|reference| !keys.contains(&reference.value.as_str())) {
            let mend = did_you_mean(&reference.value, keys.iter().copied(), || match kind {
                "docs" => format!("Write docs/{}.", reference.value),
                "secrets" => format!(
                    "Write secrets/{0}.toml, or encrypt its value: quarterdeck secret set {0}.",
                    reference.value
                ),
                _ => format!("Write {kind}/{}.toml.", reference.value),
            });
            problems.add(&reference.place, format!("no {what} is called \"{}\"", reference.value), mend);
        }
    }
    room_commands(everything, rooms, references, problems);
    room_aliases(rooms, problems);
    one_log_room(rooms, problems);
    local_users(&everything.teams, problems);
    defaults(everything, references, problems);
    subjects(everything, references, problems);
    phrases(everything, references, problems);
    hosts::of_commands(everything, references, problems);
}

/// The commands a room lists by name or `#tag`, and the built-ins.
fn room_commands(
    everything: &Everything,
    rooms: &mut BTreeMap<String, Room>,
    references: &References,
    problems: &Problems,
) {
    let names = everything.keys("commands");
    // Those of an endpoint count although it may have said nothing yet.
    let of_endpoints = everything.endpoints.values().flat_map(|endpoint| &endpoint.tags);
    let tags: BTreeSet<&str> = everything
        .commands
        .values()
        .flat_map(|command| &command.tags)
        .chain(of_endpoints)
        .map(String::as_str)
        .collect();
    let always: Vec<String> = builtins().iter().map(|command| command.name.clone()).collect();
    for room in rooms.values_mut() {
        room.commands.extend(always.iter().cloned());
    }
    for (key, listed) in &references.commands {
        let found: Vec<&str> = if let Some(tag) = listed.value.strip_prefix('#') {
            if !tags.contains(tag) {
                let mend = did_you_mean(tag, tags.iter().copied(), || {
                    format!("Give a command tags = [\"{tag}\"], or take it out.")
                });
                problems.add(&listed.place, format!("no command has the tag \"{tag}\""), mend);
            }
            let tagged = everything.commands.values().filter(|command| command.tags.contains(tag));
            tagged.map(|command| command.name.as_str()).collect()
        } else {
            let known = names.contains(&listed.value.as_str());
            if !known && !always.contains(&listed.value) {
                let mend = did_you_mean(&listed.value, names.iter().copied(), || {
                    format!("Write it with: quarterdeck new command {}", listed.value)
                });
                problems.add(&listed.place, format!("no command is called \"{}\"", listed.value), mend);
            }
            known.then_some(listed.value.as_str()).into_iter().collect()
        };
        if let Some(room) = rooms.get_mut(key) {
            room.commands.extend(found.into_iter().map(str::to_owned));
        }
    }
}

fn room_aliases(rooms: &BTreeMap<String, Room>, problems: &Problems) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for room in rooms.values() {
        if let Some(other) = seen.insert(room.alias.as_str(), &room.key) {
            problems.add(
                &super::problems::Place::file(format!("rooms/{}.toml", room.key)),
                format!("the alias {} is also that of rooms/{other}.toml", room.alias),
                "Give one of them another alias.",
            );
        }
    }
}

fn one_log_room(rooms: &BTreeMap<String, Room>, problems: &Problems) {
    let mut logs = rooms.values().filter(|room| room.log);
    if let Some(first) = logs.next() {
        for other in logs {
            problems.add(
                &super::problems::Place::file(format!("rooms/{}.toml", other.key)),
                format!("rooms/{}.toml is the log room already", first.key),
                "Keep log = true in one of them.",
            );
        }
    }
}

/// A user of this host is one person, whatever teams say so.
fn local_users(teams: &BTreeMap<String, Team>, problems: &Problems) {
    let mut seen: BTreeMap<u32, (&str, &ruma::UserId)> = BTreeMap::new();
    for team in teams.values() {
        for (uid, user) in &team.local {
            match seen.get(uid) {
                Some((other, known)) if *known != *user => problems.add(
                    &super::problems::Place::file(format!("teams/{}.toml", team.key)),
                    format!("uid = {uid} is {user} here and {known} in teams/{other}.toml"),
                    "Keep one of them: a user of this host is one person.",
                ),
                _ => {
                    seen.insert(*uid, (&team.key, user));
                }
            }
        }
    }
}

fn defaults(everything: &mut Everything, references: &References, problems: &Problems) {
    let systems: Vec<String> = everything.keys("systems").into_iter().map(str::to_owned).collect();
    let systems: Vec<&str> = systems.iter().map(String::as_str).collect();
    let rooms = BTreeMap::new();
    let known = Known { systems: &systems, rooms: &rooms };
    for (command, index, default) in &references.defaults {
        let Some(argument) =
            everything.commands.get_mut(command).and_then(|command| command.arguments.get_mut(*index))
        else {
            continue;
        };
        match argument.kind.read(&default.value, &known) {
            Ok(value) => argument.default = Some(value),
            Err(wrong) => problems.add(
                &default.place,
                format!("the default \"{}\" does not fit its type", default.value),
                format!("It must be {}.", wrong.expected),
            ),
        }
    }
}

/// A subject must be able to name a declared system, whichever way its arguments are chosen.
fn subjects(everything: &Everything, references: &References, problems: &Problems) {
    let systems = everything.keys("systems");
    for (command, subject) in &references.subjects {
        let Some(command) = everything.commands.get(command) else { continue };
        let Ok(pieces) = pieces(&subject.value) else { continue };
        let mut filled: Vec<String> = vec![String::new()];
        let mut readable = true;
        for piece in pieces {
            let values: Vec<String> = match piece {
                Piece::Text(text) => vec![text],
                Piece::Argument(name) => {
                    let Some(argument) = command.arguments.iter().find(|argument| argument.name == name)
                    else {
                        readable = false;
                        break;
                    };
                    if !fits_subject(&argument.kind) {
                        problems.add(
                            &subject.place,
                            format!("the subject is made of \"{name}\", which is {}", argument.kind.name()),
                            "Make that argument a system or a choice: rules need to know what can be acted on.",
                        );
                        readable = false;
                        break;
                    }
                    match &argument.kind {
                        ArgumentType::Choice(choices) => choices.clone(),
                        _ => systems.iter().map(|system| (*system).to_owned()).collect(),
                    }
                }
            };
            filled = filled
                .iter()
                .flat_map(|begun| values.iter().map(move |value| format!("{begun}{value}")))
                .take(100_000)
                .collect();
        }
        // Where a system's own file has mistakes its environments are not known.
        let complete = everything.systems.len() == systems.len();
        if readable && complete && !filled.iter().any(|subject| is_subject(subject, &everything.systems)) {
            problems.add(
                &subject.place,
                format!("the subject \"{}\" can never name a declared system", subject.value),
                "Write systems/NAME.toml with these environments, or mend the subject: {app}@{env}.",
            );
        }
    }
}

/// Whether a text names a declared system: `web`, or `web@staging`.
pub fn is_subject(subject: &str, systems: &BTreeMap<String, System>) -> bool {
    match subject.split_once('@') {
        None => systems.contains_key(subject),
        Some((system, environment)) => systems
            .get(system)
            .is_some_and(|system| system.environments.iter().any(|known| known == environment)),
    }
}

/// A phrase begins with a word, names each argument once, and names all that must be given.
fn phrases(everything: &Everything, references: &References, problems: &Problems) {
    let mut shapes: BTreeMap<String, &str> = BTreeMap::new();
    for (name, phrase) in &references.phrases {
        let Some(command) = everything.commands.get(name) else { continue };
        phrase_of(command, phrase, problems);
        let shape: Vec<String> = phrase
            .value
            .split_whitespace()
            .map(|word| if word.starts_with('{') { "{}".to_owned() } else { word.to_lowercase() })
            .collect();
        if let Some(other) = shapes.insert(shape.join(" "), name) {
            problems.add(
                &phrase.place,
                format!("the phrase \"{}\" reads like one of \"{other}\"", phrase.value),
                "Change a word in one of them.",
            );
        }
        let first = shape.first().map(String::as_str).unwrap_or_default();
        if first == DRY {
            problems.add(
                &phrase.place,
                format!("the phrase \"{}\" begins with the word that asks for a dry run", phrase.value),
                "Begin it with another word.",
            );
        }
        if first != name
            && (everything.commands.contains_key(first) || builtins().iter().any(|it| it.name == first))
        {
            problems.add(
                &phrase.place,
                format!("the phrase \"{}\" begins with the name of another command", phrase.value),
                "Begin it with another word.",
            );
        }
    }
}

fn phrase_of(command: &Command, phrase: &Located<String>, problems: &Problems) {
    let mut named: Vec<String> = Vec::new();
    for (index, word) in phrase.value.split_whitespace().enumerate() {
        let whole = match pieces(word).as_deref() {
            Ok([Piece::Argument(name)]) => {
                if named.contains(name) {
                    problems.add(
                        &phrase.place,
                        format!("the phrase names \"{name}\" twice"),
                        "Name each argument once.",
                    );
                }
                named.push(name.clone());
                index > 0
            }
            Ok([Piece::Text(word)]) => index > 0 || word.starts_with(char::is_alphabetic),
            _ => false,
        };
        if !whole {
            problems.add(
                &phrase.place,
                format!("\"{word}\" of the phrase is neither a word nor a whole {{argument}}"),
                "Begin with a word; write each {argument} between spaces.",
            );
        }
    }
    for argument in command.arguments.iter().filter(|argument| argument.required) {
        if !named.contains(&argument.name) {
            problems.add(
                &phrase.place,
                format!(
                    "the phrase \"{}\" leaves out \"{}\", which must be given",
                    phrase.value, argument.name
                ),
                format!("Add {{{}}} to it, or give that argument a default.", argument.name),
            );
        }
    }
}
