//! `quarterdeck doctor`: looks at every part of an installation and says how to mend what is wrong.
//!
//! It changes nothing that lasts, except that a ping makes a homeserver deliver what it held back. One
//! file a part: this host, the database, the homeserver.

mod database;
mod homeserver;
mod host;
mod pages;
mod report;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;

use self::report::Report;
use super::{audit::key, folder};
use crate::{
    appservice::Registration,
    audit::note::LogKey,
    catalogue::{self, Mistake, Ops, Warning},
    model::SystemClock,
};

/// What the command line gave.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The ops folder
    #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
    ops: PathBuf,
    /// A file of NAME=VALUE lines that `serve` gets its environment from, as systemd's EnvironmentFile
    #[arg(long, value_name = "FILE")]
    environment: Option<PathBuf>,
    /// Prints one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// What the checks look at.
struct Patient {
    ops: Ops,
    environment: BTreeMap<String, String>,
    clock: Arc<SystemClock>,
}

impl Patient {
    /// A variable of the environment that `serve` will have.
    fn variable(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned().or_else(|| std::env::var(name).ok())
    }
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut report = Report::default();
        super::runtime()?.block_on(self.examine(&mut report))?;
        print!("{}", if self.json { report.json()? } else { report.lines() });
        Ok(if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn examine(&self, report: &mut Report) -> anyhow::Result<()> {
        let environment = match &self.environment {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("reading the environment from {}", path.display()))?;
                variables(&text)
            }
            None => BTreeMap::new(),
        };
        let lookup = |name: &str| environment.get(name).cloned().or_else(|| std::env::var(name).ok());
        let ops = match catalogue::load(&self.ops, &lookup) {
            Ok(ops) => ops,
            Err(mistakes) => {
                tell(mistakes, report);
                report.warn(
                    "everything else",
                    "was not looked at, because it stands in the ops folder",
                    "Mend the ops folder, then run doctor again.",
                );
                return Ok(());
            }
        };
        check_ops(&ops, report);
        let patient = Patient { ops, environment, clock: Arc::new(SystemClock) };
        host::check(&patient, report).await;
        let registration = check_registration(&patient, report);
        let log = check_log_key(&patient, report);
        let encrypted = database::check(&patient, log.as_ref(), report).await;
        homeserver::check(&patient, registration.as_ref(), encrypted, report).await;
        pages::check(&patient, report).await;
        Ok(())
    }
}

/// What is wrong with the folder, each with its place.
fn tell(mistakes: Vec<Mistake>, report: &mut Report) {
    for mistake in mistakes {
        let place =
            mistake.line.map_or_else(|| mistake.file.clone(), |line| format!("{}:{line}", mistake.file));
        let mend = if mistake.mend.is_empty() {
            "`quarterdeck check` tells of it too; mend it, then run doctor again.".to_owned()
        } else {
            mistake.mend
        };
        report.fail("ops folder", format!("{place}: {}", mistake.what), mend);
    }
}

/// The folder was read; its lines, rules and rule tests are looked at as at a start of `serve`.
fn check_ops(ops: &Ops, report: &mut Report) {
    match folder::rules_of(ops) {
        Ok(rules) => {
            for Warning(found) in &folder::warnings(ops, &rules) {
                report.warn("ops folder", format!("{}: {}", found.file, found.what), &found.mend);
            }
            report.ok(
                "ops folder",
                format!(
                    "{}: {} rooms, {} teams, {} systems, {} commands, {} files of rules",
                    ops.folder.display(),
                    ops.rooms.len(),
                    ops.teams.len(),
                    ops.systems.len(),
                    ops.commands.len() - catalogue::builtins().len(),
                    ops.policies.len()
                ),
            );
        }
        Err(mistakes) => tell(mistakes, report),
    }
}

/// The file by which the homeserver and Quarterdeck know each other.
fn check_registration(patient: &Patient, report: &mut Report) -> Option<Registration> {
    let settings = &patient.ops.settings;
    let path = &settings.registration;
    let registration = match Registration::read(path, settings) {
        Ok(registration) => registration,
        Err(error) => {
            report.fail(
                "registration",
                error.to_string(),
                "`quarterdeck registration` writes one that fits; the homeserver gets a copy of the same file, and a restart.",
            );
            return None;
        }
    };
    host::check_private("registration", path, "it holds the tokens of both sides", report);
    if registration.rate_limited == Some(false) {
        report
            .ok("registration", format!("{} fits the settings, and asks for no rate limit", path.display()));
    } else {
        report.warn(
            "registration",
            format!("{} fits the settings, but does not exempt Quarterdeck from rate limits: answers will be late when much happens", path.display()),
            "Write `rate_limited: false` into it and into the homeserver's copy, and restart the homeserver.",
        );
    }
    Some(registration)
}

/// The key that signs the log: there, ours alone to read, and of the log that the settings name.
fn check_log_key(patient: &Patient, report: &mut Report) -> Option<LogKey> {
    let settings = &patient.ops.settings;
    host::check_private(
        "log key",
        &settings.audit_key,
        "who has it can sign another log in our name",
        report,
    );
    match key::read(settings) {
        Ok(key) => {
            report.ok("log key", format!("signs as {}", key.public()));
            Some(key)
        }
        Err(error) => {
            report.fail(
                "log key",
                format!("{error:#}"),
                "Where nothing was signed yet, `quarterdeck audit key` makes it; else put back the copy of your backup, readable by the user that runs `serve`.",
            );
            None
        }
    }
}

/// Reads NAME=VALUE lines, as systemd does: `#` and `;` begin comments, quotes around a value go.
fn variables(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            let value = value.trim();
            let bare = ['"', '\'']
                .into_iter()
                .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
                .unwrap_or(value);
            (name.trim().to_owned(), bare.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_file_is_read_as_systemd_reads_it() {
        let read =
            variables("# a comment\nA=1\n B = two words \nC=\"quoted = yes\"\nD='x'\nnonsense\n;E=5\nF=\n");
        let expected = [("A", "1"), ("B", "two words"), ("C", "quoted = yes"), ("D", "x"), ("F", "")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
}
