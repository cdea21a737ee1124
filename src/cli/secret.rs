//! `quarterdeck secret`: makes an identity, and encrypts secrets to it.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, IsTerminal as _, Read as _, Write as _, stdin},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};

use super::{console, read_ops};
use crate::{
    catalogue::is_secret,
    model::{Identity, Recipient, SECRET_BYTES, Sealed, Secret},
};

/// Encrypts the secrets of commands, with age.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Makes the identity that decrypts secrets, in a new file for `serve` alone, and prints whom to encrypt to
    Key {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Encrypts a value to secrets/NAME.age: asked for on a terminal, else read from standard input
    #[command(
        after_help = "The value is never an argument: others could read it there. A newline at its end is left out.\nWhat was there is replaced: then load the ops folder anew (quarterdeck reload, or SIGHUP)."
    )]
    Set {
        /// The secret's name, as commands have it in `credentials`
        #[arg(value_name = "NAME")]
        name: String,
        /// The ops folder
        #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
        ops: PathBuf,
        /// Whom to encrypt to, instead of the recipients in quarterdeck.toml. May be given several times
        #[arg(long, value_name = "age1...", value_parser = recipient)]
        recipient: Vec<Recipient>,
    },
}

fn recipient(text: &str) -> Result<Recipient, String> {
    text.parse().map_err(|_| "no recipient of age's: `quarterdeck secret key FILE` prints one".to_owned())
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Key { file } => make_identity(&file)?,
            What::Set { name, ops, recipient } => set(&name, &ops, recipient)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn make_identity(path: &Path) -> anyhow::Result<()> {
    let (identity, recipient) = Identity::generate();
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists and stays as it is: name another file", path.display())
        }
        Err(error) => return Err(error).with_context(|| format!("writing {}", path.display())),
    };
    let written = file.write_all(identity.text().expose().as_bytes()).and_then(|()| file.sync_all());
    written.with_context(|| format!("writing {}", path.display()))?;
    let path = std::path::absolute(path)?;
    println!(
        "The identity is in {0}. Let `serve`'s user read it and nobody else, and keep a copy apart from the ops folder.

Add to quarterdeck.toml:

  [secrets]
  identity   = \"{0}\"
  recipients = [\"{recipient}\"]

Then encrypt a secret: quarterdeck secret set NAME",
        path.display()
    );
    Ok(())
}

fn set(name: &str, ops: &Path, mut recipients: Vec<Recipient>) -> anyhow::Result<()> {
    ensure!(
        is_secret(name),
        "a secret cannot be called `{name}`: write a lower-case word, such as `deploy-token`"
    );
    let by_reference = ops.join("secrets").join(format!("{name}.toml"));
    ensure!(
        !by_reference.exists(),
        "{} says that its value comes from elsewhere: remove that file first",
        by_reference.display()
    );
    if recipients.is_empty() {
        recipients = recipients_of(ops)?;
    }
    let value = if stdin().is_terminal() { console::prompt(&format!("Value of {name}"))? } else { piped()? };
    ensure!(!value.expose().is_empty(), "the value is empty: nothing is written");
    ensure!(value.expose().len() <= SECRET_BYTES, "the value is longer than {SECRET_BYTES} bytes");
    ensure!(!value.expose().contains('\0'), "the value holds a NUL, which an environment variable cannot");
    let sealed = Sealed::seal(&value, &recipients)
        .map_err(|why| anyhow::anyhow!("the value could not be encrypted: {why}"))?;
    let folder = ops.join("secrets");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(format!("{name}.age"));
    let replaced = path.exists();
    // Whole or not at all: a reload in this moment reads the one or the other. What begins with a dot is not read.
    let part = folder.join(format!(".{name}.age.part"));
    let write = || {
        let mut file = fs::File::create(&part)?;
        file.write_all(sealed.as_str().as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, &path)
    };
    write().with_context(|| format!("writing {}", path.display()))?;
    let did = if replaced { "Replaced" } else { "Wrote" };
    println!("{did} {}, for {} of age's recipients.", path.display(), recipients.len());
    println!("Name it in `credentials` of a command, then load the ops folder anew: quarterdeck reload");
    Ok(())
}

/// Those that quarterdeck.toml names.
fn recipients_of(ops: &Path) -> anyhow::Result<Vec<Recipient>> {
    // A command may name the secret that is about to be written, so a folder with that mistake is read as far as need be.
    let found = match read_ops(ops) {
        Ok(ops) => ops.settings.secrets_recipients,
        Err(_) => recipients_in(&ops.join("quarterdeck.toml"))?,
    };
    ensure!(
        !found.is_empty(),
        "{} names nobody to encrypt to: run `quarterdeck secret key FILE` and add what it prints, or give --recipient",
        ops.join("quarterdeck.toml").display()
    );
    Ok(found)
}

fn recipients_in(settings: &Path) -> anyhow::Result<Vec<Recipient>> {
    let text = fs::read_to_string(settings).with_context(|| format!("reading {}", settings.display()))?;
    let document: toml_edit::DocumentMut =
        text.parse().with_context(|| format!("reading {}", settings.display()))?;
    let named = document.get("secrets").and_then(|secrets| secrets.get("recipients")?.as_array());
    named
        .into_iter()
        .flatten()
        .map(|one| recipient(one.as_str().unwrap_or_default()).map_err(anyhow::Error::msg))
        .collect()
}

/// The value from standard input, without the newline at its end.
fn piped() -> anyhow::Result<Secret> {
    let mut text = String::new();
    stdin()
        .take(SECRET_BYTES as u64 + 2)
        .read_to_string(&mut text)
        .context("reading the value from standard input: it must be a text in UTF-8")?;
    let text = Secret::new(text);
    Ok(Secret::new(text.expose().trim_end_matches(['\r', '\n'])))
}
