//! The versions of the ops folder that were in force, kept whole.

use super::{Error, Storage};
use crate::{catalogue::Ops, model::Digest};

impl Storage {
    /// Keeps this version, and records `rules.loaded` if another one was in force before. Says whether
    /// it did.
    pub async fn keep_version(&self, ops: &Ops, rules: Digest) -> Result<bool, Error> {
        let _ = (ops, rules);
        todo!()
    }
}
