//! Reads `policies/*.cedar`: each rule with its name, its words, its remedy and its place.

use std::{collections::BTreeMap, fmt::Write as _};

use cedar_policy::{Effect, Policy, PolicyId, PolicySet};
use miette::Diagnostic;

use super::{Remedy, names::TOTAL};
use crate::catalogue::{Mistake, PolicyFile};

/// What an annotation may be called.
const ANNOTATIONS: &[&str] = &["id", "says", "remedy", "by", "count"];
/// The greatest number of approvals that a rule may ask for.
const MAX_COUNT: i64 = 100;

/// What is known of a rule beside what Cedar evaluates.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) file: String,
    pub(super) line: Option<usize>,
    pub(super) says: Option<String>,
    pub(super) remedy: Option<Remedy>,
    /// The rule's text, as written.
    pub(super) text: String,
    /// Where that text begins in its file, in bytes.
    pub(super) offset: Option<usize>,
}

/// The rules of all files, each under the name of its `@id`.
#[derive(Default)]
pub(super) struct Read {
    pub(super) policies: PolicySet,
    pub(super) rules: BTreeMap<String, Rule>,
    pub(super) mistakes: Vec<Mistake>,
}

/// Reads all files. `groups` are the names of teams and of their leads.
pub(super) fn read(files: &[PolicyFile], groups: &[String]) -> Read {
    let mut read = Read::default();
    for file in files {
        match file.text.parse::<PolicySet>() {
            Ok(set) => read.file(file, &set, groups),
            Err(errors) => {
                for error in errors.iter() {
                    read.mistakes.push(at_label(file, error, None, "Write it as Cedar's grammar says"));
                }
            }
        }
    }
    read
}

/// An error of Cedar's as a mistake, at the place that Cedar tells.
pub(super) fn at_label(
    file: &PolicyFile,
    error: &dyn Diagnostic,
    otherwise: Option<usize>,
    mend: &str,
) -> Mistake {
    let label = error.labels().and_then(|mut labels| labels.next());
    let line = label.as_ref().map(|label| line_of(&file.text, label.offset())).or(otherwise);
    let mut what = error.to_string();
    // Cedar says "for policy `x`, ..."; we say rule.
    if let Some((id, rest)) = what.strip_prefix("for policy ").and_then(|rest| rest.split_once(", ")) {
        what = format!("rule {id}: {rest}");
    }
    if let Some(words) = label.as_ref().and_then(|label| label.label()) {
        let _ = write!(what, " ({words})");
    }
    let mend = error.help().map_or_else(|| mend.to_owned(), |help| help.to_string());
    Mistake { file: file.path.clone(), line, what, mend }
}

/// The line, from 1, of the byte at `offset`.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

/// The text with a capital first letter and a full stop: what Cedar's help lacks.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.trim().chars();
    let mut text: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if !text.ends_with(['.', '?', '!']) {
        text.push('.');
    }
    text
}

impl Read {
    fn file(&mut self, file: &PolicyFile, set: &PolicySet, groups: &[String]) {
        for template in set.templates() {
            self.mistakes.push(Mistake {
                file: file.path.clone(),
                line: place(file, &template.to_cedar(), 0).map(|offset| line_of(&file.text, offset)),
                what: "a rule with a slot (`?principal`, `?resource`) has nobody to fill it".to_owned(),
                mend: "Name the principal and the resource in the rule itself".to_owned(),
            });
        }
        // Cedar names them policy0, policy1, ... in the order of the file.
        let mut policies: Vec<_> = set.policies().collect();
        policies.sort_by_key(|policy| {
            let id = policy.id().to_string();
            id.trim_start_matches("policy").parse::<usize>().unwrap_or(usize::MAX)
        });
        let mut from = 0;
        for policy in policies {
            let text = policy.to_cedar().unwrap_or_else(|| policy.to_string());
            let offset = place(file, &text, from);
            from = offset.map_or(from, |offset| offset + text.len());
            self.rule(file, policy, text, offset, groups);
        }
    }

    fn rule(
        &mut self,
        file: &PolicyFile,
        policy: &Policy,
        text: String,
        offset: Option<usize>,
        groups: &[String],
    ) {
        let line = offset.map(|offset| line_of(&file.text, offset));
        let mut mistake = |what: String, mend: &str| {
            self.mistakes.push(Mistake { file: file.path.clone(), line, what, mend: mend.to_owned() });
        };
        for (key, _) in policy.annotations().filter(|(key, _)| !ANNOTATIONS.contains(key)) {
            let known = ANNOTATIONS.join("`, `@");
            mistake(format!("there is no annotation `@{key}`"), &format!("A rule may have `@{known}`"));
        }
        let Some(id) = policy.annotation("id").filter(|id| is_name(id)) else {
            return mistake(
                "a rule without a name".to_owned(),
                "Put `@id(\"what-it-is-for\")` before it: letters, digits and `-`; refusals and the audit log name it",
            );
        };
        let says = policy.annotation("says").map(str::trim).filter(|says| !says.is_empty());
        if policy.effect() == Effect::Forbid && says.is_none() {
            mistake(
                format!("rule `{id}` forbids and does not say why"),
                "Put `@says(\"...\")` before it: a sentence that the one who is refused will read",
            );
        }
        let remedy = match remedy(policy, groups) {
            Ok(remedy) => remedy,
            Err((what, mend)) => {
                mistake(format!("rule `{id}`: {what}"), &mend);
                None
            }
        };
        if let Some(first) = self.rules.get(id) {
            let line = first.line.map_or_else(String::new, |line| format!(":{line}"));
            return mistake(
                format!("a second rule is called `{id}`"),
                &format!("Rename it: the first is at {}{line}", first.file),
            );
        }
        let rule =
            Rule { file: file.path.clone(), line, says: says.map(str::to_owned), remedy, text, offset };
        if let Err(error) = self.policies.add(policy.new_id(PolicyId::new(id))) {
            return mistake(format!("rule `{id}`: {error}"), "Rename it");
        }
        self.rules.insert(id.to_owned(), rule);
    }
}

fn place(file: &PolicyFile, text: &str, from: usize) -> Option<usize> {
    file.text.get(from..)?.find(text).map(|at| at + from)
}

fn is_name(id: &str) -> bool {
    id.len() <= 100
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Reads `@remedy`, `@by` and `@count`; an error is what is wrong and how to mend it.
fn remedy(policy: &Policy, groups: &[String]) -> Result<Option<Remedy>, (String, String)> {
    let annotation = |key| policy.annotation(key).map(str::trim);
    let wrong = |what: String, mend: &str| Err((what, mend.to_owned()));
    let Some(remedy) = annotation("remedy") else {
        return match ["by", "count"].into_iter().find(|key| annotation(key).is_some()) {
            Some(key) => wrong(
                format!("`@{key}` without `@remedy`"),
                "Put `@remedy(\"approval\")` beside it, or take it away",
            ),
            None => Ok(None),
        };
    };
    if policy.effect() == Effect::Permit {
        return wrong("a permit needs no remedy".to_owned(), "Take `@remedy` away, or write a forbid");
    }
    if remedy == "confirm" {
        return match ["by", "count"].into_iter().find(|key| annotation(key).is_some()) {
            Some(key) => wrong(
                format!("`@{key}` beside `@remedy(\"confirm\")`"),
                "Take it away: the one who asks confirms, once",
            ),
            None => Ok(Some(Remedy::Confirm)),
        };
    }
    if remedy != "approval" {
        return wrong(
            format!("there is no remedy `{remedy}`"),
            "There are `@remedy(\"approval\")` and `@remedy(\"confirm\")`",
        );
    }
    let Some(by) = annotation("by").filter(|by| !by.is_empty()) else {
        return wrong(
            "`@remedy` without `@by`".to_owned(),
            "Name the team that approves: `@by(\"leads\")`, or several with commas",
        );
    };
    let by: Vec<String> = by.split(',').map(|name| name.trim().to_owned()).collect();
    if let Some(twice) = by.iter().enumerate().find_map(|(n, name)| by[..n].contains(name).then_some(name)) {
        return wrong(
            format!("`@by` names `{twice}` twice"),
            "Name each team once; `@count` says how many of it",
        );
    }
    if let Some(name) = by.iter().find(|&name| name != TOTAL && !groups.contains(name)) {
        return wrong(
            format!("`@by` names `{name}`, which is no team"),
            &format!("Name a team or a team's leads: {}", groups.join(", ")),
        );
    }
    let count = annotation("count").unwrap_or("1");
    match count.parse() {
        Ok(count @ 1..=MAX_COUNT) => Ok(Some(Remedy::Approval { by, count })),
        _ => wrong(
            format!("`@count(\"{count}\")` is no number of approvals"),
            &format!("Write a whole number from 1 to {MAX_COUNT}: `@count(\"2\")`"),
        ),
    }
}
