//! What the documentation shows is tried here: its files load, its commands are understood.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use quarterdeck::catalogue;

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A fenced block of a page.
pub struct Block {
    /// The words after the fence.
    pub info: String,
    /// What is in it.
    pub text: String,
}

impl Block {
    /// The value of `key=` among the words after the fence.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.info.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
}

/// The fenced blocks of a page of `docs/`.
pub fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join("docs").join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let text = lines
                .by_ref()
                .take_while(|line| *line != "```")
                .fold(String::new(), |all, line| all + line + "\n");
            blocks.push(Block { info: info.to_owned(), text });
        }
    }
    blocks
}

/// A copy of the example's ops folder.
pub fn example(folder: &Path) -> PathBuf {
    let ops = folder.join("ops");
    copy(&root().join("deploy/example/ops"), &ops);
    ops
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every mistake in a folder, a line each.
fn mistakes(ops: &Path) -> String {
    catalogue::load(ops, &|_| None)
        .err()
        .unwrap_or_default()
        .iter()
        .map(|mistake| mistake.to_string() + "\n")
        .collect()
}

#[test]
fn the_example_is_a_right_ops_folder() {
    assert_eq!(mistakes(&root().join("deploy/example/ops")), "");
}

#[test]
fn every_file_that_the_documentation_shows_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let ops = example(folder.path());
    let mut shown = 0;
    // The secrets that a page names and does not show.
    for secret in ["rundeck-token", "st2-key", "hubot-secret"] {
        fs::write(ops.join(format!("secrets/{secret}.toml")), "environment = \"X\"\n").unwrap();
    }
    for page in ["ops-folder.md", "commands.md", "adopting.md"] {
        for block in blocks(page) {
            let Some(file) = block.value("file") else { continue };
            fs::create_dir_all(ops.join(file).parent().unwrap()).unwrap();
            fs::write(ops.join(file), &block.text).unwrap();
            shown += 1;
        }
    }
    assert!(shown >= 7, "the pages show {shown} files");
    assert_eq!(mistakes(&ops), "");
}

#[test]
fn every_field_of_a_command_has_an_example_that_is_right() {
    // Each row of the tables names a field and, in its last column, a line that has it.
    let text = fs::read_to_string(root().join("docs/commands.md")).unwrap();
    let rows: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| Some((row.split_once('`')?.0, row.trim_end_matches(" |").rsplit_once("| ")?.1)))
        .collect();
    assert!(rows.len() > 30, "the tables have {} rows", rows.len());
    for (field, example) in rows {
        let example = example.trim_matches('`');
        let read = example.parse::<toml_edit::DocumentMut>();
        let read =
            read.unwrap_or_else(|error| panic!("`{field}`: the example `{example}` is no TOML: {error}"));
        let is_type = ["text", "integer", "boolean", "choice", "duration", "user", "room", "system", "list"]
            .contains(&field);
        assert!(
            is_type || read.contains_key(field),
            "`{field}`: the example `{example}` is of something else"
        );
    }
}

#[test]
fn every_metric_that_an_alert_watches_is_moved_somewhere_in_the_code() {
    let alerts = fs::read_to_string(root().join("deploy/alerts.yml")).unwrap();
    let watched: BTreeSet<&str> = alerts
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("expr:"))
        .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|word| word.starts_with("quarterdeck_"))
        .collect();
    assert!(watched.len() >= 7, "the alerts watch {watched:?}");
    let mut code = String::new();
    read_all(&root().join("src"), &mut code);
    for name in watched {
        let moved =
            ["counter!", "gauge!", "gauge"].iter().any(|by| code.contains(&format!("{by}(\"{name}\"")));
        assert!(moved, "deploy/alerts.yml watches {name}, which nothing in src/ moves");
    }
}

/// The text of every file below a folder.
pub fn read_all(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_rule_and_its_case_in_the_readme_are_the_examples() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let readme = read("README.md");
    for (fence, file) in [
        ("```cedar\n", "deploy/example/ops/policies/production.cedar"),
        ("```toml\n", "deploy/example/ops/policies/tests/production.toml"),
    ] {
        let block = readme.split_once(fence).unwrap().1.split_once("```").unwrap().0;
        assert!(read(file).contains(block), "{file} does not have\n{block}");
    }
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("deploy/example/README.md")];
    pages.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    for page in pages.iter().filter(|page| page.extension().is_some_and(|end| end == "md")) {
        let text = fs::read_to_string(page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            let there = target.contains("://") || page.parent().unwrap().join(file).exists();
            assert!(there, "{} links to {target}, which is not there", page.display());
        }
    }
}

/// What the loader knows in each section of a file: it says so of a field that it does not know.
fn known_fields(ops: &Path, file: &str, text: &str) -> BTreeSet<String> {
    fs::create_dir_all(ops.join(file).parent().unwrap()).unwrap();
    fs::write(ops.join(file), text).unwrap();
    let known: BTreeSet<String> = mistakes(ops)
        .lines()
        .filter(|line| line.starts_with(file))
        .filter_map(|line| line.rsplit_once("Known here: "))
        .flat_map(|(_, fields)| {
            fields.trim_end_matches('.').split(", ").map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert!(!known.is_empty(), "nothing was said of the unknown fields of {file}:\n{}", mistakes(ops));
    known
}

#[test]
fn every_field_that_the_loader_knows_is_documented() {
    let folder = tempfile::tempdir().unwrap();
    let ops = example(folder.path());
    let unknown = "zzzzzzzzzz = 1\n";
    let types = ["text", "integer", "boolean", "choice", "duration", "user", "room", "system", "list"];
    let one = |kind: &str| {
        format!(
            "[[argument]]\n{unknown}name = \"a-{kind}\"\ntype = \"{kind}\"\nchoices = [\"a\"]\nitems = \"text\"\n"
        )
    };
    let arguments = types.map(one).concat();
    let command = format!(
        "{unknown}{arguments}[run]\n{unknown}executor = \"process\"\nprogram = \"/bin/true\"\n[run.limits]\n{unknown}"
    );
    let request = format!("summary = \"x\"\n[run]\n{unknown}executor = \"http\"\n[run.poll]\n{unknown}");
    let remote = format!("summary = \"x\"\n[run]\n{unknown}executor = \"ssh\"\n");
    let settings = format!(
        "{unknown}[homeserver]\n{unknown}[database]\n{unknown}[space]\n{unknown}[limits]\n{unknown}\
             [secrets]\n{unknown}[local]\n{unknown}[ops]\n{unknown}[approvals]\n{unknown}[web]\n{unknown}\
             [audit]\n{unknown}[[audit.witness]]\n{unknown}"
    );
    let method = format!("summary = \"x\"\n[run]\n{unknown}executor = \"chatops_rpc\"\n");
    let timed = format!(
        "summary = \"x\"\neffect = \"read\"\n[run]\nexecutor = \"process\"\nprogram = \"/bin/true\"\n[schedule]\n{unknown}"
    );
    for (page, file, text) in [
        ("commands.md", "commands/all-fields.toml", &command),
        ("commands.md", "commands/all-fields.toml", &request),
        ("commands.md", "commands/all-fields.toml", &remote),
        ("commands.md", "commands/all-fields.toml", &method),
        ("commands.md", "commands/all-fields.toml", &timed),
        ("ops-folder.md", "endpoints/all-fields.toml", &unknown.to_owned()),
        ("rules.md", "policies/tests/all-fields.toml", &format!("[[test]]\n{unknown}")),
        ("ops-folder.md", "hosts/web1.toml", &unknown.to_owned()),
        ("ops-folder.md", "rooms/deploy.toml", &unknown.to_owned()),
        ("ops-folder.md", "teams/web.toml", &format!("{unknown}[[local]]\n{unknown}")),
        ("ops-folder.md", "systems/web.toml", &unknown.to_owned()),
        ("ops-folder.md", "secrets/backup-database-url.toml", &unknown.to_owned()),
        ("ops-folder.md", "quarterdeck.toml", &settings),
    ] {
        let words = fs::read_to_string(root().join("docs").join(page)).unwrap();
        for field in known_fields(&ops, file, text) {
            let named =
                words.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == field);
            assert!(named, "docs/{page} does not tell of `{field}` of {file}");
        }
    }
}

/// A number as a page writes it.
fn word(number: usize) -> &'static str {
    const WORDS: [&str; 31] = [
        "no",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
        "twenty-one",
        "twenty-two",
        "twenty-three",
        "twenty-four",
        "twenty-five",
        "twenty-six",
        "twenty-seven",
        "twenty-eight",
        "twenty-nine",
        "thirty",
    ];
    WORDS[number]
}

#[test]
fn the_example_has_as_many_commands_as_its_page_says() {
    let folder = root().join("deploy/example/ops/commands");
    let texts: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let open = |text: &&String| {
        text.parse::<toml_edit::DocumentMut>().unwrap()["run"].get("sandbox").and_then(|it| it.as_str())
            == Some("none")
    };
    let (all, open) = (texts.len(), texts.iter().filter(open).count());
    let page = fs::read_to_string(root().join("deploy/example/README.md")).unwrap();
    for words in [
        format!("{} commands that really do something", word(all)),
        format!("the {} of the {} commands that run in a sandbox", word(all - open), word(all)),
    ] {
        assert!(page.contains(&words), "deploy/example/README.md does not say: {words}");
    }
}

#[test]
fn the_map_of_the_house_names_every_subcommand() {
    let code = fs::read_to_string(root().join("src/cli/mod.rs")).unwrap();
    let commands = code.split("enum Command {").nth(1).unwrap().split("\n}").next().unwrap();
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let listed = map.split("cli/ ").nth(1).unwrap().split("floor 6").next().unwrap();
    let listed: BTreeSet<&str> = listed.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let mut named = 0;
    for name in commands
        .lines()
        .filter_map(|line| line.trim().split_once("::Options)")?.0.split_once('('))
        .map(|it| it.0)
    {
        // What nobody types is not on the map.
        if name != "ExecRun" {
            assert!(
                listed.contains(name.to_lowercase().as_str()),
                "docs/ARCHITECTURE.md does not name {name}"
            );
            named += 1;
        }
    }
    assert!(named >= 15, "{named} subcommands were found");
}

#[test]
fn every_file_that_the_settings_name_is_in_the_table_of_what_to_back_up() {
    let shown = blocks("ops-folder.md")
        .into_iter()
        .find(|block| block.value("file") == Some("quarterdeck.toml"))
        .unwrap();
    let settings: toml_edit::DocumentMut = shown.text.parse().unwrap();
    let mut files = BTreeSet::new();
    let whole = |key: &str, item: &toml_edit::Item| {
        item.as_str().is_some_and(|it| it.starts_with('/') || it.starts_with("../")).then(|| key.to_owned())
    };
    for (key, item) in settings.iter() {
        files.extend(whole(key, item));
        for (inner, item) in item.as_table().into_iter().flat_map(|table| table.iter()) {
            files.extend(whole(&format!("{key}.{inner}"), item));
        }
    }
    let page = fs::read_to_string(root().join("docs/backup.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    for (setting, row) in [
        ("homeserver.registration", "`registration.yaml`"),
        ("audit.key", "`[audit] key`"),
        ("secrets.identity", "`[secrets] identity`"),
        ("retention.folder", "`[retention] folder`"),
    ] {
        assert!(files.remove(setting), "docs/ops-folder.md shows no `{setting}`");
        assert!(rows.iter().any(|line| line.contains(row)), "docs/backup.md has no row for {row}");
    }
    // Made anew at each start: what runs, and the socket.
    assert_eq!(
        files,
        BTreeSet::from(["local.socket".to_owned(), "state".to_owned()]),
        "is it in docs/backup.md?"
    );
    let counted =
        format!("in its database but {} things. Back up all {}", word(rows.len() - 1), word(rows.len()));
    assert!(page.contains(&counted), "docs/backup.md does not say: {counted}");
}
