//! What a program of `output = "records"` prints: a JSON object in a line each, and plain lines between them.
//!
//! A line that is no record is a plain line, whatever it begins with: a program that fails half-way loses nothing of
//! what it says. Every text in a record is somebody else's; the renderer escapes it like all others.

use serde_json::Value;

/// A record, or a plain line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Lines of cells under a head. Two that follow one another under the same head are one.
    Table {
        /// The names of the columns.
        columns: Vec<String>,
        /// The rows, each as long as the head.
        rows: Vec<Vec<String>>,
    },
    /// Names with a value each.
    Values(Vec<(String, String)>),
    /// How far it is. Only the last one is shown.
    Progress {
        /// The steps that are done.
        done: u64,
        /// All of them.
        of: u64,
        /// What it is at.
        text: String,
    },
    /// Where to go on.
    Link {
        /// What it is.
        text: String,
        /// An address of http or https.
        url: String,
    },
    /// A file that it leaves.
    File {
        /// Its name.
        name: String,
        /// What it is; may be empty.
        text: String,
    },
    /// What went wrong.
    Error {
        /// What.
        text: String,
        /// What to do about it; may be empty.
        hint: String,
    },
    /// Anything else.
    Line(String),
}

/// How many columns a table may have: more do not fit on a screen.
const COLUMNS: usize = 12;

/// The records of an output, in order.
pub fn records(output: &str) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for line in output.lines() {
        let record = Record::read(line).unwrap_or_else(|| Record::Line(line.to_owned()));
        match (records.last_mut(), record) {
            (Some(Record::Table { columns, rows }), Record::Table { columns: same, rows: more })
                if *columns == same =>
            {
                rows.extend(more);
            }
            (Some(Record::Values(values)), Record::Values(more)) => values.extend(more),
            (_, record) => records.push(record),
        }
    }
    let last = records.iter().rposition(|record| matches!(record, Record::Progress { .. }));
    let mut index = 0;
    records.retain(|record| {
        let stays = !matches!(record, Record::Progress { .. }) || Some(index) == last;
        index += 1;
        stays
    });
    records
}

impl Record {
    /// Reads a line. `None` if it is no record.
    pub fn read(line: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(line.trim()).ok()?;
        let of = |key: &str| json.get(key);
        let text = |key: &str| of(key).map_or_else(|| Some(String::new()), cell);
        match of("type")?.as_str()? {
            "table" => {
                let columns: Vec<String> =
                    of("columns")?.as_array()?.iter().map(cell).collect::<Option<_>>()?;
                let rows = of("rows")?.as_array()?;
                let row = |row: &Value| match row {
                    Value::Array(cells) if cells.len() == columns.len() => {
                        cells.iter().map(cell).collect::<Option<Vec<_>>>()
                    }
                    Value::Object(cells) => columns
                        .iter()
                        .map(|name| cells.get(name).map_or_else(|| Some(String::new()), cell))
                        .collect(),
                    _ => None,
                };
                let rows = rows.iter().map(row).collect::<Option<_>>()?;
                (1..=COLUMNS).contains(&columns.len()).then_some(Self::Table { columns, rows })
            }
            "values" => {
                let values = of("values")?.as_object()?;
                let pair = |(name, value): (&String, &Value)| Some((name.clone(), cell(value)?));
                Some(Self::Values(values.iter().map(pair).collect::<Option<_>>()?))
            }
            "progress" => {
                let (done, all) = (of("done")?.as_u64()?, of("of")?.as_u64()?);
                (all > 0 && done <= all).then_some(Self::Progress { done, of: all, text: text("text")? })
            }
            "link" => {
                let url = of("url")?.as_str()?;
                let good = url::Url::parse(url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()));
                let said = text("text")?;
                let said = if said.is_empty() { url.to_owned() } else { said };
                good.then(|| Self::Link { text: said, url: url.to_owned() })
            }
            "file" => Some(Self::File { name: of("name")?.as_str()?.to_owned(), text: text("text")? }),
            "error" => Some(Self::Error { text: of("text")?.as_str()?.to_owned(), hint: text("hint")? }),
            _ => None,
        }
    }
}

/// The text of a value that stands in a cell. `None` for what does not fit into one.
fn cell(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Number(number) => Some(number.to_string()),
        // A cell is one line.
        Value::String(text) => Some(text.replace(['\n', '\r'], " ")),
        Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_record_is_read() {
        let output = r#"begins
{"type":"table","columns":["app","version"],"rows":[["web",1],{"app":"api","version":null}]}
{"type":"table","columns":["app","version"],"rows":[["db","a\nb"]]}
{"type":"values","values":{"host":"db1","up":true}}
{"type":"progress","done":1,"of":4,"text":"build"}
{"type":"progress","done":2,"of":4,"text":"switch"}
{"type":"link","url":"https://example.org/1"}
{"type":"file","name":"report.csv","text":"all of it"}
{"type":"error","text":"no disk","hint":"free some"}"#;
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(
            records(output),
            [
                Record::Line("begins".into()),
                Record::Table {
                    columns: row(["app", "version"]),
                    rows: vec![row(["web", "1"]), row(["api", ""]), row(["db", "a b"])]
                },
                Record::Values(vec![("host".into(), "db1".into()), ("up".into(), "true".into())]),
                Record::Progress { done: 2, of: 4, text: "switch".into() },
                Record::Link { text: "https://example.org/1".into(), url: "https://example.org/1".into() },
                Record::File { name: "report.csv".into(), text: "all of it".into() },
                Record::Error { text: "no disk".into(), hint: "free some".into() },
            ]
        );
    }

    #[test]
    fn what_is_no_record_is_a_line_as_it_was_printed() {
        for line in [
            "{",
            "{}",
            "7",
            r#"{"type":"unknown"}"#,
            r#"{"type":"table","columns":[],"rows":[]}"#,
            r#"{"type":"table","columns":["a"],"rows":[["1","2"]]}"#,
            r#"{"type":"table","columns":["a"],"rows":[[["deep"]]]}"#,
            r#"{"type":"values","values":["a"]}"#,
            r#"{"type":"progress","done":5,"of":4}"#,
            r#"{"type":"progress","done":0,"of":0}"#,
            r#"{"type":"link","url":"javascript:alert(1)"}"#,
            r#"{"type":"error","hint":"x"}"#,
            r#"{"type":"file","name":7}"#,
        ] {
            assert_eq!(records(line), [Record::Line(line.to_owned())], "{line}");
        }
    }
}
