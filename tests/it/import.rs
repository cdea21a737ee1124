//! `quarterdeck import scripts`: programs that were there before become commands, unchanged and unrun.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use quarterdeck::catalogue::{self, RunKind};

/// Ten years of scripts, and an ops folder.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(desk.0.path().join("ops/policies")).unwrap();
        fs::create_dir(desk.0.path().join("bin")).unwrap();
        let settings = "[homeserver]\nurl = \"http://127.0.0.1:8008\"\nname = \"example.org\"\n";
        fs::write(desk.0.path().join("ops/quarterdeck.toml"), settings).unwrap();
        desk
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.0.path().join("bin").join(name);
        fs::write(&path, text.replace("RAN", &self.0.path().join("ran").display().to_string())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn import(&self, more: &[&str]) -> (String, i32) {
        let Output { stdout, stderr, status } = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(["import", "scripts", "bin", "--ops", "ops"])
            .args(more)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let text = String::from_utf8(stdout).unwrap() + &*String::from_utf8(stderr).unwrap();
        (text, status.code().unwrap())
    }

    fn written(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join("ops/commands").join(name)).unwrap()
    }

    fn ran(&self) -> bool {
        self.0.path().join("ran").exists()
    }

    fn load(&self) -> catalogue::Ops {
        catalogue::load(&self.0.path().join("ops"), &|_| None).unwrap()
    }
}

fn vector(ops: &catalogue::Ops, name: &str) -> Vec<String> {
    let RunKind::Process(process) = &ops.commands[name].run.kind else { panic!("{name}") };
    let program = &process.program;
    assert!(program.is_absolute() && Path::new(program).exists(), "{}", program.display());
    process.arguments.clone()
}

#[test]
fn each_script_becomes_a_right_command_from_what_it_says_at_its_top_and_none_is_run() {
    let desk = Desk::new();
    desk.script(
        "restart_service.sh",
        "#!/bin/sh\n# Copyright 2014 us\n#\n# Restarts a service on this host.\n#\n\
         # Usage: restart_service.sh [--env ENV] [-f] SERVICE\ntouch RAN\n",
    );
    desk.script(
        "purge",
        "#!/usr/bin/env python3\n# quarterdeck:\n#   summary = \"Purges a cache\"\n#   effect = \"change\"\n\
         #   [[argument]]\n#   name = \"cache\"\n#   type = \"choice\"\n#   choices = [\"cdn\", \"web\"]\nopen('RAN', 'w')\n",
    );
    desk.script("silent", "#!/bin/sh\ntouch RAN\n");
    fs::write(desk.0.path().join("bin/notes.txt"), "no program").unwrap();
    let (said, status) = desk.import(&[]);
    assert_eq!(status, 0, "{said}");
    assert!(!desk.ran() && !said.contains("runs "), "{said}");
    assert!(said.contains("restart-service.toml, from the comment at its top"), "{said}");
    assert!(said.contains("purge.toml, from the block in its comment"), "{said}");
    assert!(said.contains("silent.toml, from its name alone"), "{said}");
    let ops = desk.load();
    assert_eq!(ops.commands["restart-service"].summary, "Restarts a service on this host");
    assert_eq!(ops.commands["restart-service"].effect.name(), "danger");
    assert_eq!(vector(&ops, "restart-service"), ["--env={env}", "{service}"]);
    assert!(desk.written("restart-service.toml").contains("# FINISH: not taken over: -f"));
    assert_eq!(
        (ops.commands["purge"].effect.name(), vector(&ops, "purge")),
        ("change", vec!["{cache}".to_owned()])
    );
    assert!(desk.written("silent.toml").contains("# FINISH: what it does"));
    assert!(!ops.commands.contains_key("notes"));
}

#[test]
fn a_file_that_exists_stays_and_what_can_have_none_is_told() {
    let desk = Desk::new();
    desk.script("purge", "#!/bin/sh\n# Purges a cache\n");
    desk.script("help", "#!/bin/sh\n# Helps somebody\n");
    desk.script("broken", "#!/bin/sh\n# quarterdeck:\n# effect = \n");
    fs::create_dir(desk.0.path().join("ops/commands")).unwrap();
    fs::write(desk.0.path().join("ops/commands/purge.toml"), "mine").unwrap();
    let (said, status) = desk.import(&[]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("stays      ops/commands/purge.toml"), "{said}");
    assert!(said.contains("no file    help: Quarterdeck or the rules know the name"), "{said}");
    assert!(
        said.contains("no file    broken: the block after `quarterdeck:` in its comment is no TOML"),
        "{said}"
    );
    assert_eq!(desk.written("purge.toml"), "mine");
}

#[test]
fn only_what_is_named_is_asked_for_its_help_and_that_is_said() {
    let desk = Desk::new();
    desk.script(
        "scale",
        "#!/bin/sh\n[ \"$1\" = --help ] && echo 'usage: scale [-h] {web,api} COUNT\n\nScales an application.' || touch RAN\n",
    );
    desk.script("other", "#!/bin/sh\ntouch RAN\n");
    let (said, status) = desk.import(&["--run-help", "scale"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("/bin/scale --help\n") && !desk.ran(), "{said}");
    let ops = desk.load();
    assert_eq!(ops.commands["scale"].summary, "Scales an application");
    assert_eq!(vector(&ops, "scale"), ["{what}", "{count}"]);
    let (said, status) = desk.import(&["--run-help", "nobody"]);
    assert_eq!(status, 1);
    assert!(said.contains("--run-help names nobody"), "{said}");
}
