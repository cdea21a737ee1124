//! What Cedar's validator does not see: rules that name a team, a system or a value that does not exist.
//!
//! To Cedar `Team::"wbe"` is a team without members, and `"prodction"` a text like any other. A forbid
//! with such a slip would never forbid, so here it is a mistake. What this cannot see: a text compared by
//! `like`, a text that free-text arguments are compared with, and values that are computed by `if`.

use std::collections::BTreeSet;

use cedar_policy::{EntityUid, Policy, PolicySet, Schema};
use ruma::UserId;
use serde_json::Value as Json;

use super::{
    names::{ACTION, ENVIRONMENT, ROOM, SYSTEM, TEAM, USER},
    read::{Rule, line_of},
    request::WEEKDAYS,
    schema::quoted,
    world::World,
};
use crate::catalogue::{ArgumentType, Mistake, Ops, nearest};

/// Every such mistake in the rules.
pub(super) fn lint(
    ops: &Ops,
    policies: &PolicySet,
    rules: &std::collections::BTreeMap<String, Rule>,
    schema: &Schema,
    world: &World,
) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for policy in policies.policies() {
        let Some(rule) = rules.get(&policy.id().to_string()) else { continue };
        let mut report = |literal: &str, what: String, mend: String| {
            mistakes.push(Mistake { file: rule.file.clone(), line: place(ops, rule, literal), what, mend });
        };
        for uid in policy.entity_literals() {
            if let Some((what, mend)) = unknown(&uid, world) {
                report(&uid.to_string(), format!("rule `{}`: {what}", policy.id()), mend);
            }
        }
        for (path, value, known) in never(ops, policy, schema) {
            report(
                &quoted(&value),
                format!("rule `{}`: `{path}` is never {}", policy.id(), quoted(&value)),
                suggestion(&value, known.iter().map(String::as_str)),
            );
        }
    }
    mistakes
}

/// The entities named in conditions, and not only in the scopes, of all rules.
pub(super) fn condition_literals(policies: &PolicySet) -> Vec<EntityUid> {
    let mut found = BTreeSet::new();
    for policy in policies.policies() {
        if policy.has_non_scope_constraint() {
            found.extend(policy.entity_literals());
        }
    }
    found.into_iter().collect()
}

fn place(ops: &Ops, rule: &Rule, literal: &str) -> Option<usize> {
    let inside = rule.text.find(literal).unwrap_or_default();
    let file = ops.policies.iter().find(|file| file.path == rule.file)?;
    rule.offset.map(|offset| line_of(&file.text, offset + inside)).or(rule.line)
}

fn unknown(uid: &EntityUid, world: &World) -> Option<(String, String)> {
    let kind = uid.type_name();
    let id = uid.id().unescaped();
    if *kind == *USER {
        return UserId::parse(id).is_err().then(|| {
            let what = format!("`{uid}` is no whole MXID, so it is nobody");
            (what, "Write it like `User::\"@alice:example.org\"`".to_owned())
        });
    }
    let declared_in = [
        (&*ACTION, "commands"),
        (&*TEAM, "teams"),
        (&*SYSTEM, "systems"),
        (&*ENVIRONMENT, "the `environments` of systems"),
        (&*ROOM, "rooms"),
    ];
    let (_, folder) = declared_in.into_iter().find(|(known, _)| *known == kind)?;
    if world.has(uid) {
        return None;
    }
    let known: BTreeSet<_> = world.all_of(kind).map(|uid| uid.id().unescaped()).collect();
    Some((format!("there is no `{uid}`: it is not in {folder}"), suggestion(id, known.iter().copied())))
}

fn suggestion<'a>(wrong: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(name) = nearest(wrong, known.clone()) {
        return format!("Did you mean {}?", quoted(name));
    }
    let known: Vec<_> = known.take(20).map(quoted).collect();
    if known.is_empty() { "There is none yet".to_owned() } else { format!("There are: {}", known.join(", ")) }
}

/// Comparisons of something that has a few known values with a text that is none of them.
fn never(ops: &Ops, policy: &Policy, schema: &Schema) -> Vec<(String, String, Vec<String>)> {
    let Ok(json) = policy.to_json() else { return Vec::new() };
    let mut compared = Vec::new();
    comparisons(json.get("conditions").unwrap_or(&Json::Null), &mut compared);
    if compared.is_empty() {
        return Vec::new();
    }
    let actions: BTreeSet<String> = policy
        .get_valid_request_envs(schema)
        .map(|environment| environment.action().id().unescaped().to_owned())
        .collect();
    compared
        .into_iter()
        .filter_map(|(path, value)| {
            let known = known_values(ops, &actions, &path)?;
            (!known.contains(&value)).then(|| (path.join("."), value, known))
        })
        .collect()
}

/// The values that an attribute can have, where they are few and known.
fn known_values(ops: &Ops, actions: &BTreeSet<String>, path: &[String]) -> Option<Vec<String>> {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    match *names {
        ["context", "arguments", name] => {
            let mut known = BTreeSet::new();
            for action in actions {
                let Some(command) = ops.commands.get(action) else { continue };
                match command.arguments.iter().find(|argument| argument.name == name).map(|found| &found.kind)
                {
                    None => {}
                    Some(ArgumentType::Choice(choices)) => known.extend(choices.iter().cloned()),
                    Some(ArgumentType::List { items, .. }) => match &**items {
                        ArgumentType::Choice(choices) => known.extend(choices.iter().cloned()),
                        _ => return None,
                    },
                    Some(_) => return None,
                }
            }
            (!known.is_empty()).then(|| known.into_iter().collect())
        }
        ["context", "time", "weekday"] => Some(WEEKDAYS.map(str::to_owned).to_vec()),
        [.., "criticality"] => Some(["low", "normal", "high"].map(str::to_owned).to_vec()),
        _ => None,
    }
}

/// Every comparison of an attribute with a literal text in a condition, as Cedar writes it in JSON.
fn comparisons(json: &Json, found: &mut Vec<(Vec<String>, String)>) {
    match json {
        Json::Array(items) => items.iter().for_each(|item| comparisons(item, found)),
        Json::Object(fields) => {
            for (operator, operands) in fields {
                if ["==", "!=", "contains", "containsAny", "containsAll"].contains(&operator.as_str())
                    && let (Some(left), Some(right)) = (operands.get("left"), operands.get("right"))
                {
                    for (attribute, texts) in [(left, right), (right, left)] {
                        if let Some(path) = attribute_path(attribute) {
                            found.extend(literals(texts).into_iter().map(|text| (path.clone(), text)));
                        }
                    }
                }
                comparisons(operands, found);
            }
        }
        _ => {}
    }
}

fn attribute_path(json: &Json) -> Option<Vec<String>> {
    if let Some(variable) = json.get("Var").and_then(Json::as_str) {
        return Some(vec![variable.to_owned()]);
    }
    let access = json.get(".")?;
    let mut path = attribute_path(access.get("left")?).unwrap_or_default();
    path.push(access.get("attr")?.as_str()?.to_owned());
    Some(path)
}

fn literals(json: &Json) -> Vec<String> {
    if let Some(text) = json.get("Value").and_then(Json::as_str) {
        return vec![text.to_owned()];
    }
    json.get("Set")
        .and_then(Json::as_array)
        .map(|items| items.iter().flat_map(literals).collect())
        .unwrap_or_default()
}
