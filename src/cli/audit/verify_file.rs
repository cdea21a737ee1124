//! `quarterdeck audit verify FILE`: checks a bundle, with no database, no network, and nothing of what writes the log.

use std::{fs::File, io::BufReader, path::Path, process::ExitCode};

use anyhow::Context as _;

use crate::audit::{note::PublicKey, verify};

/// Checks the bundle in a file, and tells what is in it. `key` is the log's public key as the reader has it from elsewhere.
pub(super) fn run(file: &Path, key: Option<&str>) -> anyhow::Result<ExitCode> {
    let known = key.map(PublicKey::read).transpose()?;
    let opened = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    let progress = |entries| eprintln!("{entries} entries fit");
    let found = match verify::bundle(&mut BufReader::new(opened), progress) {
        Ok(found) => found,
        Err(fault) => {
            println!("{}: {fault}", file.display());
            return Ok(ExitCode::FAILURE);
        }
    };
    if let Some(known) = &known
        && known.to_string() != found.key.to_string()
    {
        println!("{}: it is signed by {}, which is not the key that you gave", file.display(), found.key);
        return Ok(ExitCode::FAILURE);
    }
    println!(
        "{}: all {} entries are in the log of {} entries",
        file.display(),
        found.entries,
        found.head.size
    );
    for (from, to) in &found.runs {
        println!("  entries {from} to {to}, with none left out between");
    }
    println!("signed by {}", found.key);
    if known.is_none() {
        println!("Compare that with the key that you were given for this log: --key does.");
    }
    Ok(ExitCode::SUCCESS)
}
