//! Commands that nobody may run. What this can see is said at [`Rules::warnings`].

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{EntityUid, Policy};
use regex::Regex;

use super::{
    Rules,
    names::{self, SYSTEM, USER},
    scope::{Person, Scope},
    world::World,
};
use crate::catalogue::{
    AUTHORITY, ArgumentType, Command, Mistake, Ops, RunKind, Warning,
    template::{self, Piece},
};

/// A warning for each command that no scope of a permit reaches, or that a forbid without conditions always forbids.
pub(super) fn warnings(rules: &Rules, ops: &Ops) -> Vec<Warning> {
    let people = people(rules);
    let scopes = rules.scopes();
    let mut found = Vec::new();
    // A word to another request is decided by what it does there; what changes who may do what is for nobody until a
    // rule says for whom, and that is no oversight.
    let told = |it: &&std::sync::Arc<Command>| {
        !names::ABOUT_REQUESTS.contains(&it.name.as_str()) && !it.tags.contains(AUTHORITY)
    };
    for command in ops.commands.values().filter(told) {
        let action = names::action(&command.name);
        let resources = resources(command, ops, &rules.world);
        let mut permitted = false;
        let mut allowed = false;
        let mut forbidding = BTreeMap::new();
        for person in &people {
            for resource in &resources {
                let covers = |scope: &&Scope| scope.covers(person, &action, resource, &rules.world);
                if !scopes.iter().filter(|scope| scope.permits).any(|scope| covers(&scope)) {
                    continue;
                }
                permitted = true;
                match scopes.iter().filter(|scope| !scope.permits && !scope.conditional).find(covers) {
                    Some(forbid) => *forbidding.entry(forbid.id.clone()).or_insert(0) += 1,
                    None => allowed = true,
                }
            }
        }
        let file = match command.run.kind {
            RunKind::Builtin => "policies".to_owned(),
            _ => ops.file_of(command),
        };
        let warning = |what, mend| Warning(Mistake { file, line: None, what, mend });
        if resources.is_empty() {
            found.push(warning(
                format!("`{}` has nothing to act on: no declared system fits its subject", command.name),
                "Declare the system, or change `subject`".to_owned(),
            ));
        } else if !permitted {
            found.push(warning(
                format!("no rule permits `{}`: everybody is refused", command.name),
                format!(
                    "Write a permit for `Action::\"{}\"`, or for its group `Action::\"{}\"`",
                    command.name,
                    command.effect.name()
                ),
            ));
        } else if !allowed {
            let rules: Vec<_> = forbidding.into_keys().map(|id| format!("`{id}`")).collect();
            found.push(warning(
                format!("`{}` is always forbidden by {}", command.name, rules.join(", ")),
                "Give the forbid an `unless`, or take the command away".to_owned(),
            ));
        }
    }
    found
}

/// A folder under which nobody could ever put another one in force.
pub(super) fn nobody_reloads(rules: &Rules, ops: &Ops) -> Option<Mistake> {
    let action = names::action(names::RELOAD);
    let scopes = rules.scopes();
    let somebody = people(rules).into_iter().any(|person| {
        ops.rooms.keys().map(|key| names::room(key)).any(|room| {
            let covers = |scope: &&Scope| scope.covers(&person, &action, &room, &rules.world);
            scopes.iter().filter(|scope| scope.permits).any(|scope| covers(&scope))
                && !scopes
                    .iter()
                    .filter(|scope| !scope.permits && !scope.conditional)
                    .any(|scope| covers(&scope))
        })
    });
    (!somebody && !ops.rooms.is_empty()).then(|| Mistake {
        file: "policies".to_owned(),
        line: None,
        what: "nobody may reload: with these rules in force, no others could be put in force from a room".to_owned(),
        mend: "Permit it to a team: `permit (principal in Team::\"ops\", action == Action::\"reload\", resource);`"
            .to_owned(),
    })
}

/// One of each kind of people: those whom the rules cannot tell apart by scope count once.
fn people(rules: &Rules) -> Vec<Person> {
    let named: BTreeSet<EntityUid> = rules
        .policies
        .policies()
        .flat_map(Policy::entity_literals)
        .filter(|uid| *uid.type_name() == *USER)
        .collect();
    let mut kinds = BTreeMap::new();
    let mut people: BTreeMap<_, _> = named.into_iter().map(|uid| (uid, BTreeSet::new())).collect();
    for (id, groups) in rules.world.people() {
        let uid = names::user(id.as_str());
        if let Some(known) = people.get_mut(&uid) {
            known.clone_from(groups);
        } else {
            kinds.insert(groups.clone(), uid);
        }
    }
    let mut people: Vec<_> = people.into_iter().collect();
    people.extend(kinds.into_iter().map(|(groups, uid)| (uid, groups)));
    // Anybody may be in an open room.
    people.push((names::user("@stranger:invalid"), BTreeSet::new()));
    people
}

/// What a command can act on.
pub(super) fn resources(command: &Command, ops: &Ops, world: &World) -> Vec<EntityUid> {
    let Some(subject) = &command.subject else {
        let builtin = matches!(command.run.kind, RunKind::Builtin);
        let listed = |room: &&crate::catalogue::Room| builtin || room.commands.contains(&command.name);
        let rooms: Vec<_> = ops.rooms.values().filter(listed).collect();
        // A command that no room lists has a warning of its own.
        let rooms = if rooms.is_empty() { ops.rooms.values().collect() } else { rooms };
        return rooms.into_iter().map(|room| names::room(&room.key)).collect();
    };
    let one_of = |names: &mut dyn Iterator<Item = &String>| {
        names.map(|name| regex::escape(name)).collect::<Vec<_>>().join("|")
    };
    let values = |name: &str| match command
        .arguments
        .iter()
        .find(|argument| argument.name == name)
        .map(|argument| &argument.kind)
    {
        Some(ArgumentType::Choice(choices)) => one_of(&mut choices.iter()),
        Some(ArgumentType::System) => one_of(&mut ops.systems.keys()),
        _ => ".*".to_owned(),
    };
    let pattern: String = template::pieces(subject)
        .unwrap_or_default()
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => regex::escape(&text),
            Piece::Argument(name) => format!("(?:{})", values(&name)),
        })
        .collect();
    let all = world.all_of(&SYSTEM);
    match Regex::new(&format!("^(?:{pattern})$")) {
        Ok(pattern) => all.filter(|uid| pattern.is_match(uid.id().unescaped())).cloned().collect(),
        Err(_) => all.cloned().collect(),
    }
}
