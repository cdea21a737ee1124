//! What is shown of an output: its records as blocks, shaped by the operators behind the `|`. Pure.
//!
//! Nothing of it is recorded or kept: that is what the program printed, whole.

use serde_json::{Map, Value, json};

use crate::model::{Block, Filter, Record, Span, records};

/// How many rows of a table are shown in a message; the whole output is in the file and in `!audit`.
const ROWS: usize = 40;

/// The records of an output that are shown, where its command prints records.
pub fn shaped(output: &str, filters: &[Filter]) -> Vec<Block> {
    let mut shown = records(output);
    for filter in filters {
        match filter {
            Filter::Filter(words) => shown = shown.into_iter().filter_map(|it| only(it, words)).collect(),
            Filter::Head(number) => shown = head(shown, usize::try_from(*number).unwrap_or(usize::MAX)),
            Filter::Json => return vec![Block::Verbatim(as_json(&shown))],
        }
    }
    let mut blocks = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    for record in shown {
        if let Record::Line(line) = record {
            lines.push(line);
            continue;
        }
        spill(&mut lines, &mut blocks);
        blocks.extend(blocks_of(record));
    }
    spill(&mut lines, &mut blocks);
    if blocks.is_empty() && !filters.is_empty() {
        blocks.push(Block::Line(vec![Span::text("Nothing is left of the output.")]));
    }
    blocks
}

/// The last records of an output: how far a run is, or was when it ended badly.
pub fn last(output: &str) -> Vec<Block> {
    const MOST: usize = 6;
    let mut blocks = shaped(output, &[]);
    blocks.split_off(blocks.len().saturating_sub(MOST))
}

/// The lines of an output without records that are shown.
pub fn lines(output: &str, filters: &[Filter]) -> String {
    let mut lines: Vec<&str> = output.lines().collect();
    for filter in filters {
        match filter {
            Filter::Filter(words) => lines.retain(|line| holds(line, words)),
            Filter::Head(number) => lines.truncate(usize::try_from(*number).unwrap_or(usize::MAX)),
            Filter::Json => {}
        }
    }
    if lines.is_empty() { "Nothing is left of the output.".to_owned() } else { lines.join("\n") }
}

/// Lines between records stand as they were printed.
fn spill(lines: &mut Vec<String>, blocks: &mut Vec<Block>) {
    if lines.iter().any(|line| !line.trim().is_empty()) {
        blocks.push(Block::Verbatim(lines.join("\n")));
    }
    lines.clear();
}

fn blocks_of(record: Record) -> Vec<Block> {
    let line = |spans: Vec<Span>| vec![Block::Line(spans)];
    match record {
        Record::Table { columns, mut rows } => {
            let more = rows.len().saturating_sub(ROWS);
            rows.truncate(ROWS);
            let mut blocks = vec![Block::Table { head: columns, rows }];
            if more > 0 {
                blocks.push(Block::Line(vec![Span::text(format!("… and {more} more rows"))]));
            }
            blocks
        }
        Record::Values(values) => {
            let rows = values.into_iter().map(|(name, value)| vec![name, value]).collect();
            vec![Block::Table { head: Vec::new(), rows }]
        }
        Record::Progress { done, of, text } => {
            let of_it = format!(" {done} of {of}");
            let text = if text.is_empty() { of_it } else { format!("{of_it} · {text}") };
            line(vec![Span::code(bar(done, of)), Span::text(text)])
        }
        Record::Link { text, url } => vec![Block::Link { text, url }],
        Record::File { name, text } => {
            let text = if text.is_empty() { text } else { format!(" · {text}") };
            line(vec![Span::text("File: "), Span::code(name), Span::text(text)])
        }
        Record::Error { text, hint } => {
            let mut blocks = line(vec![Span::strong("Error: "), Span::text(text)]);
            if !hint.is_empty() {
                blocks.push(Block::Line(vec![Span::text("What to do: "), Span::text(hint)]));
            }
            blocks
        }
        Record::Line(text) => vec![Block::Verbatim(text)],
    }
}

/// `▰▰▰▱▱▱▱▱▱▱`.
pub fn bar(done: u64, of: u64) -> String {
    const WIDTH: u64 = 10;
    let full = done.saturating_mul(WIDTH) / of.max(1);
    (0..WIDTH).map(|place| if place < full { '▰' } else { '▱' }).collect()
}

fn only(record: Record, words: &[String]) -> Option<Record> {
    match record {
        Record::Table { columns, rows } => {
            let fits = |row: &Vec<String>| {
                words.iter().all(|word| match column(word, &columns) {
                    Some((index, text)) => row.get(index).is_some_and(|cell| has(cell, text)),
                    None => row.iter().any(|cell| has(cell, word)),
                })
            };
            let rows: Vec<_> = rows.into_iter().filter(fits).collect();
            (!rows.is_empty()).then_some(Record::Table { columns, rows })
        }
        Record::Values(values) => {
            let fits = |(name, value): &(String, String)| {
                words.iter().all(|word| has(name, word) || has(value, word))
            };
            let values: Vec<_> = values.into_iter().filter(fits).collect();
            (!values.is_empty()).then_some(Record::Values(values))
        }
        Record::Line(line) => holds(&line, words).then_some(Record::Line(line)),
        Record::Link { text, url } => {
            words.iter().all(|word| has(&text, word) || has(&url, word)).then_some(Record::Link { text, url })
        }
        Record::File { name, text } => words
            .iter()
            .all(|word| has(&name, word) || has(&text, word))
            .then_some(Record::File { name, text }),
        // How it stands and what went wrong is never filtered away.
        Record::Progress { .. } | Record::Error { .. } => Some(record),
    }
}

/// `app=web`, where the table has a column `app`.
fn column<'a>(word: &'a str, columns: &[String]) -> Option<(usize, &'a str)> {
    let (name, text) = word.split_once('=')?;
    let index = columns.iter().position(|column| column.eq_ignore_ascii_case(name))?;
    Some((index, text))
}

fn holds(line: &str, words: &[String]) -> bool {
    words.iter().all(|word| has(line, word))
}

fn has(text: &str, word: &str) -> bool {
    text.to_lowercase().contains(&word.to_lowercase())
}

/// The first so many rows, values and lines, counted over all of them.
fn head(shown: Vec<Record>, number: usize) -> Vec<Record> {
    let mut left = number;
    let mut take = |count: usize| {
        let taken = count.min(left);
        left -= taken;
        taken
    };
    let mut kept = Vec::new();
    for record in shown {
        let record = match record {
            Record::Table { columns, mut rows } => {
                rows.truncate(take(rows.len()));
                (!rows.is_empty()).then_some(Record::Table { columns, rows })
            }
            Record::Values(mut values) => {
                values.truncate(take(values.len()));
                (!values.is_empty()).then_some(Record::Values(values))
            }
            Record::Progress { .. } | Record::Error { .. } => Some(record),
            other => (take(1) == 1).then_some(other),
        };
        kept.extend(record);
    }
    kept
}

fn as_json(shown: &[Record]) -> String {
    let values: Vec<Value> = shown
        .iter()
        .map(|record| match record {
            Record::Table { columns, rows } => rows
                .iter()
                .map(|row| {
                    let cells =
                        columns.iter().zip(row).map(|(name, cell)| (name.clone(), cell.clone().into()));
                    Value::Object(cells.collect::<Map<_, _>>())
                })
                .collect(),
            Record::Values(values) => Value::Object(
                values.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect(),
            ),
            Record::Progress { done, of, text } => {
                json!({ "progress": { "done": done, "of": of, "text": text } })
            }
            Record::Link { text, url } => json!({ "link": url, "text": text }),
            Record::File { name, text } => json!({ "file": name, "text": text }),
            Record::Error { text, hint } => json!({ "error": text, "hint": hint }),
            Record::Line(line) => line.clone().into(),
        })
        .collect();
    let value = match <[Value; 1]>::try_from(values) {
        Ok([only]) => only,
        Err(values) => Value::Array(values),
    };
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = r#"{"type":"table","columns":["app","env"],"rows":[["web","staging"],["web","production"],["api","staging"]]}
done
{"type":"progress","done":3,"of":4,"text":"switch"}"#;

    fn filters(words: &[&[&str]]) -> Vec<Filter> {
        let owned = |words: &&[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        words.iter().map(|words| Filter::read(&owned(words)).expect("an operator")).collect()
    }

    fn rows(blocks: &[Block]) -> Vec<String> {
        let tables = blocks.iter().filter_map(|block| match block {
            Block::Table { rows, .. } => Some(rows.iter().map(|row| row.join("@"))),
            _ => None,
        });
        tables.flatten().collect()
    }

    #[test]
    fn records_become_tables_lines_and_bars() {
        let blocks = shaped(OUTPUT, &[]);
        assert_eq!(rows(&blocks), ["web@staging", "web@production", "api@staging"]);
        assert_eq!(blocks[1], Block::Verbatim("done".into()));
        let bar = Block::Line(vec![Span::code("▰▰▰▰▰▰▰▱▱▱"), Span::text(" 3 of 4 · switch")]);
        assert_eq!(blocks[2], bar);
    }

    #[test]
    fn filter_and_head_leave_rows_out_and_never_how_it_stands() {
        for (words, expected) in [
            (&[&["filter", "WEB"][..]][..], &["web@staging", "web@production"][..]),
            (&[&["filter", "env=stag", "api"]], &["api@staging"]),
            (&[&["filter", "a=b"]], &[]),
            (&[&["head", "2"]], &["web@staging", "web@production"]),
            (&[&["filter", "staging"], &["head", "1"]], &["web@staging"]),
            (&[&["head", "1"], &["filter", "api"]], &[]),
        ] {
            let blocks = shaped(OUTPUT, &filters(words));
            assert_eq!(rows(&blocks), expected, "{words:?}");
            assert!(matches!(blocks.last(), Some(Block::Line(_))), "{blocks:?}");
        }
        assert_eq!(lines("a web\nb\nc web", &filters(&[&["filter", "web"], &["head", "1"]])), "a web");
        assert_eq!(lines("a", &filters(&[&["filter", "x"]])), "Nothing is left of the output.");
    }

    #[test]
    fn json_is_what_is_left() {
        let [Block::Verbatim(text)] = &shaped(OUTPUT, &filters(&[&["filter", "api"], &["json"]]))[..] else {
            panic!("no text")
        };
        let json: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(json[0][0], json!({ "app": "api", "env": "staging" }));
    }

    #[test]
    fn a_long_table_is_cut_and_says_so() {
        let rows: Vec<_> = (0..100).map(|number| vec![number.to_string()]).collect();
        let output = json!({ "type": "table", "columns": ["n"], "rows": rows }).to_string();
        let blocks = shaped(&output, &[]);
        assert_eq!(blocks[1], Block::Line(vec![Span::text("… and 60 more rows")]));
    }
}
