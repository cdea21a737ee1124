//! The house's own rules, read off its source: which floor may use which, and who may do what.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The floor of each module, as docs/ARCHITECTURE.md tells them.
const FLOORS: &[(&str, u8)] = &[
    ("cli", 7),
    ("dispatch", 6),
    ("web", 6),
    ("appservice", 5),
    ("audit", 5),
    ("executor", 5),
    ("knowledge", 5),
    ("matrix", 5),
    ("storage", 4),
    ("command", 3),
    ("policy", 3),
    ("catalogue", 2),
    ("model", 1),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every Rust file below `folder`, with its text.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// The text without comments: a doc link may point anywhere.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules named after each `crate::`, those in braces included.
fn used(text: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0_i32;
            let mut word = String::new();
            for character in list.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => modules.push(std::mem::take(&mut word)),
                    _ if depth == 0 => word.push(character),
                    _ => {}
                }
            }
            modules.push(word);
        } else {
            modules.push(rest.to_owned());
        }
    }
    modules
        .iter()
        .map(|path| path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn modules_use_only_the_floors_below_them() {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let mut arrows = Vec::new();
    for (module, floor) in &floors {
        for (path, text) in files(&source().join(module)) {
            for other in used(&code(&text)) {
                let Some(target) = floors.get(other.as_str()) else { continue };
                if other != *module && target >= floor {
                    arrows.push(format!("{}: {module} uses {other}", path.display()));
                }
            }
        }
    }
    assert!(arrows.is_empty(), "arrows that run up or across:\n{}", arrows.join("\n"));
}

#[test]
fn every_module_stands_on_a_floor() {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    for entry in fs::read_dir(source()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(floors.contains_key(name), "src/{name} stands on no floor");
            let head = fs::read_to_string(path.join("mod.rs")).unwrap();
            assert!(head.starts_with("//!"), "src/{name}/mod.rs says nothing of itself");
        }
    }
}

/// Asserts that `needle` stands in the code of no file but those whose path contains one of `allowed`.
fn only_in(needles: &[&str], allowed: &[&str]) {
    let mut found = Vec::new();
    for (path, text) in files(&source()) {
        let shown = path.strip_prefix(source()).unwrap().display().to_string();
        if allowed.iter().any(|place| shown.starts_with(place)) {
            continue;
        }
        let code = code(&text);
        found.extend(needles.iter().filter(|n| names(&code, n)).map(|n| format!("{shown}: {n}")));
    }
    assert!(found.is_empty(), "outside {allowed:?}:\n{}", found.join("\n"));
}

/// Whether `needle` stands in `code`, and not as the end of a longer name.
fn names(code: &str, needle: &str) -> bool {
    code.match_indices(needle).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn programs_are_started_by_the_executor_alone() {
    only_in(&["process::Command", "tokio::process", "CommandExt"], &["executor/"]);
}

#[test]
fn the_rules_read_no_file_no_network_and_no_environment() {
    for (path, text) in files(&source().join("policy")) {
        let shown = path.display().to_string();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for forbidden in
            ["std::fs", "std::env", "std::net", "std::process", "tokio", "reqwest", "sqlx", "async fn"]
        {
            let found =
                code.lines().find(|line| line.contains(forbidden) && !line.trim_start().starts_with("//"));
            let is_test = shown.contains("policy/tests/") || shown.ends_with("policy/tests.rs");
            assert!(is_test || found.is_none(), "{shown}: {found:?}");
        }
    }
}

#[test]
fn sql_is_spoken_by_storage_alone() {
    only_in(&["sqlx::query", "sqlx::raw_sql", "QueryBuilder"], &["storage/"]);
}

#[test]
fn permits_are_made_by_policy_alone_and_warrants_by_the_start_alone() {
    only_in(&["Permit {"], &["policy/"]);
    only_in(&["Warrant {"], &["storage/start.rs"]);
    for (path, text) in files(&source()) {
        let shown = path.display().to_string();
        if !text.contains("pub struct Permit") && !text.contains("pub struct Warrant") {
            continue;
        }
        for (at, _) in text.match_indices("pub(") {
            // To the end of its head, however it is broken into lines and whatever the type is wrapped in.
            let head = text[at..].split(['{', ';']).next().unwrap_or_default();
            let given = head.split_once("->").map_or("", |(_, given)| given);
            let makes = ["Permit", "Warrant", "Self"].iter().any(|it| given.contains(it));
            assert!(!makes, "{shown} has a constructor that others can reach: {head}");
        }
    }
}

#[test]
fn files_are_small_enough_to_be_read_at_a_sitting() {
    let long: Vec<_> = files(&source())
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > 500)
        .collect();
    assert!(long.is_empty(), "over 500 lines: {long:?}");
}
