//! Logs: to standard error, for people or for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// What is written where nobody says otherwise.
const USUAL: &str = "quarterdeck=info,warn";

/// Begins to write logs. `QUARTERDECK_LOG` chooses what: `info`, `quarterdeck=debug,warn`, ...
pub fn start(format: Format) {
    let filter = EnvFilter::try_from_env("QUARTERDECK_LOG").unwrap_or_else(|error| {
        if std::env::var_os("QUARTERDECK_LOG").is_some_and(|set| !set.is_empty()) {
            eprintln!(
                "quarterdeck: QUARTERDECK_LOG is passed over ({error}): write it as {USUAL} is written"
            );
        }
        EnvFilter::new(USUAL)
    });
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Text => logs.with_ansi(std::io::stderr().is_terminal()).init(),
        Format::Json => logs.json().flatten_event(true).init(),
    }
}
