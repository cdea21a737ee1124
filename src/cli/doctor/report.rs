//! What doctor found, as lines for people and as JSON for programs.

use std::fmt::Write;

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, and will hurt.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    level: Level,
    part: &'static str,
    what: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    mend: String,
}

/// All findings, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
}

/// The column where words begin.
const COLUMN: usize = 20;

impl Report {
    /// Something is as it should be.
    pub(super) fn ok(&mut self, part: &'static str, what: impl Into<String>) {
        self.add(Level::Ok, part, what.into(), String::new());
    }

    /// Something works, and will hurt.
    pub(super) fn warn(&mut self, part: &'static str, what: impl Into<String>, mend: impl Into<String>) {
        self.add(Level::Warn, part, what.into(), mend.into());
    }

    /// Something does not work, and how to mend it.
    pub(super) fn fail(&mut self, part: &'static str, what: impl Into<String>, mend: impl Into<String>) {
        self.add(Level::Fail, part, what.into(), mend.into());
    }

    fn add(&mut self, level: Level, part: &'static str, what: String, mend: String) {
        self.findings.push(Finding { level, part, what, mend });
    }

    /// Whether anything does not work.
    pub(super) fn has_failed(&self) -> bool {
        self.count(Level::Fail) > 0
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// A line each, the mend below it, and a last line that says it all.
    pub(super) fn lines(&self) -> String {
        let mut lines = String::new();
        for finding in &self.findings {
            let mark = match finding.level {
                Level::Ok => "ok",
                Level::Warn => "warn",
                Level::Fail => "FAIL",
            };
            let what = finding.what.replace('\n', &format!("\n{:COLUMN$}", ""));
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{mark:<5}{:<15}{what}", finding.part);
            if !finding.mend.is_empty() {
                let _ = writeln!(lines, "{:COLUMN$}-> {}", "", finding.mend);
            }
        }
        let (failed, warned) = (self.count(Level::Fail), self.count(Level::Warn));
        let verdict = match (failed, warned) {
            (0, 0) => "All is well.".to_owned(),
            (0, warned) => format!("It works. Worth a look: {warned}."),
            (failed, 0) => format!("To be mended: {failed}."),
            (failed, warned) => format!("To be mended: {failed}. Worth a look: {warned}."),
        };
        lines + "\n" + verdict.as_str() + "\n"
    }

    /// `{"ok":..., "findings":[{"level", "part", "what", "mend"}]}`.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let whole = serde_json::json!({ "ok": !self.has_failed(), "findings": self.findings });
        Ok(serde_json::to_string_pretty(&whole)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line_with_its_mend_below_and_the_last_line_says_it_all() {
        let mut report = Report::default();
        report.ok("database", "PostgreSQL 15");
        assert!(report.lines().ends_with("\nAll is well.\n"));
        report.warn("clock", "3 s apart", "Start a time service.");
        assert!(!report.has_failed());
        report.fail("spool", "no space\nat all", "Make some.");
        assert!(report.has_failed());
        assert_eq!(
            report.lines(),
            "ok   database       PostgreSQL 15\n\
             warn clock          3 s apart\n                    -> Start a time service.\n\
             FAIL spool          no space\n                    at all\n                    -> Make some.\n\
             \nTo be mended: 1. Worth a look: 1.\n"
        );
        let json: serde_json::Value = serde_json::from_str(&report.json().expect("written")).expect("JSON");
        assert_eq!(json["ok"], false);
        assert_eq!(json["findings"][2]["level"], "fail");
        assert!(json["findings"][0].get("mend").is_none());
    }
}
