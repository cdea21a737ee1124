//! What is run, taken out of a warrant.

use std::{collections::BTreeMap, path::PathBuf};

use super::handed::Way;
use crate::{
    catalogue::Limits,
    model::{AttemptId, RequestNumber, Sandbox, SignedDuration},
};

/// A process to run. Private to the executor, which makes it from a warrant (and, for `doctor`, from
/// itself): nothing outside can ask for one.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// The attempt that is spent.
    pub attempt: AttemptId,
    /// The request's number.
    pub number: RequestNumber,
    /// The absolute path.
    pub program: PathBuf,
    /// The arguments, one element each.
    pub arguments: Vec<String>,
    /// The working folder; an empty one of its own by default.
    pub folder: Option<PathBuf>,
    /// The environment beside the credentials.
    pub environment: BTreeMap<String, String>,
    /// The variables that carry credentials, with the secret's name.
    pub credentials: BTreeMap<String, String>,
    /// The variables that hold the path of a file with a secret, with the secret's name.
    pub credential_files: BTreeMap<String, String>,
    /// The secret on its standard input.
    pub credential_input: Option<String>,
    /// The user to become.
    pub user: Option<String>,
    /// The limits.
    pub limits: Limits,
    /// How it is shut in.
    pub sandbox: Sandbox,
    /// Whether it has an out folder.
    pub out: bool,
    /// How long it may take.
    pub timeout: SignedDuration,
}

impl Job {
    /// Whether it is given any secret.
    pub(super) fn has_secrets(&self) -> bool {
        !self.credentials.is_empty() || !self.credential_files.is_empty() || self.credential_input.is_some()
    }

    /// How it is given which secret.
    pub(super) fn secrets(&self) -> Vec<(Way, &str)> {
        let variables = self.credentials.iter().map(|(name, secret)| (Way::Variable(name.clone()), secret));
        let files = self.credential_files.iter().map(|(name, secret)| (Way::File(name.clone()), secret));
        let input = self.credential_input.iter().map(|secret| (Way::Input, secret));
        variables.chain(files).chain(input).map(|(way, secret)| (way, secret.as_str())).collect()
    }
}
