//! The digest of all that decides what a command does when it runs: what an approval is bound to.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    catalogue::{Command, RunKind},
    model::Digest,
};

/// The digest of how a command is run: its program's bytes, its templates, its surroundings, its limits.
///
/// Known gap: what a program itself loads (libraries, the modules of a script) is not looked at, and a program
/// that is replaced between this and its start, a moment later, is not noticed. Of a program on other hosts, it is
/// the hosts, their keys and its path that count, not its bytes, which are there.
pub async fn definition(command: &Command) -> Digest {
    let run = &command.run;
    let kind = match &run.kind {
        RunKind::Builtin => json!({ "executor": "builtin", "version": env!("CARGO_PKG_VERSION") }),
        RunKind::Http(http) => json!({ "executor": "http", "request": http }),
        RunKind::ChatopsRpc(rpc) => json!({ "executor": "chatops_rpc", "call": rpc }),
        RunKind::Ssh(ssh) => json!({ "executor": "ssh", "remote": ssh }),
        RunKind::Process(process) => {
            let path = process.program.clone();
            let bytes = tokio::task::spawn_blocking(move || of_file(&path)).await;
            // A program that cannot be read has no digest, and gets one when it can: that is a change as well.
            let bytes = bytes.ok().and_then(Result::ok);
            json!({ "executor": "process", "sha256": bytes, "process": process })
        }
    };
    let whole = json!({
        "run": kind, "timeout_s": run.timeout.as_secs(), "lock": run.lock, "effect": command.effect,
        "subject": command.subject,
    });
    Digest::of(whole.to_string().as_bytes())
}

fn of_file(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut part = vec![0; 1 << 16];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            read => hash.update(&part[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::catalogue::{Effect, Limits, ProcessRun, Run};

    fn command(program: &Path) -> Command {
        Command {
            name: "deploy".into(),
            summary: String::new(),
            help: String::new(),
            effect: Effect::Change,
            tags: std::collections::BTreeSet::new(),
            subject: None,
            phrases: vec![],
            docs: None,
            examples: vec![],
            arguments: vec![],
            private: false,
            records: false,
            schedule: None,
            dry: None,
            is_dry: false,
            run: Run {
                kind: RunKind::Process(Box::new(ProcessRun {
                    program: program.to_owned(),
                    arguments: vec![],
                    folder: None,
                    environment: std::collections::BTreeMap::new(),
                    credentials: std::collections::BTreeMap::new(),
                    credential_files: std::collections::BTreeMap::new(),
                    credential_input: None,
                    user: None,
                    limits: Limits::default(),
                    sandbox: crate::model::Sandbox::None,
                    out: false,
                })),
                timeout: SignedDuration::from_secs(1),
                lock: None,
                on_busy: crate::catalogue::OnBusy::Queue,
                idempotent: false,
            },
        }
    }

    #[tokio::test]
    async fn another_program_another_timeout_and_no_program_are_other_definitions() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("deploy");
        let missing = definition(&command(&program)).await;
        std::fs::write(&program, "one").unwrap();
        let one = definition(&command(&program)).await;
        assert_eq!(one, definition(&command(&program)).await);
        let mut slower = command(&program);
        slower.run.timeout = SignedDuration::from_secs(2);
        assert_ne!(one, definition(&slower).await);
        std::fs::write(&program, "two").unwrap();
        let two = definition(&command(&program)).await;
        assert!(one != two && one != missing && two != missing);
    }
}
