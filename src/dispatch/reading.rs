//! What somebody may read of the record by another way than a command: decided by the rules at each request, for each room
//! and each output.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::{dispatcher::House, in_force::InForce, pipeline::Granted, sight::Viewer};
use crate::{
    catalogue::Ops,
    model::{Event, Invocation, RequestNumber, Timestamp},
    policy::{Action, Decision, Told},
    storage::{Error, RoomIds, Standing},
};

/// What one person may read now. It is made anew for each request, and holds for that one.
pub struct Sight {
    who: OwnedUserId,
    in_force: Arc<InForce>,
    ops: Ops,
    rooms: RoomIds,
    standings: BTreeMap<OwnedRoomId, Standing>,
    now: Timestamp,
}

impl House {
    /// Decides what somebody may read now: the record of the rooms that they are in, that are declared, that have their
    /// server among those of its teams, and for which the rules permit them `read_audit`.
    pub async fn sight(&self, who: &UserId) -> Result<Sight, Error> {
        let (in_force, now) = (self.current.get(), self.storage.now());
        let (mut rooms, mut standings) = (BTreeMap::new(), BTreeMap::new());
        for (id, standing) in self.storage.standings_of(who).await? {
            let Some(room) = in_force.ops.rooms.get(&standing.key) else { continue };
            if !in_force.admits(room, who.server_name()) {
                continue;
            }
            let asked = in_force.ask(room, (who, &standing), Action::ReadAudit, &Granted::default(), now);
            if matches!(asked, Decision::Permitted(_)) {
                rooms.insert(standing.key.clone(), id.clone());
                standings.insert(id, standing);
            }
        }
        // What is recorded of a room whose place another took is recorded of that other.
        let rooms = self.storage.with_those_before(rooms).await?;
        for ids in rooms.values() {
            let standing = ids.first().and_then(|room| standings.get(room)).cloned();
            let before = ids.iter().skip(1).cloned();
            standings
                .extend(standing.into_iter().flat_map(|it| before.clone().map(move |id| (id, it.clone()))));
        }
        let ops = in_force.ops.narrowed(&BTreeSet::new(), |room| rooms.contains_key(&room.key));
        Ok(Sight { who: who.to_owned(), in_force, ops, rooms, standings, now })
    }

    /// Records that somebody reads the record: an entry of the room that it is about, if it is one.
    pub async fn reads(&self, who: &UserId, room: Option<&RoomId>, query: &str) -> Result<(), Error> {
        let event = Event::AuditRead { by: who.to_string(), query: query.to_owned() };
        self.storage.record(None, room, event).await
    }

    /// The end of what a run of this process has printed so far, if it is one and is shown as it goes.
    pub fn printed_so_far(&self, number: RequestNumber) -> Option<String> {
        self.lives.of(number)
    }
}

impl Sight {
    /// Who.
    pub fn who(&self) -> &UserId {
        &self.who
    }

    /// The rooms whose record they may read.
    pub const fn rooms(&self) -> &RoomIds {
        &self.rooms
    }

    /// The folder as far as a search may speak of it: no system, and no other room.
    pub const fn ops(&self) -> &Ops {
        &self.ops
    }

    /// Whether they may read what a request of one of those rooms printed.
    pub fn may_read_output(
        &self,
        room: &RoomId,
        command: &str,
        requester: &UserId,
        subject: Option<&str>,
    ) -> bool {
        let Some(standing) = self.standings.get(room) else { return false };
        let Some(declared) = self.in_force.ops.rooms.get(&standing.key) else { return false };
        if !self.in_force.ops.commands.contains_key(command) {
            return false;
        }
        let action = Action::ReadOutput { command, requester, subject };
        let by = (&*self.who, standing);
        matches!(
            self.in_force.ask(declared, by, action, &Granted::default(), self.now),
            Decision::Permitted(_)
        )
    }

    /// The rules in force that are about what can be done in those of the rooms in which `!rules` is permitted to them, each
    /// with its text, but for those that name what they may not know of; how many these are; and the version.
    pub fn rules(&self) -> (Vec<(Told, String)>, usize, String) {
        let rules = &self.in_force.rules;
        let asked = Invocation {
            command: "rules".to_owned(),
            arguments: BTreeMap::new(),
            subject: None,
            filters: Vec::new(),
            dry: false,
        };
        let (mut commands, mut subjects) = (BTreeSet::new(), BTreeSet::new());
        let present = self.rooms.values().filter_map(|ids| self.standings.get_key_value(ids.first()?));
        for (id, standing) in present {
            let Some(room) = self.in_force.ops.rooms.get(&standing.key) else { continue };
            let by = (&*self.who, standing);
            let may = self.in_force.ask(room, by, Action::Run(&asked), &Granted::default(), self.now);
            if matches!(may, Decision::Permitted(_)) {
                commands.extend(room.commands.iter().cloned());
                subjects.append(&mut Viewer { in_force: &self.in_force, room, id, by }.look(self.now));
            }
        }
        // A rule about anything is about what can be done somewhere.
        let mut about = if commands.is_empty() { Vec::new() } else { rules.about(&commands) };
        let all = about.len();
        let known = self.in_force.ops.narrowed(&subjects, |room| self.rooms.contains_key(&room.key));
        about.retain(|told| rules.is_known(&told.id, &known));
        let hidden = all - about.len();
        let written = about.into_iter().map(|told| {
            let code = rules.code(&told.id).unwrap_or_default();
            (told, code)
        });
        (written.collect(), hidden, rules.digest().to_string())
    }
}
