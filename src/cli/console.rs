//! `quarterdeck console`: a room, from a terminal.
//!
//! An ordinary client for an ordinary user: it has no door of its own, and what it sends is decided and
//! recorded like anything else that is said in the room.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use ruma::OwnedRoomOrAliasId;
use url::Url;

use crate::model::Secret;

#[cfg(feature = "console")]
mod answer;
#[cfg(feature = "console")]
mod line;
#[cfg(feature = "console")]
mod send;
#[cfg(feature = "console")]
mod session;
#[cfg(feature = "console")]
mod sit;

/// Sits in a room from a terminal, or sends one command and waits for its outcome.
///
/// Without --send it shows the last messages of the room, then what comes in, with who said it and when;
/// what stands in a thread is indented. What you type is sent. End of file (Ctrl-D) or /quit ends it.
///
/// With --send it sends one line; with --wait it then waits for the outcome, prints the answer, and tells the
/// outcome by its exit status:
///
///   0  the command succeeded; where it was several (`!status web`), all did
///
///   1  it, or one of them, was refused, failed, timed out, was cancelled or interrupted
///
///   2  this command line is wrong
///
///   3  it was sent, and no outcome came in time: whether it ran is not known, look at `!audit` before you repeat it
///
///   4  it was not sent
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The address of the homeserver's client-server API
    #[arg(long, value_name = "URL", env = "QUARTERDECK_CONSOLE_HOMESERVER")]
    homeserver: Url,
    /// The room: its alias or its id
    #[arg(long, value_name = "ALIAS")]
    room: OwnedRoomOrAliasId,
    /// Who you are: @alice:example.org, or alice. Not needed with a token
    #[arg(long, env = "QUARTERDECK_CONSOLE_USER", required_unless_present_any = ["token", "token_file"])]
    user: Option<String>,
    /// The password. Others on this machine can see it: better --password-file, the variable, or the prompt
    #[arg(long, env = "QUARTERDECK_CONSOLE_PASSWORD", hide_env_values = true, value_parser = OPAQUE)]
    password: Option<Secret>,
    /// A file that holds the password
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
    /// An access token instead of a password. Others on this machine can see it: better the file or the variable
    #[arg(long, env = "QUARTERDECK_CONSOLE_TOKEN", hide_env_values = true, value_parser = OPAQUE)]
    token: Option<Secret>,
    /// A file that holds an access token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Sends this line and ends: '!deploy web staging v1.4.2'
    #[arg(long, value_name = "LINE")]
    send: Option<String>,
    /// Waits for the outcome of what was sent
    #[arg(long, requires = "send")]
    wait: bool,
    /// How long --wait waits: 90s, 10m
    #[arg(long, value_name = "TIME", default_value = "10m", requires = "wait", value_parser = super::time)]
    timeout: Duration,
}

impl Options {
    #[cfg(feature = "console")]
    pub fn run(self) -> anyhow::Result<ExitCode> {
        super::runtime()?.block_on(async {
            match &self.send {
                Some(line) => Ok(send::run(&self, line).await),
                None => sit::run(&self).await,
            }
        })
    }

    #[cfg(not(feature = "console"))]
    pub fn run(self) -> anyhow::Result<ExitCode> {
        drop(self.proof());
        anyhow::bail!("this quarterdeck was built without `console`: build it with the feature of that name")
    }

    /// What shows who the user is.
    fn proof(&self) -> anyhow::Result<Proof> {
        if let Some(token) = &self.token {
            return Ok(Proof::Token(token.clone()));
        }
        if let Some(file) = &self.token_file {
            return Ok(Proof::Token(read(file)?));
        }
        let user = self.user.clone().context("no user: give --user, or a token")?;
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => password.clone(),
            (None, Some(file)) => read(file)?,
            (None, None) => {
                anyhow::ensure!(
                    std::io::IsTerminal::is_terminal(&std::io::stdin()),
                    "no password: give --password-file or QUARTERDECK_CONSOLE_PASSWORD (there is no terminal to ask on)"
                );
                prompt(&format!("Password of {user}"))?
            }
        };
        Ok(Proof::Password { user, password })
    }
}

/// Reads a secret: any text is one.
const OPAQUE: fn(&str) -> Result<Secret, std::convert::Infallible> = |text| Ok(Secret::new(text));

/// What shows the homeserver who we are.
#[cfg_attr(not(feature = "console"), expect(dead_code, reason = "this build has no client to use it"))]
enum Proof {
    /// A name and a password: a device is made, and signed out at the end.
    Password {
        /// The name, whole or the localpart.
        user: String,
        /// The password.
        password: Secret,
    },
    /// The token of a device that exists.
    Token(Secret),
}

/// A secret from a file, without the line's end.
fn read(file: &std::path::Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// Asks for a secret on the terminal; what is typed is not shown.
pub(super) fn prompt(what: &str) -> anyhow::Result<Secret> {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
    use std::io::{BufRead as _, Write as _, stderr, stdin};

    eprint!("{what}: ");
    stderr().flush()?;
    let shown = tcgetattr(stdin()).context("reading how the terminal is set")?;
    let mut hidden = shown.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(stdin(), SetArg::TCSANOW, &hidden).context("hiding what is typed")?;
    let mut line = String::new();
    let typed = stdin().lock().read_line(&mut line);
    tcsetattr(stdin(), SetArg::TCSANOW, &shown).context("showing what is typed again")?;
    eprintln!();
    typed?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}
