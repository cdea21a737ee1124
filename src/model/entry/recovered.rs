//! The entries of a log as such: the first of one that begins after a backup was restored, and that by which one goes on with
//! another key.

use serde::{Deserialize, Serialize};

use crate::model::Digest;

/// What ended, and what is known of the gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// Who says so: an operating system's user, and on which host.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// The name of the log that ends.
    pub origin: String,
    /// How many of its entries are signed here.
    pub size: u64,
    /// Their root.
    pub root: Digest,
    /// What witnesses show of it.
    pub witnesses: Vec<Shown>,
    /// How many requests were unfinished, and are interrupted now.
    pub interrupted: u64,
}

/// The last checkpoint of a log that a witness shows, signed by that log's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The witness's name.
    pub witness: String,
    /// How many entries the checkpoint is of.
    pub size: u64,
    /// Their root.
    pub root: Digest,
}

/// The log is signed by another key from here on: the checkpoint that holds this entry bears the signatures of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChanged {
    /// Who says so: an operating system's user, and on which host.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// The public key that signed until here.
    pub from: String,
    /// The one that signs from here on.
    pub to: String,
}
