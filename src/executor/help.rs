//! What a program says of itself: for an import that was told to ask it.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt as _, process::Command};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of it is read, in bytes.
const SAID: u64 = 64 << 10;

/// Runs a program with `--help`, as whoever asks, in an empty environment and the root folder, and gives what it prints.
///
/// # Errors
///
/// In words: it cannot be started, takes too long, or says nothing.
pub fn help_of(program: &Path) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let mut child = Command::new(program)
            .arg("--help")
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("it cannot be started: {error}"))?;
        let mut said = Vec::new();
        let stdout = child.stdout.take().ok_or("it has no output")?;
        let read = tokio::time::timeout(PATIENCE, stdout.take(SAID).read_to_end(&mut said)).await;
        let _ = child.start_kill();
        let _ = child.wait().await;
        match read {
            Err(_) => Err(format!("it took longer than {} s", PATIENCE.as_secs())),
            Ok(Err(error)) => Err(format!("it cannot be read: {error}")),
            Ok(Ok(0)) => Err("it printed nothing".to_owned()),
            Ok(Ok(_)) => Ok(String::from_utf8_lossy(&said).into_owned()),
        }
    })
}
