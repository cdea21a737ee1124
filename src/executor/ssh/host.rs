//! One host of a run: the connection, the program there, and how it ended.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    super::process::GRACE,
    shown::Voice,
    wire::{self, Greeting, Output},
};
use crate::{catalogue::SshHost, model::fault::Point};

/// The system's OpenSSH.
pub const SSH: &str = "/usr/bin/ssh";
/// How long the other side may take from the start of ssh until it is ready.
const READY: Duration = Duration::from_secs(30);
/// How long the other side may take to say that its program was ended, beyond the program's own grace.
const LAST_WORD: Duration = Duration::from_secs(5);
/// How much of what ssh itself says is read, in bytes.
const SAID: u64 = 4 << 10;

/// How a host's part ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The program ended by itself.
    Exited(i32),
    /// It was ended because the run was; the other side said so.
    Stopped,
    /// The same, and the other side said nothing.
    Cut,
    /// Nothing was started there.
    NotStarted(String),
    /// It was started, and nobody can tell how it ended.
    Unknown(String),
    /// Its turn never came.
    NoTurn,
}

/// What one host is to do.
pub(super) struct Errand<'a> {
    pub(super) name: &'a str,
    pub(super) host: &'a SshHost,
    pub(super) words: &'a [String],
    pub(super) key: &'a Path,
    pub(super) known: &'a Path,
    /// What the program's start and end are known by.
    pub(super) word: String,
}

/// Runs the program on a host, to its end.
pub(super) async fn run(errand: &Errand<'_>, voice: &mut Voice<'_, '_>, stop: &CancellationToken) -> End {
    let line = wire::line(errand.words);
    let options = wire::options(errand.host, errand.name, errand.key, errand.known, line);
    let spawned = Command::new(SSH)
        .args(options)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            return End::NotStarted(format!(
                "{SSH} cannot be started: {error}; is openssh-client installed?"
            ));
        }
    };
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return End::NotStarted(format!("{SSH} has no pipes"));
    };
    // What it says is read beside, or it might wait for us.
    let said = tokio::spawn(read_some(stderr));
    let end = converse(errand, &mut child, (stdin, stdout), voice, stop).await;
    // Whatever it still does, its work is over.
    let _ = child.start_kill();
    let _ = child.wait().await;
    let said = tokio::time::timeout(Duration::from_secs(1), said).await;
    let said = said.ok().and_then(Result::ok).unwrap_or_default();
    let with = |reason: String| if said.is_empty() { reason } else { format!("{reason}: {said}") };
    match end {
        End::NotStarted(reason) => End::NotStarted(with(reason)),
        End::Unknown(reason) => End::Unknown(with(reason)),
        other => other,
    }
}

async fn converse(
    errand: &Errand<'_>,
    child: &mut Child,
    (mut stdin, mut stdout): (tokio::process::ChildStdin, tokio::process::ChildStdout),
    voice: &mut Voice<'_, '_>,
    stop: &CancellationToken,
) -> End {
    let ready = tokio::select! {
        biased;
        () = stop.cancelled() => return End::NoTurn,
        ready = tokio::time::timeout(READY, until_ready(&mut stdout)) => ready,
    };
    match ready {
        Err(_) => return End::NotStarted(format!("no answer within {} s", READY.as_secs())),
        Ok(Some(Greeting::Ready)) => {}
        Ok(Some(Greeting::Lacks)) => {
            return End::NotStarted(format!(
                "{} has no program {} that {} may run",
                errand.name, errand.words[0], errand.host.user
            ));
        }
        Ok(_) => return End::NotStarted(format!("no session on {}", errand.host)),
    }
    if stop.is_cancelled() {
        return End::NoTurn;
    }
    // From here on the program may run.
    let told = async {
        stdin.write_all(format!("{}\n", errand.word).as_bytes()).await?;
        stdin.flush().await
    };
    if let Err(error) = told.await {
        return End::Unknown(format!("the connection was lost as the program was to begin ({error})"));
    }
    Point::AfterProcessStart.pass();
    let mut stdin = Some(stdin);
    let mut output = Output::new(&errand.word);
    let mut give_up_at: Option<Instant> = None;
    let mut buffer = vec![0; 64 << 10];
    while output.status.is_none() {
        let far = Instant::now() + Duration::from_hours(1);
        tokio::select! {
            read = stdout.read(&mut buffer) => match read {
                Ok(count) if count > 0 => voice.say(&output.push(&buffer[..count])),
                _ => break,
            },
            // The end of its input is what makes the other side end the program.
            () = stop.cancelled(), if give_up_at.is_none() => {
                drop(stdin.take());
                give_up_at = Some(Instant::now() + GRACE + LAST_WORD);
            }
            () = tokio::time::sleep_until(give_up_at.unwrap_or(far)) => if give_up_at.is_some() {
                let _ = child.start_kill();
                break;
            },
        }
    }
    voice.say(&output.finish());
    match (output.status, give_up_at) {
        (Some(_), Some(_)) => End::Stopped,
        (None, Some(_)) => End::Cut,
        (Some(status), None) => End::Exited(status),
        (None, None) => End::Unknown("the connection was lost while the program ran".to_owned()),
    }
}

/// Reads until the script there says something. `None` if the connection ends before.
async fn until_ready(stdout: &mut (impl AsyncRead + Unpin)) -> Option<Greeting> {
    // The greeting may be the first that is said.
    let mut came = b"\n".to_vec();
    loop {
        if stdout.read_buf(&mut came).await.ok()? == 0 {
            return None;
        }
        match wire::greeting(&came) {
            Greeting::More => {}
            greeting => return Some(greeting),
        }
    }
}

/// What ssh says of itself, in one line.
async fn read_some(stderr: impl AsyncRead + Unpin) -> String {
    let mut stderr = stderr;
    let mut said = Vec::new();
    // The error is that of a pipe whose other side ended, and what was read before counts.
    let _ = (&mut stderr).take(SAID).read_to_end(&mut said).await;
    let rest = async {
        let mut sink = vec![0; 4096];
        while stderr.read(&mut sink).await.is_ok_and(|count| count > 0) {}
    };
    let text = String::from_utf8_lossy(&said).into_owned();
    rest.await;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" / ");
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}
