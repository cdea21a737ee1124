//! Where the readers of an ops folder put down what is wrong.

use std::cell::RefCell;

use super::Mistake;

/// Collects mistakes, so that all of them are told at once.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Mistake>>);

impl Problems {
    /// Adds a mistake.
    pub(super) fn add(&self, place: &Place, what: impl Into<String>, mend: impl Into<String>) {
        self.0.borrow_mut().push(Mistake {
            file: place.file.clone(),
            line: place.line,
            what: what.into(),
            mend: mend.into(),
        });
    }

    /// All of them, by file and line, each once.
    pub(super) fn into_sorted(self) -> Vec<Mistake> {
        let mut mistakes = self.0.into_inner();
        mistakes.sort();
        mistakes.dedup();
        mistakes
    }
}

/// A place in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file, relative to the folder.
    pub(super) file: String,
    /// The line, from 1, where it can be told.
    pub(super) line: Option<usize>,
}

impl Place {
    /// A file as a whole.
    pub(super) fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), line: None }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    /// The value.
    pub(super) value: T,
    /// Its place.
    pub(super) place: Place,
}
