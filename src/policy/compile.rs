//! Compiles an ops folder's policies into [`Rules`], or tells every mistake in them.

use std::collections::BTreeMap;

use cedar_policy::{
    EntityUid, PolicySet, RestrictedExpression, Schema, ValidationError, ValidationMode, Validator,
};

use super::{
    lint,
    names::{LEADS, RESERVED_ACTIONS, TOTAL},
    read::{self, Read, Rule},
    request, schema, warn,
    world::World,
};
use crate::{
    catalogue::{Mistake, Ops, PolicyFile, Warning},
    model::Digest,
};

/// The business rules of one version of an ops folder, compiled and validated.
#[derive(Debug)]
pub struct Rules {
    pub(super) policies: PolicySet,
    pub(super) known: BTreeMap<String, Rule>,
    pub(super) schema: Schema,
    pub(super) world: World,
    pub(super) no_approvals: RestrictedExpression,
    /// The entities that conditions of rules name: a rule can get to them from nowhere else.
    pub(super) literals: Vec<EntityUid>,
    text: String,
    digest: Digest,
    found: Vec<Warning>,
}

/// What would turn a refusal into a permission: `@remedy("approval")` with `@by` and `@count`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// The groups of people who may approve; each of them is asked.
    pub by: Vec<String>,
    /// How many of them must.
    pub count: i64,
}

impl Rules {
    /// Compiles the policies of `ops` under the schema that `ops` makes.
    ///
    /// # Errors
    ///
    /// Every mistake that was found: names that clash with reserved ones, texts that are no Cedar,
    /// rules without `@id` or `@says`, rules that name what does not exist.
    pub fn compile(ops: &Ops) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = reserved_names(ops);
        let text = schema::generate(ops);
        let schema = match Schema::from_cedarschema_str(&text) {
            Ok((schema, _)) => schema,
            Err(error) => {
                // Only names can do this, and the ones known to are refused by name.
                if mistakes.is_empty() {
                    mistakes.push(mistake(
                        "commands",
                        format!(
                            "the names of commands, arguments, teams or tags make no Cedar schema: {error}"
                        ),
                        "Use lower-case words joined by `-`",
                    ));
                }
                return Err(mistakes);
            }
        };
        let groups: Vec<_> = schema::team_groups(ops).collect();
        let Read { policies, rules, mistakes: found } = read::read(&ops.policies, &groups);
        mistakes.extend(found);
        let world = World::new(ops, &schema);
        let validated = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        // An unknown action is told by `lint`, which knows a better "did you mean".
        let told = |error: &&ValidationError| !matches!(error, ValidationError::UnrecognizedActionId(_));
        for error in validated.validation_errors().filter(told) {
            if let Some((file, line)) = place(ops, &rules, error.policy_id().as_ref()) {
                let mend = "`quarterdeck check --schema` shows every name that rules may use";
                mistakes.push(read::at_label(file, error, line, mend));
            }
        }
        let mut warnings: Vec<_> = validated
            .validation_warnings()
            .filter_map(|warning| {
                let (file, line) = place(ops, &rules, warning.policy_id().as_ref())?;
                Some(Warning(read::at_label(file, warning, line, "Change it, or take it away")))
            })
            .collect();
        mistakes.extend(lint::lint(ops, &policies, &rules, &schema, &world));
        for mistake in &mut mistakes {
            mistake.mend = read::sentence(&mistake.mend);
        }
        mistakes.sort();
        mistakes.dedup();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let digest = digest(ops, &text, &world);
        let literals = lint::condition_literals(&policies);
        let mut compiled = Self {
            policies,
            known: rules,
            schema,
            world,
            no_approvals: request::no_approvals(ops),
            literals,
            text,
            digest,
            found: Vec::new(),
        };
        warnings.extend(warn::warnings(&compiled, ops));
        for warning in &mut warnings {
            warning.0.mend = read::sentence(&warning.0.mend);
        }
        warnings.sort();
        warnings.dedup();
        compiled.found = warnings;
        Ok(compiled)
    }

    /// The digest of what decides: policies, schema, teams and systems. Nothing else changes it.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The schema in Cedar's language: every name that a rule may use.
    pub fn schema(&self) -> &str {
        &self.text
    }

    /// What is allowed and most likely not meant: a command that no rule permits, a rule that can never apply.
    ///
    /// Whether a rule could permit a command is told from the scopes of rules alone, for every known person,
    /// a stranger, and every system or room the command can act on: `when` and `unless` are taken to hold in a
    /// permit and not to hold in a forbid. So a command may still be refused to everybody without a warning.
    pub fn warnings(&self) -> &[Warning] {
        &self.found
    }

    /// Where a rule is written: `policies/production.cedar:12`.
    pub fn place(&self, id: &str) -> Option<String> {
        let rule = self.known.get(id)?;
        Some(rule.line.map_or_else(|| rule.file.clone(), |line| format!("{}:{line}", rule.file)))
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is no rule at all: everything is refused.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

fn mistake(file: &str, what: String, mend: &str) -> Mistake {
    Mistake { file: file.to_owned(), line: None, what, mend: mend.to_owned() }
}

fn place<'a>(
    ops: &'a Ops,
    rules: &BTreeMap<String, Rule>,
    id: &str,
) -> Option<(&'a PolicyFile, Option<usize>)> {
    let rule = rules.get(id)?;
    let file = ops.policies.iter().find(|file| file.path == rule.file)?;
    Some((file, rule.line))
}

/// Names that would mean two things in the rules.
fn reserved_names(ops: &Ops) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for key in ops.teams.keys() {
        let file = format!("teams/{key}.toml");
        if key == LEADS || key == TOTAL || key.ends_with("-leads") {
            let what =
                format!("a team may not be called `{key}`: rules use that name for leads or for counting");
            mistakes.push(mistake(
                &file,
                what,
                "Rename the file; the leads of team `web` are `web-leads` by themselves",
            ));
        }
    }
    for key in ops.systems.keys().filter(|key| key.contains('@')) {
        let what = format!("a system may not be called `{key}`: `@` stands between system and environment");
        mistakes.push(mistake(&format!("systems/{key}.toml"), what, "Rename the file"));
    }
    for command in ops.commands.values() {
        let file = format!("commands/{}.toml", command.name);
        if RESERVED_ACTIONS.contains(&command.name.as_str()) {
            let what = format!("a command may not be called `{}`: rules use that name", command.name);
            mistakes.push(mistake(&file, what, "Choose another name, such as the verb with what it acts on"));
        }
        for argument in command.arguments.iter().filter(|argument| argument.name.starts_with("__")) {
            let what = format!("an argument may not be called `{}`: `__` is Cedar's own", argument.name);
            mistakes.push(mistake(&file, what, "Rename it"));
        }
    }
    mistakes
}

fn digest(ops: &Ops, schema: &str, world: &World) -> Digest {
    let files: BTreeMap<_, _> = ops.policies.iter().map(|file| (&file.path, &file.text)).collect();
    let files = files.into_iter().flat_map(|(path, text)| [path.as_bytes(), text.as_bytes()]);
    Digest::of_parts([schema.as_bytes(), &world.canonical].into_iter().chain(files))
}
