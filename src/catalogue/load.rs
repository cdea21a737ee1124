//! The ops folder, read whole and validated whole.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::tz::TimeZone;

use super::{
    Document, Listing, Listings, Mistake, Ops, PolicyFile, Room, SecretSource,
    links::{self, Everything},
    names::{did_you_mean, is_name, is_word},
    problems::{Place, Problems},
    read::{self, References, Source},
};
use crate::model::Digest;

/// What an ops folder holds, with what stands in each of its folders.
const FOLDERS: &[(&str, &[&str])] = &[
    ("rooms", &["toml"]),
    ("teams", &["toml"]),
    ("systems", &["toml"]),
    ("commands", &["toml"]),
    ("policies", &["cedar"]),
    ("docs", &["md"]),
    ("hosts", &["toml"]),
    ("endpoints", &["toml"]),
    ("secrets", &["toml", "age"]),
    ("facts", &["toml"]),
];

/// The settings' file.
const SETTINGS: &str = "quarterdeck.toml";

/// Reads an ops folder. `environment` overrides settings.
///
/// # Errors
///
/// Every mistake in the folder, by file and line.
pub fn load(folder: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Ops, Vec<Mistake>> {
    load_listed(folder, &Listings::new(), environment)
}

/// As [`load`], with what endpoints are known to offer: that counts instead of what the folder itself holds of it.
///
/// # Errors
///
/// Every mistake in the folder, by file and line.
pub fn load_listed(
    folder: &Path,
    listings: &Listings,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Ops, Vec<Mistake>> {
    let problems = Problems::default();
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let Some(mut files) = read_files(&folder, &problems) else { return Err(problems.into_sorted()) };
    put(&mut files, listings);
    from_files(folder, files, environment, problems, true)
}

/// The same version of a folder with other listings: nothing else of it is read again.
///
/// # Errors
///
/// Every mistake that comes of them, by file and line.
pub fn relisted(
    ops: &Ops,
    listings: &Listings,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Ops, Vec<Mistake>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut files = ops.files.iter().map(|(path, bytes)| (path.clone(), text(bytes))).collect();
    put(&mut files, listings);
    let next = from_files(ops.folder.clone(), files, environment, Problems::default(), false)?;
    Ok(Ops {
        settings: ops.settings.clone(),
        secrets: ops.secrets.clone(),
        commit: ops.commit.clone(),
        ..next
    })
}

/// Puts listings beside the endpoints that they are of.
fn put(files: &mut BTreeMap<String, String>, listings: &Listings) {
    for (key, listing) in listings {
        if files.contains_key(&format!("endpoints/{key}.toml")) {
            files.insert(format!("endpoints/{key}.json"), listing.text());
        }
    }
}

/// Reads a version of an ops folder that was in force, from its files as they were kept: without secrets.
///
/// # Errors
///
/// Every mistake, by file and line: it may have been written for an earlier version of Quarterdeck.
pub fn load_kept(
    files: BTreeMap<String, Vec<u8>>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Ops, Vec<Mistake>> {
    let problems = Problems::default();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let files = files.into_iter().map(|(path, bytes)| (path, text(bytes))).collect();
    from_files(PathBuf::from("/"), files, environment, problems, false)
}

fn from_files(
    folder: PathBuf,
    files: BTreeMap<String, String>,
    environment: &dyn Fn(&str) -> Option<String>,
    problems: Problems,
    with_secrets: bool,
) -> Result<Ops, Vec<Mistake>> {
    let mut references = References::default();
    let mut everything = Everything::default();
    let mut listings = Listings::new();
    let settings = files
        .get(SETTINGS)
        .and_then(|text| read::settings(&Source { path: SETTINGS, text }, &folder, environment, &problems));
    if !files.contains_key(SETTINGS) {
        problems.add(
            &Place::file(SETTINGS),
            "the file is missing",
            "An ops folder has one: copy deploy/example/ops/quarterdeck.toml and change it.",
        );
    }
    let mut rooms: BTreeMap<String, Room> = BTreeMap::new();
    for (path, text) in &files {
        let Some((kind, name)) = path.split_once('/') else { continue };
        let source = Source { path, text };
        let Some(key) = key(kind, name, &source, &problems) else { continue };
        if kind == "endpoints" && name.strip_suffix(".json").is_some() {
            match serde_json::from_str::<Listing>(text) {
                Ok(listing) => drop(listings.insert(key.to_owned(), listing)),
                Err(error) => problems.add(
                    &Place::file(path),
                    format!("this is no listing of an endpoint: {error}"),
                    "Take it out: the endpoint is asked what it offers.",
                ),
            }
            continue;
        }
        let owned = key.to_owned();
        // A name counts as declared even where its file has mistakes, so that these are told once.
        everything.declare(kind, key);
        match kind {
            "rooms" => rooms.extend(
                read::room(key, &source, settings.as_ref(), &mut references, &problems).map(|it| (owned, it)),
            ),
            "teams" => {
                everything.teams.insert(owned, read::team(key, &source, &problems));
            }
            "systems" => everything
                .systems
                .extend(read::system(key, &source, &mut references, &problems).map(|it| (owned, it))),
            "commands" => everything
                .commands
                .extend(read::command(key, &source, &mut references, &problems).map(|it| (owned, it))),
            "endpoints" => everything
                .endpoints
                .extend(read::endpoint(key, &source, &mut references, &problems).map(|it| (owned, it))),
            "hosts" => everything.hosts.extend(read::host(&source, &problems).map(|it| (owned, it))),
            "secrets" => {
                let encrypted = Path::new(path).extension().is_some_and(|found| found == "age");
                let read = if encrypted { read::sealed } else { read::secret };
                let before = read(&source, &problems).and_then(|it| everything.secrets.insert(owned, it));
                if before.is_some() {
                    problems.add(
                        &Place::file(path),
                        format!("\"{key}\" is both encrypted and by reference"),
                        "Remove secrets/NAME.toml or secrets/NAME.age.",
                    );
                }
            }
            "docs" => everything.documents.push(document(name, text)),
            "policies" if Path::new(path).extension().is_some_and(|found| found == "cedar") => {
                everything.policies.push(PolicyFile { path: path.clone(), text: text.clone() });
            }
            "policies" => {
                let zone = settings.as_ref().map_or(TimeZone::UTC, |settings| settings.time_zone.clone());
                everything.rule_tests.extend(read::rule_tests(&source, &zone, &problems));
            }
            "facts" => problems.add(
                &Place::file(path),
                "this version of Quarterdeck gathers no facts yet",
                "Take the folder facts/ out until it does.",
            ),
            _ => {}
        }
    }
    if !with_secrets {
        references.secrets.clear();
    }
    let has_identity = settings.as_ref().is_none_or(|settings| settings.secrets_identity.is_some());
    for (key, source) in &everything.secrets {
        if matches!(source, SecretSource::Sealed(_)) && !has_identity {
            problems.add(
                &Place::file(format!("secrets/{key}.age")),
                "it is encrypted, and quarterdeck.toml does not say what decrypts it",
                "Add [secrets] with identity = \"FILE\"; `quarterdeck secret key FILE` makes one.",
            );
        }
    }
    links::resolve(&mut everything, &mut rooms, &listings, &references, &problems);

    let mistakes = problems.into_sorted();
    let Some(settings) = settings.filter(|_| mistakes.is_empty()) else { return Err(mistakes) };
    let files: BTreeMap<String, Vec<u8>> = files
        .into_iter()
        .filter(|(path, _)| !path.starts_with("secrets/"))
        .map(|(path, text)| (path, text.into_bytes()))
        .collect();
    let digest = Digest::of_parts(files.iter().flat_map(|(path, bytes)| [path.as_bytes(), bytes.as_slice()]));
    let mut commands: BTreeMap<_, _> =
        everything.commands.into_iter().map(|(name, command)| (name, Arc::new(command))).collect();
    commands.extend(super::builtins().into_iter().map(|command| (command.name.clone(), command)));
    Ok(Ops {
        folder,
        settings,
        rooms,
        teams: everything.teams,
        systems: everything.systems,
        endpoints: everything.endpoints,
        commands,
        policies: everything.policies,
        rule_tests: everything.rule_tests,
        secrets: everything.secrets,
        documents: everything.documents,
        files,
        digest,
        // To know that a checkout is clean takes git itself, and processes start in `executor` alone.
        commit: None,
    })
}

/// The key that a file's name gives, checked; nothing for what has none.
fn key<'a>(kind: &str, name: &'a str, source: &Source<'_>, problems: &Problems) -> Option<&'a str> {
    if kind == "docs" {
        return Some(name);
    }
    let (key, _) = name.rsplit_once('.')?;
    let good = match kind {
        "systems" | "secrets" | "hosts" => is_word(key, "-_."),
        "policies" | "facts" => true,
        _ => is_name(key),
    };
    if !good {
        problems.add(
            &Place::file(source.path),
            format!("\"{key}\" is no good name"),
            "Rename the file: lower-case words joined by -, a letter first.",
        );
    }
    Some(key)
}

/// The first heading of a document, or its path.
fn document(path: &str, text: &str) -> Document {
    let title = text
        .lines()
        .find_map(|line| line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim()))
        .filter(|title| !title.is_empty())
        .unwrap_or(path);
    Document { path: path.to_owned(), title: title.to_owned(), text: text.to_owned() }
}

/// Every file that belongs to the folder, by its path with `/`. Nothing, where there is no folder.
fn read_files(folder: &Path, problems: &Problems) -> Option<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let entries = match entries(folder) {
        Ok(entries) => entries,
        Err(error) => {
            problems.add(
                &Place::file(folder.display().to_string()),
                format!("the ops folder cannot be read: {error}"),
                "Name a folder that holds quarterdeck.toml and is readable by this user.",
            );
            return None;
        }
    };
    for (name, path) in entries {
        if path.is_dir() {
            match FOLDERS.iter().find(|(folder, _)| *folder == name) {
                Some((kind, extensions)) => read_folder(&path, kind, extensions, &mut files, problems),
                None => {
                    if let Some(near) = super::nearest(&name, FOLDERS.iter().map(|(folder, _)| *folder)) {
                        problems.add(
                            &Place::file(name.clone()),
                            "this folder is not read",
                            format!("Did you mean {near}/? Otherwise move it out of the ops folder."),
                        );
                    }
                }
            }
        } else if name == SETTINGS {
            read_file(&path, SETTINGS, &mut files, problems);
        } else if let Some(stem) = name.strip_suffix(".toml") {
            problems.add(
                &Place::file(name.clone()),
                "this file is not read",
                did_you_mean(stem, ["quarterdeck"], || {
                    "Move it into rooms/, teams/, systems/, commands/, endpoints/, hosts/ or secrets/, or take it out."
                        .to_owned()
                }),
            );
        }
    }
    Some(files)
}

/// The files of one folder; documents and policies may lie in folders of their own.
fn read_folder(
    folder: &Path,
    path: &str,
    extensions: &[&str],
    files: &mut BTreeMap<String, String>,
    problems: &Problems,
) {
    let entries = match entries(folder) {
        Ok(entries) => entries,
        Err(error) => {
            problems.add(
                &Place::file(path),
                format!("the folder cannot be read: {error}"),
                "Make it readable by this user.",
            );
            return;
        }
    };
    for (name, full) in entries {
        let path = format!("{path}/{name}");
        if full.is_dir() {
            match path.as_str() {
                "policies/tests" => read_folder(&full, &path, &["toml"], files, problems),
                _ if path.starts_with("docs/") => read_folder(&full, &path, extensions, files, problems),
                _ => problems.add(
                    &Place::file(path),
                    "this folder is not read",
                    "Move its files up, or take it out.",
                ),
            }
        } else if full.extension().is_some_and(|found| extensions.iter().any(|extension| found == *extension))
            || (path.starts_with("endpoints/") && path.strip_suffix(".json").is_some())
        {
            read_file(&full, &path, files, problems);
        } else if !path.starts_with("docs/") {
            problems.add(
                &Place::file(path),
                "this file is not read",
                format!("Files here end in .{}: rename it, or take it out.", extensions.join(" or .")),
            );
        }
    }
}

fn read_file(full: &Path, path: &str, files: &mut BTreeMap<String, String>, problems: &Problems) {
    match std::fs::read_to_string(full) {
        Ok(text) => {
            files.insert(path.to_owned(), text);
        }
        Err(error) => problems.add(
            &Place::file(path),
            format!("the file cannot be read: {error}"),
            if Path::new(path).extension().is_some_and(|found| found == "age") {
                "Make it readable, and a text: `age --armor`, or `quarterdeck secret set NAME`."
            } else {
                "Make it a text in UTF-8 that this user may read."
            },
        ),
    }
}

/// What lies in a folder, in order, without what is hidden.
fn entries(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}
