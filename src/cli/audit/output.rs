//! `quarterdeck audit output`: all that a run printed, as it was kept.

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;

use crate::{
    cli::logged,
    model::{Digest, Event, Hasher, OutputSummary, RequestNumber},
    storage::{ContentKind, Storage},
};

/// Writes what a request's run printed, whole, as it was kept: masked, byte for byte. Each part is checked on the way
/// against what the log names, and the reading is recorded.
#[derive(Debug, clap::Args)]
pub(super) struct Output {
    /// The request's number
    number: RequestNumber,
}

impl Output {
    pub(super) async fn run(self, storage: &Storage) -> anyhow::Result<ExitCode> {
        let number = self.number;
        storage.request(number).await?.with_context(|| format!("there is no request {number}"))?;
        if std::io::stdout().is_terminal() {
            anyhow::bail!(
                "what a program prints may steer a terminal: `quarterdeck audit output {number} > FILE`, or `| less`"
            );
        }
        logged::record(storage, format!("output of request {number}")).await?;
        let (entries, contents) = storage.story(number).await?;
        let finished = entries.iter().rev().find_map(|recorded| match &recorded.entry.event {
            Event::RunFinished { output, kept, whole, .. } => Some((output.clone(), *kept, *whole)),
            _ => None,
        });
        let Some((output, kept, whole)) = finished else {
            anyhow::bail!("request {number} has not run to an end")
        };
        let erased = || format!("what request {number} printed was erased");
        let mut out = std::io::stdout().lock();
        let mut digest = Hasher::default();
        match (whole, kept) {
            (Some(name), _) => {
                let list = storage.whole(name).await?.with_context(erased)?;
                for name in list.parts {
                    let part = storage.part(name).await?.with_context(erased)?;
                    digest.update(&part);
                    out.write_all(&part)?;
                }
            }
            (None, Some(name)) => {
                let content = contents
                    .iter()
                    .find(|content| content.commitment == name && content.kind == ContentKind::Output)
                    .with_context(erased)?;
                digest.update(&content.bytes);
                out.write_all(&content.bytes)?;
            }
            (None, None) => {}
        }
        out.flush()?;
        is_as_recorded(&output, digest.finish())
    }
}

fn is_as_recorded(output: &OutputSummary, digest: Digest) -> anyhow::Result<ExitCode> {
    // What Quarterdeck answered itself has no digest of its own.
    anyhow::ensure!(
        output.digest == digest || *output == OutputSummary::empty(),
        "the log says that the output kept has the digest {}, and what is kept has {digest}: only a part of it could be \
         kept, or run `quarterdeck audit verify`",
        output.digest
    );
    if output.truncated {
        eprintln!(
            "More was printed than its command keeps ({} bytes in all): the middle is left out.",
            output.bytes
        );
    }
    Ok(ExitCode::SUCCESS)
}
