//! `quarterdeck import scripts`: a command's file for each program of a folder that is there already.
//!
//! The programs stay as they are, and are not run: what a script says in the comment at its top is read. Only where
//! `--run-help` names one, that one is started, as whoever runs the import, and it is said.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};

use crate::{
    catalogue::{is_name, is_reserved_command},
    executor,
};

mod manifest;
mod usage;

/// How much of a script's beginning is read, in bytes.
const TOP: u64 = 64 << 10;

/// Makes commands of what is there already.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Writes commands/NAME.toml for each program of a folder, for a person to finish
    #[command(
        after_help = "Nothing is run: what a script says in the comment at its top is read. A file that exists stays as it is.\nExit status: 0 if each program has a file, 1 if one has none."
    )]
    Scripts {
        /// The folder of programs
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The ops folder
        #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
        ops: PathBuf,
        /// Runs this program of DIR with `--help`, as you, and reads what it prints; a script that knows no --help does
        /// its work, so name only what does. May be given several times
        #[arg(long, value_name = "PROGRAM")]
        run_help: Vec<String>,
    },
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let What::Scripts { folder, ops, run_help } = self.what;
        ensure!(
            ops.join("quarterdeck.toml").is_file(),
            "{} is no ops folder: it holds no quarterdeck.toml; name one with --ops FOLDER",
            ops.display()
        );
        let folder = folder
            .canonicalize()
            .with_context(|| format!("looking for the folder of programs {}", folder.display()))?;
        let programs = programs(&folder)?;
        ensure!(
            !programs.is_empty(),
            "{} holds no program: no file there may be executed; `chmod +x` what should be a command",
            folder.display()
        );
        let names: BTreeSet<&str> = programs.iter().map(|(name, _)| name.as_str()).collect();
        if let Some(unknown) = run_help.iter().find(|name| !names.contains(name.as_str())) {
            bail!("--run-help names {unknown}, and {} holds no such program", folder.display());
        }
        let commands = ops.join("commands");
        fs::create_dir_all(&commands).with_context(|| format!("making {}", commands.display()))?;
        let mut all = true;
        for (name, path) in &programs {
            match import(name, path, &commands, run_help.contains(name)) {
                Ok(said) => println!("{said}"),
                Err(error) => {
                    all = false;
                    println!("  no file    {name}: {error:#}");
                }
            }
        }
        let ops = ops.display();
        println!(
            "
Next:
  1. Finish each file: look for FINISH. Until its effect is known a command is `danger`.
  2. Let a room list the commands, and a rule permit them.
  3. quarterdeck check {ops}
  4. quarterdeck try '!COMMAND ...' --ops {ops} --room ROOM --as @you:example.org"
        );
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The programs of a folder, by name.
fn programs(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let reading = || format!("reading {}", folder.display());
    let mut programs = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_program = fs::metadata(entry.path())
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        if is_program && !name.starts_with('.') {
            programs.push((name, entry.path()));
        }
    }
    programs.sort();
    Ok(programs)
}

/// Writes the file of one program, and says what it was made of.
fn import(name: &str, path: &Path, commands: &Path, run_help: bool) -> anyhow::Result<String> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let key = stem.to_lowercase().replace(['_', '.', ' '], "-");
    ensure!(
        is_name(&key),
        "no command can be called `{key}`: write its file by hand, `quarterdeck new command NAME`"
    );
    ensure!(
        !is_reserved_command(&key),
        "Quarterdeck or the rules know the name `{key}` already: write its file by hand, `quarterdeck new command NAME`"
    );
    let program = path.to_str().context("its path is no UTF-8")?;
    let top = top(path)?;
    let help = if run_help {
        println!("  runs       {program} --help");
        Some(executor::help_of(path).map_err(|said| anyhow::anyhow!("`{program} --help`: {said}"))?)
    } else {
        None
    };
    let made = manifest::write(program, &top, help.as_deref())?;
    let target = commands.join(format!("{key}.toml"));
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&target) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Ok(format!("  stays      {}", target.display()));
        }
        Err(error) => return Err(error).with_context(|| format!("writing {}", target.display())),
    };
    file.write_all(made.text.as_bytes()).with_context(|| format!("writing {}", target.display()))?;
    Ok(format!("  wrote      {}, from {}", target.display(), made.from))
}

/// The beginning of a script. Empty for what is none.
fn top(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(TOP).read_to_end(&mut bytes))
        .with_context(|| format!("reading {}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(if text.starts_with("#!") { text.into_owned() } else { String::new() })
}
