//! How a secret is handed to a program: in its environment, in a file of its private `/tmp`, or on its standard input.
//!
//! Never in its arguments: every user of the host can read those. A file is made by the sandbox, in memory, from a
//! nameless file that only `exec-run` holds; nothing of it is ever on a disk.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
    os::fd::OwnedFd,
};

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::model::Secret;

/// The folder of the files, in the private `/tmp`.
pub(super) const FOLDER: &str = "/tmp/.secrets";

/// How one secret is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// The environment variable that holds it.
    Variable(String),
    /// The environment variable that holds the path of the file with it.
    File(String),
    /// It is what can be read from standard input.
    Input,
}

/// A secret that a run is given.
#[derive(Debug)]
pub(super) struct Given {
    /// How.
    pub way: Way,
    /// The secret's name.
    pub name: String,
    /// Its value.
    pub value: Secret,
}

/// Where the file of a secret is, for the program.
pub(super) fn path_of(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// A nameless file in memory that holds `text`, to be read from its beginning; a program that is executed keeps it.
pub(super) fn in_memory(text: &str) -> Result<OwnedFd, String> {
    let describe = |error: &dyn std::fmt::Display| format!("a secret cannot be handed over: {error}");
    let mut file: File =
        memfd_create(c"secret", MFdFlags::empty()).map_err(|error| describe(&error.desc()))?.into();
    file.write_all(text.as_bytes()).and_then(|()| file.rewind()).map_err(|error| describe(&error))?;
    Ok(file.into())
}
