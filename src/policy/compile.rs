//! Compiles an ops folder's policies into [`Rules`], or tells every mistake in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cedar_policy::{EntityUid, PolicySet, Schema, ValidationError, ValidationMode, Validator};
use jiff::tz::TimeZone;

use super::{
    inputs, lint,
    names::{LEADS, RESERVED_ACTIONS, TOTAL},
    prove,
    read::{self, Read, Rule},
    rehearse,
    scene::{self, Reaching, Scenes},
    schema,
    scope::Scopes,
    seen,
    shape::Shapes,
    warn,
    world::World,
};
use crate::{
    catalogue::{Effect, Mistake, Ops, PolicyFile, RunKind, Warning},
    model::Digest,
};

/// The business rules of one version of an ops folder, compiled and validated.
#[derive(Debug, Clone)]
pub struct Rules {
    pub(super) policies: PolicySet,
    pub(super) known: BTreeMap<String, Rule>,
    pub(super) schema: Schema,
    pub(super) world: Arc<World>,
    /// What each command does to the world.
    pub(super) effects: BTreeMap<String, Effect>,
    /// The names in `context.approvals` that rules read, and that are counted.
    pub(super) counted: Vec<String>,
    /// All the names that it could have: the record has them, so that the whole schema can be asked again.
    pub(super) counts: Vec<String>,
    /// The zone of weekday, hour and minute.
    pub(super) zone: TimeZone,
    /// The entities that conditions of rules name: a rule can get to them from nowhere else.
    pub(super) literals: Vec<EntityUid>,
    /// How far each rule reaches by its scope alone.
    pub(super) reaches: Vec<Reaching>,
    /// The same, with the actions for which a rule makes sense.
    pub(super) scopes: Scopes,
    /// What of the rules the latest questions were about.
    pub(super) scenes: Scenes,
    /// What the arguments of each command must be.
    pub(super) shapes: Shapes,
    /// `context.approvals` where nobody has approved, for the record.
    pub(super) no_approvals: String,
    text: String,
    digest: Digest,
    /// The digest without what endpoints alone declare, and the names of that.
    declared: Digest,
    listed: BTreeSet<String>,
    found: Vec<Warning>,
}

/// What a rule that forbids would be content with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// `@remedy("approval")` with `@by` and `@count`.
    Approval {
        /// The groups of people who may approve; each of them is asked.
        by: Vec<String>,
        /// How many of each must.
        count: i64,
    },
    /// `@remedy("confirm")`: the requester's own second word.
    Confirm,
}

impl Rules {
    /// Compiles the policies of `ops` under the schema that `ops` makes.
    ///
    /// # Errors
    ///
    /// Every mistake that was found: names that clash with reserved ones, texts that are no Cedar,
    /// rules without `@id` or `@says`, rules that name what does not exist.
    pub fn compile(ops: &Ops) -> Result<Self, Vec<Mistake>> {
        Self::build(ops, true)
    }

    /// Compiles a version that was in force: as [`Rules::compile`], without what only a folder that is to come into
    /// force must satisfy, which may not have been asked for then.
    ///
    /// # Errors
    ///
    /// Every mistake that keeps it from being compiled.
    pub fn compile_kept(ops: &Ops) -> Result<Self, Vec<Mistake>> {
        Self::build(ops, false)
    }

    fn build(ops: &Ops, to_come: bool) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = reserved_names(ops);
        let groups: Vec<_> = schema::team_groups(ops).chain([TOTAL.to_owned()]).collect();
        let text = schema::generate(ops, &groups);
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
        let Read { policies, rules, mistakes: found } = read::read(&ops.policies, teams(&groups));
        mistakes.extend(found);
        let world = World::new(ops, &schema);
        let validated = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        // An unknown action is told by `lint`, which knows a better "did you mean".
        let told = |error: &&ValidationError| !matches!(error, ValidationError::UnrecognizedActionId(_));
        for error in validated.validation_errors().filter(told) {
            if let Some((file, line)) = place(ops, &rules, error.policy_id().as_ref()) {
                let mend = "`quarterdeck check --schema` shows every name that rules may use";
                let mut mistake = read::at_label(file, error, line, mend);
                if mistake.what.contains("in context for Action::\"read_output\"") {
                    "Who may see output is decided for all times at once: name the actions, such as `action in Action::\"run\"`"
                        .clone_into(&mut mistake.mend);
                }
                mistakes.push(mistake);
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
        if to_come {
            mistakes.extend(prove::prove(&policies, &rules));
            mistakes.extend(rehearse::unknown_names(ops, &rules, teams(&groups), &world));
        }
        for mistake in &mut mistakes {
            mistake.mend = read::sentence(&mistake.mend);
        }
        mistakes.sort();
        mistakes.dedup();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let digest = digest(ops, &text, &world);
        let listed: BTreeSet<_> = ops.commands.keys().filter(|name| ops.is_listed(name)).cloned().collect();
        let declared = if listed.is_empty() {
            digest
        } else {
            let mut declared = ops.clone();
            declared.commands.retain(|name, _| !listed.contains(name));
            self::digest(ops, &schema::generate(&declared, &groups), &world)
        };
        let literals = lint::condition_literals(&policies);
        let reaches = scene::reaches(&policies);
        let no_approvals = inputs::no_approvals(&groups);
        // Questions are asked under the same schema without the counts that nobody reads.
        let counted = seen::counted(&policies, &groups);
        let lean = Schema::from_cedarschema_str(&schema::generate(ops, &counted));
        let (schema, counted) = lean.map_or((schema, groups.clone()), |(lean, _)| (lean, counted));
        let mut compiled = Self {
            policies,
            known: rules,
            schema,
            world: Arc::new(world),
            effects: ops.commands.values().map(|command| (command.name.clone(), command.effect)).collect(),
            counted,
            counts: groups,
            zone: ops.settings.time_zone.clone(),
            literals,
            reaches,
            scopes: Scopes::default(),
            scenes: Scenes::default(),
            shapes: Shapes::of(ops),
            no_approvals,
            text,
            digest,
            declared,
            listed,
            found: Vec::new(),
        };
        if let Some(mistake) = warn::nobody_reloads(&compiled, ops).filter(|_| to_come) {
            return Err(vec![mistake]);
        }
        warnings.extend(prove::unasked(&compiled.policies, &compiled.known));
        warnings.extend(warn::warnings(&compiled, ops));
        for warning in &mut warnings {
            warning.0.mend = read::sentence(&warning.0.mend);
        }
        warnings.sort();
        warnings.dedup();
        compiled.found = warnings;
        Ok(compiled)
    }

    /// The same with other policies of the same names: for trying out what would be noticed.
    pub(super) fn with_policies(&self, policies: PolicySet) -> Self {
        Self { reaches: scene::reaches(&policies), policies, scopes: Scopes::default(), ..self.clone() }
    }

    /// The digest of what decides: policies, schema, teams, systems and time zone. Nothing else changes it.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of what decides about one command, as an approval is bound to it: [`Rules::digest`] without the commands
    /// that endpoints list of themselves, unless it is one of those. What a service says that it offers changes nothing
    /// that was approved elsewhere.
    pub fn digest_for(&self, command: &str) -> Digest {
        if self.listed.contains(command) { self.digest } else { self.declared }
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

    /// What a rule says of itself.
    pub fn says(&self, id: &str) -> Option<&str> {
        self.known.get(id)?.says.as_deref()
    }

    /// A rule as it is written.
    pub fn text(&self, id: &str) -> Option<&str> {
        Some(self.known.get(id)?.text.as_str())
    }

    /// The names of all rules, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
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

/// The groups of people among the names that are counted: `total` is none.
fn teams(groups: &[String]) -> &[String] {
    groups.split_last().map_or(&[], |(_, teams)| teams)
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
        if RESERVED_ACTIONS.contains(&command.name.as_str()) && !matches!(command.run.kind, RunKind::Builtin)
        {
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
    let zone = ops.settings.time_zone.iana_name().unwrap_or_default();
    Digest::of_parts([schema.as_bytes(), &world.canonical, zone.as_bytes()].into_iter().chain(files))
}
