//! Neither a permit nor a warrant can be made, copied or used twice by anybody outside: each file of `tests/forged` is a crate of
//! its own that tries, and is refused by the compiler in the words beside it.
//!
//! Against what cargo has built already: nothing is compiled but these few lines. Where the compiler's words have changed,
//! `QUARTERDECK_REWRITE=1` writes them anew, to be read before they are believed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// What the crates may use, with the libraries that these tests themselves were built with.
fn libraries() -> BTreeMap<String, PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--no-run", "--test", "it", "--locked", "--offline", "--message-format=json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let name = message["target"]["name"].as_str().unwrap_or_default();
        let library = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let library = library.map(PathBuf::from).find(|path| path.extension().is_some_and(|it| it == "rlib"));
        if ["quarterdeck", "ruma", "serde_json", "tokio_util"].contains(&name)
            && let Some(library) = library
        {
            found.insert(name.to_owned(), library);
        }
    }
    assert_eq!(found.len(), 4, "{found:?}");
    found
}

/// Compiles one file as a crate outside ours; gives what the compiler says, a line each, if it refuses.
fn refused(file: &str, libraries: &BTreeMap<String, PathBuf>, out: &Path) -> Option<String> {
    let dependencies = libraries["ruma"].parent().unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc
        .args([
            "--edition=2024",
            "--crate-type=lib",
            "--emit=metadata",
            "--error-format=short",
            "--cap-lints=allow",
        ])
        .arg("-L")
        .arg(format!("dependency={}", dependencies.display()))
        .arg("--out-dir")
        .arg(out)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forged"));
    for (name, path) in libraries {
        rustc.arg("--extern").arg(format!("{name}={}", path.display()));
    }
    let output = rustc.arg(file).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (!output.status.success()).then(|| {
        let lines = said.lines().filter(|line| line.starts_with(file));
        lines.flat_map(|line| [line, "\n"]).collect()
    })
}

#[test]
fn the_compiler_refuses_each_way_to_forge_a_permit_or_a_warrant() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forged");
    let (libraries, out) = (libraries(), tempfile::tempdir().unwrap());
    assert_eq!(
        refused("harmless.rs", &libraries, out.path()),
        None,
        "what is right compiles, or nothing is shown"
    );
    let mut tried = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".rs").filter(|name| *name != "harmless") else { continue };
        let said = refused(&file, &libraries, out.path()).unwrap_or_else(|| panic!("{file} compiles"));
        let beside = folder.join(format!("{name}.stderr"));
        if std::env::var_os("QUARTERDECK_REWRITE").is_some() {
            fs::write(&beside, &said).unwrap();
        }
        assert_eq!(said, fs::read_to_string(&beside).unwrap_or_default(), "{file}");
        tried.push(name.to_owned());
    }
    for of in ["permit", "warrant"] {
        for way in ["made", "changed", "cloned", "copied", "used_twice", "defaulted", "read"] {
            assert!(tried.contains(&format!("{of}_{way}")), "nobody tries {of}_{way}: {tried:?}");
        }
    }
}
