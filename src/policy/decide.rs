//! The decision: the one place where a [`Permit`] is made.

use cedar_policy::{Authorizer, Decision as Verdict};
use ruma::{OwnedUserId, UserId};
use serde_json::json;

use super::{Inputs, Question, Remedy, Rules, Wait, request::Asked};
use crate::model::{Digest, Invocation, Timestamp};

/// What the rules say.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// It may be done, once, with this.
    Permitted(Permit),
    /// It may, once something is given that rules ask for.
    Waits(Wait),
    /// It may not.
    Refused(Refusal),
}

/// The rules' leave to do one thing once. Only [`Rules::decide`] makes it; whoever acts on it consumes it.
///
/// It can be looked at, and handed on:
///
/// ```
/// use quarterdeck::policy::Permit;
/// fn names_of_rules(permit: &Permit) -> Vec<String> {
///     permit.policies().to_vec()
/// }
/// fn once(permit: Permit) {
///     drop(permit);
/// }
/// fn is<T>() {}
/// is::<Permit>();
/// fn is_one_that_can_be_read<T: serde::de::DeserializeOwned>() {}
/// is_one_that_can_be_read::<(quarterdeck::model::Digest, ruma::OwnedUserId, serde_json::Value)>();
/// let _ = quarterdeck::model::Timestamp::UNIX_EPOCH;
/// ```
///
/// It cannot be made from parts:
///
/// ```compile_fail,E0451
/// fn forge(digest: quarterdeck::model::Digest, who: ruma::OwnedUserId) -> quarterdeck::policy::Permit {
///     quarterdeck::policy::Permit {
///         action: digest,
///         principal: who,
///         room: String::new(),
///         policies: Vec::new(),
///         rules: digest,
///         decided_at: quarterdeck::model::Timestamp::UNIX_EPOCH,
///         elevated: Vec::new(),
///         inputs: todo!(),
///     }
/// }
/// ```
///
/// It cannot be copied, so that leave for one thing is not leave for two:
///
/// ```compile_fail,E0382
/// fn twice(permit: quarterdeck::policy::Permit) {
///     let first = permit;
///     let second = permit;
///     drop((first, second));
/// }
/// ```
///
/// ```compile_fail,E0277
/// fn can_be_cloned<T: Clone>() {}
/// can_be_cloned::<quarterdeck::policy::Permit>();
/// ```
///
/// It has no default, and cannot be read from anything written:
///
/// ```compile_fail,E0277
/// fn has_a_default<T: Default>() {}
/// has_a_default::<quarterdeck::policy::Permit>();
/// ```
///
/// ```compile_fail,E0277
/// fn can_be_read<T: serde::de::DeserializeOwned>() {}
/// can_be_read::<quarterdeck::policy::Permit>();
/// ```
///
/// Its parts cannot be changed:
///
/// ```compile_fail,E0616
/// fn change(mut permit: quarterdeck::policy::Permit) {
///     permit.policies = Vec::new();
/// }
/// ```
#[derive(Debug)]
#[must_use = "a permit is leave to act: act on it, or record that nobody did"]
pub struct Permit {
    action: Digest,
    principal: OwnedUserId,
    room: String,
    policies: Vec<String>,
    rules: Digest,
    decided_at: Timestamp,
    elevated: Vec<String>,
    inputs: Inputs,
}

impl Permit {
    /// The digest of the invocation that may be run.
    pub const fn invocation_digest(&self) -> Digest {
        self.action
    }

    /// Whether it is for exactly this invocation.
    pub fn is_for(&self, invocation: &Invocation) -> bool {
        self.action == invocation.digest()
    }

    /// Whose leave it is.
    pub fn principal(&self) -> &UserId {
        &self.principal
    }

    /// The room, by key.
    pub fn room(&self) -> &str {
        &self.room
    }

    /// The rules that permit it, by name, in order.
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// The rules it was made under: [`Rules::digest`].
    pub const fn rules(&self) -> Digest {
        self.rules
    }

    /// The time of the question.
    pub const fn decided_at(&self) -> Timestamp {
        self.decided_at
    }

    /// The teams that they were in for a while when it was decided, in order.
    pub fn elevated(&self) -> &[String] {
        &self.elevated
    }

    /// The Cedar request and the entity slice, for the record.
    pub const fn inputs(&self) -> &Inputs {
        &self.inputs
    }
}

/// The rules' no, with what people and the record need of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Of what kind.
    pub why: Why,
    /// The rules that forbid it or could not be evaluated, by name, in order; none where nothing permits it.
    pub policies: Vec<String>,
    /// The words of the rules that forbid it: `@id` and `@says`.
    pub says: Vec<(String, String)>,
    /// What the rules that forbid it would be content with: `@id` and `@remedy`.
    pub remedies: Vec<(String, Remedy)>,
    /// What could not be evaluated, in words, each with its rule's name where one is to blame.
    pub errors: Vec<String>,
    /// The rules it was made under: [`Rules::digest`].
    pub rules: Digest,
    /// The Cedar request and the entity slice, for the record.
    pub inputs: Inputs,
}

/// Why something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No rule permits it.
    NothingPermits,
    /// At least one rule forbids it.
    Forbidden,
    /// A rule could not be evaluated, or the question could not even be asked.
    Evaluation,
}

impl Rules {
    /// Decides. Refuses unless a rule permits it, no rule forbids it, and every rule could be evaluated.
    ///
    /// It waits, instead, where each rule that forbids it has a remedy and a rule permits it.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        let Asked { request, scene, inputs } = match self.ask(question) {
            Ok(asked) => asked,
            Err(error) => return Decision::Refused(self.unaskable(question, error)),
        };
        let response = Authorizer::new().is_authorized(&request, &scene.policies, &scene.entities);
        let diagnostics = response.diagnostics();
        let mut policies: Vec<String> = diagnostics.reason().map(ToString::to_string).collect();
        policies.sort();
        // Cedar skips a rule that it cannot evaluate, a forbid as well: that must not let anything through.
        let mut failed: Vec<(String, String)> = diagnostics
            .errors()
            .map(|cedar_policy::AuthorizationError::PolicyEvaluationError(error)| {
                (error.policy_id().to_string(), error.inner().to_string())
            })
            .collect();
        failed.sort();
        match (failed.is_empty(), response.decision()) {
            (true, verdict)
                if verdict == Verdict::Allow || (policies.is_empty() && question.is_about_ones_own()) =>
            {
                Decision::Permitted(Permit {
                    action: question.digest(),
                    principal: question.principal.to_owned(),
                    room: question.room.to_owned(),
                    policies,
                    rules: self.digest(),
                    decided_at: question.now,
                    elevated: question.elevated.iter().cloned().collect(),
                    inputs,
                })
            }
            (true, _) => {
                if self.can_be_remedied(&policies) {
                    let permits = Authorizer::new().is_authorized(&request, scene.permits(), &scene.entities);
                    if permits.decision() == Verdict::Allow && permits.diagnostics().errors().next().is_none()
                    {
                        let (needs, confirm) = self.remedies(question, &policies);
                        return Decision::Waits(Wait {
                            needs,
                            confirm,
                            policies,
                            rules: self.digest(),
                            inputs,
                        });
                    }
                }
                let why = if policies.is_empty() { Why::NothingPermits } else { Why::Forbidden };
                Decision::Refused(self.refusal(why, policies, Vec::new(), inputs))
            }
            (false, verdict) => {
                let forbidding = if verdict == Verdict::Deny { policies } else { Vec::new() };
                Decision::Refused(self.refusal(Why::Evaluation, forbidding, failed, inputs))
            }
        }
    }

    /// Whether something forbids, and everything that does would be content with something.
    fn can_be_remedied(&self, forbidding: &[String]) -> bool {
        let remedied = |id: &String| self.known.get(id).is_some_and(|rule| rule.remedy.is_some());
        !forbidding.is_empty() && forbidding.iter().all(remedied)
    }

    fn refusal(
        &self,
        why: Why,
        forbidding: Vec<String>,
        failed: Vec<(String, String)>,
        inputs: Inputs,
    ) -> Refusal {
        let rules = || forbidding.iter().filter_map(|id| Some((id, self.known.get(id)?)));
        let says = rules().filter_map(|(id, rule)| Some((id.clone(), rule.says.clone()?))).collect();
        let remedies = rules().filter_map(|(id, rule)| Some((id.clone(), rule.remedy.clone()?))).collect();
        let errors = failed.iter().map(|(id, error)| format!("rule `{id}`: {error}")).collect();
        let mut policies = forbidding;
        policies.extend(failed.into_iter().map(|(id, _)| id));
        policies.sort();
        Refusal { why, policies, says, remedies, errors, rules: self.digest(), inputs }
    }

    fn unaskable(&self, question: &Question<'_>, error: String) -> Refusal {
        Refusal {
            why: Why::Evaluation,
            policies: Vec::new(),
            says: Vec::new(),
            remedies: Vec::new(),
            errors: vec![error],
            rules: self.digest(),
            inputs: Inputs::unasked(&json!({
                "principal": question.principal, "room": question.room, "asked": question.action.recorded(),
            })),
        }
    }
}
