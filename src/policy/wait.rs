//! What would turn a refusal into a permission: approvals and a confirmation.

use super::{Inputs, Question, Refusal, Remedy, Rules, Why};
use crate::model::Digest;

/// Not yet: every rule that forbids it has a remedy, and without those rules it is permitted.
///
/// It says what is missing, for people. It is no leave to do anything: when something was given, the
/// question is asked anew, and the rules' own verdict counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// The approvals that rules ask for, by rule.
    pub needs: Vec<Need>,
    /// The rules that ask the requester to confirm: `@id` and `@says`.
    pub confirm: Vec<(String, String)>,
    /// The rules that forbid it as long as nothing is given, by name, in order.
    pub policies: Vec<String>,
    /// The rules it was made under: [`Rules::digest`].
    pub rules: Digest,
    /// The Cedar request and the entity slice, for the record.
    pub inputs: Inputs,
}

/// What one rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The rule's `@id`.
    pub rule: String,
    /// The rule's `@says`.
    pub says: String,
    /// Of each of these groups so many.
    pub of: Vec<NeedOf>,
}

/// How many approvals of one group a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedOf {
    /// A team, a team's leads, `leads`, or `total`: anybody whose approval counts at all.
    pub team: String,
    /// How many it asks for.
    pub count: i64,
    /// How many were given.
    pub given: i64,
}

impl NeedOf {
    /// How many are missing.
    pub fn missing(&self) -> i64 {
        (self.count - self.given).max(0)
    }
}

impl From<Wait> for Refusal {
    /// For whoever cannot wait: refused by the rules that ask for something.
    fn from(wait: Wait) -> Self {
        let approvals = wait.needs.iter().map(|need| {
            let remedy = Remedy::Approval {
                by: need.of.iter().map(|of| of.team.clone()).collect(),
                count: need.of.first().map_or(1, |of| of.count),
            };
            (need.rule.clone(), remedy)
        });
        let confirmations = wait.confirm.iter().map(|(id, _)| (id.clone(), Remedy::Confirm));
        let mut remedies: Vec<_> = approvals.chain(confirmations).collect();
        remedies.sort_by(|a, b| a.0.cmp(&b.0));
        let says = wait.needs.into_iter().map(|need| (need.rule, need.says)).chain(wait.confirm);
        let mut says: Vec<_> = says.collect();
        says.sort();
        Self {
            why: Why::Forbidden,
            policies: wait.policies,
            says,
            remedies,
            errors: Vec::new(),
            rules: wait.rules,
            inputs: wait.inputs,
        }
    }
}

impl Rules {
    /// What the rules with a remedy ask for, of those named: approvals, and confirmations.
    pub(super) fn remedies(
        &self,
        question: &Question<'_>,
        forbidding: &[String],
    ) -> (Vec<Need>, Vec<(String, String)>) {
        let (mut needs, mut confirm) = (Vec::new(), Vec::new());
        for (id, rule) in forbidding.iter().filter_map(|id| Some((id, self.known.get(id)?))) {
            let says = rule.says.clone().unwrap_or_default();
            match &rule.remedy {
                Some(Remedy::Approval { by, count }) => {
                    let of = by.iter().map(|team| NeedOf {
                        team: team.clone(),
                        count: *count,
                        given: self.given(question, team),
                    });
                    needs.push(Need { rule: id.clone(), says, of: of.collect() });
                }
                Some(Remedy::Confirm) => confirm.push((id.clone(), says)),
                None => {}
            }
        }
        (needs, confirm)
    }
}
