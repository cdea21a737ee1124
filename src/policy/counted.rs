//! Which counts of `context.approvals` the rules look at: only those are counted for a decision.
//!
//! A company of fifty teams has a hundred of them, and its rules name three.

use std::collections::BTreeSet;

use cedar_policy::PolicySet;
use serde_json::Value as Json;

/// The names among `all` that some rule reads. All of them, where a rule looks at the whole record.
pub(super) fn counted(policies: &PolicySet, all: &[String]) -> Vec<String> {
    let mut seen = Seen::default();
    for policy in policies.policies() {
        match policy.to_json() {
            Ok(json) => seen.walk(&json["conditions"]),
            // What cannot be looked through may name anything.
            Err(_) => seen.whole = true,
        }
    }
    all.iter().filter(|name| seen.whole || seen.names.contains(*name)).cloned().collect()
}

#[derive(Default)]
struct Seen {
    names: BTreeSet<String>,
    whole: bool,
}

impl Seen {
    fn walk(&mut self, json: &Json) {
        if is_context(json) {
            self.whole = true;
            return;
        }
        if let Some((left, attribute)) = access(json) {
            match access(left) {
                Some((context, "approvals")) if is_context(context) => {
                    self.names.insert(attribute.to_owned());
                }
                _ if is_context(left) => self.whole |= attribute == "approvals",
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
}
