//! What no sandbox may hold: the ops folder, Quarterdeck's state and its registration.

use std::path::{Path, PathBuf};

use super::validate::line_of;
use crate::{
    catalogue::{Mistake, Ops, RunKind, SecretSource},
    model::Sandbox,
};

/// Every path in a command's sandbox that would show what runs must not see.
pub(super) fn mistakes(ops: &Ops) -> Vec<Mistake> {
    let settings = &ops.settings;
    let hidden: Vec<(PathBuf, &str)> = [
        (Some(&ops.folder), "the ops folder"),
        (Some(&settings.state), "the folder of Quarterdeck's state, with the output of all runs"),
        (Some(&settings.registration), "the registration, with its tokens"),
        (Some(&settings.audit_key), "the key of the log"),
        (settings.secrets_identity.as_ref(), "what decrypts the secrets"),
        (settings.local.as_ref().map(|local| &local.socket), "Quarterdeck's local socket"),
    ]
    .into_iter()
    .filter_map(|(path, what)| Some((whole(path?), what)))
    .chain(ops.secrets.values().filter_map(|source| match source {
        SecretSource::File(path) => Some((whole(path), "the file of a secret")),
        _ => None,
    }))
    .collect();
    let mut mistakes = Vec::new();
    let runs = ops.commands.values().flat_map(|command| command.runs().map(move |run| (command, run)));
    for (command, run) in runs {
        let RunKind::Process(process) = &run.kind else { continue };
        let Sandbox::Bubblewrap { writable, readable, .. } = &process.sandbox else { continue };
        let folder = process.folder.as_ref().map(|folder| folder.to_string_lossy().into_owned());
        for path in writable.iter().chain(readable).chain(&folder) {
            let place = whole(Path::new(path));
            let Some((_, what)) =
                hidden.iter().find(|(hidden, _)| hidden.starts_with(&place) || place.starts_with(hidden))
            else {
                continue;
            };
            let file = format!("commands/{}.toml", command.name);
            mistakes.push(Mistake {
                line: line_of(ops, &file, path),
                file,
                what: format!("\"{path}\" would show the program {what}"),
                mend: "Name only what it needs, or move it elsewhere.".to_owned(),
            });
        }
    }
    mistakes.dedup();
    mistakes
}

/// The path without links, as far as it exists.
fn whole(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
