//! `quarterdeck audit output`: all that a run printed, or a file that it left, as it was kept.

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;

use crate::{
    cli::logged,
    model::{Commitment, Digest, Event, Hasher, OutputSummary, RequestNumber},
    storage::{ContentKind, Storage},
};

/// Writes what a request's run printed, whole, as it was kept: masked, byte for byte. Each part is checked on the way
/// against what the log names, and the reading is recorded.
#[derive(Debug, clap::Args)]
pub(super) struct Output {
    /// The request's number
    number: RequestNumber,
    /// The file that it left in its out folder, in its place: by its number, from 1, or its name
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
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
        let query = match &self.file {
            None => format!("output of request {number}"),
            Some(file) => format!("file {file} of request {number}"),
        };
        logged::record(storage, query).await?;
        let (entries, contents) = storage.story(number).await?;
        let finished = entries.iter().rev().find_map(|recorded| match &recorded.entry.event {
            Event::RunFinished { output, kept, parts, .. } => {
                Some((output.clone(), *kept, parts.whole, parts.files.clone()))
            }
            _ => None,
        });
        let Some((output, kept, whole, files)) = finished else {
            anyhow::bail!("request {number} has not run to an end")
        };
        if let Some(file) = &self.file {
            return left(storage, number, &files, file).await;
        }
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

/// A file that it left.
async fn left(
    storage: &Storage,
    number: RequestNumber,
    files: &[Commitment],
    wanted: &str,
) -> anyhow::Result<ExitCode> {
    let erased = || format!("what request {number} left was erased");
    let mut names = Vec::new();
    for (place, name) in (1..).zip(files) {
        let list = storage.whole(*name).await?.with_context(erased)?;
        let Some(file) = list.file else { continue };
        if wanted != file.name && wanted != format!("{place}") {
            names.push(format!("{place} ({})", file.name));
            continue;
        }
        let (mut out, mut digest) = (std::io::stdout().lock(), Hasher::default());
        for name in list.parts {
            let part = storage.part(name).await?.with_context(erased)?;
            digest.update(&part);
            out.write_all(&part)?;
        }
        out.flush()?;
        let digest = digest.finish();
        anyhow::ensure!(
            digest == file.digest,
            "the log says that the file has the digest {}, and what is kept has {digest}: run `quarterdeck audit verify`",
            file.digest
        );
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::ensure!(!names.is_empty(), "request {number} left no files");
    anyhow::bail!("request {number} left no file {wanted}; it left {}", names.join(", "))
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
