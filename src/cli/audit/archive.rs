//! `quarterdeck audit archive`: puts old contents into files, as `[retention]` declares it.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::{
    audit::note::LogKey,
    catalogue::{Ops, RetentionRule},
    cli::{archiving, logged},
    storage::{Due, Storage},
};

/// How many requests are looked at at once.
const PAGE: i64 = 1000;

/// Puts the contents of requests that ended long enough ago into files, as `[retention]` in quarterdeck.toml declares it, and takes
/// them out of the database. Entries stay. `quarterdeck serve` does the same by itself, every six hours.
///
/// What still runs or waits is left alone. Each file can be checked with `quarterdeck audit verify FILE`. The log says of each
/// request that its contents went, and to which file.
#[derive(Debug, clap::Args)]
pub(super) struct Archive {
    /// Only says what would go; the ops folder need not be in force
    #[arg(long)]
    dry_run: bool,
}

impl Archive {
    pub(super) async fn run(self, storage: &Storage, ops: &Ops, key: &LogKey) -> anyhow::Result<ExitCode> {
        let retention = ops.settings.retention.as_ref().context(
            "nothing is to be archived: declare [retention] in quarterdeck.toml (docs/audit.md, \"Archive what is old\")",
        )?;
        if self.dry_run {
            return dry(storage, ops).await;
        }
        let in_force = storage.last_loaded().await?.map(|loaded| loaded.folder);
        anyhow::ensure!(
            in_force == Some(ops.digest),
            "this ops folder is not the version in force, and only rules that are in force take anything away. Load it \
             (`quarterdeck reload`), or look what it would do: --dry-run"
        );
        logged::record(storage, "archive: what [retention] says".to_owned()).await?;
        let report = archiving::round(storage, retention, ops.digest, key.public()).await?;
        for file in &report.files {
            println!("Wrote {}", file.display());
        }
        println!(
            "{} contents of {} requests went to {} files. Keep these with your backups: they are nowhere else now.",
            report.contents,
            report.requests,
            report.files.len()
        );
        if report.unnamed > 0 {
            println!("{} requests have contents that no signed entry names: these stay.", report.unnamed);
        }
        if report.given_up > 0 {
            println!(
                "{} files were given up, because something in them changed. Ask again.",
                report.given_up
            );
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What would go, by each rule.
async fn dry(storage: &Storage, ops: &Ops) -> anyhow::Result<ExitCode> {
    let Some(retention) = &ops.settings.retention else { return Ok(ExitCode::SUCCESS) };
    let rules = archiving::rules(storage, retention).await?;
    let mut by_rule: Vec<Vec<Due>> = vec![Vec::new(); rules.len()];
    let mut last = None;
    loop {
        let page = storage.due_for_archive(&rules, last.as_ref(), PAGE).await?;
        let Some(end) = page.last() else { break };
        last = Some(end.clone());
        for due in page {
            if let Some(of_it) = by_rule.get_mut(due.rule) {
                of_it.push(due);
            }
        }
    }
    println!("Would go to {}; nothing was done:", retention.folder.display());
    for (rule, due) in retention.rules.iter().zip(by_rule) {
        let contents: u64 = due.iter().map(|one| one.contents).sum();
        let bytes: u64 = due.iter().map(|one| one.bytes).sum();
        let span = match (due.first(), due.last()) {
            (Some(first), Some(last)) => {
                let day = |due: &Due| due.ended_at.strftime("%F").to_string();
                format!(", ended {} to {}", day(first), day(last))
            }
            _ => String::new(),
        };
        println!("  {}: {contents} contents ({bytes} bytes) of {} requests{span}", words(rule), due.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// A rule in words: `status, ps in deploy after 30d`.
fn words(rule: &RetentionRule) -> String {
    let what = if rule.commands.is_empty() { "all".to_owned() } else { rule.commands.join(", ") };
    let place = if rule.rooms.is_empty() { String::new() } else { format!(" in {}", rule.rooms.join(", ")) };
    let after = match rule.after {
        Some(after) => format!("after {} days", after.as_hours() / 24),
        None => "never".to_owned(),
    };
    format!("{what}{place} {after}")
}
