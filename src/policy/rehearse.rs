//! The cases that the rules must satisfy, run: what fails, what no case reaches, what no case notices.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use ruma::{OwnedUserId, UserId};

use super::{
    Action, Decision, Question, Rules,
    names::{self, RELOAD, TOTAL},
    read::Rule,
    world::World,
};
use crate::{
    catalogue::{Mistake, Ops, RuleTest, RuleTestAction, RuleTestAnswer, RunKind, nearest, one_of},
    model::Invocation,
};

/// What a test calls a confirmation that is missing.
const CONFIRMATION: &str = "confirmation";

/// Reads a command's line as somebody would type it in a room: a function from above, where the grammar is.
pub type ReadLine<'a> = &'a dyn Fn(&str, &str) -> Result<Invocation, String>;

/// All cases of a folder, ready to be asked.
pub struct Rehearsal<'a> {
    rules: &'a Rules,
    ops: &'a Ops,
    cases: Vec<Case<'a>>,
    unread: Vec<Mistake>,
}

struct Case<'a> {
    test: &'a RuleTest,
    who: &'a UserId,
    line: Option<&'a str>,
    invocation: Option<Invocation>,
    approvals: BTreeSet<OwnedUserId>,
    elevated: BTreeSet<String>,
}

/// What the rules say to a case.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Permitted(Vec<String>),
    Refused(Vec<String>),
    Waits(BTreeSet<String>),
    Erred(Vec<String>),
}

impl Rules {
    /// Makes the cases of `ops` ready. `read` reads their lines.
    pub fn rehearse<'a>(&'a self, ops: &'a Ops, read: ReadLine<'_>) -> Rehearsal<'a> {
        let (mut cases, mut unread) = (Vec::new(), Vec::new());
        for test in &ops.rule_tests {
            let mut lines = Vec::new();
            for line in &test.what {
                match read(&test.room, line) {
                    Ok(invocation) => lines.push((Some(line.as_str()), Some(invocation))),
                    Err(why) => {
                        let what = format!("\"{}\": `{line}` is not understood in {}", test.name, test.room);
                        unread.push(at(test, what, &why));
                    }
                }
            }
            if test.what.is_empty() {
                lines.push((None, None));
            }
            for who in &test.who {
                cases.extend(lines.iter().map(|(line, invocation)| Case {
                    test,
                    who,
                    line: *line,
                    invocation: invocation.clone(),
                    approvals: test.approved_by.iter().cloned().collect(),
                    elevated: test.elevated.iter().cloned().collect(),
                }));
            }
        }
        Rehearsal { rules: self, ops, cases, unread }
    }
}

impl Rehearsal<'_> {
    /// How many questions the cases ask.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there is no case at all.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty() && self.unread.is_empty()
    }

    /// Every case that the rules do not satisfy, as a sentence at its place.
    pub fn failures(&self) -> Vec<Mistake> {
        let failed = self.cases.iter().filter_map(|case| {
            let said = case.ask(self.rules);
            (!case.is_content_with(&said)).then(|| {
                let what = format!(
                    "\"{}\": {} in {} is {}, and should be {}",
                    case.test.name,
                    case.told(),
                    case.test.room,
                    said.told(),
                    wanted(&case.test.answer)
                );
                at(case.test, what, "Mend the rule, or the test if it is the test that is wrong")
            })
        });
        let mut failures: Vec<_> = self.unread.iter().cloned().chain(failed).collect();
        failures.sort();
        failures.dedup();
        failures
    }

    /// The rules that no case reaches: none of them permits or forbids anything there.
    pub fn unreached(&self) -> Vec<String> {
        let mut reached = BTreeSet::new();
        for case in &self.cases {
            if let Some(question) = case.question() {
                let why = self.rules.explain(&question);
                reached.extend(why.permits.into_iter().chain(why.forbids).map(|told| told.id));
            }
        }
        self.rules.ids().filter(|id| !reached.contains(*id)).map(str::to_owned).collect()
    }

    /// Each command of the folder, with the teams for which no case decides it although a room has both.
    pub fn undecided(&self) -> BTreeMap<String, Vec<String>> {
        let mut decided = BTreeSet::new();
        for case in self.cases.iter().filter(|case| case.test.action == RuleTestAction::Run) {
            let Some(invocation) = &case.invocation else { continue };
            let teams = self.ops.teams.values().filter(|team| team.users.contains(case.who));
            decided.extend(teams.map(|team| (invocation.command.as_str(), team.key.as_str())));
        }
        let mut undecided: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for command in self.ops.commands.values().filter(|it| !matches!(it.run.kind, RunKind::Builtin)) {
            let rooms = self.ops.rooms.values().filter(|room| room.commands.contains(&command.name));
            let teams: BTreeSet<&String> = rooms.flat_map(|room| &room.teams).collect();
            for team in teams.into_iter().filter(|team| !decided.contains(&(&command.name, team))) {
                undecided.entry(command.name.clone()).or_default().push(team.clone());
            }
        }
        undecided
    }

    /// Whether every case is content with other rules.
    pub(super) fn all_are_content_with(&self, rules: &Rules) -> bool {
        self.cases.iter().all(|case| case.is_content_with(&case.ask(rules)))
    }

    pub(super) const fn rules(&self) -> &Rules {
        self.rules
    }
}

/// Putting another version in force, whichever.
static RELOADING: LazyLock<Invocation> = LazyLock::new(|| Invocation {
    command: RELOAD.to_owned(),
    arguments: BTreeMap::new(),
    subject: None,
    filters: Vec::new(),
    dry: false,
});

impl Case<'_> {
    fn question(&self) -> Option<Question<'_>> {
        let test = self.test;
        let (of, requester) = (self.invocation.as_ref(), test.requester.as_deref());
        let action = match test.action {
            RuleTestAction::Run => Action::Run(of?),
            RuleTestAction::Approve => Action::Approve { of: of?, requester: requester? },
            RuleTestAction::Deny => Action::Deny { of: of?, requester: requester? },
            RuleTestAction::Cancel => Action::Cancel { of: of?, requester: requester? },
            RuleTestAction::Reload => Action::Run(&RELOADING),
            RuleTestAction::ReadAudit => Action::ReadAudit,
            RuleTestAction::ReadOutput => {
                let of = of?;
                let subject = of.subject.as_deref();
                Action::ReadOutput { command: &of.command, requester: requester?, subject }
            }
        };
        Some(Question {
            approvals: &self.approvals,
            confirmed: test.confirmed,
            elevated: &self.elevated,
            ..Question::new(self.who, test.power_level, &test.room, test.at, action)
        })
    }

    fn ask(&self, rules: &Rules) -> Said {
        let Some(question) = self.question() else {
            return Said::Erred(vec!["it says too little".to_owned()]);
        };
        match rules.decide(&question) {
            Decision::Permitted(permit) => Said::Permitted(permit.policies().to_vec()),
            Decision::Waits(wait) => {
                let of = wait.needs.into_iter().flat_map(|need| need.of);
                let mut waits: BTreeSet<_> = of.filter(|of| of.missing() > 0).map(|of| of.team).collect();
                if !wait.confirm.is_empty() {
                    waits.insert(CONFIRMATION.to_owned());
                }
                Said::Waits(waits)
            }
            Decision::Refused(refusal) if !refusal.errors.is_empty() => Said::Erred(refusal.errors),
            Decision::Refused(refusal) => Said::Refused(refusal.policies),
        }
    }

    fn is_content_with(&self, said: &Said) -> bool {
        match (&self.test.answer, said) {
            (RuleTestAnswer::Permitted { by }, Said::Permitted(rules)) => {
                by.iter().all(|id| rules.contains(id))
            }
            (RuleTestAnswer::Refused { by }, Said::Refused(rules)) => {
                by.iter().collect::<BTreeSet<_>>() == rules.iter().collect()
            }
            (RuleTestAnswer::Waits { waits_for }, Said::Waits(groups)) => {
                waits_for.iter().collect::<BTreeSet<_>>() == groups.iter().collect()
            }
            _ => false,
        }
    }

    /// Who does what, as the subject of a sentence.
    fn told(&self) -> String {
        let line = self.line.map_or_else(String::new, |line| format!("`{line}`"));
        let of = self.test.requester.as_ref().map_or_else(String::new, |who| format!(" of {who}"));
        let deed = match self.test.action {
            RuleTestAction::Run => line,
            RuleTestAction::Approve => format!("approving {line}{of}"),
            RuleTestAction::Deny => format!("refusing {line}{of}"),
            RuleTestAction::Cancel => format!("stopping {line}{of}"),
            RuleTestAction::Reload => "putting another version in force".to_owned(),
            RuleTestAction::ReadAudit => "reading the log".to_owned(),
            RuleTestAction::ReadOutput => format!("reading the output of {line}{of}"),
        };
        format!("{deed} by {}", self.who)
    }
}

impl Said {
    fn told(&self) -> String {
        match self {
            Self::Permitted(by) => format!("permitted by {}", codes(by)),
            Self::Refused(by) if by.is_empty() => "refused, because no rule permits it".to_owned(),
            Self::Refused(by) => format!("refused by {}", codes(by)),
            Self::Waits(groups) => format!("waiting for {}", codes(groups)),
            Self::Erred(errors) => format!("refused with an error ({})", errors.join("; ")),
        }
    }
}

fn wanted(answer: &RuleTestAnswer) -> String {
    match answer {
        RuleTestAnswer::Permitted { by } if by.is_empty() => "permitted".to_owned(),
        RuleTestAnswer::Permitted { by } => Said::Permitted(by.clone()).told(),
        RuleTestAnswer::Refused { by } => Said::Refused(by.clone()).told(),
        RuleTestAnswer::Waits { waits_for } => Said::Waits(waits_for.iter().cloned().collect()).told(),
    }
}

fn codes<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn at(test: &RuleTest, what: String, mend: &str) -> Mistake {
    Mistake { file: test.file.clone(), line: test.line, what, mend: super::read::sentence(mend) }
}

/// What the cases name and the folder does not have.
pub(super) fn unknown_names(
    ops: &Ops,
    rules: &BTreeMap<String, Rule>,
    groups: &[String],
    world: &World,
) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let ids: Vec<_> = rules.keys().map(String::as_str).collect();
    let rooms: Vec<_> = ops.rooms.keys().map(String::as_str).collect();
    let teams: Vec<_> = groups.iter().map(String::as_str).collect();
    let waited: Vec<_> = teams.iter().copied().chain([TOTAL, CONFIRMATION]).collect();
    for test in &ops.rule_tests {
        let mut check = |named: &str, what: &str, known: &[&str]| {
            if !known.contains(&named) {
                let what = format!("\"{}\": there is no {what} `{named}`", test.name);
                let mend = nearest(named, known.iter().copied()).map_or_else(
                    || format!("There are: {}", one_of(known)),
                    |near| format!("Did you mean \"{near}\"?"),
                );
                mistakes.push(at(test, what, &mend));
            }
        };
        if !world.has(&names::room(&test.room)) {
            check(&test.room, "room", &rooms);
        }
        for team in &test.elevated {
            check(team, "team", &teams);
        }
        match &test.answer {
            RuleTestAnswer::Permitted { by } | RuleTestAnswer::Refused { by } => {
                for id in by {
                    check(id, "rule", &ids);
                }
            }
            RuleTestAnswer::Waits { waits_for } => {
                for group in waits_for {
                    check(group, "team", &waited);
                }
            }
        }
    }
    mistakes
}
