//! A command that is a program of other hosts, reached by SSH.

use std::collections::BTreeMap;

use serde::Serialize;

/// What is run, where, and how it is reached. All of it is what an approval is bound to.
#[derive(Debug, Clone, Serialize)]
pub struct SshRun {
    /// The hosts: the name of one, or `{argument}` where a choice, or a list of choices, names them.
    pub hosts: Vec<String>,
    /// Every host that these may name.
    pub declared: BTreeMap<String, SshHost>,
    /// The program's absolute path there.
    pub program: String,
    /// Its argument vector, each a template that gives exactly one element; an element that names an
    /// absent optional argument is left out.
    pub arguments: Vec<String>,
    /// The secret that holds the private key.
    pub key: String,
    /// How many hosts at once. Default 4.
    pub parallel: usize,
    /// Whether the other hosts are still begun when one has failed. Default false.
    pub keep_going: bool,
    /// How much output is kept, of all hosts together, in bytes. Default 256 MiB.
    pub output: usize,
}

/// A host that can be reached by SSH: `hosts/*.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SshHost {
    /// Its name or number in the network.
    pub address: String,
    /// Its port. Default 22.
    pub port: u16,
    /// The user there.
    pub user: String,
    /// Its host keys, as `ssh-keyscan` and its `.pub` files have them: type and base64.
    pub keys: Vec<String>,
}

impl std::fmt::Display for SshHost {
    /// `deploy@web1.example.org:22`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.address.contains(':') {
            write!(f, "{}@[{}]:{}", self.user, self.address, self.port)
        } else {
            write!(f, "{}@{}:{}", self.user, self.address, self.port)
        }
    }
}
