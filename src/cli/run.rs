//! `quarterdeck run`: a command from the server's own host, also while Matrix is down.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    dispatch::local::{Ask, Told},
    model::State,
};

/// The exit statuses that `--help` tells; those of `console --wait`.
const ENDED_BADLY: u8 = 1;
const NO_OUTCOME: u8 = 3;
const NOT_SENT: u8 = 4;

/// Runs a command of a room from the server's own host, also while Matrix is down.
///
/// It goes the same way as what is said in the room: the same rules, the same record. A file of teams/ says who the user of
/// this host is ([[local]]), and quarterdeck.toml where the socket is ([local]). The answer is printed, and posted
/// to the room as soon as the homeserver is there.
///
/// Exit status:
///
///   0  the command succeeded
///
///   1  it was refused, failed, timed out, was cancelled or interrupted
///
///   2  this command line is wrong
///
///   3  it was stored, and no outcome came in time: whether it ran is not known, look at `audit` before you repeat it
///
///   4  it was not stored, and nothing is run
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    to: To,
    /// The command and its arguments, or one text that is the whole line
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    words: Vec<String>,
}

/// Whom to ask, and for how long.
#[derive(Debug, clap::Args)]
pub struct To {
    /// The room: its key, its alias or its id. Not needed where there is one alone
    #[arg(long)]
    room: Option<String>,
    /// The server's socket
    #[arg(long, value_name = "PATH", env = "QUARTERDECK_SOCKET")]
    socket: Option<PathBuf>,
    /// The ops folder whose settings name the socket
    #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
    ops: PathBuf,
    /// How long to wait for the outcome: 90s, 10m
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = super::time)]
    timeout: Duration,
}

impl Options {
    pub fn run(self) -> ExitCode {
        let line = match self.words.as_slice() {
            [whole] => whole.clone(),
            words => shell_words::join(words),
        };
        self.to.ask(line)
    }
}

impl To {
    /// Whom to ask about a room.
    pub fn about(room: String, socket: Option<PathBuf>, ops: PathBuf, timeout: Duration) -> Self {
        Self { room: Some(room), socket, ops, timeout }
    }

    /// Asks and prints what comes of it, until it is known how it ended.
    pub fn ask(self, line: String) -> ExitCode {
        let begun = std::time::Instant::now();
        let asked = self.connect().and_then(|mut stream| {
            let mut text = serde_json::to_vec(&Ask { room: self.room.clone(), line })?;
            text.push(b'\n');
            stream.write_all(&text)?;
            Ok(stream)
        });
        let stream = match asked {
            Ok(stream) => stream,
            Err(error) => {
                eprintln!("quarterdeck: not stored, and nothing is run: {error:#}");
                return ExitCode::from(NOT_SENT);
            }
        };
        let mut stored = false;
        let mut reader = BufReader::new(&stream);
        let why = loop {
            let left = self.timeout.saturating_sub(begun.elapsed());
            if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
                break format!("nothing came within {:?}", self.timeout);
            }
            let mut line = String::new();
            let told = match reader.read_line(&mut line) {
                Ok(0) => break "the server hung up".to_owned(),
                Ok(_) => serde_json::from_str::<Told>(&line),
                Err(_) => break format!("nothing came within {:?}", self.timeout),
            };
            match told {
                Ok(Told::NotStored(why)) => {
                    eprintln!("quarterdeck: nothing is run: {}", super::console_safe(&why));
                    return ExitCode::from(NOT_SENT);
                }
                Ok(Told::Stored) => stored = true,
                Ok(Told::Stands { state, text, .. }) => {
                    println!("{}", super::console_safe(&text));
                    match state {
                        State::Succeeded => return ExitCode::SUCCESS,
                        state if state.is_terminal() => return ExitCode::from(ENDED_BADLY),
                        _ => {}
                    }
                }
                Ok(Told::PassedOver) => {
                    eprintln!("quarterdeck: it could not be processed; the server's log says why");
                    return ExitCode::from(ENDED_BADLY);
                }
                Err(error) => {
                    break format!("the server's answer cannot be read ({error}): is it another version?");
                }
            }
        };
        let _ = stream.shutdown(Shutdown::Both);
        if !stored {
            eprintln!(
                "quarterdeck: it is not known whether it was stored: {why}. Look at `audit` before you repeat it"
            );
            return ExitCode::from(NO_OUTCOME);
        }
        eprintln!(
            "quarterdeck: it was stored, and its outcome is not known: {why}. Look at `audit` before you repeat it"
        );
        ExitCode::from(NO_OUTCOME)
    }

    fn connect(&self) -> anyhow::Result<UnixStream> {
        let socket = match &self.socket {
            Some(socket) => socket.clone(),
            None => socket_of(&self.ops)?,
        };
        UnixStream::connect(&socket).with_context(|| {
            format!(
                "connecting to {}: does `quarterdeck serve` run, and may you write there?",
                socket.display()
            )
        })
    }
}

fn socket_of(ops: &Path) -> anyhow::Result<PathBuf> {
    let settings =
        super::read_ops(ops).context("give --socket, or the ops folder whose settings name it")?.settings;
    let local = settings.local.context(
        "no socket: set [local] socket in quarterdeck.toml and restart the server, or give --socket",
    )?;
    Ok(local.socket)
}
