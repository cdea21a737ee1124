//! The runbooks, cut into passages that can be searched.

use super::{Error, Storage};
use crate::catalogue::Document;

/// A passage of a runbook: what stands under one heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The document's path in `docs/`.
    pub path: String,
    /// The document's title.
    pub title: String,
    /// The heading.
    pub heading: String,
    /// What stands under it, in Markdown.
    pub text: String,
}

impl Storage {
    /// Puts these documents in the place of all that were there.
    pub async fn replace_documents(&self, documents: &[Document]) -> Result<(), Error> {
        let _ = documents;
        todo!()
    }

    /// The passages that speak of these words, the best first.
    pub async fn find_passages(&self, words: &str, limit: i64) -> Result<Vec<Passage>, Error> {
        let _ = (words, limit);
        todo!()
    }
}
