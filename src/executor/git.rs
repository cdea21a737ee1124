//! The system's git, asked about a checkout or told to fetch a version.
//!
//! What it prints is data. It gets no terminal, no hooks, no file monitor and no way to ask for a password, and names of
//! branches and addresses reach it only as `catalogue` lets them through.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use tokio::process::Command;

/// How long git may take for anything: a lane waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of what git says is shown.
const SAID: usize = 600;

/// What git could not do, in words.
#[derive(Debug, thiserror::Error)]
#[error(
    "git could not {doing}: {said}. Nothing changed. Try the same as the user that runs `serve`: it needs git, the address, and a key or a credential helper"
)]
pub struct GitError {
    /// What was tried.
    pub doing: &'static str,
    /// What git said.
    pub said: String,
}

/// The commit of a folder that is a clean checkout: everything in it that is read is in the commit as it stands.
/// `None` where it is not, where there is no repository, or no git.
pub async fn clean_commit(folder: &Path) -> Option<String> {
    const DOING: &str = "look at the ops folder";
    let status = ["status", "--porcelain=v1", "-z", "--untracked-files=all", "--ignored=matching", "--", "."];
    let changed = run(DOING, folder, &status).await.inspect_err(|error| tracing::debug!(%error)).ok()?;
    // What git ignores counts only where it would be read.
    let read = |path: &str| [".toml", ".cedar", ".md", "/"].iter().any(|end| path.ends_with(end));
    let clean = changed
        .split('\0')
        .filter(|line| !line.is_empty())
        .all(|line| line.strip_prefix("!! ").is_some_and(|ignored| !read(ignored)));
    if !clean {
        return None;
    }
    let head = run(DOING, folder, &["rev-parse", "--verify", "HEAD^{commit}"]).await.ok()?;
    Some(head.trim().to_owned()).filter(|commit| is_commit(commit))
}

/// Whether a text is the whole name of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

/// Runs git in a folder to its end, and gives what it prints.
pub(super) async fn run(doing: &'static str, folder: &Path, arguments: &[&str]) -> Result<String, GitError> {
    run_in(doing, folder, arguments, &[]).await
}

/// As [`run`], with something more in git's environment.
pub(super) async fn run_in(
    doing: &'static str,
    folder: &Path,
    arguments: &[&str],
    environment: &[(&str, &OsStr)],
) -> Result<String, GitError> {
    let failed = |said: String| GitError { doing, said };
    let mut command = Command::new("git");
    command
        .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.symlinks=false"])
        // The folder is the one that says what programs run here: whoever may write it needs no git for that.
        .args(["-c", "safe.directory=*", "-c", "gc.auto=0", "-c", "maintenance.auto=false"])
        // A signature is ssh's or none: nobody's keyring is asked.
        .args(["-c", "gpg.program=/bin/false", "-c", "gpg.openpgp.program=/bin/false"])
        .args(["-c", "gpg.x509.program=/bin/false"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh")
        .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
        .env("LC_ALL", "C")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for kept in ["PATH", "HOME", "SSH_AUTH_SOCK", "NO_PROXY", "no_proxy", "https_proxy", "http_proxy"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            return Err(failed(format!("it could not be started ({error}): is git installed?")));
        }
        Err(_) => return Err(failed(format!("it took longer than {} s", PATIENCE.as_secs()))),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        let said: String = said.chars().take(SAID).collect();
        return Err(failed(if said.is_empty() { output.status.to_string() } else { said }));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
