//! Rules with one rule less, or with one turned round: does any case notice?

use cedar_policy::{Policy, PolicyId, PolicySet};
use serde_json::{Value as Json, json};

use super::{Rehearsal, Rules};

/// A change to the rules that no case notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// The rule's `@id`.
    pub rule: String,
    /// What was done to it.
    pub change: Mutation,
}

/// What is done to a rule, to see whether a case notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// It is taken away.
    Dropped,
    /// It holds where it did not, and does not where it did: its conditions are negated.
    Negated,
}

impl Mutation {
    /// As a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Negated => "negated",
        }
    }
}

impl Rehearsal<'_> {
    /// Drops and negates each rule in turn, and tells which of that no case notices.
    pub fn survivors(&self) -> Vec<Survivor> {
        let mut survivors = Vec::new();
        for id in self.rules().ids() {
            for change in [Mutation::Dropped, Mutation::Negated] {
                let Some(mutant) = self.rules().mutant(id, change) else { continue };
                if self.all_are_content_with(&mutant) {
                    survivors.push(Survivor { rule: id.to_owned(), change });
                }
            }
        }
        survivors
    }
}

impl Rules {
    /// The same with one rule changed; nothing where it cannot be: a rule without conditions has none to negate.
    fn mutant(&self, id: &str, change: Mutation) -> Option<Self> {
        let name = PolicyId::new(id);
        let changed = match change {
            Mutation::Dropped => None,
            Mutation::Negated => Some(negated(self.policies.policy(&name)?)?),
        };
        let others = self.policies.policies().filter(|policy| *policy.id() != name).cloned();
        let policies = PolicySet::from_policies(others.chain(changed)).ok()?;
        Some(self.with_policies(policies))
    }
}

fn negated(policy: &Policy) -> Option<Policy> {
    let mut json = policy.to_json().ok()?;
    let body = |condition: &Json| {
        let body = condition.get("body")?.clone();
        Some(if condition.get("kind")? == "when" { body } else { json!({ "!": { "arg": body } }) })
    };
    let conditions = json.get("conditions")?.as_array()?;
    let all = conditions.iter().map(body).collect::<Option<Vec<_>>>()?;
    let all = all.into_iter().reduce(|left, right| json!({ "&&": { "left": left, "right": right } }))?;
    json["conditions"] = json!([{ "kind": "unless", "body": all }]);
    Policy::from_json(Some(policy.id().clone()), json).ok()
}
