//! A command's file, made of what a script says of itself: in a block of TOML in the comment at its top, in the rest of that
//! comment, or in what it prints at `--help`.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::usage::{self, Found, Usage};

/// A file to write.
#[derive(Debug)]
pub(super) struct Made {
    /// Its text.
    pub(super) text: String,
    /// What it was made of.
    pub(super) from: &'static str,
}

/// Makes the file of a program. `top` is the script's beginning, `help` what it printed at `--help`.
///
/// # Errors
///
/// A block of TOML in the script that cannot be read.
pub(super) fn write(program: &str, top: &str, help: Option<&str>) -> anyhow::Result<Made> {
    let comment = comment(top);
    if let Some(block) = block(&comment) {
        let document: DocumentMut =
            block.parse().context("the block after `quarterdeck:` in its comment is no TOML")?;
        return Ok(Made { text: declared(program, document)?, from: "the block in its comment" });
    }
    let said = help.map_or_else(|| comment.join("\n"), str::to_owned);
    let from = match (help, comment.is_empty()) {
        (Some(_), _) => "what it prints at --help",
        (None, false) => "the comment at its top",
        (None, true) => "its name alone",
    };
    Ok(Made { text: guessed(program, &said, from), from })
}

/// The lines of the comment at the top, without its marks.
fn comment(top: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in top.lines().skip(1) {
        let Some(rest) = line.strip_prefix('#').or_else(|| line.strip_prefix("//")) else {
            if line.trim().is_empty() && lines.is_empty() {
                continue;
            }
            break;
        };
        lines.push(rest.strip_prefix(' ').unwrap_or(rest).trim_end().to_owned());
    }
    lines
}

/// What stands after a line `quarterdeck:`, to the end of the comment.
fn block(comment: &[String]) -> Option<String> {
    let at = comment.iter().position(|line| line.trim() == "quarterdeck:")?;
    Some(comment[at + 1..].iter().flat_map(|line| [line.trim_start(), "\n"]).collect())
}

/// A declared command, with the program and an argument vector where it has none.
fn declared(program: &str, mut document: DocumentMut) -> anyhow::Result<String> {
    let names: Vec<String> = document
        .get("argument")
        .and_then(Item::as_array_of_tables)
        .into_iter()
        .flatten()
        .filter_map(|argument| argument.get("name")?.as_str().map(str::to_owned))
        .collect();
    let run = document.entry("run").or_insert_with(toml_edit::table);
    let run = run.as_table_mut().context("run in its comment is no table")?;
    ensure!(
        run.get("program").is_none_or(|declared| declared.as_str() == Some(program)),
        "its comment names another program than {program}"
    );
    run.insert("executor", value("process"));
    run.insert("program", value(program));
    if !run.contains_key("arguments") && !names.is_empty() {
        run.insert("arguments", value(names.iter().map(|name| format!("{{{name}}}")).collect::<Array>()));
    }
    Ok(format!(
        "# Written by `quarterdeck import scripts` from the comment at the top of {}.\n\n{document}",
        line(program)
    ))
}

/// A command as far as it can be guessed.
fn guessed(program: &str, said: &str, from: &str) -> String {
    let usage = usage_of(said).unwrap_or_default();
    let Usage { mut arguments, left_out } = usage;
    let elements: Array = arguments.iter().flat_map(|found| found.elements.clone()).collect();
    // What must be given goes first, so that both can go by position.
    arguments.sort_by_key(|found| !found.required);
    let mut text = format!(
        "# Written by `quarterdeck import scripts` for {}, from {from}.\n# FINISH what says so, then: quarterdeck check\n\n",
        line(program)
    );
    let summary = summary_of(said);
    let unknown = if summary.is_none() { "    # FINISH: what it does, in a line" } else { "" };
    let summary = summary.unwrap_or_else(|| format!("Runs {program}"));
    let _ = writeln!(text, "summary = {}{unknown}", Value::from(summary));
    let _ = writeln!(text, "effect = \"danger\"    # FINISH: read, change or danger");
    let _ = writeln!(
        text,
        "# FINISH: subject = \"SYSTEM@ENVIRONMENT\", which system it acts on: rules can speak of it"
    );
    for left in &left_out {
        let _ = writeln!(text, "# FINISH: not taken over: {}", line(left));
    }
    let _ = writeln!(
        text,
        "# FINISH: it runs in a sandbox, without a network, and sees of this host the system and {} alone. In [run] say what it\n\
         # needs: readable = [\"/opt/app\"], writable = [\"/srv/app\"], network = true; or sandbox = \"none\", and why",
        line(program)
    );
    let mut document = DocumentMut::new();
    let mut tables = ArrayOfTables::new();
    let last = arguments.len().checked_sub(1);
    for (index, found) in arguments.iter().enumerate() {
        tables.push(argument(found, Some(index) == last));
    }
    if !tables.is_empty() {
        document.insert("argument", Item::ArrayOfTables(tables));
    }
    let mut run = Table::new();
    run.insert("executor", value("process"));
    run.insert("program", value(program));
    if !elements.is_empty() {
        run.insert("arguments", value(elements));
    }
    let mut environment = toml_edit::InlineTable::new();
    environment.insert("PATH", "/usr/local/bin:/usr/bin:/bin".into());
    run.insert("environment", value(environment));
    document.insert("run", Item::Table(run));
    let _ = write!(text, "\n{document}");
    text
}

fn argument(found: &Found, last: bool) -> Table {
    let mut table = Table::new();
    table.insert("name", value(&found.name));
    if found.choices.is_empty() {
        table.insert("type", value("text"));
        table.decor_mut().set_prefix("\n# FINISH: a pattern, or another type\n");
    } else {
        table.insert("type", value("choice"));
        table.insert("choices", value(found.choices.iter().collect::<Array>()));
    }
    if !found.required {
        table.insert("required", value(false));
    }
    if found.several && last && found.choices.is_empty() {
        table.decor_mut().set_prefix(
            "\n# FINISH: it takes several, and gets all the words as one: name each, or let it take a list\n",
        );
        table.insert("rest", value(true));
    }
    table
}

/// What follows the program's name in the line that says how it is used.
fn usage_of(said: &str) -> Option<Usage> {
    let mut lines = said.lines().map(str::trim);
    while let Some(text) = lines.next() {
        if !text.get(..6).is_some_and(|begin| begin.eq_ignore_ascii_case("usage:")) {
            continue;
        }
        let rest = text[6..].trim();
        let rest = if rest.is_empty() { lines.next().unwrap_or_default() } else { rest };
        return Some(usage::read(rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest)));
    }
    None
}

/// The first line that is a sentence about the program.
fn summary_of(said: &str) -> Option<String> {
    let not = ["usage:", "options:", "copyright", "spdx", "shellcheck", "vim:", "-*-", "license"];
    said.lines()
        .map(str::trim)
        .find(|text| {
            let small = text.to_lowercase();
            text.contains(char::is_whitespace)
                && text.starts_with(char::is_alphabetic)
                && !not.iter().any(|word| small.starts_with(word))
                && !small.contains("copyright")
        })
        .map(|text| text.trim_end_matches('.').chars().filter(|c| !c.is_control()).take(120).collect())
}

/// A text that stays in its line.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
