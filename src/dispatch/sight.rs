//! What somebody may be told of. Help, lists, suggestions and examples name no system that no rule lets them act upon here,
//! and no room that is not theirs.
//!
//! Whoever types the name of a system knows it: they are told that the rules forbid it, and which. It is the guess that is not
//! rewarded: what was mistyped is read once more by a folder in which only what they may know of is declared, and that
//! reading's mistake is what they are told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use ruma::{OwnedUserId, RoomId, UserId};

use super::{in_force::InForce, pipeline::Asked};
use crate::{
    catalogue::{Argument, Command, Join, Ops, Room, template},
    command::{self, Line, Mistake, Parsed},
    model::{Digest, Invocation, Timestamp, Value},
    policy::Action,
    storage::Standing,
};

/// How many subjects of one command are tried.
const MOST: usize = 2_000;
/// How many people's sights are kept before all are looked for anew.
const KEPT: usize = 1_000;

/// What people may act upon, kept for a minute: whoever mistypes, mistypes again, and many rules are asked.
#[derive(Debug, Default)]
pub struct Sights(Mutex<HashMap<Whose, BTreeSet<String>>>);

/// Rules, room, who, their power there, the teams they are in for a while, and the minute.
type Whose = (Digest, String, OwnedUserId, i64, BTreeSet<String>, i64);

impl Asked<'_> {
    /// Reads a line as it is typed here. Its mistake, if it has one, names nothing that the sender may not know of.
    pub fn read(&self, line: &Line, now: Timestamp) -> Result<Parsed, Mistake> {
        let read = |ops: &Ops| command::parse(ops, self.room, line);
        let mistake = match read(&self.in_force.ops) {
            Ok(parsed) => return Ok(parsed),
            Err(mistake) => mistake,
        };
        // Less is declared in the other, so what cannot be read by the whole folder cannot be read by it.
        Err(read(&self.in_sight(now)).err().unwrap_or(mistake))
    }

    /// The folder as far as the sender may know of it in this room.
    pub fn in_sight(&self, now: Timestamp) -> Ops {
        let Standing { power_level, elevated, .. } = self.standing;
        let whose = (
            self.in_force.rules.digest(),
            self.room.key.clone(),
            self.sender.to_owned(),
            *power_level,
            elevated.clone(),
            now.as_second() / 60,
        );
        let sights = || self.house.sights.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sights().get(&whose).cloned();
        let subjects = known.unwrap_or_else(|| {
            let by = (self.sender, self.standing);
            let viewer = Viewer { in_force: self.in_force, room: self.room, id: &self.address.room, by };
            let subjects = viewer.look(now);
            let mut sights = sights();
            if sights.len() >= KEPT {
                sights.clear();
            }
            sights.insert(whose, subjects.clone());
            subjects
        });
        self.in_force.ops.narrowed(&subjects, |room| self.is_theirs(room))
    }

    /// Whether somebody may know of a room: they are in it, everybody may come in, or a team of it has them.
    fn is_theirs(&self, room: &Room) -> bool {
        let teams = &self.in_force.ops.teams;
        room.key == self.room.key
            || (room.join == Join::Open && self.in_force.admits(room, self.sender.server_name()))
            || room.teams.iter().any(|key| teams.get(key).is_some_and(|it| it.users.contains(self.sender)))
    }
}

/// Somebody in a room, under the rules in force: what they may act upon there is what they may know of.
#[derive(Clone, Copy)]
pub(super) struct Viewer<'a> {
    pub in_force: &'a InForce,
    pub room: &'a Room,
    /// The room's id.
    pub id: &'a RoomId,
    pub by: (&'a UserId, &'a Standing),
}

impl Viewer<'_> {
    /// What some rule lets them act upon here, whatever forbids it at the moment.
    pub fn look(self, now: Timestamp) -> BTreeSet<String> {
        let ops = &self.in_force.ops;
        let here = self.room.commands.iter().filter_map(|name| ops.commands.get(name));
        let mut subjects = BTreeSet::new();
        for command in here.flat_map(|command| [Some(Arc::clone(command)), command.dry_form()]).flatten() {
            for (subject, invocation) in self.subjects(&command) {
                if !subjects.contains(&subject) {
                    let action = Action::Run(&invocation);
                    if self.in_force.permits_at_all(self.room, self.by, action, now) {
                        subjects.insert(subject);
                    }
                }
            }
        }
        subjects
    }

    /// What a command can act upon, each with an invocation that does.
    fn subjects(self, command: &Command) -> BTreeMap<String, Invocation> {
        let Some(template) = &command.subject else { return BTreeMap::new() };
        let named = template::names(template);
        let mut tried: Vec<BTreeMap<String, Value>> = vec![BTreeMap::new()];
        for argument in &command.arguments {
            let values = self.values_of(argument, named.contains(&argument.name));
            if values.is_empty() {
                continue;
            }
            let longer = tried.iter().flat_map(|arguments| {
                values.iter().map(|value| {
                    let mut arguments = arguments.clone();
                    arguments.insert(argument.name.clone(), value.clone());
                    arguments
                })
            });
            tried = longer.take(MOST).collect();
        }
        let acts = |arguments| {
            let mut invocation = Invocation {
                command: command.name.clone(),
                arguments,
                subject: None,
                filters: Vec::new(),
                dry: command.is_dry,
            };
            let subject =
                command::fill(template, &invocation).filter(|subject| self.in_force.declares(subject))?;
            invocation.subject = Some(subject.clone());
            Some((subject, invocation))
        };
        tried.into_iter().filter_map(acts).collect()
    }

    /// The values of an argument that are tried: all, where it says what is acted upon, else one.
    fn values_of(self, argument: &Argument, all: bool) -> Vec<Value> {
        let asker = command::Asker { user: self.by.0, room: Some(self.id) };
        let mut values = command::values(&self.in_force.ops, argument, asker);
        if !all {
            values.truncate(usize::from(argument.required || argument.default.is_some()));
        }
        values
    }
}
