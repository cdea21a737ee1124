//! Why: which rules permit, which forbid, and what is missing.

use std::collections::BTreeSet;

use cedar_policy::{Authorizer, PolicyId};

use super::{
    Decision, Need, Question, Rules, Why,
    names::{ACTION, ROOM, SYSTEM},
    spoken,
};
use crate::{catalogue::Ops, model::Digest};

/// What the rules say about a question, at length. It is for people, and no leave to do anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The verdict.
    pub answer: Answer,
    /// The rules that permit it.
    pub permits: Vec<Told>,
    /// The rules that forbid it.
    pub forbids: Vec<Told>,
    /// The approvals that rules among those ask for.
    pub needs: Vec<Need>,
    /// The rules among those that ask for a confirmation: `@id` and `@says`.
    pub confirm: Vec<(String, String)>,
    /// Where nothing permits it: the rules that permit this action on this resource to others, or at other times.
    pub elsewhere: Vec<Told>,
    /// What could not be evaluated, in words.
    pub errors: Vec<String>,
    /// The rules it was made under: [`Rules::digest`].
    pub rules: Digest,
}

/// A verdict without what comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It would be permitted.
    Permitted,
    /// It would wait for an approval or a confirmation.
    Waits,
    /// It would be refused.
    Refused(Why),
}

/// A rule, as people are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its `@id`.
    pub id: String,
    /// Its `@says`; where it has none, what its scope says.
    pub says: String,
    /// Where it is written: `policies/production.cedar:12`.
    pub place: String,
}

impl Rules {
    /// Tells which rules permit something, which forbid it, and what is missing.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let (answer, forbidding, errors) = match self.decide(question) {
            Decision::Permitted(_) => (Answer::Permitted, Vec::new(), Vec::new()),
            Decision::Waits(wait) => (Answer::Waits, wait.policies, Vec::new()),
            Decision::Refused(refusal) => (Answer::Refused(refusal.why), refusal.policies, refusal.errors),
        };
        let permitting = self.permitting(question);
        let elsewhere = if permitting.is_empty() { self.elsewhere(question) } else { Vec::new() };
        let (needs, confirm) = self.remedies(question, &forbidding);
        let tell = |ids: Vec<String>| ids.into_iter().map(|id| self.tell(id)).collect();
        Explanation {
            answer,
            permits: tell(permitting),
            forbids: tell(forbidding),
            needs,
            confirm,
            elsewhere: tell(elsewhere),
            errors,
            rules: self.digest(),
        }
    }

    /// Whether any rule permits it, whatever forbids it at this time: then it is no secret that it exists.
    pub fn permits_at_all(&self, question: &Question<'_>) -> bool {
        !self.permitting(question).is_empty()
    }

    fn tell(&self, id: String) -> Told {
        let scope = || self.policies.policy(&PolicyId::new(&id)).map(spoken::scope).unwrap_or_default();
        let says = self.says(&id).map_or_else(scope, str::to_owned);
        let place = self.place(&id).unwrap_or_default();
        Told { id, says, place }
    }

    /// The rules that permit it, whatever forbids it.
    fn permitting(&self, question: &Question<'_>) -> Vec<String> {
        let Ok(asked) = self.ask(question) else { return Vec::new() };
        let response =
            Authorizer::new().is_authorized(&asked.request, asked.scene.permits(), &asked.scene.entities);
        let mut ids: Vec<_> = response.diagnostics().reason().map(ToString::to_string).collect();
        ids.sort();
        ids
    }

    /// The permits that are about this action on this resource at all.
    fn elsewhere(&self, question: &Question<'_>) -> Vec<String> {
        let Ok((action, resource)) = self.target(question) else { return Vec::new() };
        let permits = self.scopes().iter().filter(|scope| scope.permits);
        let mut ids: Vec<_> = permits
            .filter(|scope| scope.covers_thing(&action, &resource, &self.world))
            .map(|scope| scope.id.clone())
            .collect();
        ids.sort();
        ids
    }
}

impl Rules {
    /// The rules that are about any of these commands, or about what is no command, in the order of their places.
    pub fn about(&self, commands: &BTreeSet<String>) -> Vec<Told> {
        let here = |id: &String| {
            self.policies.policy(&PolicyId::new(id)).is_some_and(|policy| {
                let mut about = policy
                    .get_valid_request_envs(&self.schema)
                    .map(|environment| environment.action().id().unescaped().to_owned());
                about.any(|name| commands.contains(&name) || !self.effects.contains_key(&name))
            })
        };
        let mut told: Vec<_> =
            self.known.keys().filter(|id| here(id)).map(|id| self.tell(id.clone())).collect();
        told.sort_by(|a, b| (&a.place, &a.id).cmp(&(&b.place, &b.id)));
        told
    }

    /// Whether a rule names only systems, rooms and commands that this folder declares: what else it says of others is for
    /// those who may know of them.
    pub fn is_known(&self, id: &str, ops: &Ops) -> bool {
        let Some(policy) = self.policies.policy(&PolicyId::new(id)) else { return false };
        policy.entity_literals().iter().all(|uid| {
            let (kind, name) = (uid.type_name(), uid.id().unescaped());
            if *kind == *SYSTEM {
                let system = name.split_once('@').map_or(name, |(system, _)| system);
                ops.systems.contains_key(system)
            } else if *kind == *ROOM {
                ops.rooms.contains_key(name)
            } else if *kind == *ACTION && self.effects.contains_key(name) {
                ops.commands.contains_key(name)
            } else {
                true
            }
        })
    }

    /// A rule as it is written.
    pub fn code(&self, id: &str) -> Option<String> {
        self.policies.policy(&PolicyId::new(id)).map(ToString::to_string)
    }
}
