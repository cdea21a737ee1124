//! `docs/install.md` is followed as it stands, to the upgrade and back again, with somebody typing in between.
//!
//! Its blocks are run by one shell. Replaced are only the names of the first block, what needs root (a user, a group,
//! systemd), the build, and the registration: the homeserver of the tests knows its application services already.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    docs::{Block, blocks},
    harness::{Database, Lease, Person, State, server},
};

/// What stands in for root, for systemd and for the build.
const STAND_INS: &str = r#"
set -euo pipefail
newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
PATH=$BIN:${newest:+$newest:}$PATH
psql() { PGHOST=$SOCKET PGPORT=$PORT PGUSER=$SUPERUSER command psql "$@"; }
useradd() { mkdir -p "$STATE"; }
chgrp() { :; }
cargo() { :; }
systemctl() {
  case "$*" in
    daemon-reload) test -f "$UNITS/quarterdeck.service" ;;
    "enable --now quarterdeck" | "start quarterdeck")
      # As the unit does: the environment of its file, and nothing of the one who installs.
      env -i PATH=/usr/bin:/bin $(cat "$ETC/environment") "$BIN/quarterdeck" serve --ops "$ETC/ops" >>"$STATE/log" 2>&1 &
      serve=$!
      ;;
    "stop quarterdeck") kill "$serve"; wait "$serve"; serve= ;;
    *) echo "no stand-in for: systemctl $*"; return 1 ;;
  esac
}
serve=
trap '[[ -z $serve ]] || kill "$serve"' EXIT
mkdir -p "$UNITS"
"#;

/// A shell that runs one block after the other, and remembers its variables.
struct Shell {
    child: Child,
    stdin: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new("bash")
            .arg("-s")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (stdin, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, output }
    }

    /// Runs some lines, which must all succeed, and gives what they printed.
    fn run(&mut self, lines: &str) -> String {
        const END: &str = "@@ the end of the block";
        // Their own input is empty: the shell's holds the next blocks.
        let block = format!("{{\n{lines}\n}} </dev/null 2>&1\necho '{END}'\n");
        self.stdin.as_mut().unwrap().write_all(block.as_bytes()).unwrap();
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read > 0, "this block of docs/install.md failed:\n{lines}\nIt said:\n{said}");
            if line.trim_end() == END {
                return said;
            }
            said.push_str(&line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // At the end of its input the shell stops what it started.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// The installation under test.
struct Installation {
    shell: Shell,
    pages: std::vec::IntoIter<Block>,
    database: String,
    address: String,
}

impl Installation {
    /// Runs the next block, which is of this kind.
    fn step(&mut self, kind: &str) -> String {
        let block =
            self.pages.next().unwrap_or_else(|| panic!("docs/install.md has no further block: {kind}"));
        assert_eq!(block.value("test"), Some(kind), "the next block of docs/install.md is\n{}", block.text);
        let text = block
            .text
            .replace("quarterdeck_owner", &format!("{}_owner", self.database))
            .replace("quarterdeck_runtime", &format!("{}_runtime", self.database))
            .replace("DATABASE quarterdeck", &format!("DATABASE {}", self.database));
        self.shell.run(&text)
    }

    /// Waits until it is ready.
    async fn ready(&self) {
        let url = format!("http://{}/health/ready", self.address);
        let (client, begun) = (server::client(), Instant::now());
        while !client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(begun.elapsed() < Duration::from_secs(45), "it is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn the_steps_of_the_installation_lead_to_an_answer_in_a_room_and_an_upgrade_and_a_rollback_keep_it() {
    let state = State::read();
    let lease = Lease::take(&state.homeservers[0], &state.folder.join("leases"), "");
    let appservice = &lease.appservice;
    let alice = Person::register(&lease.homeserver, "alice").await;
    // Made for its names and to be dropped at the end; the page makes the database and the roles itself.
    let database = Database::create().await;
    let name = database.name().to_owned();
    let prefix = format!("{}{}-", appservice.alias_prefix, &name[name.len() - 8..]);

    let folder = tempfile::tempdir().unwrap();
    let at = |part: &str| folder.path().join(part).display().to_string();
    symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy"), folder.path().join("deploy")).unwrap();
    fs::create_dir_all(folder.path().join("target/release")).unwrap();
    symlink(env!("CARGO_BIN_EXE_quarterdeck"), folder.path().join("target/release/quarterdeck")).unwrap();

    let address = format!("127.0.0.1:{}", appservice.port);
    let socket = state.postgres.socket.display();
    let names = [
        ("BIN", at("bin")),
        ("ETC", at("etc")),
        ("STATE", at("state")),
        ("UNITS", at("units")),
        ("HOMESERVER_URL", lease.homeserver.url.clone()),
        ("HOMESERVER_NAME", lease.homeserver.name.clone()),
        ("ADMIN", alice.id.clone()),
        ("LISTEN", address.clone()),
        ("DATABASE", format!("localhost:{}/{name}?host={socket}", state.postgres.port)),
        ("OWNER_PASSWORD", "owner".to_owned()),
        ("RUNTIME_PASSWORD", "runtime".to_owned()),
        ("SOCKET", socket.to_string()),
        ("PORT", state.postgres.port.to_string()),
        ("SUPERUSER", state.postgres.superuser.clone()),
    ];
    let marked: Vec<_> =
        blocks("install.md").into_iter().filter(|block| block.value("test").is_some()).collect();
    let mut pages = marked.into_iter();
    let first = pages.next().unwrap().text;
    let mut shell = Shell::start(folder.path());
    for (variable, value) in &names {
        let known =
            first.contains(&format!("{variable}=")) || ["SOCKET", "PORT", "SUPERUSER"].contains(variable);
        assert!(known, "the first block does not set {variable}");
        shell.run(&format!("export {variable}='{value}'"));
    }
    shell.run(STAND_INS);
    let drop = format!(
        "psql -qc 'DROP DATABASE {name}' -c 'DROP ROLE {name}_owner' -c 'DROP ROLE {name}_runtime' postgres"
    );
    shell.run(&drop);

    let mut installation = Installation { shell, pages, database: name, address };
    installation.step("user");
    installation.step("build");
    let checked = installation.step("install");
    assert!(checked.contains("can come into force"), "{checked}");
    let (bot, registration) = (&appservice.bot, appservice.registration.display());
    installation.shell.run(&format!(
        "printf 'bot = \"{bot}\"\\nalias_prefix = \"{prefix}\"\\n' >> \"$ETC/ops/quarterdeck.toml\""
    ));
    installation.step("database");
    let migrated = installation.step("install");
    assert!(migrated.contains("migrations"), "{migrated}");
    let key = installation.step("install");
    assert!(key.contains("/quarterdeck+"), "the public key: {key}");
    installation.step("install");
    installation.step("install");
    installation.shell.run(&format!(
        "grep -q as_token \"$ETC/registration.yaml\" && cp {registration} \"$ETC/registration.yaml\""
    ));
    installation.step("start");
    installation.ready().await;
    installation.step("install");

    let room = alice.join(&format!("#{prefix}machines:{}", lease.homeserver.name)).await;
    let bot = format!("@{}:{}", appservice.bot, lease.homeserver.name);
    for (further, version) in [(None, "0.1.0"), (Some("upgrade"), "0.2.0"), (Some("rollback"), "0.1.0")] {
        if let Some(further) = further {
            installation.step(further);
            installation.ready().await;
        }
        let serves = installation.shell.run("readlink \"$BIN/quarterdeck\"");
        assert_eq!(serves.trim(), format!("quarterdeck-{version}"));
        let event = alice.say(&room, "!disk").await;
        let answer = alice.outcome(&bot, &event).await;
        assert_eq!(answer.state, "succeeded", "{}", answer.body);
        assert!(answer.body.contains("Filesystem"), "{}", answer.body);
    }
    assert!(installation.pages.next().is_none(), "docs/install.md has more blocks than were run");
}

#[test]
fn systemd_knows_every_setting_of_the_unit() {
    let unit =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/quarterdeck.service"))
            .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quarterdeck.service");
    // It looks whether the program is there, which is not installed here.
    fs::write(&path, unit.replace("/usr/local/bin/quarterdeck", env!("CARGO_BIN_EXE_quarterdeck"))).unwrap();
    let Ok(output) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output() else {
        eprintln!("not looked at: systemd-analyze is not installed here");
        return;
    };
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && !said.contains("quarterdeck.service:"), "{said}");
}
