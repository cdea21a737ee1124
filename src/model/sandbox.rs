//! What a program may see and touch while it runs.

use serde::{Deserialize, Serialize};

/// How a run is shut in. Declared in a command's file, and recorded as it is with each start: what is declared and
/// cannot be had is a run that never started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub enum Sandbox {
    /// Not at all: `sandbox = "none"` stands in the command's file.
    None,
    /// By bubblewrap: namespaces of its own, a read-only system, a private `/tmp`, no privileges.
    Bubblewrap {
        /// Whether it shares the host's network. Without, it has none, not even the host's loopback.
        network: bool,
        /// Absolute paths that it may write.
        writable: Vec<String>,
        /// Absolute paths beside the system that it may read.
        readable: Vec<String>,
    },
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::Bubblewrap { network: false, writable: Vec::new(), readable: Vec::new() }
    }
}

impl Sandbox {
    /// What it is, in words: `sandboxed, with the network, may write /srv/app`.
    pub fn words(&self) -> String {
        let Self::Bubblewrap { network, writable, .. } = self else { return "without a sandbox".to_owned() };
        let network = if *network { "with the network" } else { "without a network" };
        let mut words = format!("sandboxed, {network}");
        if !writable.is_empty() {
            words = format!("{words}, may write {}", writable.join(", "));
        }
        words
    }
}
