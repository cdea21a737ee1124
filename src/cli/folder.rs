//! An ops folder as the subcommands need it: read, its lines tried, its rules compiled.

use std::path::Path;

use crate::{
    catalogue::{self, Listings, Mistake, Ops, Warning},
    command::{self, Line},
    dispatch::{InForce, Origin},
    policy::{Rehearsal, Rules},
};

/// Reads a folder and everything in it that can be wrong.
///
/// # Errors
///
/// Every mistake, and every rule test that fails. Lines and rules are looked at only where the files themselves are right.
pub(super) fn read(folder: &Path) -> Result<(Ops, Rules), Vec<Mistake>> {
    read_listed(folder, &Listings::new())
}

/// As [`read`], with what endpoints are known to offer.
///
/// # Errors
///
/// Every mistake, and every rule test that fails.
pub(super) fn read_listed(folder: &Path, listings: &Listings) -> Result<(Ops, Rules), Vec<Mistake>> {
    compiled(catalogue::load_listed(folder, listings, &environment)?)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn compiled(ops: Ops) -> Result<(Ops, Rules), Vec<Mistake>> {
    let rules = rules_of(&ops)?;
    Ok((ops, rules))
}

/// The rules of a folder whose files were read, all its lines and rule tests tried: what `serve` demands at its start.
///
/// # Errors
///
/// Every mistake, and every rule test that fails.
pub(super) fn rules_of(ops: &Ops) -> Result<Rules, Vec<Mistake>> {
    let mut mistakes = command::validate(ops);
    let compiled = Rules::compile(ops).and_then(|rules| {
        let failed = rehearse(ops, &rules).failures();
        if failed.is_empty() { Ok(rules) } else { Err(failed) }
    });
    match compiled {
        Ok(rules) if mistakes.is_empty() => Ok(rules),
        compiled => {
            mistakes.extend(compiled.err().unwrap_or_default());
            mistakes.sort();
            mistakes.dedup();
            Err(mistakes)
        }
    }
}

/// The cases of `policies/tests/`, their lines read by the grammar of commands.
pub(super) fn rehearse<'a>(ops: &'a Ops, rules: &'a Rules) -> Rehearsal<'a> {
    rules.rehearse(ops, &|room, line| {
        let room = ops.rooms.get(room).ok_or_else(|| format!("there is no room {room}"))?;
        let line = line.strip_prefix(ops.settings.prefix.as_str()).unwrap_or(line);
        let parsed = command::parse(ops, room, &Line::typed(line));
        parsed.map(|parsed| parsed.invocation).map_err(|mistake| mistake.plain(&ops.settings.prefix))
    })
}

/// As [`read`], as what can come into force.
///
/// # Errors
///
/// Every mistake.
pub(super) fn in_force(folder: &Path) -> Result<InForce, Vec<Mistake>> {
    let (ops, rules) = read(folder)?;
    Ok(InForce { ops, rules })
}

/// As [`in_force`], with what endpoints offer: a folder as it is, or a version of it that is in force already.
///
/// # Errors
///
/// Every mistake.
pub(super) fn listed(origin: Origin<'_>, listings: &Listings) -> Result<InForce, Vec<Mistake>> {
    let ops = match origin {
        Origin::Folder(folder) => catalogue::load_listed(folder, listings, &environment)?,
        Origin::Kept(ops) => catalogue::relisted(ops, listings, &environment)?,
    };
    let (ops, rules) = compiled(ops)?;
    Ok(InForce { ops, rules })
}

/// What is allowed in a folder, and most likely not meant.
pub(super) fn warnings(ops: &Ops, rules: &Rules) -> Vec<Warning> {
    let mut warnings = command::warnings(ops);
    warnings.extend(rules.warnings().iter().cloned());
    warnings.sort();
    warnings.dedup();
    warnings
}
