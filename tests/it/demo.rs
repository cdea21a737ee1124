//! `deploy/demo --ops FOLDER`: what it makes of somebody's own folder reaches nothing that the real server uses.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use quarterdeck::{
    catalogue::{self, Ops, RunKind},
    model::Sandbox,
};
use tempfile::TempDir;

use super::docs::example;

/// Settings that all lead to the real server's own.
const SETTINGS: &str = r#"
prefix = "."
administrators = ["@alice:example.org"]
time_zone = "Europe/Zurich"
instance = "real"
state = "/var/lib/real"
listen = "127.0.0.1:9250"
[homeserver]
url = "http://real.example.org:8008"
name = "example.org"
bot = "deckhand"
registration = "/etc/real/registration.yaml"
[database]
url = "postgres://real@real.example.org/real"
[space]
name = "Ours"
[limits]
stale_after = "7m"
[approvals]
wait = "20m"
[audit]
origin = "real.example.org/log"
key = "/etc/real/audit.key"
[[audit.witness]]
url = "https://real-witness.example"
key = "witness.partner.example/w1+25c3abb9+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
[secrets]
identity = "/etc/real/age.key"
[web]
url = "https://real-pages.example"
[local]
socket = "/run/real/run.sock"
[ops]
git = "https://real-git.example/ops.git"
"#;

/// A file for each way in which a command reaches something.
const FILES: &[(&str, &str)] = &[
    (
        "hosts/one.toml",
        "address = \"one.example.org\"\nuser = \"x\"\nkeys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIorfmOHFkDHCrMX9gv+nw/ki5iBgZYnwA1y5xsTrC+q\"]\n",
    ),
    ("secrets/worker.toml", "file = \"/etc/real/worker\"\n"),
    ("secrets/chatops.toml", "file = \"/etc/real/chatops.pem\"\n"),
    (
        "commands/far.toml",
        "summary = \"On a host\"\neffect = \"change\"\n[run]\nexecutor = \"ssh\"\nhosts = [\"one\"]\nprogram = \"/opt/far\"\narguments = [\"--now\"]\nkey = \"worker\"\n",
    ),
    (
        "commands/ask.toml",
        "summary = \"Asks a service\"\neffect = \"change\"\n[[argument]]\nname = \"app\"\ntype = \"choice\"\nchoices = [\"web\"]\n[run]\nexecutor = \"http\"\nmethod = \"POST\"\nurl = \"https://ask.example.org/{app}\"\ncredentials = { Authorization = \"Bearer worker\" }\n",
    ),
    (
        "endpoints/builds.toml",
        "url = \"https://real-builds.example/_chatops\"\nkey = \"chatops\"\neffect = \"change\"\ntags = [\"builds\"]\n",
    ),
    (
        "commands/unlock.toml",
        "summary = \"Calls a method\"\neffect = \"change\"\n[run]\nexecutor = \"chatops_rpc\"\nendpoint = \"builds\"\nmethod = \"unlock\"\n",
    ),
    // A room may list a tag that only the endpoint's own methods have.
    (
        "rooms/builds.toml",
        "name = \"Builds\"\npurpose = \"They\"\nteams = [\"web\"]\ncommands = [\"#builds\", \"far\", \"ask\", \"unlock\"]\n",
    ),
];

struct Tried {
    folder: TempDir,
}

impl Tried {
    /// A folder of somebody's own, and the copy that the demo makes of it.
    fn new(flag: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ops = example(folder.path());
        fs::write(ops.join("quarterdeck.toml"), SETTINGS).unwrap();
        for (file, text) in FILES {
            fs::create_dir_all(ops.join(file).parent().unwrap()).unwrap();
            fs::write(ops.join(file), text).unwrap();
        }
        let tried = Self { folder };
        // It is right by itself.
        tried.check(&ops);
        let copied = Self::python(&format!(
            "from deploy.support.demo.ops import Place, bring_own\n\
             bring_own(Path('{}'), Path('{}'), Place('http://127.0.0.1:1', 'demo.test', None, '127.0.0.1:2'), {flag})",
            ops.display(),
            tried.folder.path().join("state").display(),
        ));
        assert!(copied.status.success(), "{}", said(&copied));
        let words = said(&copied);
        for left_out in ["audit", "local", "ops", "web"] {
            assert!(words.contains(left_out), "nothing of `{left_out}` in what was said:\n{words}");
        }
        tried
    }

    fn copy(&self) -> PathBuf {
        self.folder.path().join("state/own/ops")
    }

    /// Runs it as the demo's own programs run, by a shell of somebody who also keeps a server.
    fn python(program: &str) -> Output {
        Command::new("python3")
            .args(["-c", &format!("from pathlib import Path\n{program}")])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("QUARTERDECK_AUDIT_KEY", "/etc/real/audit.key")
            .output()
            .unwrap()
    }

    fn check(&self, ops: &Path) {
        let mut check = Command::new(env!("CARGO_BIN_EXE_quarterdeck"));
        check.arg("check").arg(ops).current_dir(self.folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUARTERDECK_")) {
            check.env_remove(name);
        }
        let output = check.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }

    fn loaded(&self) -> Ops {
        self.check(&self.copy());
        catalogue::load(&self.copy(), &|_| None).unwrap()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What leads nowhere but into the demo, whether programs run or not.
fn keeps_to_itself(tried: &Tried, ops: &Ops) {
    let settings = &ops.settings;
    let within = |path: &Path| {
        fs::canonicalize(path.parent().unwrap())
            .unwrap()
            .starts_with(fs::canonicalize(tried.folder.path()).unwrap())
    };
    assert!(settings.local.is_none() && settings.git.is_none() && settings.web_url.is_none());
    assert!(settings.audit_witnesses.is_empty() && settings.database_url.is_none());
    assert_eq!(settings.audit_origin, "demo.test/quarterdeck");
    assert!(within(&settings.audit_key), "{}", settings.audit_key.display());
    assert!(within(&settings.registration), "{}", settings.registration.display());
    assert!(within(&settings.state), "{}", settings.state.display());
    assert_eq!(settings.homeserver_url.as_str(), "http://127.0.0.1:1/");
    // What says how commands are typed and judged is theirs.
    assert_eq!(
        (settings.prefix.as_str(), settings.bot.as_str(), settings.stale_after.as_secs()),
        (".", "deckhand", 420)
    );
    assert_eq!(settings.administrators, ["@alice:demo.test"]);
}

#[test]
fn a_copy_of_an_ops_folder_reaches_nothing_of_the_real_server() {
    let tried = Tried::new("False");
    let ops = tried.loaded();
    keeps_to_itself(&tried, &ops);
    assert!(ops.settings.secrets_identity.is_none());
    let printer = tried.folder.path().join("state/own/print-arguments");
    let mut printed = 0;
    for command in ops.commands.values() {
        let run = match &command.run.kind {
            RunKind::Builtin => continue,
            RunKind::Process(run) => run,
            other => panic!("`{}` would be run as it is: {other:?}", command.name),
        };
        assert_eq!(run.program, printer, "{}", command.name);
        assert_eq!((run.sandbox.clone(), run.credentials.len()), (Sandbox::None, 0), "{}", command.name);
        printed += 1;
    }
    assert!(printed > 18, "{printed} commands print");
    for endpoint in ops.endpoints.values() {
        assert_eq!((endpoint.url.as_str(), endpoint.all), ("http://127.0.0.1:9/", false));
    }
    let mut words = String::new();
    super::docs::read_all(&tried.copy(), &mut words);
    for real in ["/etc/real", "/run/real", "/var/lib/real", "real-"] {
        assert!(!words.contains(real), "the copy still names {real}");
    }
}

#[test]
fn what_would_have_run_is_said_with_its_hosts_and_its_address() {
    let tried = Tried::new("False");
    let ops = tried.loaded();
    let arguments = |name: &str| {
        let RunKind::Process(run) = &ops.commands[name].run.kind else { panic!("{name}") };
        format!("{:?}", run.arguments)
    };
    assert!(
        arguments("far").contains("on one")
            && arguments("far").contains("/opt/far")
            && arguments("far").contains("--now")
    );
    assert!(arguments("ask").contains("POST https://ask.example.org/"));
    assert!(arguments("unlock").contains("method unlock of endpoint builds"));
    let output = Command::new(tried.folder.path().join("state/own/print-arguments"))
        .args(["on one", "/opt/far", "--now"])
        .output()
        .unwrap();
    assert_eq!(said(&output), "  /opt/far\n  --now\nwould have run on one with 2 arguments\n");
}

#[test]
fn programs_that_are_to_run_keep_their_secrets_and_nothing_else_of_the_real_server() {
    let tried = Tried::new("True");
    let ops = tried.loaded();
    keeps_to_itself(&tried, &ops);
    assert_eq!(ops.settings.secrets_identity.as_deref(), Some(Path::new("/etc/real/age.key")));
    assert!(matches!(ops.commands["far"].run.kind, RunKind::Ssh(_)));
}

#[test]
fn what_a_server_of_this_host_is_told_by_its_environment_does_not_count_in_the_demo() {
    let seen = Tried::python(
        "from deploy.support import paths\nprint(sorted(name for name in paths.environment() if name.startswith('QUARTERDECK_A')))",
    );
    assert_eq!(said(&seen), "[]\n");
}
