//! A new command in ten minutes: `docs/tutorial.md` is walked as it stands, on a copy of the example.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// The program under test.
const QUARTERDECK: &str = env!("CARGO_BIN_EXE_quarterdeck");

/// A folder in which the repository's `deploy` is found, as in a checkout.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy"), folder.path().join("deploy")).unwrap();
        Self(folder)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Runs a line of a page, in a shell whose PATH begins with the program's folder.
    fn run(&self, line: &str) -> Said {
        let programs = Path::new(QUARTERDECK).parent().unwrap().display();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line).current_dir(self.0.path()).env("PATH", format!("{programs}:{path}"));
        // The settings of a running server are none of the tutorial's.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUARTERDECK_")) {
            shell.env_remove(name);
        }
        Said::of(line, &shell.output().unwrap())
    }
}

/// What a program said, and how it ended.
struct Said {
    line: String,
    text: String,
    status: i32,
}

impl Said {
    fn of(line: &str, output: &Output) -> Self {
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
        Self { line: line.to_owned(), text, status: output.status.code().unwrap_or(-1) }
    }

    fn ends_with(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.line, self.text);
        self
    }

    fn says(self, part: &str) -> Self {
        assert!(self.text.contains(part), "{}: nothing of {part:?} in\n{}", self.line, self.text);
        self
    }

    fn says_nothing_of(self, part: &str) -> Self {
        assert!(!self.text.contains(part), "{}: {part:?} in\n{}", self.line, self.text);
        self
    }
}

/// A block of the page that belongs to the walk: a file to write, or lines to run.
enum Step {
    Write { file: String, text: String },
    Run(Vec<String>),
}

fn steps() -> Vec<Step> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tutorial.md")).unwrap();
    let mut steps = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else { continue };
        let block: Vec<String> =
            lines.by_ref().take_while(|line| *line != "```").map(str::to_owned).collect();
        if !info.contains("test=tutorial") {
            continue;
        }
        steps.push(match info.split_whitespace().find_map(|word| word.strip_prefix("file=")) {
            Some(file) => Step::Write { file: file.to_owned(), text: block.join("\n") + "\n" },
            None => Step::Run(block),
        });
    }
    steps
}

#[test]
fn the_tutorial_works_line_by_line() {
    let desk = Desk::new();
    let mut said = Vec::new();
    for step in steps() {
        match step {
            Step::Write { file, text } => {
                assert!(desk.path(&file).exists(), "{file} is there before it is edited");
                fs::write(desk.path(&file), text).unwrap();
            }
            Step::Run(lines) => said.extend(lines.iter().map(|line| desk.run(line))),
        }
    }
    let mut said = said.into_iter();
    let mut next = |begins: &str| {
        let said = said.next().unwrap();
        assert!(said.line.starts_with(begins), "{}", said.line);
        said
    };
    next("cp ").ends_with(0);
    next("quarterdeck new").ends_with(0).says("my-ops/commands/files.toml").says("quarterdeck check my-ops");
    next("quarterdeck check").ends_with(0).says("can come into force").says_nothing_of("warning");
    next("quarterdeck try")
        .ends_with(0)
        .says("permitted by")
        .says("/opt/ops/largest-files")
        .says("--count=10")
        .says("Nothing was run");
    next("quarterdeck try").ends_with(2).says("folder is text like").says("!files /var/log");
    next("quarterdeck try").ends_with(1).says("@mallory:example.org");
    assert!(said.next().is_none(), "a line of the page that is not looked at");
}

#[test]
fn a_new_command_is_right_before_anything_is_changed_and_is_not_overwritten() {
    let desk = Desk::new();
    desk.run("cp -a deploy/example/ops my-ops").ends_with(0);
    desk.run("quarterdeck new command hello-there --ops my-ops").ends_with(0);
    desk.run("quarterdeck check my-ops")
        .ends_with(0)
        .says("commands/hello-there.toml: warning: no room lists it");
    desk.run("quarterdeck new command hello-there --ops my-ops").ends_with(1).says("stays as it is");
    for name in ["Hello", "help", "approve", "../x", "a b", "run"] {
        desk.run(&format!("quarterdeck new command '{name}' --ops my-ops"))
            .ends_with(1)
            .says("cannot be called");
    }
    desk.run("quarterdeck new command hello --ops deploy").ends_with(1).says("is no ops folder");
}

#[test]
fn check_tells_every_mistake_of_files_lines_and_rules_with_its_place() {
    let desk = Desk::new();
    desk.run("cp -a deploy/example/ops my-ops").ends_with(0);
    fs::write(
        desk.path("my-ops/rooms/extra.toml"),
        "name = \"Extra\"\npurpose = \"More\"\ncommands = [\"deplyo\"]\nteams = [\"wbe\"]\njoin = \"opn\"\n",
    )
    .unwrap();
    desk.run("quarterdeck check my-ops")
        .ends_with(1)
        .says("rooms/extra.toml:3: no command is called \"deplyo\"\n    Did you mean \"deploy\"?")
        .says("rooms/extra.toml:4: no team is called \"wbe\"\n    Did you mean \"web\"?")
        .says("rooms/extra.toml:5: join = \"opn\" is not known\n    Did you mean \"open\"?")
        .says("my-ops: 3 mistakes");
    fs::remove_file(desk.path("my-ops/rooms/extra.toml")).unwrap();

    let system = desk.path("my-ops/systems/web.toml");
    let text = fs::read_to_string(&system).unwrap();
    fs::write(&system, text.replace("web-status web staging", "web-sttus web staging")).unwrap();
    fs::write(
        desk.path("my-ops/policies/wrong.cedar"),
        "@id(\"wrong\")\npermit (principal in Team::\"web\", action == Action::\"deplyo\", resource);\n",
    )
    .unwrap();
    desk.run("quarterdeck check my-ops")
        .ends_with(1)
        .says("the status line \"web-sttus web staging\" cannot be read")
        .says("policies/wrong.cedar:");
}

#[test]
fn check_tells_whose_eyes_make_an_answer_private() {
    let desk = Desk::new();
    desk.run("cp -a deploy/example/ops my-ops").ends_with(0);
    let told = "rooms/deploy.toml: note: those of team `partner` may not all read what is printed by";
    desk.run("quarterdeck check my-ops").ends_with(0).says_nothing_of(told);
    let rules = desk.path("my-ops/policies/reading.cedar");
    let text = fs::read_to_string(&rules).unwrap();
    let (before, after) = text.split_once("@id(\"output-for-partners\")").unwrap();
    let after = after.split_once(';').unwrap().1;
    fs::write(&rules, format!("{before}{after}")).unwrap();
    fs::remove_dir_all(desk.path("my-ops/policies/tests")).unwrap();
    let said = desk.run("quarterdeck check my-ops").ends_with(0);
    said.says(told)
        .says("`deploy`")
        .says("It goes to who asks alone, and the room sees how it ended")
        .says("rooms/status.toml: note: those who come in by the open door and those of team `partner` may not all read")
        .says("policies/tests: note: no rule test holds 20 rules");
}

#[test]
fn check_tells_which_case_fails_and_which_rule_no_case_would_miss() {
    let desk = Desk::new();
    desk.run("cp -a deploy/example/ops my-ops").ends_with(0);
    desk.run("quarterdeck check --mutate my-ops").ends_with(0).says_nothing_of("no rule test notices");
    let cases = desk.path("my-ops/policies/tests/production.toml");
    let text = fs::read_to_string(&cases).unwrap();
    let (before, after) = text.split_once("[[test]]\nname   = \"A release in production waits").unwrap();
    let rest = after.split_once("[[test]]\nname   = \"Another lead").unwrap().1;
    fs::write(&cases, format!("{before}[[test]]\nname   = \"Another lead{rest}")).unwrap();
    desk.run("quarterdeck check --mutate my-ops")
        .ends_with(1)
        .says("policies/production.cedar:")
        .says("no rule test notices when `two-person-rule` is");
    fs::write(&cases, text.replacen("waits_for = [\"leads\"]", "waits_for = [\"web\"]", 1)).unwrap();
    desk.run("quarterdeck check my-ops")
        .ends_with(1)
        .says("policies/tests/production.toml:28")
        .says("A release in production waits for another lead");
}

#[test]
fn a_line_is_tried_without_running_anything() {
    let desk = Desk::new();
    let attempt = |line: &str, who: &str| {
        desk.run(&format!("quarterdeck try '{line}' --ops deploy/example/ops --room deploy --as {who}"))
    };
    attempt("!deploy web staging v1.4.2", "@bob:example.org").ends_with(0).says("Nothing was run");
    attempt("!deploy web production v1.4.2", "@bob:example.org").ends_with(1).says("refused by");
    attempt("!depoly web staging", "@bob:example.org").ends_with(2).says("Did you mean `!deploy web staging");
    attempt("!restart web", "@bob:example.org")
        .ends_with(2)
        .says("There are two: `!restart web --env staging`, `!restart web --env production`");
}

#[test]
fn try_tells_apart_what_is_refused_and_what_waits_and_shows_what_somebodys_word_would_change() {
    let desk = Desk::new();
    let tried = |who: &str, further: &str| {
        let line = "deploy web production v1.4.2";
        let asked = format!("--ops deploy/example/ops --room deploy --at 2026-11-25T12:00:00Z {further}");
        desk.run(&format!("quarterdeck try '{line}' --as {who} {asked}"))
    };
    tried("@alice:example.org", "").ends_with(3).says("would wait").says_nothing_of("permitted by");
    tried("@alice:example.org", "--approved-by @bob:example.org").ends_with(0).says("permitted by");
    // One's own word is none, and who may do nothing there gains nothing by anybody's.
    tried("@alice:example.org", "--approved-by @alice:example.org").ends_with(3);
    tried("@carol:partner.example", "--approved-by @bob:example.org").ends_with(1).says("refused");
    tried("@alice:example.org", "--elevated no-such-team")
        .ends_with(2)
        .says("No team `no-such-team`")
        .says("web");
    tried("@alice:example.org", "--approved-by bob").ends_with(2).says("whole MXID");
}
