//! What was found as a table for spreadsheets (RFC 4180).

use super::{list::summary, search::Finds, words::rules_of};
use crate::model::Span;

/// The names of its columns.
const COLUMNS: [&str; 9] =
    ["began", "request", "room", "by", "command", "system", "outcome", "rules", "what"];

/// The table, with its columns' names where it begins with them.
///
/// A spreadsheet takes a text that begins with one of `= + - @` for a formula, and would do what somebody had once typed
/// into a room. Such a text gets an apostrophe before it, as spreadsheets have it for text.
///
/// # Errors
///
/// Only where memory cannot be written to.
pub fn csv(finds: &Finds, with_names: bool) -> Result<String, csv::Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    if with_names {
        writer.write_record(COLUMNS)?;
    }
    for (found, entries) in &finds.found {
        let text = |text: Option<&str>| harmless(text.unwrap_or_default());
        let what: String = summary(found, entries).iter().map(Span::as_str).collect();
        writer.write_record([
            found.cursor.at.to_string(),
            found.request.map(|number| number.to_string()).unwrap_or_default(),
            text(found.room.as_ref().map(|room| room.as_str())),
            text(found.who.as_deref()),
            text(found.command.as_deref()),
            text(found.subject.as_deref()),
            text(found.state.as_deref()),
            harmless(&rules_of(entries).join(" ")),
            harmless(&what),
        ])?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> String {
    let first = text.trim_start_matches([' ', '\u{a0}', '\u{feff}']).chars().next();
    let formula = matches!(
        first,
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '|' | '%' | '＝' | '＋' | '－' | '＠')
    );
    if formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Cursor, Found};

    #[test]
    fn no_spreadsheet_takes_what_somebody_typed_for_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u{feff}=1", "＝1", "|calc"] {
            assert_eq!(harmless(text), format!("'{text}"));
        }
        for text in ["web@staging", "1+1", "", "a=b"] {
            assert_eq!(harmless(text), text);
        }
    }

    #[test]
    fn what_holds_commas_quotes_or_lines_is_one_field() {
        let found = Found {
            cursor: Cursor { at: "2026-11-23T12:00:00Z".parse().unwrap(), place: 1 },
            request: Some(crate::model::RequestNumber(482)),
            room: None,
            who: Some("@alice:example.org".to_owned()),
            command: Some("=cmd|' /C calc'!A0, \"x\"\nb".to_owned()),
            subject: None,
            state: Some("refused".to_owned()),
            only_printed: false,
        };
        let finds = Finds { found: vec![(found, Vec::new())], older: None, short: None };
        let table = csv(&finds, true).unwrap();
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        assert_eq!(reader.headers().unwrap(), &csv::StringRecord::from(COLUMNS.to_vec()));
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1);
        assert_eq!(&rows[0][3], "'@alice:example.org");
        assert_eq!(&rows[0][4], "'=cmd|' /C calc'!A0, \"x\"\nb");
    }
}
