//! `quarterdeck check`.

use std::{collections::BTreeMap, io::Write as _, path::PathBuf, process::ExitCode};

use super::{archiving, folder, logged};
use crate::{
    catalogue::{Command, Mistake, Ops, RunKind},
    executor::sandbox_in_force,
    model::Sandbox,
    policy::{ANYBODY, Rehearsal, Rules, Survivor},
};

/// Reads an ops folder and reports every mistake in it: file, line, what is wrong, and the mend.
///
/// Ends with 0 where it could come into force (there may be warnings), with 1 where it could not.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The ops folder
    #[arg(value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
    folder: PathBuf,
    /// Print the schema of the rules instead: every name that they may use
    #[arg(long)]
    schema: bool,
    /// Also drop and negate each rule in turn, and fail on what no rule test notices
    #[arg(long)]
    mutate: bool,
    /// Ask the server's database what endpoints were last recorded to offer: their methods are commands then
    #[arg(long)]
    recorded: bool,
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        // A reader that stops early, such as `head`, is an error of writing and no reason to panic.
        let mut out = std::io::stdout().lock();
        let listings = logged::recorded_listings(&self.folder, self.recorded)?;
        match folder::read_listed(&self.folder, &listings) {
            Ok((_, rules)) if self.schema => {
                write!(out, "{}", rules.schema())?;
                Ok(ExitCode::SUCCESS)
            }
            Ok((ops, rules)) => {
                let warnings = folder::warnings(&ops, &rules);
                for warning in &warnings {
                    write!(out, "{}", shown(&warning.0, "warning: "))?;
                }
                let rehearsal = folder::rehearse(&ops, &rules);
                for note in notes(&ops, &rules, &rehearsal) {
                    write!(out, "{}", shown(&note, "note: "))?;
                }
                let survivors = if self.mutate { survivors(&rules, &rehearsal) } else { Vec::new() };
                for survivor in &survivors {
                    write!(out, "{}", shown(survivor, ""))?;
                }
                writeln!(out, "{} {}", self.folder.display(), summary(&ops, &rules, warnings.len()))?;
                if self.mutate {
                    let (survived, asked) = (survivors.len(), rehearsal.len());
                    let (changes, questions) = (counted(survived, "change"), counted(asked, "question"));
                    writeln!(out, "unnoticed by {questions} of the rule tests: {changes}")?;
                }
                Ok(if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            Err(mistakes) => {
                for mistake in &mistakes {
                    write!(out, "{}", shown(mistake, ""))?;
                }
                writeln!(out, "{}: {}", self.folder.display(), counted(mistakes.len(), "mistake"))?;
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

/// What the rule tests leave open, and which answers are private: nothing that is wrong.
fn notes(ops: &Ops, rules: &Rules, rehearsal: &Rehearsal<'_>) -> Vec<Mistake> {
    let note =
        |file: String, what: String, mend: &str| Mistake { file, line: None, what, mend: mend.to_owned() };
    let mut notes = Vec::new();
    let with = |shut_in: bool| {
        let asks = move |it: &Command| {
            it.runs().filter_map(|run| run.kind.sandbox()).any(|it| matches!(it, Sandbox::None) != shut_in)
        };
        ops.commands
            .values()
            .filter(move |it| asks(it))
            .map(|it| format!("`{}`", it.name))
            .collect::<Vec<_>>()
    };
    let open = with(false);
    if !open.is_empty() {
        let what = format!("without a sandbox, with all that Quarterdeck's user may: {}", open.join(", "));
        notes.push(note("commands".to_owned(), what, ""));
    }
    if !with(true).is_empty() {
        let what = match sandbox_in_force() {
            Ok(words) => format!("the sandbox of the others is in force on this host: {words}"),
            Err(why) => format!("no sandboxed command can start on this host: {why}"),
        };
        notes.push(note("commands".to_owned(), what, ""));
    }
    let logs_in = |policy: &&crate::catalogue::PolicyFile| policy.text.contains("Action::\"login\"");
    if ops.settings.web_url.is_none()
        && let Some(policy) = ops.policies.iter().find(logs_in)
    {
        notes.push(note(
            policy.path.clone(),
            "a rule says who may log in to the pages, and without [web] url there are none".to_owned(),
            "Write where people reach them into quarterdeck.toml: docs/web.md.",
        ));
    }
    for name in archiving::unknown(ops) {
        let what = format!(
            "[retention] names {name}, which is not declared: it stands for what is gone, or is mistyped"
        );
        notes.push(note("quarterdeck.toml".to_owned(), what, ""));
    }
    for endpoint in ops.endpoints.values().filter(|endpoint| endpoint.listing.is_none()) {
        notes.push(note(
            format!("endpoints/{}.toml", endpoint.key),
            "what it offers is not known here, so lines and cases of its methods are not: commands of files are".to_owned(),
            "Beside a server that has asked it: quarterdeck check --recorded.",
        ));
    }
    if rehearsal.is_empty() && !rules.is_empty() {
        let rules = counted(rules.len(), "rule");
        notes.push(note(
            "policies/tests".to_owned(),
            format!("no rule test holds {rules}: a mistake in one would go unnoticed"),
            "Write cases of who may what: docs/rules.md, \"From a sentence to a rule to its test\".",
        ));
    }
    let wordless: Vec<_> =
        rules.ids().filter(|id| rules.says(id).is_none()).map(|id| format!("`{id}`")).collect();
    if !wordless.is_empty() {
        let what = format!(
            "without words of their own, so that `!rules` and `!why` tell their scope: {}",
            wordless.join(", ")
        );
        notes.push(note("policies".to_owned(), what, "Put `@says(\"...\")` before each."));
    }
    if !rehearsal.is_empty() {
        for id in rehearsal.unreached() {
            let place = rules.place(&id).unwrap_or_default();
            notes.push(note(
                place,
                format!("no rule test reaches `{id}`"),
                "Write a case that it permits or forbids.",
            ));
        }
        for (command, teams) in rehearsal.undecided() {
            let file = format!("commands/{command}.toml");
            notes.push(note(file, format!("no rule test decides `{command}` for {}", teams.join(", ")), ""));
        }
    }
    for room in ops.rooms.values() {
        let declared =
            room.commands.iter().filter(|name| ops.commands.get(*name).is_some_and(|it| it.private));
        let declared: Vec<_> = declared.map(|name| format!("`{name}`")).collect();
        if !declared.is_empty() {
            let what =
                format!("only who asks sees what is printed by {}: it is declared so", declared.join(", "));
            notes.push(note(format!("rooms/{}.toml", room.key), what, ""));
        }
    }
    let mut private: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for answer in rules.private_answers(ops) {
        private
            .entry((answer.room, all_of(&answer.teams)))
            .or_default()
            .push(format!("`{}`", answer.command));
    }
    for ((room, teams), commands) in private {
        let what = format!("{teams} may not all read what is printed by {}", commands.join(", "));
        let mend = "It goes to who asks alone, and the room sees how it ended: let the rules on `read_output` permit them if it is to be shown.";
        notes.push(note(format!("rooms/{room}.toml"), what, mend));
    }
    notes
}

/// Teams as the beginning of a sentence: whoever is of them.
fn all_of(teams: &[String]) -> String {
    let named = |team: &String| match team.as_str() {
        ANYBODY => "those who come in by the open door".to_owned(),
        team => format!("those of team `{team}`"),
    };
    teams.iter().map(named).collect::<Vec<_>>().join(" and ")
}

/// The changes to rules that no rule test notices.
fn survivors(rules: &Rules, rehearsal: &Rehearsal<'_>) -> Vec<Mistake> {
    let told = |survivor: Survivor| Mistake {
        file: rules.place(&survivor.rule).unwrap_or_default(),
        line: None,
        what: format!("no rule test notices when `{}` is {}", survivor.rule, survivor.change.name()),
        mend: "Write a case in policies/tests/ whose answer hangs on this rule alone.".to_owned(),
    };
    rehearsal.survivors().into_iter().map(told).collect()
}

/// Place and fault in a line, as compilers write them, the mend under it.
fn shown(mistake: &Mistake, kind: &str) -> String {
    let place = mistake.line.map_or_else(|| mistake.file.clone(), |line| format!("{}:{line}", mistake.file));
    let mut text = format!("{place}: {kind}{}\n", mistake.what);
    if !mistake.mend.is_empty() {
        text.extend(["    ", &mistake.mend, "\n"]);
    }
    text
}

fn summary(ops: &Ops, rules: &Rules, warnings: usize) -> String {
    let commands =
        ops.commands.values().filter(|command| !matches!(command.run.kind, RunKind::Builtin)).count();
    let parts = [
        counted(ops.rooms.len(), "room"),
        counted(ops.teams.len(), "team"),
        counted(ops.systems.len(), "system"),
        counted(commands, "command"),
        counted(rules.len(), "rule"),
        counted(ops.rule_tests.len(), "rule test"),
        counted(ops.documents.len(), "document"),
        counted(ops.secrets.len(), "secret"),
    ];
    let warned = if warnings == 0 { String::new() } else { format!(", {}", counted(warnings, "warning")) };
    format!("can come into force{warned}: {} · digest {}", parts.join(", "), ops.digest.short())
}

fn counted(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_shown_with_its_place_and_its_mend() {
        let mistake = Mistake {
            file: "rooms/deploy.toml".into(),
            line: Some(3),
            what: "no command is called \"depoly\"".into(),
            mend: "Did you mean \"deploy\"?".into(),
        };
        assert_eq!(
            shown(&mistake, ""),
            "rooms/deploy.toml:3: no command is called \"depoly\"\n    Did you mean \"deploy\"?\n"
        );
    }

    #[test]
    fn the_example_company_has_a_case_for_every_rule() {
        let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/example/ops");
        let (ops, rules) = folder::read(&example).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let rehearsal = folder::rehearse(&ops, &rules);
        assert_eq!(rehearsal.unreached(), Vec::<String>::new());
        assert_eq!(rehearsal.survivors(), []);
    }

    #[test]
    fn numbers_read_as_words_do() {
        assert_eq!([0, 1, 2].map(|number| counted(number, "rule")), ["no rules", "1 rule", "2 rules"]);
    }
}
