//! How a command is run: by which executor, for how long, one at a time or not.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{http::HttpRun, process::ProcessRun, rpc::RpcRun, ssh::SshRun};
use crate::model::Sandbox;

/// How a command is run.
#[derive(Debug, Clone)]
pub struct Run {
    /// By which executor, with its own settings.
    pub kind: RunKind,
    /// How long it may take. Default 1 minute.
    pub timeout: SignedDuration,
    /// What must not run twice at once, as a template of its arguments.
    pub lock: Option<String>,
    /// What becomes of it where the lock is taken. By default it waits.
    pub on_busy: OnBusy,
    /// Whether it may be started once more when its outcome is unknown.
    pub idempotent: bool,
}

/// What becomes of a command whose lock is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBusy {
    /// It waits for its turn.
    #[default]
    Queue,
    /// It is not run.
    Refuse,
}

/// The kinds of executor.
#[derive(Debug, Clone)]
pub enum RunKind {
    /// Quarterdeck itself answers.
    Builtin,
    /// A program on this host.
    Process(Box<ProcessRun>),
    /// A request to a service.
    Http(Box<HttpRun>),
    /// A program on other hosts.
    Ssh(Box<SshRun>),
    /// A method of an endpoint.
    ChatopsRpc(Box<RpcRun>),
}

impl RunKind {
    /// Its name: `executor` in a command's file, and in the log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Process(_) => "process",
            Self::Http(_) => "http",
            Self::Ssh(_) => "ssh",
            Self::ChatopsRpc(_) => "chatops_rpc",
        }
    }

    /// What carries the secrets that it is given, with each secret's name.
    pub fn credentials(&self) -> Vec<(&str, &str)> {
        match self {
            Self::Builtin => Vec::new(),
            Self::Process(process) => {
                let named = process.credentials.iter().chain(&process.credential_files);
                let input = process.credential_input.iter().map(|secret| ("standard input", secret.as_str()));
                named.map(|(variable, secret)| (variable.as_str(), secret.as_str())).chain(input).collect()
            }
            Self::Http(http) => http
                .credentials
                .iter()
                .map(|(header, secret)| (header.as_str(), secret.secret.as_str()))
                .collect(),
            Self::Ssh(ssh) => vec![("key", ssh.key.as_str())],
            Self::ChatopsRpc(rpc) => vec![("key", rpc.key.as_str())],
        }
    }

    /// The names of the secrets that it is given.
    pub fn secrets(&self) -> BTreeSet<&str> {
        self.credentials().into_iter().map(|(_, secret)| secret).collect()
    }

    /// How it is shut in, where it is a program of this host.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        match self {
            Self::Builtin | Self::Http(_) | Self::Ssh(_) | Self::ChatopsRpc(_) => None,
            Self::Process(process) => Some(&process.sandbox),
        }
    }

    /// How much of its output is kept, in bytes.
    pub const fn output(&self) -> usize {
        match self {
            Self::Builtin => 0,
            Self::Process(process) => process.limits.output,
            Self::Http(http) => http.answer_limit,
            Self::Ssh(ssh) => ssh.output,
            Self::ChatopsRpc(rpc) => rpc.answer_limit,
        }
    }
}
