//! The entry of contents that went to a file.

use serde::{Deserialize, Serialize};

use crate::model::{Commitment, Digest};

/// Contents of a request are in a file now, and no more in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// Who wrote the file: an operating system's user, and on which host.
    pub by: String,
    /// The file's name in the declared folder.
    pub file: String,
    /// The version of the ops folder that declares it.
    pub ops: Digest,
    /// What went, as the entries before name it.
    pub contents: Vec<Commitment>,
}
