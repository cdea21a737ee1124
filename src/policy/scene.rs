//! What of the rules and of the company one question can be about: made once, and kept for the next who asks the same.
//!
//! A scene holds the entities that rules can get to, and only those rules whose scope fits principal, action and
//! resource. A rule's scope is evaluated before its conditions and cannot fail, so a rule that it leaves out could
//! neither permit nor forbid nor err: the verdict, the rules that determine it and the errors are those of the whole
//! set, which a property shows (`tests/narrowing.rs`).
//!
//! Scenes are kept within one version of the rules, so there is nothing in them that could be stale, and never more
//! than [`MOST`], nor with more than [`MOST_RULES`] rules in all: what somebody asks with ever new arguments costs them
//! time, and nobody memory.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use cedar_policy::{Effect, Entities, EntityUid, Policy, PolicyId, PolicySet};
use ruma::OwnedUserId;

use super::{Question, Rules, inputs, names, scope::Reach, seen::Seen};

/// How many scenes are kept at once.
const MOST: usize = 256;
/// How many rules are kept in them, counted in each.
const MOST_RULES: usize = 8_192;

/// The setting of a question.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) principal: EntityUid,
    pub(super) action: EntityUid,
    pub(super) resource: EntityUid,
    pub(super) entities: Entities,
    /// The rules that are about it.
    pub(super) policies: PolicySet,
    permits: OnceLock<PolicySet>,
    /// What of the context they look at.
    pub(super) seen: Seen,
    /// Principal, action and resource, for the record.
    pub(super) named: String,
    /// The entities in Cedar's JSON, with commas between, for the record.
    pub(super) recorded: String,
}

impl Scene {
    /// The permits among its rules, for what some rule forbids.
    pub(super) fn permits(&self) -> &PolicySet {
        self.permits.get_or_init(|| permits_of(&self.policies))
    }
}

/// All that a scene depends on beside the rules. No time, no approvals, no text of an argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    principal: OwnedUserId,
    power_level: i64,
    elevated: BTreeSet<String>,
    action: EntityUid,
    resource: EntityUid,
    named: Vec<EntityUid>,
}

/// The scenes of the latest questions.
#[derive(Debug, Default)]
pub(super) struct Scenes(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    scenes: HashMap<Key, Arc<Scene>>,
    rules: usize,
}

impl Clone for Scenes {
    /// Empty: the rules that were cloned may be about to change.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Rules {
    /// The scene of a question that is about these. `named` are the other entities that it names.
    ///
    /// # Errors
    ///
    /// Why Cedar does not take the entities, in words.
    pub(super) fn scene(
        &self,
        question: &Question<'_>,
        action: EntityUid,
        resource: EntityUid,
        named: Vec<EntityUid>,
    ) -> Result<Arc<Scene>, String> {
        let key = Key {
            principal: question.principal.to_owned(),
            power_level: question.power_level,
            elevated: question.elevated.clone(),
            action,
            resource,
            named,
        };
        if let Some(scene) = self.scenes.get(&key) {
            return Ok(scene);
        }
        let scene = Arc::new(self.set(&key)?);
        self.scenes.keep(key, &scene);
        Ok(scene)
    }

    fn set(&self, key: &Key) -> Result<Scene, String> {
        let (action, resource) = (key.action.clone(), key.resource.clone());
        let person =
            (names::user(key.principal.as_str()), self.world.groups_with(&key.principal, &key.elevated));
        let fits = |rule: &&Reaching| rule.reach.covers(&person, &action, &resource, &self.world);
        let fitting: Vec<_> = self.reaches.iter().filter(fits).collect();
        let seen = fitting.iter().fold(Seen::default(), |seen, rule| seen.and(&rule.seen));
        let policies = fitting.iter().filter_map(|rule| self.policies.policy(&rule.id)).cloned();
        let policies = PolicySet::from_policies(policies).map_err(|error| error.to_string())?;

        let roots = [&resource, &action].into_iter().chain(&key.named).chain(&self.literals).cloned();
        let slice = self.world.slice(&key.principal, key.power_level, &key.elevated, roots);
        let (slice, recorded): (Vec<_>, Vec<_>) = slice.into_values().unzip();
        let entities = Entities::from_entities(slice, None).map_err(|error| error.to_string())?;
        let named = inputs::named(&person.0, &action, &resource);
        let recorded = recorded.join(",");
        Ok(Scene {
            principal: person.0,
            action,
            resource,
            entities,
            policies,
            permits: OnceLock::new(),
            seen,
            named,
            recorded,
        })
    }
}

/// The permits of a set alone: what it would say if nothing forbade.
pub(super) fn permits_of(policies: &PolicySet) -> PolicySet {
    let permits = policies.policies().filter(|policy| policy.effect() == Effect::Permit).cloned();
    // No two are of one name. If they were, nothing would permit.
    PolicySet::from_policies(permits).unwrap_or_default()
}

/// How far a rule reaches, and what it sees there.
#[derive(Debug, Clone)]
pub(super) struct Reaching {
    id: PolicyId,
    reach: Reach,
    seen: Seen,
}

/// Which rules reach how far, for all rules of a set.
pub(super) fn reaches(policies: &PolicySet) -> Vec<Reaching> {
    let reaching = |policy: &Policy| Reaching {
        id: policy.id().clone(),
        reach: Reach::of(policy),
        seen: Seen::of(policy),
    };
    policies.policies().map(reaching).collect()
}

impl Scenes {
    fn get(&self, key: &Key) -> Option<Arc<Scene>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).scenes.get(key).cloned()
    }

    /// Keeps a scene; all others are let go where there is no room for it.
    fn keep(&self, key: Key, scene: &Arc<Scene>) {
        // Twice: the permits among them may come to be asked alone.
        let rules = 2 * scene.policies.num_of_policies();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.scenes.len() >= MOST || kept.rules + rules > MOST_RULES {
            *kept = Kept::default();
        }
        if kept.scenes.insert(key, Arc::clone(scene)).is_none() {
            kept.rules += rules;
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().scenes.len()
    }
}
