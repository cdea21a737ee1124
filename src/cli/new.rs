//! `quarterdeck new`.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};

use crate::catalogue::{is_name, is_reserved_command};

/// What the new command's file holds: every field with its explanation.
const COMMAND: &str = include_str!("new_command.toml");

/// Writes a commented file to start from.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Writes commands/NAME.toml, every field with its explanation
    Command {
        /// The command's name: lower-case words joined by `-`, as people will type it
        name: String,
        /// The ops folder
        #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
        ops: PathBuf,
    },
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let What::Command { name, ops } = self.what;
        ensure!(
            is_name(&name),
            "a command cannot be called `{name}`: write lower-case words joined by `-`, a letter first, such as `restart-web`"
        );
        ensure!(
            !is_reserved_command(&name),
            "a command cannot be called `{name}`: Quarterdeck or the rules know that name already; write another"
        );
        ensure!(
            ops.join("quarterdeck.toml").is_file(),
            "{} is no ops folder: it holds no quarterdeck.toml; name one with --ops FOLDER",
            ops.display()
        );
        let folder = ops.join("commands");
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join(format!("{name}.toml"));
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!("{} exists and stays as it is: change it, or choose another name", path.display())
            }
            Err(error) => return Err(error).with_context(|| format!("writing {}", path.display())),
        };
        file.write_all(COMMAND.replace("NAME", &name).as_bytes())
            .with_context(|| format!("writing {}", path.display()))?;
        let folder = ops.display();
        println!(
            "Wrote {path}. Next:

  1. Change it: what it does, its arguments, its program.
  2. Let a room list it: commands = [..., \"{name}\"] in a file of {folder}/rooms, or give it a tag that one lists.
  3. quarterdeck check {folder}
  4. quarterdeck try '!{name}' --ops {folder} --room ROOM --as @you:example.org",
            path = path.display(),
        );
        Ok(ExitCode::SUCCESS)
    }
}
