//! A PostgreSQL or a homeserver of one test's own, which it may stop.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::state::{Homeserver, Postgres, State};

/// A cluster of this test alone.
pub struct OwnPostgres {
    /// Where it is and how it is stopped.
    pub cluster: Postgres,
    folder: TempDir,
}

/// A homeserver of this test alone.
pub struct OwnHomeserver {
    /// Where it is.
    pub homeserver: Homeserver,
    folder: TempDir,
}

impl OwnPostgres {
    /// Starts one.
    pub fn up() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = described(&["postgres", "up"], folder.path(), &[]);
        Self { cluster, folder }
    }

    /// Stops it, in a hurry but in good order: every connection is cut.
    pub fn stop(&self) {
        run(&self.cluster.control["stop"]);
    }

    /// Ends it as a crash does, without a word to anybody.
    pub fn kill(&self) {
        run(&self.cluster.control["kill"]);
    }

    /// Starts it again.
    pub fn start(&self) {
        run(&self.cluster.control["start"]);
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        control(&["postgres", "down"], self.folder.path(), &[]);
    }
}

impl OwnHomeserver {
    /// Starts one, with further options of `control homeserver up`.
    pub fn up(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let homeserver = described(&["homeserver", "up"], folder.path(), options);
        Self { homeserver, folder }
    }

    /// Ends it by SIGKILL.
    pub fn kill(&self) {
        control(&["homeserver", "kill"], self.folder.path(), &[]);
    }

    /// Stops it in good order.
    pub fn stop(&self) {
        control(&["homeserver", "stop"], self.folder.path(), &[]);
    }

    /// Starts it again, and waits until it answers.
    pub fn start(&self) {
        control(&["homeserver", "start"], self.folder.path(), &[]);
    }
}

impl Drop for OwnHomeserver {
    fn drop(&mut self) {
        control(&["homeserver", "down"], self.folder.path(), &[]);
    }
}

fn described<T: DeserializeOwned>(verb: &[&str], folder: &Path, options: &[&str]) -> T {
    let output = control(verb, folder, options);
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{verb:?} printed {output:?}: {error}"))
}

fn control(verb: &[&str], folder: &Path, options: &[&str]) -> String {
    let mut argv = State::read().control;
    argv.extend(verb.iter().map(|&word| word.to_owned()));
    argv.push(folder.to_str().unwrap().to_owned());
    argv.extend(options.iter().map(|&word| word.to_owned()));
    run(&argv)
}

fn run(argv: &[String]) -> String {
    let output = Command::new(&argv[0])
        .args(&argv[1..])
        .stdin(Stdio::null())
        .current_dir("/")
        .output()
        .unwrap_or_else(|error| panic!("{argv:?}: {error}"));
    // A second panic while a test fails would hide the first.
    let well = output.status.success() || std::thread::panicking();
    assert!(well, "{argv:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
