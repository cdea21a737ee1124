//! Where an answer would not go into the room, because not everybody there may read it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::EntityUid;
use ruma::{OwnedUserId, UserId};

use super::{
    Action, Decision, Question, Rules,
    names::{self, SYSTEM},
    prove::looks_at,
    warn,
};
use crate::{
    catalogue::{Join, Ops, Room, RunKind},
    model::Timestamp,
};

/// What a command prints in a room, and who of the room may not read it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrivateAnswer {
    /// The room, by key.
    pub room: String,
    /// The command.
    pub command: String,
    /// The teams of the room of which somebody may not read it. `anybody`, where the room is open to strangers.
    pub teams: Vec<String>,
}

/// How a room that anybody may enter is named among its teams.
pub const ANYBODY: &str = "anybody";

/// Somebody for all those whom rules on output cannot tell apart.
type Reader = (String, OwnedUserId);

impl Rules {
    /// Each room and command whose answer would be private, with the teams it would be private for.
    ///
    /// Each command is tried with every system it can act on, run by one of each team of the room, and read by one
    /// of each kind of people of each team. Power levels are taken to be 0.
    pub fn private_answers(&self, ops: &Ops) -> Vec<PrivateAnswer> {
        let looks = |name: &str| self.policies.policies().any(|policy| looks_at(policy, name));
        let mut seen = Seen {
            rules: self,
            answers: HashMap::new(),
            looks: [looks("command"), looks("effect"), looks("requester")],
        };
        let mut found = Vec::new();
        for room in ops.rooms.values() {
            let readers = readers(self, ops, room);
            let teams: BTreeSet<&String> = readers.iter().map(|(team, _)| team).collect();
            let requesters: Vec<&OwnedUserId> = teams
                .iter()
                .filter_map(|team| readers.iter().find(|(of, _)| of == *team))
                .map(|(_, who)| who)
                .collect();
            for command in room.commands.iter().filter_map(|name| ops.commands.get(name)) {
                // What is declared as private needs no rule to be so.
                if matches!(command.run.kind, RunKind::Builtin) || command.private {
                    continue;
                }
                let subjects: Vec<_> = warn::resources(command, ops, &self.world)
                    .into_iter()
                    .map(|uid| (*uid.type_name() == *SYSTEM).then(|| subject(&uid)))
                    .collect();
                let barred = |reader: &UserId, seen: &mut Seen<'_>| {
                    requesters.iter().any(|requester| {
                        subjects.iter().any(|subject| {
                            !seen.may_read(room, reader, &command.name, requester, subject.as_deref())
                        })
                    })
                };
                let mut teams: BTreeMap<&str, bool> = BTreeMap::new();
                for (team, reader) in &readers {
                    let team = teams.entry(team).or_default();
                    *team = *team || barred(reader, &mut seen);
                }
                let teams: Vec<_> = teams
                    .into_iter()
                    .filter(|(_, barred)| *barred)
                    .map(|(team, _)| team.to_owned())
                    .collect();
                if !teams.is_empty() {
                    found.push(PrivateAnswer {
                        room: room.key.clone(),
                        command: command.name.clone(),
                        teams,
                    });
                }
            }
        }
        found
    }
}

fn subject(uid: &EntityUid) -> String {
    uid.id().unescaped().to_owned()
}

/// One of each kind of people of each team of a room.
fn readers(rules: &Rules, ops: &Ops, room: &Room) -> Vec<Reader> {
    let mut readers = Vec::new();
    for team in room.teams.iter().filter_map(|key| ops.teams.get(key)) {
        let mut kinds = BTreeSet::new();
        for who in &team.users {
            if rules.is_named(who) || kinds.insert((rules.world.groups_of(who).cloned(), who.server_name())) {
                readers.push((team.key.clone(), who.clone()));
            }
        }
    }
    if room.join == Join::Open
        && let Ok(stranger) = UserId::parse(format!("@stranger:{}", ops.settings.server_name))
    {
        readers.push((ANYBODY.to_owned(), stranger));
    }
    readers
}

/// What was asked already: rules that do not look at the command need not be asked for each.
struct Seen<'a> {
    rules: &'a Rules,
    answers: HashMap<[String; 5], bool>,
    looks: [bool; 3],
}

impl Seen<'_> {
    fn may_read(
        &mut self,
        room: &Room,
        reader: &UserId,
        command: &str,
        requester: &UserId,
        subject: Option<&str>,
    ) -> bool {
        let [by_command, by_effect, by_requester] = self.looks;
        let when = |looked: bool, what: &str| if looked { what.to_owned() } else { String::new() };
        let effect = self.rules.effects.get(command).map_or("", |effect| effect.name());
        let about = if by_command { command.to_owned() } else { when(by_effect, effect) };
        let key = [
            room.key.clone(),
            reader.to_string(),
            about,
            when(by_requester || reader == requester, requester.as_str()),
            subject.unwrap_or_default().to_owned(),
        ];
        *self.answers.entry(key).or_insert_with(|| {
            let action = Action::ReadOutput { command, requester, subject };
            let asked = Question::new(reader, 0, &room.key, Timestamp::UNIX_EPOCH, action);
            matches!(self.rules.decide(&asked), Decision::Permitted(_))
        })
    }
}

impl Rules {
    /// Who of the people in a room, each with their power there, may not read what a request printed. Decided once for all
    /// whom no rule can tell apart; a team that somebody is in for a while does not count, because what is shown stays.
    pub fn who_may_not_read<'a>(
        &self,
        room: &str,
        people: impl IntoIterator<Item = (&'a UserId, i64)>,
        output: Action<'_>,
    ) -> Vec<&'a UserId> {
        let requester = match output {
            Action::ReadOutput { requester, .. } => Some(requester),
            _ => None,
        };
        let mut answers = HashMap::new();
        let may = |who: &UserId, power_level: i64| {
            let asked = Question::new(who, power_level, room, Timestamp::UNIX_EPOCH, output);
            matches!(self.decide(&asked), Decision::Permitted(_))
        };
        let mut barred = |who: &'a UserId, power_level: i64| {
            if requester == Some(who) || self.is_named(who) {
                return !may(who, power_level);
            }
            let kind = (self.world.groups_of(who), who.server_name(), power_level);
            !*answers.entry(kind).or_insert_with(|| may(who, power_level))
        };
        people.into_iter().filter_map(|(who, power_level)| barred(who, power_level).then_some(who)).collect()
    }

    /// Whether a rule names this person.
    fn is_named(&self, who: &UserId) -> bool {
        let uid = names::user(who.as_str());
        self.policies.policies().any(|policy| policy.entity_literals().contains(&uid))
    }
}
