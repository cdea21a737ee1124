//! This host: programs, users, secrets, the spool, and whether a child can be started.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd;

use super::{Patient, report::Report};
use crate::{
    catalogue::{Command, ProcessRun, Run, RunKind, SecretSource},
    executor::{Executor, OWN_PROGRAM, Ran, Secrets},
    executor::{SSH, sandbox_in_force},
    model::{AttemptId, Ending, Random, Sandbox, SystemRandom},
};

/// Less free space than this is too little for the output of runs.
const TOO_LITTLE: u64 = 100 << 20;
/// Less than this is worth a look.
const LITTLE: u64 = 1 << 30;

/// All that can be seen without leaving the host.
pub(super) async fn check(patient: &Patient, report: &mut Report) {
    check_commands(patient, report);
    check_users(patient, report);
    for (name, source) in &patient.ops.secrets {
        check_secret(patient, name, source, report);
    }
    let writable = check_spool(&patient.ops.settings.state, report);
    let folder = writable.unwrap_or_else(std::env::temp_dir);
    check_start(patient, &folder, report).await;
    check_sandbox(patient, &folder, report).await;
}

/// What commands name on this host. Commands with the same trouble share a finding.
fn check_commands(patient: &Patient, report: &mut Report) {
    let mut troubles: BTreeMap<(String, &str), Vec<&str>> = BTreeMap::new();
    for command in patient.ops.commands.values() {
        for trouble in command.runs().flat_map(troubles_of) {
            let commands = troubles.entry(trouble).or_default();
            if commands.last() != Some(&&*command.name) {
                commands.push(&command.name);
            }
        }
    }
    for ((what, mend), commands) in troubles {
        report.warn("commands", format!("{what} ({})", commands.join(", ")), mend);
    }
}

/// What is wrong with a way in which a command is run, and the mend.
fn troubles_of(run: &Run) -> Vec<(String, &'static str)> {
    if let RunKind::Ssh(_) = &run.kind
        && !Path::new(SSH).exists()
    {
        return vec![(format!("`{SSH}` is not there"), "Install OpenSSH's client (Debian: openssh-client).")];
    }
    let RunKind::Process(process) = &run.kind else { return Vec::new() };
    let ProcessRun { program, folder, user, .. } = &**process;
    let mut troubles = Vec::new();
    let shown = program.display();
    match fs::metadata(program) {
        Err(error) => troubles.push((
            format!("`{shown}` cannot be seen: {}", words(&error)),
            "Put the program there, or mend `program` in the commands' files.",
        )),
        Ok(found) if !found.is_file() || found.permissions().mode() & 0o111 == 0 => troubles.push((
            format!("`{shown}` cannot be executed"),
            "`chmod +x` it, or mend `program` in the commands' files.",
        )),
        Ok(found) if found.permissions().mode() & 0o002 != 0 => troubles.push((
            format!("anybody on this host may change `{shown}`"),
            "`chmod o-w` it: who can change a program decides what runs.",
        )),
        Ok(_) => {}
    }
    if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
        troubles.push((
            format!("the working folder `{}` does not exist", folder.display()),
            "Make it, or mend `folder` in the commands' files.",
        ));
    }
    if let Some(user) = user.as_ref().filter(|user| !matches!(unistd::User::from_name(user), Ok(Some(_)))) {
        troubles.push((
            format!("this host knows no user {user}"),
            "Make the user, or mend `user` in the commands' files.",
        ));
    }
    troubles
}

/// Commands that would run with all the rights of root, or cannot change to their user.
fn check_users(patient: &Patient, report: &mut Report) {
    let (mut changing, mut staying) = (Vec::new(), Vec::new());
    for command in patient.ops.commands.values() {
        if let RunKind::Process(process) = &command.run.kind {
            if process.user.is_some() { &mut changing } else { &mut staying }.push(command.name.as_str());
        }
    }
    let root = unistd::geteuid().is_root();
    if root && !staying.is_empty() {
        report.warn(
            "commands",
            format!("doctor runs as root; if `serve` does too, these run as root: {}", staying.join(", ")),
            "Run `serve` as a user of its own (as the systemd unit does), or give each command a `user`.",
        );
    }
    if !root && !changing.is_empty() {
        report.warn(
            "commands",
            format!("these declare a `user`, and `serve` can only change to it as root or with CAP_SETUID and CAP_SETGID: {}", changing.join(", ")),
            "Give `serve` these capabilities (AmbientCapabilities= and CapabilityBoundingSet= in the unit), or take `user` out.",
        );
    }
}

fn check_secret(patient: &Patient, name: &str, source: &SecretSource, report: &mut Report) {
    match source {
        SecretSource::Environment(variable) => {
            if patient.variable(variable).is_none_or(|value| value.is_empty()) {
                report.warn(
                    "secrets",
                    format!("{name}: the variable {variable} is not in doctor's environment"),
                    "If `serve` gets it from a file, name that to doctor too: --environment FILE.",
                );
            }
        }
        SecretSource::File(_) | SecretSource::Credential(_) | SecretSource::Sealed(_) => {
            let settings = &patient.ops.settings;
            let file = match source {
                SecretSource::File(path) => Some(path.clone()),
                SecretSource::Credential(name) => Some(settings.credentials.join(name)),
                _ => settings.secrets_identity.clone(),
            };
            match (Secrets::of(&patient.ops).resolve(name), file) {
                (Ok(_), Some(path)) => check_private("secrets", &path, "it holds or opens a secret", report),
                (Ok(_), None) => {}
                (Err(missing), _) => report.fail(
                    "secrets",
                    missing.to_string(),
                    "Put it where its file in secrets/ says, readable by the user that runs `serve`, and run doctor as that user.",
                ),
            }
        }
    }
}

/// A file that holds secrets may be read by its owner and at most by its group.
pub(super) fn check_private(part: &'static str, path: &Path, because: &str, report: &mut Report) {
    let Ok(found) = fs::metadata(path) else { return };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        report.fail(
            part,
            format!(
                "anybody on this host may read or write {} (mode {mode:04o}), and {because}",
                path.display()
            ),
            format!("chmod 0600 {}, and draw new secrets if others have accounts here.", path.display()),
        );
    } else if mode & 0o020 != 0 {
        report.warn(
            part,
            format!("the group of {} may write to it (mode {mode:04o})", path.display()),
            format!("chmod g-w {}", path.display()),
        );
    }
}

/// The spool can be written, and there is space. Gives a folder that can be written. None is made
/// here: made by root, it would be closed to the user that runs `serve`.
fn check_spool(state: &Path, report: &mut Report) -> Option<PathBuf> {
    let spool = state.join("spool");
    let Some(folder) = [&spool, state].into_iter().find(|folder| folder.is_dir()) else {
        report.warn(
            "spool",
            format!("the folder `{}` does not exist yet", state.display()),
            "Make it for the user that runs `serve`, with mode 0700; systemd does so by StateDirectory=.",
        );
        return None;
    };
    let shown = folder.display();
    if let Err(error) = try_to_write(folder) {
        report.fail(
            "spool",
            format!("{shown} cannot be written: {}", words(&error)),
            "Give it to the user that runs `serve`, or make space; and run doctor as that user.",
        );
        return None;
    }
    if let Ok(found) = fs::metadata(folder)
        && found.uid() != unistd::geteuid().as_raw()
    {
        let (owner, us) = (found.uid(), unistd::geteuid());
        report.warn(
            "spool",
            format!("{shown} belongs to the user number {owner}, and doctor runs as {us}"),
            "Run doctor as the user that runs `serve`: then it sees what `serve` will see.",
        );
    }
    match nix::sys::statvfs::statvfs(folder) {
        Err(error) => {
            report.warn("spool", format!("the free space of {shown} cannot be seen: {}", error.desc()), "");
        }
        Ok(found) => {
            let free = found.blocks_available() * found.fragment_size();
            let words = format!("{shown} can be written, and {} MiB are free", free >> 20);
            match free {
                ..TOO_LITTLE => report.fail("spool", words, "Make space: output could not be kept."),
                TOO_LITTLE..LITTLE => report.warn("spool", words, "Make space before it runs out."),
                _ => report.ok("spool", words),
            }
        }
    }
    Some(folder.to_owned())
}

/// An error of the operating system without its number.
fn words(error: &std::io::Error) -> String {
    let words = error.to_string();
    words.split_once(" (os error").map_or(words.as_str(), |(words, _)| words).to_owned()
}

/// Writes a file and takes it away again.
fn try_to_write(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let written = fs::write(&path, [0; 4096]);
    let removed = fs::remove_file(&path);
    written.and(removed)
}

/// A child is started in the way in which all are.
async fn check_start(patient: &Patient, folder: &Path, report: &mut Report) {
    let ran = probe(patient, folder, Sandbox::None).await;
    let printed = String::from_utf8_lossy(&ran.kept).trim().to_owned();
    match ran.outcome.ending {
        Ending::Exited { status: 0 } => {
            report.ok(
                "programs",
                format!("a child starts under its limits, in {} ms ({printed})", ran.outcome.took_ms),
            );
        }
        Ending::NotStarted { reason } => {
            report.fail(
                "programs",
                format!("no child can be started: {reason}"),
                "Look at the limits of the user that runs `serve` (`ulimit -a`), and at what the unit or the container forbids.",
            );
        }
        other => report.fail(
            "programs",
            format!("a child that should print its version ended otherwise: {other:?}. {printed}"),
            "Look for limits around `serve` itself: `ulimit -a`, the unit's LimitNPROC= and MemoryMax=.",
        ),
    }
}

/// A child starts in a sandbox as tight as can be. What cannot be had is a failure where some command asks for it.
async fn check_sandbox(patient: &Patient, folder: &Path, report: &mut Report) {
    let is_shut_in = |command: &Command| {
        command.runs().any(|run| matches!(run.kind.sandbox(), Some(Sandbox::Bubblewrap { .. })))
    };
    let asked = patient.ops.commands.values().filter(|it| is_shut_in(it)).count();
    let ran = probe(patient, folder, Sandbox::default()).await;
    let trouble = match ran.outcome.ending {
        Ending::Exited { status: 0 } => {
            let words = sandbox_in_force().unwrap_or_else(|why| why);
            return report.ok("sandbox", format!("bubblewrap works, in {} ms. {words}", ran.outcome.took_ms));
        }
        Ending::NotStarted { reason } => reason,
        other => format!("a child in a sandbox ended otherwise than it should: {other:?}"),
    };
    let words = format!("no child can be started in a sandbox: {trouble}");
    if asked == 0 {
        report.warn(
            "sandbox",
            words,
            "No command asks for one so far; without `sandbox` in its file each new one does.",
        );
    } else {
        report.fail(
            "sandbox",
            format!("{words} (asked for by {asked} of the commands)"),
            "Install bubblewrap, and let the user that runs `serve` make user namespaces; in a container see the head of deploy/compose.yaml. \
             Or write `sandbox = \"none\"` into the files of these commands, which then have all that `serve` has.",
        );
    }
}

/// Runs next to nothing, in the way in which all is run.
async fn probe(patient: &Patient, folder: &Path, sandbox: Sandbox) -> Ran {
    // Beside the attempts, so that a `serve` that starts in this moment finds no leftover in it.
    let own = folder.join(format!(".doctor-{}", std::process::id()));
    let executor = Executor::new(own.clone(), OWN_PROGRAM.into(), Secrets::default(), patient.clock.clone());
    let ran = executor.probe(AttemptId(SystemRandom.uuid()), sandbox).await;
    // Nothing else is in it; if it stays, that harms nobody.
    let _ = fs::remove_dir_all(&own);
    ran
}
