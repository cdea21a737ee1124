//! Who could do what, of a folder with many systems: `quarterdeck access`.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

const RECYCLE: &str = r#"
summary  = "For a test"
effect   = "danger"
subject  = "{system}@{env}"
examples = ["recycle s0 staging 'the leak'", "recycle s1 production 'an incident'"]
[[argument]]
name = "system"
type = "system"
[[argument]]
name    = "env"
type    = "choice"
choices = ["staging", "production"]
[[argument]]
name = "reason"
type = "text"
[run]
executor  = "process"
program   = "/bin/echo"
arguments = ["{system}", "{env}", "{reason}"]
"#;

const RULES: &str = r#"
@id("reload") permit (principal in Team::"leads", action == Action::"reload", resource);
@id("web") permit (principal in Team::"web", action == Action::"recycle", resource);
@id("sure") @says("Be sure.") @remedy("confirm")
forbid (principal, action == Action::"recycle", resource in Environment::"production") unless { context.confirmed };
@id("two") @says("Two leads and one of the database's.") @remedy("approval") @by("leads, database") @count("2")
forbid (principal, action == Action::"recycle", resource in Environment::"production")
unless { context.approvals.leads >= 2 && context.approvals.database >= 2 && context.approvals.total >= 4 };
@id("reasons") @says("Not for a whim.")
forbid (principal, action == Action::"recycle", resource)
when { resource in System::"s7" && context.arguments.reason != "an incident" };
@id("never") @says("Never.")
forbid (principal, action == Action::"recycle", resource in System::"s13");
"#;

/// The example with forty systems more, one command that takes them all, and rules of its own.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/example/ops");
    let copied = Command::new("cp").arg("-rT").arg(&example).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    let path = |path: &str| folder.path().join(path);
    let system = fs::read_to_string(path("systems/api.toml")).unwrap();
    for number in 0..40 {
        fs::write(path(&format!("systems/s{number}.toml")), &system).unwrap();
    }
    fs::write(path("commands/recycle.toml"), RECYCLE).unwrap();
    let room = fs::read_to_string(path("rooms/deploy.toml")).unwrap();
    fs::write(path("rooms/deploy.toml"), room.replacen("commands = [", "commands = [\"recycle\", ", 1))
        .unwrap();
    fs::remove_dir_all(path("policies")).unwrap();
    fs::create_dir(path("policies")).unwrap();
    fs::write(path("policies/rules.cedar"), RULES).unwrap();
    folder
}

fn access(folder: &Path, more: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarterdeck"));
    command.arg("access").arg(folder).args(more);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_system_is_tried_with_the_texts_of_the_examples_and_what_is_needed_is_told_in_full() {
    let folder = folder();
    let csv = access(folder.path(), &["--csv"]);
    let rows: Vec<_> = csv.lines().filter(|line| line.starts_with("web,recycle,")).collect();
    let systems = |environment: &str| -> BTreeSet<&str> {
        let of = rows.iter().map(|line| line.split(',').collect::<Vec<_>>());
        of.filter(|cells| cells[2] == environment).map(|cells| cells[3]).collect()
    };
    for environment in ["staging", "production"] {
        let there = systems(environment);
        for number in 0..40 {
            // What a text decides is found by the example that has it; what is always forbidden has no line.
            assert_eq!(
                there.contains(&*format!("s{number}")),
                number != 13,
                "s{number}@{environment}: {csv}"
            );
        }
    }
    for line in rows {
        let needs = line.splitn(5, ',').nth(4).unwrap();
        let expected =
            if line.contains(",production,") { "2 of database and 2 of leads and confirmation" } else { "" };
        assert_eq!(needs, expected, "{line}");
    }

    // For people: what is the same but for the system is one line.
    let table = access(folder.path(), &[]);
    let of_web: Vec<_> =
        table.lines().filter(|line| line.starts_with("web ") && line.contains(" recycle ")).collect();
    assert_eq!(of_web.len(), 2, "{table}");
    for line in of_web {
        assert!(line.contains("s0, s1, s10, s11, s12, s14,") && line.contains(" s7,"), "{line}");
    }
}
