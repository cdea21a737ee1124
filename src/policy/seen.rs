//! What of the context rules look at: the rest is put together for no question.
//!
//! A company of fifty teams has a hundred counts of approvals, and its rules name three; most rules read no clock.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Policy, PolicySet};
use serde_json::Value as Json;

/// The members of the context that some rules look at, and the fields of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// They may look at anything.
    whole: bool,
    members: BTreeMap<String, Fields>,
}

#[derive(Debug, Clone)]
enum Fields {
    Whole,
    Of(BTreeSet<String>),
}

impl Seen {
    /// What one rule looks at.
    pub(super) fn of(policy: &Policy) -> Self {
        let mut seen = Self::default();
        if policy.has_non_scope_constraint() {
            match policy.to_json() {
                Ok(json) => seen.walk(&json["conditions"]),
                // What cannot be looked through may name anything.
                Err(_) => seen.whole = true,
            }
        }
        seen
    }

    /// All that there is.
    pub(super) fn everything() -> Self {
        Self { whole: true, members: BTreeMap::new() }
    }

    /// What either looks at.
    #[must_use]
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.whole |= other.whole;
        for (member, fields) in &other.members {
            match fields {
                Fields::Whole => self.see(member),
                Fields::Of(fields) => fields.iter().for_each(|field| self.see_field(member, field)),
            }
        }
        self
    }

    /// Whether any field of a member is looked at.
    pub(super) fn member(&self, member: &str) -> bool {
        self.whole || self.members.contains_key(member)
    }

    /// Whether a field of a member is looked at.
    pub(super) fn field(&self, member: &str, field: &str) -> bool {
        self.whole
            || match self.members.get(member) {
                Some(Fields::Whole) => true,
                Some(Fields::Of(fields)) => fields.contains(field),
                None => false,
            }
    }

    fn see(&mut self, member: &str) {
        self.members.insert(member.to_owned(), Fields::Whole);
    }

    fn see_field(&mut self, member: &str, field: &str) {
        let fields = self.members.entry(member.to_owned()).or_insert_with(|| Fields::Of(BTreeSet::new()));
        if let Fields::Of(fields) = fields {
            fields.insert(field.to_owned());
        }
    }

    fn walk(&mut self, json: &Json) {
        if is_context(json) {
            self.whole = true;
            return;
        }
        if let Some((left, attribute)) = access(json) {
            match access(left) {
                Some((context, member)) if is_context(context) => self.see_field(member, attribute),
                _ if is_context(left) => self.see(attribute),
                _ => self.walk(left),
            }
            return;
        }
        match json {
            Json::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Json::Object(fields) => fields.values().for_each(|field| self.walk(field)),
            _ => {}
        }
    }
}

/// The counts of `context.approvals`, among `all`, that some rule reads.
pub(super) fn counted(policies: &PolicySet, all: &[String]) -> Vec<String> {
    let seen = policies.policies().fold(Seen::default(), |seen, policy| seen.and(&Seen::of(policy)));
    all.iter().filter(|name| seen.field("approvals", name)).cloned().collect()
}

/// `left.attribute`.
fn access(json: &Json) -> Option<(&Json, &str)> {
    let access = json.get(".")?;
    Some((access.get("left")?, access.get("attr")?.as_str()?))
}

fn is_context(json: &Json) -> bool {
    json.get("Var").and_then(Json::as_str) == Some("context")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(condition: &str) -> Vec<String> {
        let text = format!("forbid (principal, action, resource) {condition};");
        let all = ["leads", "web", "web-leads", "total"].map(str::to_owned);
        counted(&text.parse().unwrap(), &all)
    }

    #[test]
    fn what_no_rule_reads_is_not_counted() {
        assert_eq!(of("unless { context.approvals.leads >= 1 && context.time.hour > 3 }"), ["leads"]);
        assert_eq!(
            of(r#"when { context.approvals["web-leads"] + context.approvals.total < 2 }"#),
            ["web-leads", "total"]
        );
        assert!(of("when { context.confirmed }").is_empty());
    }

    #[test]
    fn a_rule_that_looks_at_the_whole_has_all_of_them_counted() {
        for whole in [
            "when { context.approvals has leads }",
            "when { context has approvals }",
            "when { context == context }",
        ] {
            assert_eq!(of(whole).len(), 4, "{whole}");
        }
    }

    #[test]
    fn a_rule_without_conditions_sees_nothing_of_the_context() {
        let policy: Policy = "permit (principal, action, resource);".parse().unwrap();
        assert!(!Seen::of(&policy).member("time"));
    }

    #[test]
    fn what_two_rules_see_is_what_either_does() {
        let of = |condition: &str| {
            let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
            Seen::of(&text.parse().unwrap())
        };
        let both = of("context.time.hour > 3 && principal has homeserver").and(&of("context.confirmed"));
        assert!(both.field("time", "hour") && both.member("confirmed"));
        assert!(!both.field("time", "now") && !both.member("arguments"));
        let whole = both.and(&of("context.time has now"));
        assert!(whole.field("time", "now") && !whole.member("arguments"));
    }
}
