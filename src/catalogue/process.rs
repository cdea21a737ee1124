//! A command that is a program of this host.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::Sandbox;

/// What is run, with what, and how it is shut in. All of it is what an approval is bound to.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessRun {
    /// Its absolute path.
    pub program: PathBuf,
    /// Its argument vector, each a template that gives exactly one element; an element that names an
    /// absent optional argument is left out.
    pub arguments: Vec<String>,
    /// The folder it runs in. Default: an empty folder of its own.
    pub folder: Option<PathBuf>,
    /// Its whole environment, beside the credentials.
    pub environment: BTreeMap<String, String>,
    /// The environment variables that carry credentials, with the secret's name.
    pub credentials: BTreeMap<String, String>,
    /// The environment variables that name a file in its private `/tmp`, with the name of the secret in it.
    pub credential_files: BTreeMap<String, String>,
    /// The secret that it reads from its standard input.
    pub credential_input: Option<String>,
    /// The operating system's user it runs as, where Quarterdeck may change to another.
    pub user: Option<String>,
    /// Its resource limits.
    pub limits: Limits,
    /// How it is shut in.
    pub sandbox: Sandbox,
    /// Whether it has an out folder, whose files come back with its answer. Left out where not, so that an approval of what
    /// was declared before there was this field still counts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub out: bool,
}

/// The environment variable that names the out folder of a run.
pub const OUT_VARIABLE: &str = "QUARTERDECK_OUT";
/// How much output is kept where a command does not say, in bytes.
pub const OUTPUT: usize = 256 << 20;
/// How much output a command may have kept, in bytes: what names its parts fits into an entry.
pub const MOST_OUTPUT: u64 = 512 << 20;

/// The resource limits of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Address space in bytes. Default 2 GiB.
    pub memory: u64,
    /// Processor time in seconds; none by default.
    pub cpu: Option<u64>,
    /// Open files. Default 256.
    pub files: u64,
    /// The largest file it may write, in bytes. Default 1 GiB.
    pub file_size: u64,
    /// Processes of its user, other programs of that user included. Default 4,096 in a sandbox, none without one.
    pub processes: Option<u64>,
    /// How much output is kept, in bytes; beyond it the middle is dropped. Default 256 MiB, at most 512 MiB.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 2 << 30, cpu: None, files: 256, file_size: 1 << 30, processes: None, output: OUTPUT }
    }
}
