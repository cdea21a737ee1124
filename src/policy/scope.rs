//! Whom, what and where a rule is about, told from its scope alone.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use cedar_policy::{
    ActionConstraint, Effect, EntityTypeName, EntityUid, Policy, PrincipalConstraint, ResourceConstraint,
};
use ruma::UserId;

use super::{
    Rules,
    names::{self, ROOM, SYSTEM, USER},
    world::World,
};

/// Somebody in the rules' eyes: a name, and the groups.
pub(super) type Person = (EntityUid, BTreeSet<EntityUid>);

/// Whom, what and where a rule is about, its conditions aside.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) id: String,
    pub(super) permits: bool,
    pub(super) conditional: bool,
    reach: Reach,
    /// The actions and types of resources for which its conditions make sense at all.
    sensible: BTreeSet<(EntityUid, EntityTypeName)>,
}

/// The scopes of all rules of a set, made when the first is asked for: what is only decided needs none.
#[derive(Debug, Clone, Default)]
pub(super) struct Scopes(OnceLock<Arc<[Scope]>>);

impl Scope {
    fn of(policy: &Policy, rules: &Rules) -> Self {
        Self {
            id: policy.id().to_string(),
            permits: policy.effect() == Effect::Permit,
            conditional: policy.has_non_scope_constraint(),
            reach: Reach::of(policy),
            sensible: policy
                .get_valid_request_envs(&rules.schema)
                .map(|environment| (environment.action().clone(), environment.resource().clone()))
                .collect(),
        }
    }

    /// Whether the rule is about this at all, its conditions aside.
    pub(super) fn covers(
        &self,
        person: &Person,
        action: &EntityUid,
        resource: &EntityUid,
        world: &World,
    ) -> bool {
        self.reach.covers_person(person, world) && self.covers_thing(action, resource, world)
    }

    /// Whether the rule is about this action on this resource, whoever asks.
    pub(super) fn covers_thing(&self, action: &EntityUid, resource: &EntityUid, world: &World) -> bool {
        let kind = if *resource.type_name() == *ROOM { ROOM.clone() } else { SYSTEM.clone() };
        self.reach.covers_thing(action, resource, world) && self.sensible.contains(&(action.clone(), kind))
    }
}

impl Rules {
    /// The scopes of all rules.
    pub(super) fn scopes(&self) -> &[Scope] {
        self.scopes.0.get_or_init(|| self.policies.policies().map(|policy| Scope::of(policy, self)).collect())
    }

    /// Whether somebody who is in `elevated` for a while may do this to anything at all in a room: by the scopes of the
    /// rules, where the conditions of a permit are taken to hold and those of a forbid not to.
    pub fn may_ever(&self, who: &UserId, elevated: &BTreeSet<String>, room: &str, action: &str) -> bool {
        let person = (names::user(who.as_str()), self.world.groups_with(who, elevated));
        let action = names::action(action);
        let scopes = self.scopes();
        let mut things = self.world.all_of(&SYSTEM).cloned().chain([names::room(room)]);
        things.any(|thing| {
            let covers = |scope: &&Scope| scope.covers(&person, &action, &thing, &self.world);
            scopes.iter().filter(|scope| scope.permits).any(|scope| covers(&scope))
                && !scopes
                    .iter()
                    .filter(|scope| !scope.permits && !scope.conditional)
                    .any(|scope| covers(&scope))
        })
    }
}

/// The scope of a rule, as Cedar evaluates it before any condition: principal, action and resource.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    principal: PrincipalConstraint,
    action: ActionConstraint,
    resource: ResourceConstraint,
}

impl Reach {
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            principal: policy.principal_constraint(),
            action: policy.action_constraint(),
            resource: policy.resource_constraint(),
        }
    }

    /// Whether the scope holds of this person, action and resource.
    pub(super) fn covers(
        &self,
        person: &Person,
        action: &EntityUid,
        resource: &EntityUid,
        world: &World,
    ) -> bool {
        self.covers_thing(action, resource, world) && self.covers_person(person, world)
    }

    fn covers_person(&self, (person, groups): &Person, world: &World) -> bool {
        let person_in =
            |group: &EntityUid| person == group || groups.iter().any(|own| world.is_in(own, group));
        match &self.principal {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(uid) => uid == person,
            PrincipalConstraint::In(uid) => person_in(uid),
            PrincipalConstraint::Is(kind) => *kind == *USER,
            PrincipalConstraint::IsIn(kind, uid) => *kind == *USER && person_in(uid),
        }
    }

    fn covers_thing(&self, action: &EntityUid, resource: &EntityUid, world: &World) -> bool {
        let fits = match &self.action {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => uid == action,
            ActionConstraint::In(uids) => uids.iter().any(|uid| world.is_in(action, uid)),
        };
        let is = |kind: &EntityTypeName| kind == resource.type_name();
        fits && match &self.resource {
            ResourceConstraint::Any => true,
            ResourceConstraint::Eq(uid) => uid == resource,
            ResourceConstraint::In(uid) => world.is_in(resource, uid),
            ResourceConstraint::Is(kind) => is(kind),
            ResourceConstraint::IsIn(kind, uid) => is(kind) && world.is_in(resource, uid),
        }
    }
}
