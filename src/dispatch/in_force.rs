//! The version of the ops folder that is in force.

use std::sync::{Arc, PoisonError, RwLock};

use ruma::{ServerName, UserId};

use super::pipeline::Granted;
use crate::{
    catalogue::{Ops, Room},
    model::{Invocation, Timestamp},
    policy::{Action, Decision, Explanation, Question, Rules},
    storage::Standing,
};

/// An ops folder with its rules compiled: in force as a whole or not at all.
#[derive(Debug)]
pub struct InForce {
    /// What was declared.
    pub ops: Ops,
    /// The rules, compiled.
    pub rules: Rules,
}

/// What is in force now. A request is decided under one version from its first step to its last: it
/// takes the version once, with [`Current::get`].
#[derive(Debug, Clone)]
pub struct Current(Arc<RwLock<Arc<InForce>>>);

impl Current {
    /// Begins with this version.
    pub fn new(first: InForce) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(first))))
    }

    /// The version in force.
    pub fn get(&self) -> Arc<InForce> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another version in force.
    pub fn replace(&self, next: InForce) -> Arc<InForce> {
        let next = Arc::new(next);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        next
    }
}

impl InForce {
    /// Asks the rules: may this person, who stands so in this room, do that now?
    pub fn ask(
        &self,
        room: &Room,
        by: (&UserId, &Standing),
        action: Action<'_>,
        granted: &Granted,
        now: Timestamp,
    ) -> Decision {
        self.rules.decide(&Question {
            approvals: &granted.approvals,
            confirmed: granted.confirmed,
            ..question(room, by, action, now)
        })
    }

    /// As [`Self::ask`], about what is done by saying `said`, if it is done by saying something.
    pub fn ask_as_said(
        &self,
        room: &Room,
        by: (&UserId, &Standing),
        action: Action<'_>,
        said: Option<&Invocation>,
        now: Timestamp,
    ) -> Decision {
        self.rules.decide(&Question { said, ..question(room, by, action, now) })
    }

    /// As [`Self::ask`], at length and for people.
    pub fn explain(
        &self,
        room: &Room,
        by: (&UserId, &Standing),
        action: Action<'_>,
        now: Timestamp,
    ) -> Explanation {
        self.rules.explain(&question(room, by, action, now))
    }

    /// Whether any rule permits something to somebody here, whatever forbids it now.
    pub fn permits_at_all(
        &self,
        room: &Room,
        by: (&UserId, &Standing),
        action: Action<'_>,
        now: Timestamp,
    ) -> bool {
        self.rules.permits_at_all(&question(room, by, action, now))
    }

    /// Whether a subject is a system that was declared, in an environment that it has.
    pub fn declares(&self, subject: &str) -> bool {
        let (key, environment) =
            subject.split_once('@').map_or((subject, None), |(key, environment)| (key, Some(environment)));
        self.ops.systems.get(key).is_some_and(|system| {
            environment.is_none_or(|name| system.environments.iter().any(|declared| declared == name))
        })
    }

    /// Whether people of this homeserver may act in a room: ours, and those that the room's teams name.
    /// The same servers stand in the room's `m.room.server_acl`, which alone does not suffice.
    pub fn admits(&self, room: &Room, server: &ServerName) -> bool {
        let mut teams = room.teams.iter().filter_map(|key| self.ops.teams.get(key));
        server == self.ops.settings.server_name
            || teams.any(|team| team.homeservers.iter().any(|named| named == server))
    }
}

/// What is asked of the rules about somebody: with their power in the room, and the teams that they are in for a while.
fn question<'a>(
    room: &'a Room,
    (who, standing): (&'a UserId, &'a Standing),
    action: Action<'a>,
    now: Timestamp,
) -> Question<'a> {
    let Standing { power_level, elevated, .. } = standing;
    Question { elevated, ..Question::new(who, *power_level, &room.key, now, action) }
}
