//! Proves that a rule keeps what its `@remedy` promises: content at its count, not content with less.
//!
//! A rule's conditions are evaluated with approvals and confirmation known and all else unknown, in the
//! logic of three values: what holds whatever the unknown may be is proved. So a rule that also looks at
//! the time or at a team can be proved, and one whose annotation says leads while it counts somebody else
//! is a mistake in `check` and not a surprise at night.

use std::collections::BTreeMap;

use cedar_policy::{Policy, PolicySet};
use serde_json::Value as Json;

use super::{Remedy, names::TOTAL, read::Rule};
use crate::catalogue::{Mistake, Warning};

/// More approvals than any rule asks for.
const PLENTY: i64 = 1 << 20;

/// What is wrong with the remedies of rules.
pub(super) fn prove(policies: &PolicySet, rules: &BTreeMap<String, Rule>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for policy in policies.policies() {
        let id = policy.id().to_string();
        let Some(rule) = rules.get(&id) else { continue };
        let (Some(remedy), Some(conditions)) = (&rule.remedy, conditions(policy)) else { continue };
        let found = match remedy {
            Remedy::Approval { by, count } => approvals(&conditions, by, *count),
            Remedy::Confirm => confirmation(&conditions),
        };
        if let Some((what, mend)) = found {
            let (file, line) = (rule.file.clone(), rule.line);
            mistakes.push(Mistake { file, line, what: format!("rule `{id}` {what}"), mend });
        }
    }
    mistakes
}

/// Rules that look at approvals, or a confirmation, that nobody is asked for.
pub(super) fn unasked(policies: &PolicySet, rules: &BTreeMap<String, Rule>) -> Vec<Warning> {
    let asked = |approval: bool| {
        rules.values().any(|rule| match rule.remedy {
            Some(Remedy::Approval { .. }) => approval,
            Some(Remedy::Confirm) => !approval,
            None => false,
        })
    };
    let mut found = Vec::new();
    for (name, what, remedy, is_asked) in [
        ("approvals", "approvals", "approval", asked(true)),
        ("confirmed", "a confirmation", "confirm", asked(false)),
    ] {
        for policy in policies.policies().filter(|policy| !is_asked && looks_at(policy, name)) {
            let Some(rule) = rules.get(&policy.id().to_string()) else { continue };
            let (file, line) = (rule.file.clone(), rule.line);
            let what = format!("rule `{}` looks at {what}, and no rule asks for any", policy.id());
            let mend = format!("Put `@remedy(\"{remedy}\")` before a forbid: only that asks people");
            found.push(Warning(Mistake { file, line, what, mend }));
        }
    }
    found
}

/// Whether a rule looks at this attribute of the context.
pub(super) fn looks_at(policy: &Policy, name: &str) -> bool {
    let access = serde_json::json!({ ".": { "left": { "Var": "context" }, "attr": name } });
    conditions(policy).is_some_and(|conditions| conditions.iter().any(|(_, body)| holds(body, &access)))
}

type Condition = (bool, Json);

/// The conditions of a rule: whether it is a `when`, and its expression.
fn conditions(policy: &Policy) -> Option<Vec<Condition>> {
    let json = policy.to_json().ok()?;
    let conditions = json.get("conditions").and_then(Json::as_array).cloned().unwrap_or_default();
    let read = |condition: &Json| Some((condition.get("kind")? == "when", condition.get("body")?.clone()));
    conditions.iter().map(read).collect()
}

fn holds(json: &Json, part: &Json) -> bool {
    json == part
        || match json {
            Json::Array(items) => items.iter().any(|item| holds(item, part)),
            Json::Object(fields) => fields.values().any(|field| holds(field, part)),
            _ => false,
        }
}

/// What is wrong, and the mend.
type Fault = Option<(String, String)>;

fn approvals(conditions: &[Condition], by: &[String], count: i64) -> Fault {
    // One person in two teams is not two people.
    let groups = i64::try_from(by.iter().filter(|name| *name != TOTAL).count()).unwrap_or(i64::MAX);
    let people = count.saturating_mul(groups.max(1));
    let wanted: Vec<_> =
        by.iter().map(|name| format!("context.approvals{} >= {count}", access(name))).collect();
    let total = if groups > 1 { format!(" && context.approvals.total >= {people}") } else { String::new() };
    let mend = format!(
        "Write `unless {{ {}{total} }}`, and other conditions in a `when` of their own",
        wanted.join(" && ")
    );
    let said = format!("{count} of {}", by.join(" and of "));

    let enough = |name: &str| match name {
        TOTAL => people,
        _ if by.iter().any(|named| named == name) => count,
        _ => 0,
    };
    if forbids(conditions, &Known { approvals: Some(&enough), confirmed: None }) != Some(false) {
        return Some((format!("asks for {said}, and may still forbid with them"), mend));
    }
    for short in by {
        let one_less = |name: &str| if name == short { count - 1 } else { PLENTY };
        if forbids(conditions, &Known { approvals: Some(&one_less), confirmed: None }) == Some(false) {
            return Some((format!("asks for {said}, and is content with {} of {short}", count - 1), mend));
        }
    }
    let one_less = |name: &str| if name == TOTAL { people - 1 } else { PLENTY };
    if groups > 1
        && forbids(conditions, &Known { approvals: Some(&one_less), confirmed: None }) == Some(false)
    {
        let what = format!(
            "asks for {said}, and is content with fewer than {people} people: somebody may be in two teams"
        );
        return Some((what, mend));
    }
    None
}

fn confirmation(conditions: &[Condition]) -> Fault {
    let mend =
        || "Write `unless { context.confirmed }`, and other conditions in a `when` of their own".to_owned();
    let with = |confirmed| forbids(conditions, &Known { approvals: None, confirmed: Some(confirmed) });
    if with(true) != Some(false) {
        return Some(("asks for a confirmation, and may still forbid with it".to_owned(), mend()));
    }
    if with(false) == Some(false) {
        return Some(("asks for a confirmation, and is content without".to_owned(), mend()));
    }
    None
}

fn access(name: &str) -> String {
    let identifier = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic());
    if identifier { format!(".{name}") } else { format!("[\"{name}\"]") }
}

/// What is taken to be known while a rule is looked at.
struct Known<'a> {
    approvals: Option<&'a dyn Fn(&str) -> i64>,
    confirmed: Option<bool>,
}

/// What an expression can be known to be.
#[derive(Clone, Copy, PartialEq)]
enum Worth {
    Truth(bool),
    Number(i64),
    Unknown,
}

impl Worth {
    const fn truth(self) -> Option<bool> {
        match self {
            Self::Truth(truth) => Some(truth),
            _ => None,
        }
    }

    fn of(truth: Option<bool>) -> Self {
        truth.map_or(Self::Unknown, Self::Truth)
    }
}

/// Whether the conditions hold; nothing where that hangs on what is not known.
fn forbids(conditions: &[Condition], known: &Known<'_>) -> Option<bool> {
    let mut all = Some(true);
    for (when, body) in conditions {
        let truth = known.worth(body).truth();
        all = both(all, if *when { truth } else { truth.map(|truth| !truth) });
    }
    all
}

fn both(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

impl Known<'_> {
    fn worth(&self, json: &Json) -> Worth {
        let Some((operator, operands)) = json.as_object().and_then(|fields| fields.iter().next()) else {
            return Worth::Unknown;
        };
        let side = |name: &str| operands.get(name).map_or(Worth::Unknown, |operand| self.worth(operand));
        let not = |truth: Option<bool>| truth.map(|truth| !truth);
        match operator.as_str() {
            "Value" => match operands {
                Json::Bool(truth) => Worth::Truth(*truth),
                Json::Number(number) => number.as_i64().map_or(Worth::Unknown, Worth::Number),
                _ => Worth::Unknown,
            },
            "." => self.attribute(json),
            "has" => Worth::of(has(operands)),
            "!" => Worth::of(not(side("arg").truth())),
            "&&" => Worth::of(both(side("left").truth(), side("right").truth())),
            "||" => Worth::of(not(both(not(side("left").truth()), not(side("right").truth())))),
            "if-then-else" => match side("if").truth() {
                Some(true) => side("then"),
                Some(false) => side("else"),
                None if side("then") == side("else") => side("then"),
                None => Worth::Unknown,
            },
            "neg" => match side("arg") {
                Worth::Number(number) => number.checked_neg().map_or(Worth::Unknown, Worth::Number),
                _ => Worth::Unknown,
            },
            operator => computed(operator, side("left"), side("right")),
        }
    }

    fn attribute(&self, json: &Json) -> Worth {
        let path = path(json).unwrap_or_default();
        match (path.as_slice(), self.approvals, self.confirmed) {
            (["context", "approvals", name], Some(approvals), _) => Worth::Number(approvals(name)),
            (["context", "confirmed"], _, Some(confirmed)) => Worth::Truth(confirmed),
            _ => Worth::Unknown,
        }
    }
}

/// The schema has all of these in every context that a rule with conditions on them can see.
fn has(operands: &Json) -> Option<bool> {
    let path = path(operands.get("left")?)?;
    let attribute = operands.get("attr")?.as_str()?;
    matches!(
        (path.as_slice(), attribute),
        (["context"], "approvals" | "confirmed") | (["context", "approvals"], _)
    )
    .then_some(true)
}

fn computed(operator: &str, left: Worth, right: Worth) -> Worth {
    if let (Worth::Truth(left), Worth::Truth(right)) = (left, right) {
        return match operator {
            "==" => Worth::Truth(left == right),
            "!=" => Worth::Truth(left != right),
            _ => Worth::Unknown,
        };
    }
    let (Worth::Number(left), Worth::Number(right)) = (left, right) else { return Worth::Unknown };
    let number = |number: Option<i64>| number.map_or(Worth::Unknown, Worth::Number);
    match operator {
        "==" => Worth::Truth(left == right),
        "!=" => Worth::Truth(left != right),
        "<" => Worth::Truth(left < right),
        "<=" => Worth::Truth(left <= right),
        ">" => Worth::Truth(left > right),
        ">=" => Worth::Truth(left >= right),
        "+" => number(left.checked_add(right)),
        "-" => number(left.checked_sub(right)),
        "*" => number(left.checked_mul(right)),
        _ => Worth::Unknown,
    }
}

/// `context.approvals.leads` as its names, where an expression is nothing but that.
fn path(json: &Json) -> Option<Vec<&str>> {
    if let Some(variable) = json.get("Var").and_then(Json::as_str) {
        return Some(vec![variable]);
    }
    let access = json.get(".")?;
    let mut path = path(access.get("left")?)?;
    path.push(access.get("attr")?.as_str()?);
    Some(path)
}
