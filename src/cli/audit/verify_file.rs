//! `quarterdeck audit verify FILE`: checks a bundle, with no database, no network, and nothing of what writes the log.

use std::{
    fs::File,
    io::{BufReader, Read as _},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;

use crate::audit::{cosign::Cosigner, note::PublicKey, verify};

/// Checks the bundle in a file, and tells what is in it. `key` is the log's public key as the reader has it from elsewhere, and
/// `witnesses` are those of witnesses that must have cosigned it.
pub(super) fn run(file: &Path, key: Option<&str>, witnesses: &[String]) -> anyhow::Result<ExitCode> {
    let known = key.map(PublicKey::read).transpose()?;
    let witnesses: Result<Vec<_>, _> = witnesses.iter().map(|key| Cosigner::read(key)).collect();
    let witnesses = witnesses.context("reading a witness's key (--witness)")?;
    let mut mark = vec![0; verify::PROOF.len()];
    let opened = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    if (&opened).read_exact(&mut mark).is_ok() && mark == verify::PROOF.as_bytes() {
        return proof(file, known.as_ref(), &witnesses);
    }
    let opened = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    let progress = |entries| eprintln!("{entries} entries fit");
    let found = match verify::bundle(&mut BufReader::new(opened), &witnesses, progress) {
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
        "{}: all {} entries are in the log of {} entries{}",
        file.display(),
        found.entries,
        found.head.size,
        found.contents.map(|count| format!(", and {count} contents are what they name")).unwrap_or_default()
    );
    for (from, to) in &found.runs {
        println!("  entries {from} to {to}, with none left out between");
    }
    println!("signed by {}", found.key);
    tell(&found.cosigned);
    if known.is_none() {
        println!("Compare that with the key that you were given for this log: --key does.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks a proof of one entry, as `!prove` gives it. It holds no key.
fn proof(file: &Path, key: Option<&PublicKey>, witnesses: &[Cosigner]) -> anyhow::Result<ExitCode> {
    let key = key.context("a proof does not hold the log's key: give it with --key")?;
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    match verify::proof(&text, key, witnesses) {
        Ok(proved) => {
            let (index, size) = (proved.index, proved.head.size);
            println!("{}: entry {index} of the {size} that are signed by {key}:", file.display());
            println!("{}", proved.entry);
            tell(&proved.cosigned);
            Ok(ExitCode::SUCCESS)
        }
        Err(fault) => {
            println!("{}: {fault}", file.display());
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Who has witnessed it.
fn tell(cosigned: &verify::Cosigners) {
    for (name, at) in &cosigned.known {
        println!("witnessed by {name} ({at})");
    }
    if cosigned.unknown > 0 {
        println!(
            "{} further signatures are by keys that you did not give: --witness checks one",
            cosigned.unknown
        );
    }
}
