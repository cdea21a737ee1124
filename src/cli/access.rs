//! `quarterdeck access`.

use std::{collections::BTreeMap, fmt::Write as _, io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use ruma::UserId;

use super::{folder, logged};
use crate::{
    catalogue::{self, Command, Ops},
    command,
    model::{Clock as _, Invocation, SystemClock},
    policy::{Access, Rules},
};

/// Prints who could do what: each team, and each team's leads, by command and environment, with the approvals needed.
///
/// A team's line is what somebody can do who is in that team alone; whoever is in several can do what any of them can,
/// unless a rule forbids it to one. People whom a rule names have lines of their own. What is not listed is refused.
/// Rules may look at the time and at arguments: the table holds for the time above it, and where arguments make a
/// difference the answer that needs least is shown. Every system and every choice is tried; of texts and numbers those of
/// the commands' examples are, so a rule that looks at one wants an example of what it permits.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The ops folder
    #[arg(value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
    folder: PathBuf,
    /// As of then, from the version that was in force: 2026-11-23 (at its noon in UTC), or 2026-11-23T03:00:00Z
    #[arg(long, value_name = "DATE", value_parser = date)]
    at: Option<Timestamp>,
    /// Comma-separated values, a line for each system
    #[arg(long)]
    csv: bool,
}

fn date(text: &str) -> Result<Timestamp, String> {
    let noon = |date: Date| TimeZone::UTC.to_timestamp(date.at(12, 0, 0, 0)).ok();
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| noon(text.parse().ok()?))
        .ok_or_else(|| "write a date such as 2026-11-23, or a time such as 2026-11-23T03:00:00Z".to_owned())
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let (ops, rules) = match self.at {
            None => folder::read(&self.folder).map_err(|mistakes| super::told(&self.folder, &mistakes))?,
            Some(at) => self.kept(at)?,
        };
        let at = self.at.unwrap_or_else(|| SystemClock.now());
        let access = rules.access(&ops, at, &|command, user| tried(&ops, command, user));
        let rows: Vec<_> = access.into_iter().collect();
        let text = if self.csv { csv(&rows) } else { table(&rows) };
        let mut out = std::io::stdout().lock();
        if !self.csv {
            let when = at.strftime("%Y-%m-%d %H:%M UTC");
            writeln!(out, "{when}, ops folder {}, rules {}", ops.digest.short(), rules.digest().short())?;
        }
        out.write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }

    /// The version that was in force then, from the log.
    fn kept(&self, at: Timestamp) -> anyhow::Result<(Ops, Rules)> {
        let settings = super::read_ops(&self.folder)?.settings;
        let version = super::runtime()?.block_on(async {
            let storage = logged::connect(settings)?;
            logged::record(&storage, format!("access at {at}")).await?;
            let version = storage.version_at(at).await;
            storage.close().await;
            anyhow::Ok(version?)
        })?;
        let version =
            version.with_context(|| format!("the log knows no version that was in force at {at}"))?;
        let told = format!("the ops folder {} of {}", version.folder.short(), version.since);
        let ops = catalogue::load_kept(version.files, &|name| std::env::var(name).ok())
            .map_err(|mistakes| super::told(told.as_ref(), &mistakes))?;
        let rules = Rules::compile_kept(&ops).map_err(|mistakes| super::told(told.as_ref(), &mistakes))?;
        Ok((ops, rules))
    }
}

fn tried(ops: &Ops, command: &Command, user: &UserId) -> Vec<Invocation> {
    command::samples(ops, command, command::Asker { user, room: None })
}

/// A line for what is the same but for the system.
fn table(rows: &[Access]) -> String {
    let mut lines: BTreeMap<[String; 4], Vec<&str>> = BTreeMap::new();
    for row in rows {
        let environment = row.environment.clone().unwrap_or_else(|| "-".to_owned());
        let needs = if row.needs.is_empty() { "none".to_owned() } else { row.needs.join(" and ") };
        let systems = lines.entry([row.who.clone(), row.command.clone(), environment, needs]).or_default();
        systems.extend(row.system.as_deref());
    }
    let head = ["WHO", "COMMAND", "ENVIRONMENT", "APPROVALS", "SYSTEMS"].map(str::to_owned);
    let lines: Vec<[String; 5]> = std::iter::once(head)
        .chain(lines.into_iter().map(|([who, command, environment, needs], systems)| {
            let systems = if systems.is_empty() { "-".to_owned() } else { systems.join(", ") };
            [who, command, environment, needs, systems]
        }))
        .collect();
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for line in &lines {
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        text.push_str(&line[4]);
        text.push('\n');
    }
    text
}

fn csv(rows: &[Access]) -> String {
    let mut text = String::from("who,command,environment,system,approvals\r\n");
    for row in rows {
        let cells = [
            row.who.as_str(),
            &row.command,
            row.environment.as_deref().unwrap_or_default(),
            row.system.as_deref().unwrap_or_default(),
            &row.needs.join(" and "),
        ];
        text.push_str(&cells.map(cell).join(","));
        text.push_str("\r\n");
    }
    text
}

/// A cell as RFC 4180 has it. One that a spreadsheet would take for a formula is kept from being one.
fn cell(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(who: &str, system: &str, needs: &[&str]) -> Access {
        Access {
            who: who.to_owned(),
            command: "deploy".to_owned(),
            environment: Some("production".to_owned()),
            system: Some(system.to_owned()),
            needs: needs.iter().map(|&need| need.to_owned()).collect(),
        }
    }

    /// A folder with so many systems, each in staging and production, and these rules over its one command.
    fn folder(systems: usize, rules: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("quarterdeck.toml", "[homeserver]\nurl = \"http://127.0.0.1:8008\"\nname = \"example.org\"\n");
        write("teams/web.toml", "homeservers = [\"example.org\"]\nusers = [\"@bob:example.org\"]\n");
        for number in 0..systems {
            let system = "owner = \"web\"\nenvironments = [\"staging\", \"production\"]\n";
            write(&format!("systems/s{number:03}.toml"), system);
        }
        write(
            "rooms/deploy.toml",
            "name = \"Deploy\"\npurpose = \"Releases\"\nteams = [\"web\"]\ncommands = [\"deploy\"]\n",
        );
        write(
            "commands/deploy.toml",
            r#"summary = "Deploys a version"
effect = "change"
subject = "{app}@{env}"
examples = ["deploy s000 staging v1.4.2 fast"]
[[argument]]
name = "app"
type = "system"
[[argument]]
name = "env"
type = "choice"
choices = ["staging", "production"]
[[argument]]
name = "version"
type = "text"
[[argument]]
name = "how"
type = "choice"
choices = ["slowly", "fast"]
[[argument]]
name = "ticket"
type = "text"
required = false
[run]
executor = "process"
program = "/opt/deploy"
sandbox = "none"
"#,
        );
        let reload =
            r#"@id("reload") permit (principal in Team::"web", action == Action::"reload", resource);"#;
        write("policies/all.cedar", &format!("{rules}\n{reload}\n"));
        folder
    }

    fn rows(folder: &tempfile::TempDir) -> Vec<Access> {
        let (ops, rules) = folder::read(folder.path()).unwrap();
        let at = "2026-11-23T12:00:00Z".parse().unwrap();
        rules.access(&ops, at, &|command, user| tried(&ops, command, user)).into_iter().collect()
    }

    #[test]
    fn every_one_of_many_systems_has_its_line_also_under_a_rule_that_looks_at_a_text() {
        let folder = folder(
            150,
            r#"@id("releases") permit (principal, action == Action::"deploy", resource)
               when { context.arguments.version like "v*.*.*" };"#,
        );
        let rows = rows(&folder);
        assert_eq!(rows.len(), 300, "{rows:?}");
        assert!(rows.iter().all(|row| row.who == "web" && row.needs.is_empty()), "{rows:?}");
    }

    #[test]
    fn the_answer_that_needs_least_is_the_one_that_needs_the_fewest_people() {
        let folder = folder(
            1,
            r#"@id("all") permit (principal, action == Action::"deploy", resource);
               @id("slowly") @says("Slowly needs three.") @remedy("approval") @by("web") @count("3")
               forbid (principal, action == Action::"deploy", resource)
               when { context.arguments.how == "slowly" } unless { context.approvals.web >= 3 };
               @id("fast") @says("Fast needs one.") @remedy("approval") @by("web") @count("1")
               forbid (principal, action == Action::"deploy", resource)
               when { context.arguments.how == "fast" } unless { context.approvals.web >= 1 };"#,
        );
        let needs: Vec<_> = rows(&folder).into_iter().map(|row| row.needs).collect();
        assert_eq!(needs, [["1 of web"], ["1 of web"]]);
    }

    #[test]
    fn systems_with_the_same_answer_share_a_line() {
        let rows = [row("web-leads", "api", &["1 of leads"]), row("web-leads", "web", &["1 of leads"])];
        assert_eq!(
            table(&rows),
            "WHO        COMMAND  ENVIRONMENT  APPROVALS   SYSTEMS\n\
             web-leads  deploy   production   1 of leads  api, web\n"
        );
    }

    #[test]
    fn a_spreadsheet_takes_no_cell_for_a_formula() {
        let text = csv(&[row("@bob:example.org", "web", &["1 of web", "confirmation"])]);
        assert!(
            text.ends_with("\r\n'@bob:example.org,deploy,production,web,1 of web and confirmation\r\n"),
            "{text}"
        );
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
    }

    #[test]
    fn a_date_means_its_noon() {
        assert_eq!(date("2026-11-23").unwrap().to_string(), "2026-11-23T12:00:00Z");
        assert_eq!(date("2026-11-23T03:00:00Z").unwrap().to_string(), "2026-11-23T03:00:00Z");
        date("tomorrow").unwrap_err();
    }
}
