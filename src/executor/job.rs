//! What is run, taken out of a warrant.

use std::{collections::BTreeMap, path::PathBuf};

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
    /// The user to become.
    pub user: Option<String>,
    /// The limits.
    pub limits: Limits,
    /// How it is shut in.
    pub sandbox: Sandbox,
    /// How long it may take.
    pub timeout: SignedDuration,
}
