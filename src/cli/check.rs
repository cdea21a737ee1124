//! `quarterdeck check`.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use super::folder;
use crate::{
    catalogue::{Mistake, Ops, RunKind},
    policy::Rules,
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
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        // A reader that stops early, such as `head`, is an error of writing and no reason to panic.
        let mut out = std::io::stdout().lock();
        match folder::read(&self.folder) {
            Ok((_, rules)) if self.schema => {
                write!(out, "{}", rules.schema())?;
                Ok(ExitCode::SUCCESS)
            }
            Ok((ops, rules)) => {
                let warnings = folder::warnings(&ops, &rules);
                for warning in &warnings {
                    write!(out, "{}", shown(&warning.0, "warning: "))?;
                }
                writeln!(out, "{} {}", self.folder.display(), summary(&ops, &rules, warnings.len()))?;
                Ok(ExitCode::SUCCESS)
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
    fn numbers_read_as_words_do() {
        assert_eq!([0, 1, 2].map(|number| counted(number, "rule")), ["no rules", "1 rule", "2 rules"]);
    }
}
