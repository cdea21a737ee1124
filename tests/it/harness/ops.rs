//! A small ops folder for tests, and programs that leave a trace.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// An ops folder that a test writes.
pub struct OpsFolder {
    folder: PathBuf,
    /// Where the counting programs write.
    pub trace: PathBuf,
}

/// What the commands of the test folder do, by name: effect, whether it may be repeated, further fields, script.
const COMMANDS: &[(&str, &str, &str, &str)] = &[
    // Leaves a line in the trace: how often something ran is counted there, not in what Quarterdeck says of it.
    (
        "count",
        "read",
        r#"
[[argument]]
name    = "word"
type    = "text"
pattern = '[\w-]+'
"#,
        r#"echo "$1" >> "$TRACE"; echo "counted $1""#,
    ),
    // A change of a system, which needs rules to allow it and says a line in the main timeline.
    (
        "deploy",
        "change",
        r#"
[[argument]]
name    = "app"
type    = "choice"
choices = ["web", "api"]
[[argument]]
name    = "env"
type    = "choice"
choices = ["staging", "production"]
[[argument]]
name     = "version"
type     = "text"
pattern  = 'v\d+'
required = false
"#,
        r#"echo "deploy $*" >> "$TRACE"; echo "$1@$2 is at ${3:-v1}""#,
    ),
    // Takes its time, one at a time.
    (
        "slow",
        "read",
        r#"
[[argument]]
name = "seconds"
type = "integer"
min  = 0
max  = 120
[[argument]]
name    = "word"
type    = "text"
pattern = '[\w-]+'
default = "slow"
"#,
        r#"echo "$2 begins" >> "$TRACE"; sleep "$1"; echo "$2 ends" >> "$TRACE"; echo "slept $1""#,
    ),
    // Says back what it was given, each argument in a line.
    (
        "echo",
        "read",
        r#"
[[argument]]
name = "text"
type = "text"
rest = true
"#,
        r#"echo "echo" >> "$TRACE"; printf '%s\n' "$1""#,
    ),
    (
        "lines",
        "read",
        r#"
[[argument]]
name = "many"
type = "integer"
min  = 1
max  = 1000000
"#,
        r#"i=0; while [ $i -lt "$1" ]; do i=$((i+1)); echo "line $i of the output"; done"#,
    ),
    ("steer", "read", "", r"printf 'a\033[2Jb\342\200\256c\n'"),
    ("fail", "read", "", r#"echo "it went wrong"; exit 3"#),
    (
        "whois",
        "read",
        r#"
[[argument]]
name = "user"
type = "user"
"#,
        r#"echo "whois $1" >> "$TRACE"; echo "it is $1""#,
    ),
];

impl OpsFolder {
    /// Writes the usual folder: a room `deploy` for the team `web`, and the commands
    /// that leave a trace. The settings and the teams follow by the other methods.
    pub fn write(folder: &Path) -> Self {
        let ops = Self { folder: folder.join("ops"), trace: folder.join("trace") };
        fs::write(&ops.trace, "").unwrap();
        ops.file("systems/web.toml", "summary = \"The shop\"\nowner = \"web\"\ncriticality = \"high\"\nenvironments = [\"staging\", \"production\"]\nstatus = [\"count status\"]\n");
        ops.file("systems/api.toml", "summary = \"The api\"\nowner = \"web\"\ncriticality = \"low\"\nenvironments = [\"staging\", \"production\"]\n");
        ops.file("docs/deploying.md", "# Deploying\n\n## Roll back\n\nGo back to the version before.\n");
        ops.room("deploy", &["web"]);
        for (name, effect, arguments, script) in COMMANDS {
            ops.command(name, effect, arguments, script);
        }
        ops.file("policies/rules.cedar", RULES);
        ops
    }

    /// Writes a file of the folder.
    pub fn file(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Reads a file of the folder.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.join(path)).unwrap()
    }

    /// A room for these teams, in which every command may be used.
    pub fn room(&self, key: &str, teams: &[&str]) {
        let names: Vec<_> = COMMANDS.iter().map(|(name, ..)| *name).collect();
        self.file(
            &format!("rooms/{key}.toml"),
            &format!(
                "name = \"Room {key}\"\nalias = \"{key}\"\npurpose = \"For a test\"\nteams = {teams:?}\ncommands = {names:?}\n"
            ),
        );
    }

    /// A team of users, of whom the first `leads` lead.
    pub fn team(&self, key: &str, homeservers: &[&str], users: &[&str], leads: usize) {
        self.file(
            &format!("teams/{key}.toml"),
            &format!(
                "summary = \"A team of a test\"\nhomeservers = {homeservers:?}\nusers = {users:?}\nleads = {:?}\n",
                &users[..leads]
            ),
        );
    }

    /// A command that runs a script of `sh`, with `$TRACE` in its environment.
    pub fn command(&self, name: &str, effect: &str, arguments: &str, script: &str) {
        let bin = self.folder.parent().unwrap().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let program = bin.join(name);
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let templates: Vec<_> = arguments
            .lines()
            .filter_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "name"))
            .map(|(_, name)| format!("{{{}}}", name.trim().trim_matches('"')))
            .collect();
        // Free text stands behind `--`, as everywhere.
        let templates: Vec<_> = templates.iter().map(String::as_str).collect();
        let (top, lock) = match name {
            "deploy" => ("subject = \"{app}@{env}\"\n", "lock = \"{app}@{env}\"\n"),
            "slow" => ("", "lock = \"slow\"\ntimeout = \"2m\"\n"),
            _ => ("", ""),
        };
        self.file(
            &format!("commands/{name}.toml"),
            &format!(
                "name = \"{name}\"\nsummary = \"For a test\"\neffect = \"{effect}\"\n{top}{arguments}\n[run]\nexecutor = \"process\"\nsandbox = \"none\"\n\
                 program = \"{}\"\narguments = {templates:?}\nenvironment = {{ PATH = \"/usr/bin:/bin\", TRACE = \"{}\" }}\n{lock}",
                program.display(),
                self.trace.display(),
            ),
        );
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The lines that programs left, in order.
    pub fn traced(&self) -> Vec<String> {
        fs::read_to_string(&self.trace).unwrap().lines().map(str::to_owned).collect()
    }

    /// How often a line was left.
    pub fn counted(&self, line: &str) -> usize {
        self.traced().iter().filter(|it| *it == line).count()
    }
}

/// Teams look; web changes staging; leads change production; partners may deploy api to staging.
const RULES: &str = r#"
@id("reading")
@says("Teams may look at everything.")
permit (principal, action in Action::"read", resource)
when { principal in [Team::"web", Team::"partner"] };

@id("reload-by-leads")
permit (principal in Team::"leads", action == Action::"reload", resource);

@id("log")
permit (principal in Team::"web", action in [Action::"read_audit", Action::"read_output"], resource);

@id("partners-see-output")
permit (principal in Team::"partner", action == Action::"read_output", resource);

@id("staging")
@says("The web team changes staging.")
permit (principal in Team::"web", action in Action::"change", resource in Environment::"staging");

@id("production-by-leads")
permit (principal in Team::"leads", action in Action::"change", resource in Environment::"production");

@id("production-is-for-leads")
@says("Changes in production are for leads.")
forbid (principal, action in Action::"change", resource in Environment::"production")
unless { principal in Team::"leads" };

@id("partner-api")
permit (principal in Team::"partner", action in Action::"change", resource == System::"api@staging");

@id("partner-ceiling")
@says("Partners change api in staging only.")
forbid (principal in Team::"partner", action in Action::"change", resource)
unless { resource == System::"api@staging" };
"#;
