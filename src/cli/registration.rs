//! `quarterdeck registration`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::anyhow;

use crate::{appservice::Registration, catalogue, model::SystemRandom};

/// Writes registration.yaml with random tokens, from the settings of an ops folder.
///
/// It is written so that nobody but you can read it. One that exists is kept, because the homeserver may be using it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The ops folder
    #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
    ops: PathBuf,
    /// Where to write it. Default: `registration` in the `[homeserver]` of quarterdeck.toml
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the homeserver reaches Quarterdeck. Default: http:// and `listen` of quarterdeck.toml
    #[arg(long, value_name = "URL")]
    url: Option<url::Url>,
    /// Overwrite one that exists: the homeserver then needs the new one, and a restart
    #[arg(long)]
    force: bool,
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let environment = |name: &str| std::env::var(name).ok();
        let ops = catalogue::load(&self.ops, &environment).map_err(|mistakes| {
            let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
            anyhow!("{} cannot be read:\n{}", self.ops.display(), lines.join("\n"))
        })?;
        let settings = &ops.settings;
        let out = self.out.unwrap_or_else(|| settings.registration.clone());
        let url = match self.url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{}", settings.listen),
        };
        Registration::write(&out, settings, &url, &SystemRandom, self.force)?;
        let shown = std::fs::canonicalize(&out).unwrap_or(out);
        println!(
            "Wrote {file}, by which {server} will know {bot} at {url}.

It holds two secrets. Give the homeserver a copy that it alone can read, and name the copy in homeserver.yaml:

    app_service_config_files:
      - {file}

Then restart the homeserver. `quarterdeck doctor --ops {ops}` tells whether the two reach each other.",
            file = shown.display(),
            server = settings.server_name,
            bot = settings.bot_user(),
            ops = self.ops.display(),
        );
        Ok(ExitCode::SUCCESS)
    }
}
