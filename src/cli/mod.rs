//! The subcommands, one file each: an `Options` that clap fills in, with a `run`.
//!
//! Here alone errors are `anyhow`'s: they end as one line on standard error and an exit status.

use std::{path::Path, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{catalogue::Mistake, dispatch::InForce};

mod access;
mod archiving;
mod audit;
mod back;
mod check;
mod console;
mod doctor;
mod exec_run;
mod extending;
mod folder;
mod import;
mod keeping;
mod listings;
mod logged;
mod migrate;
mod new;
mod note;
mod pages;
mod pruning;
mod recover;
mod registration;
mod reload;
mod rooms;
mod rules;
mod run;
mod secret;
mod serve;
mod telemetry;
mod r#try;
mod witness;

/// ChatOps for Matrix: commands in rooms, decided by rules, run with credentials nobody else has,
/// on a record that anybody can check.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Does the work: takes events from the homeserver, decides, runs, records and answers
    Serve(serve::Options),
    /// Brings the database to this version's schema, with the owner's role
    Migrate(migrate::Options),
    /// Writes registration.yaml, by which the homeserver knows Quarterdeck
    Registration(registration::Options),
    /// Reads an ops folder and reports every mistake in it
    Check(check::Options),
    /// Shows what a command line would do, without a homeserver and without running anything
    Try(r#try::Options),
    /// Writes a commented file to start from
    New(new::Options),
    /// Makes commands of programs that are there already
    Import(import::Options),
    /// Records that something was done outside, past Quarterdeck
    Note(note::Options),
    /// Sits in a room from a terminal, or sends one command and waits for its outcome
    Console(console::Options),
    /// Prints who could do what, with the approvals needed
    Access(access::Options),
    /// Tries rules on the past
    Rules(rules::Options),
    /// Runs a command of a room from the server's own host, also while Matrix is down
    Run(run::Options),
    /// Loads the ops folder anew, or another version of it
    Reload(reload::Options),
    /// Reads the audit log
    Audit(audit::Options),
    /// Witnesses other houses' logs: sees that they only grow, and says so by cosignatures
    Witness(witness::Options),
    /// Goes on after an old backup of the database was put back
    Recover(recover::Options),
    /// Encrypts the secrets of commands
    Secret(secret::Options),
    /// Decides about a room what Quarterdeck does not decide by itself
    Rooms(rooms::Options),
    /// Checks an installation and says how to mend what is wrong
    Doctor(doctor::Options),
    /// Applies limits to itself, waits for a byte, then becomes the program of a run
    #[command(hide = true)]
    ExecRun(exec_run::Options),
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let result = match Options::parse().command {
        Command::Serve(options) => options.run(),
        Command::Migrate(options) => options.run(),
        Command::Registration(options) => options.run(),
        Command::Check(options) => options.run(),
        Command::Try(options) => options.run(),
        Command::New(options) => options.run(),
        Command::Import(options) => options.run(),
        Command::Note(options) => options.run(),
        Command::Console(options) => options.run(),
        Command::Access(options) => options.run(),
        Command::Rules(options) => options.run(),
        Command::Run(options) => Ok(options.run()),
        Command::Reload(options) => Ok(options.run()),
        Command::Audit(options) => options.run(),
        Command::Witness(options) => options.run(),
        Command::Recover(options) => options.run(),
        Command::Secret(options) => options.run(),
        Command::Rooms(options) => options.run(),
        Command::Doctor(options) => options.run(),
        Command::ExecRun(options) => options.run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("quarterdeck: {error:#}");
        ExitCode::FAILURE
    })
}

/// A length of time on the command line.
fn time(text: &str) -> Result<std::time::Duration, String> {
    let time: jiff::SignedDuration =
        text.parse().map_err(|error| format!("{error}: a length of time is written 90s or 10m"))?;
    std::time::Duration::try_from(time).map_err(|_| "time runs forward only".to_owned())
}

/// The text without anything that would steer the terminal: what others write is only shown.
fn console_safe(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
            '\x7f'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A runtime for the subcommands that talk to a database or a homeserver.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// The ops folder, with all its mistakes as one error.
fn read_ops(folder: &Path) -> anyhow::Result<crate::catalogue::Ops> {
    crate::catalogue::load(folder, &|name| std::env::var(name).ok())
        .map_err(|mistakes| told(folder, &mistakes))
}

/// The ops folder, read and compiled whole, or all its mistakes as one error.
fn in_force(folder: &Path) -> anyhow::Result<InForce> {
    folder::in_force(folder).map_err(|mistakes| told(folder, &mistakes))
}

fn told(folder: &Path, mistakes: &[Mistake]) -> anyhow::Error {
    let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{} cannot be read:\n{}", folder.display(), lines.join("\n"))
}
