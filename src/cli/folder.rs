//! An ops folder as the subcommands need it: read, its lines tried, its rules compiled.

use std::path::Path;

use crate::{
    catalogue::{self, Mistake, Ops, Warning},
    command,
    policy::Rules,
};

/// Reads a folder and everything in it that can be wrong.
///
/// # Errors
///
/// Every mistake. Lines and rules are looked at only where the files themselves are right.
pub(super) fn read(folder: &Path) -> Result<(Ops, Rules), Vec<Mistake>> {
    let ops = catalogue::load(folder, &|name| std::env::var(name).ok())?;
    let mut mistakes = command::validate(&ops);
    match Rules::compile(&ops) {
        Ok(rules) if mistakes.is_empty() => Ok((ops, rules)),
        compiled => {
            mistakes.extend(compiled.err().unwrap_or_default());
            mistakes.sort();
            mistakes.dedup();
            Err(mistakes)
        }
    }
}

/// What is allowed in a folder, and most likely not meant.
pub(super) fn warnings(ops: &Ops, rules: &Rules) -> Vec<Warning> {
    let mut warnings = command::warnings(ops);
    warnings.extend(rules.warnings().iter().cloned());
    warnings.sort();
    warnings.dedup();
    warnings
}
