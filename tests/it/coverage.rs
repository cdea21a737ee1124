//! Nothing that can be done or recorded is without a test: kinds of entries, built-in commands, routes, kill points.
//!
//! A mention is no proof, but what is not even mentioned is surely not tested. The test that names a thing says, by its
//! own name, what it shows of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use quarterdeck::{catalogue, model::fault::Point};

/// Every Rust file below a folder, with its text.
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

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of all tests but this one: those beside the code, too.
fn tests() -> String {
    let beside = files(&root().join("src")).into_iter().filter_map(|(path, text)| {
        let whole = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        if whole { Some(text) } else { text.split_once("#[cfg(test)]").map(|(_, tests)| tests.to_owned()) }
    });
    let own = files(&root().join("tests")).into_iter().filter(|(path, _)| !path.ends_with("coverage.rs"));
    own.map(|(_, text)| text).chain(beside).collect::<Vec<_>>().join("\n")
}

/// The code below a folder of src/, without its tests.
fn code(folder: &str) -> String {
    let texts = files(&root().join("src").join(folder)).into_iter().map(|(_, text)| text);
    let code = texts.map(|text| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned());
    code.collect::<Vec<_>>().join("\n")
}

/// What stands between `opening` and the next quotation mark, each time.
fn quoted(text: &str, opening: &str) -> Vec<String> {
    text.split(opening).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// Fails with all that no test mentions.
fn all_mentioned(what: &str, wanted: &[(String, String)]) {
    let tests = tests();
    let missing: Vec<_> =
        wanted.iter().filter(|(_, mention)| !tests.contains(mention)).map(|(name, _)| name).collect();
    assert!(
        missing.is_empty(),
        "no test mentions these {what}: {missing:?}. Write one that shows what each is for"
    );
}

#[test]
fn every_kind_of_audit_entry_is_shown_by_a_test() {
    let kinds = quoted(&code("model"), "#[serde(rename = \"");
    let kinds: Vec<_> = kinds.into_iter().filter(|kind| kind.contains('.')).collect();
    assert!(kinds.len() >= 20, "the kinds are written in another way than this test knows: {kinds:?}");
    let wanted: Vec<_> = kinds.into_iter().map(|kind| (kind.clone(), kind)).collect();
    all_mentioned("kinds of audit entries", &wanted);
}

#[test]
fn every_built_in_command_is_shown_by_a_test() {
    let names = catalogue::builtins().into_iter().map(|command| command.name.clone());
    let wanted: Vec<_> = names.map(|name| (name.clone(), format!("\"!{name}"))).collect();
    all_mentioned("built-in commands", &wanted);
}

#[test]
fn every_route_is_shown_by_a_test() {
    let routes: Vec<_> =
        ["appservice", "web"].iter().flat_map(|folder| quoted(&code(folder), ".route(\"")).collect();
    assert!(routes.len() >= 8, "the routes are written in another way than this test knows: {routes:?}");
    let fixed = |route: &str| route.split('{').next().unwrap_or_default().to_owned();
    let wanted: Vec<_> = routes.into_iter().map(|route| (route.clone(), fixed(&route))).collect();
    all_mentioned("routes", &wanted);
}

#[test]
fn every_kill_point_is_shown_by_a_test() {
    let wanted: Vec<_> =
        Point::ALL.iter().map(|point| (format!("{point:?}"), format!("{point:?}"))).collect();
    all_mentioned("kill points", &wanted);
}
