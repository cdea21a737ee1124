//! `quarterdeck migrate`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;

use crate::{
    model::Secret,
    storage::{self, Migrated},
};

/// Brings the database to this version's schema, as its owner, and gives the role of `serve` its rights.
///
/// Doing it again changes nothing. Take a backup before an upgrade: migrations only go forward.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The ops folder, read only if the owner's URL is not given by QUARTERDECK_OWNER_DATABASE_URL
    #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
    ops: PathBuf,
    /// The role that `serve` uses: it gets the rights it needs, table by table, and loses all others
    #[arg(long, value_name = "NAME")]
    runtime_role: Option<String>,
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let url = self.owner_url()?;
        let role = self.runtime_role.as_deref();
        let migrated = super::runtime()?.block_on(storage::migrate(&url, role))?;
        print!("{}", told(&migrated, role));
        Ok(ExitCode::SUCCESS)
    }

    fn owner_url(&self) -> anyhow::Result<Secret> {
        if let Ok(url) = std::env::var("QUARTERDECK_OWNER_DATABASE_URL") {
            return Ok(Secret::new(url));
        }
        let url = super::read_ops(&self.ops)?.settings.owner_database_url.context(
            "the owner's database URL is not known. Set QUARTERDECK_OWNER_DATABASE_URL, or `owner_url` under [database] in quarterdeck.toml",
        )?;
        Ok(Secret::new(url))
    }
}

/// What was done, for people.
fn told(migrated: &Migrated, role: Option<&str>) -> String {
    let mut lines = Vec::new();
    if migrated.applied.is_empty() {
        lines.push(format!(
            "No migration was pending: the schema has all {} of this version.",
            migrated.total
        ));
    } else {
        lines.push(format!("Applied {} of {} migrations:", migrated.applied.len(), migrated.total));
        lines.extend(migrated.applied.iter().map(|migration| format!("  {migration}")));
    }
    match role {
        Some(role) => {
            lines.push(format!("The role {role} may now, and nothing else:"));
            lines.extend(migrated.rights.iter().map(|right| format!("  {right}")));
        }
        None if !migrated.applied.is_empty() => lines.push(
            "The role of `serve` has no rights on what is new yet: run this again with --runtime-role NAME."
                .to_owned(),
        ),
        None => {}
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_it_did() {
        let nothing = Migrated { applied: vec![], total: 11, rights: vec![] };
        assert_eq!(
            told(&nothing, None),
            "No migration was pending: the schema has all 11 of this version.\n"
        );
        let some =
            Migrated { applied: vec!["0011 rights".into()], total: 11, rights: vec!["a: SELECT".into()] };
        assert_eq!(
            told(&some, Some("runtime")),
            "Applied 1 of 11 migrations:\n  0011 rights\nThe role runtime may now, and nothing else:\n  a: SELECT\n"
        );
        assert!(told(&some, None).contains("--runtime-role"));
    }
}
