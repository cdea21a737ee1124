//! What the rules must say: the cases of `policies/tests/*.toml`.

use jiff::Timestamp;
use ruma::OwnedUserId;

/// A case: somebody asks for something, and this must be the answer.
#[derive(Debug, Clone)]
pub struct RuleTest {
    /// The file it stands in.
    pub file: String,
    /// The line it begins at.
    pub line: Option<usize>,
    /// What it is about, as a sentence.
    pub name: String,
    /// Who asks; each of them gets the same answer.
    pub who: Vec<OwnedUserId>,
    /// Their power level in the room. Default 0.
    pub power_level: i64,
    /// The teams that they are in for a while.
    pub elevated: Vec<String>,
    /// The room, by key.
    pub room: String,
    /// What they want to do.
    pub action: RuleTestAction,
    /// The lines that they type, or those of the request they want to do something about. Each is asked.
    pub what: Vec<String>,
    /// Whose request it is that they want to do something about.
    pub requester: Option<OwnedUserId>,
    /// When. Default: noon of a Wednesday in the rules' time zone.
    pub at: Timestamp,
    /// Who has approved it.
    pub approved_by: Vec<OwnedUserId>,
    /// Whether it was confirmed.
    pub confirmed: bool,
    /// What the rules must say.
    pub answer: RuleTestAnswer,
}

/// What a case asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleTestAction {
    /// To run a command.
    Run,
    /// To approve a request.
    Approve,
    /// To refuse a request.
    Deny,
    /// To stop a request.
    Cancel,
    /// To put another version of the folder in force.
    Reload,
    /// To read the audit log.
    ReadAudit,
    /// To read what a request printed.
    ReadOutput,
}

/// What the rules must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleTestAnswer {
    /// It is permitted, by these rules among others.
    Permitted {
        /// The rules, by name; any, if there is none.
        by: Vec<String>,
    },
    /// It is refused, by exactly these rules.
    Refused {
        /// The rules, by name; none where no rule permits it.
        by: Vec<String>,
    },
    /// It waits for exactly these.
    Waits {
        /// Teams, teams' leads, `leads`, `total`, or `confirmation`.
        waits_for: Vec<String>,
    },
}
