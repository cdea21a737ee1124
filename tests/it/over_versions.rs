//! What was decided under one version of the rules, looked at from another: `rules replay`, `access --at`.

use std::{fs, path::Path};

use quarterdeck::model::{Clock as _, SystemClock};

use crate::{
    approvals::{Company, RULES, number},
    harness::World,
};

/// A folder beside the one in force, with these rules.
fn beside(company: &Company, rules: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(company.ops.path(), folder.path());
    fs::write(folder.path().join("policies/rules.cedar"), rules).unwrap();
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a subcommand prints, which must succeed.
fn printed(world: &World, arguments: &[&str]) -> String {
    let output = world.quarterdeck(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn what_people_did_is_decided_again_under_another_folder_and_only_the_differences_are_told() {
    let company = Company::start().await;
    assert_eq!(company.ask_as(&company.bob, "!deploy web staging v1").await.state, "succeeded");
    assert_eq!(company.ask_as(&company.dave, "!deploy web staging v2").await.state, "refused");
    // Approved then, it would be approved now: who approved is in the record.
    let (command, prompt) = company.waits("!deploy web production v3").await;
    company.react(&company.carol, &prompt, "✅").await;
    assert_eq!(company.ends(&command).await.state, "succeeded");
    let (asked, ops) = (number(&prompt), company.ops.path().to_str().unwrap());
    let replay = |folder: &tempfile::TempDir| {
        let text = printed(
            &company,
            &["rules", "replay", "--since", "1h", folder.path().to_str().unwrap(), "--ops", ops],
        );
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let summary = lines.pop().unwrap();
        (lines.join("\n"), summary)
    };

    let (differences, summary) = replay(&beside(&company, RULES));
    assert_eq!(differences, "");
    assert!(summary.ends_with("none would have been another"), "{summary}");

    let others = format!(
        "{RULES}
@id(\"staging-is-closed\") @says(\"Staging is being rebuilt.\")
forbid (principal in Team::\"web\", action == Action::\"deploy\", resource in Environment::\"staging\");
@id(\"ops-too\")
permit (principal in Team::\"ops\", action == Action::\"deploy\", resource in Environment::\"staging\");"
    );
    let (differences, summary) = replay(&beside(&company, &others));
    assert!(summary.ends_with("2 would have been others"), "{differences}\n{summary}");
    for told in [
        format!("{} in deploy: deploy --app web --env staging --version v1", company.bob.id),
        "was permitted by changing, would be refused by staging-is-closed".to_owned(),
        format!("{} in deploy: deploy --app web --env staging --version v2", company.dave.id),
        "was refused, because no rule permits it, would be permitted by ops-too".to_owned(),
    ] {
        assert!(differences.contains(&told), "{told} in {differences}");
    }

    // Two approvals instead of one: what went through with one would wait.
    let stricter = RULES
        .replace("@by(\"leads\") @count(\"1\")", "@by(\"leads\") @count(\"2\")")
        .replace("context.approvals.leads >= 1", "context.approvals.leads >= 2");
    let (differences, summary) = replay(&beside(&company, &stricter));
    assert!(summary.contains("would have been others"), "{summary}");
    assert!(
        differences.lines().all(|line| line.starts_with("  ") || line.starts_with(&asked.to_string())),
        "{differences}"
    );
    assert!(differences.contains("would be held back until somebody approves"), "{differences}");
    assert_eq!(differences.matches("was permitted").count(), 1, "{differences}");

    // Nothing ran, and that the log was read is in the log.
    assert_eq!(company.ops.traced(), ["deploy web staging v1", "deploy web production v3"]);
    assert_eq!(company.count("SELECT count(*) FROM entries WHERE kind = 'audit.read'").await, 3);
}

#[tokio::test]
async fn who_could_do_what_is_told_from_the_version_that_was_in_force_then() {
    let company = Company::start().await;
    let before = SystemClock.now();
    let loosened = RULES
        .replace(
            "resource in Environment::\"production\")\nunless { context.approvals.leads >= 1 }",
            "resource in Environment::\"production\")\nunless { context.approvals.leads >= 2 }",
        )
        .replace("@by(\"leads\") @count(\"1\")", "@by(\"leads\") @count(\"2\")");
    assert_ne!(loosened, RULES);
    company.reload(&loosened, true).await;
    let after = SystemClock.now();
    // What lies in the folder and is not in force counts for nothing.
    company.ops.file("policies/rules.cedar", RULES);

    let ops = company.ops.path().to_str().unwrap();
    let at = |at: jiff::Timestamp, csv: bool| {
        let at = at.to_string();
        let mut arguments = vec!["access", ops, "--at", &at];
        arguments.extend(csv.then_some("--csv"));
        printed(&company, &arguments)
    };
    let line = |text: &str, start: &str| {
        text.lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start}: {text}"))
            .to_owned()
    };
    let (then, now) = (at(before, true), at(after, true));
    assert_eq!(then.lines().next(), Some("who,command,environment,system,approvals"));
    for system in ["web", "api"] {
        let row = format!("web,deploy,production,{system},");
        assert_eq!(line(&then, &row), format!("{row}1 of leads"));
        assert_eq!(line(&now, &row), format!("{row}2 of leads"));
        assert_eq!(
            line(&then, &format!("web,deploy,staging,{system},")),
            line(&now, &format!("web,deploy,staging,{system},"))
        );
    }
    assert!(!then.contains("ops,deploy"), "whom no rule permits has no line: {then}");
    let table = at(before, false);
    assert!(
        table.lines().next().unwrap().contains(&before.strftime("%Y-%m-%d %H:%M UTC").to_string()),
        "{table}"
    );
    assert!(table.contains("1 of leads") && !table.contains("2 of leads"), "{table}");

    // Before anything was in force there is nothing to tell.
    let long_ago = company.quarterdeck(&["access", ops, "--at", "2020-01-01"]);
    assert!(!long_ago.status.success());
    let error = String::from_utf8_lossy(&long_ago.stderr).into_owned();
    assert!(error.contains("no version that was in force at 2020-01-01T12:00:00Z"), "{error}");
}
