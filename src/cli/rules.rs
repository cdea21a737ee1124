//! `quarterdeck rules replay`: what would have changed.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use ruma::{OwnedUserId, UserId};
use serde_json::Value as Json;

use super::{folder, logged};
use crate::{
    model::{Clock as _, Invocation, SystemClock},
    policy::{Action, Decision, Question, Rules},
    storage::KeptDecision,
};

/// How many decisions are looked at at once.
const PAGE: i64 = 1_000;

/// Looks at rules beside the ones in force.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Decides the commands of the past anew, under another folder's rules, and lists what would have changed
    Replay(Replay),
}

/// Each recorded decision is made again as it was made then: the same person with the same power level, in the same
/// room, at the same time, with the same approvals. Only the rules, teams and systems are the folder's. Nothing is run,
/// and nothing changes; that the log was read is recorded.
#[derive(Debug, clap::Args)]
struct Replay {
    /// The folder whose rules are tried
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Since then: 2026-11-23T12:00:00Z, or so long ago: 30d, 12h
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
    /// The ops folder in force, for the database
    #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
    ops: PathBuf,
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Replay(replay) => replay.run(),
        }
    }
}

impl Replay {
    fn run(self) -> anyhow::Result<ExitCode> {
        let settings = super::read_ops(&self.ops)?.settings;
        let since = logged::moment(&self.since, SystemClock.now())?;
        super::runtime()?.block_on(async {
            let storage = logged::connect(settings)?;
            // The methods of endpoints that were called are commands under the other rules as well.
            let listings = logged::listings(&storage).await?;
            let (_, rules) = folder::read_listed(&self.folder, &listings)
                .map_err(|mistakes| super::told(&self.folder, &mistakes))?;
            let query = format!("rules replay since {since} under rules {}", rules.digest());
            logged::record(&storage, query).await?;
            let mut out = std::io::stdout().lock();
            let (mut decided, mut unread, mut place) = (0, 0, 0);
            // What is approved is decided when it is and when it starts: one difference, told once.
            let mut changed = BTreeSet::new();
            loop {
                let page = storage.decisions(since, place, PAGE).await?;
                let Some(last) = page.last() else { break };
                place = last.place;
                for kept in &page {
                    match replay(&rules, kept) {
                        Ok(None) => decided += 1,
                        Ok(Some(line)) => {
                            decided += 1;
                            if !changed.contains(&(kept.number, line.clone())) {
                                writeln!(out, "{line}")?;
                                changed.insert((kept.number, line));
                            }
                        }
                        Err(error) => {
                            unread += 1;
                            writeln!(out, "{}: cannot be decided again: {error:#}", kept.number)?;
                        }
                    }
                }
            }
            storage.close().await;
            writeln!(out, "{}", summary(&self.folder, &self.since, decided, changed.len(), unread))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn summary(folder: &Path, since: &str, decided: usize, changed: usize, unread: usize) -> String {
    let mut text = format!("{decided} decisions since {since} made again under {}: ", folder.display());
    let _ = match changed {
        0 => write!(text, "none would have been another"),
        changed => write!(text, "{changed} would have been others"),
    };
    if unread > 0 {
        let _ = write!(text, "; {unread} could not be read");
    }
    text
}

/// What was decided, or would be: the kind of answer, and the rules that gave it.
#[derive(PartialEq, Eq)]
struct Verdict {
    kind: &'static str,
    rules: Vec<String>,
}

impl Verdict {
    fn told(&self) -> String {
        match (self.kind, &*self.rules) {
            (kind, []) if kind == REFUSED => format!("{kind}, because no rule permits it"),
            (kind, []) => kind.to_owned(),
            (kind, rules) => format!("{kind} by {}", rules.join(", ")),
        }
    }
}

const PERMITTED: &str = "permitted";
const REFUSED: &str = "refused";
const HELD: &str = "held back until somebody approves or confirms";

/// Decides once more; a line, where the answer is of another kind.
fn replay(rules: &Rules, kept: &KeptDecision) -> anyhow::Result<Option<String>> {
    let before = Verdict {
        kind: match kept.kind.as_str() {
            "command.permitted" => PERMITTED,
            "command.refused" => REFUSED,
            _ => HELD,
        },
        rules: kept.policies.clone(),
    };
    let invocation: Invocation = serde_json::from_slice(&kept.invocation).context("its invocation")?;
    let inputs: Json = serde_json::from_slice(&kept.inputs).context("its inputs")?;
    let sender = UserId::parse(&kept.sender).context("its sender")?;
    let room = room(&inputs).context("its inputs name no room")?;
    let (approvals, elevated) = (people(&inputs["approved_by"]), names(&inputs["elevated"]));
    let question = Question {
        approvals: &approvals,
        confirmed: inputs["context"]["confirmed"].as_bool().unwrap_or(false),
        elevated: &elevated,
        ..Question::new(&sender, power_level(&inputs, &sender), &room, kept.at, Action::Run(&invocation))
    };
    let after = match rules.decide(&question) {
        Decision::Permitted(permit) => Verdict { kind: PERMITTED, rules: permit.policies().to_vec() },
        Decision::Waits(wait) => Verdict { kind: HELD, rules: wait.policies },
        Decision::Refused(refusal) => {
            let rules = if refusal.errors.is_empty() { refusal.policies } else { refusal.errors };
            Verdict { kind: REFUSED, rules }
        }
    };
    Ok((before.kind != after.kind).then(|| {
        format!(
            "{} {} {sender} in {room}: {invocation}\n    was {}, would be {}",
            kept.number,
            kept.at.strftime("%Y-%m-%d %H:%M UTC"),
            before.told(),
            after.told(),
        )
    }))
}

/// The room's key: Cedar's JSON of an entity has it as `id`.
fn room(inputs: &Json) -> Option<String> {
    let room = &inputs["context"]["room"];
    let id = room["__entity"]["id"].as_str().or_else(|| room["id"].as_str())?;
    Some(id.to_owned())
}

fn power_level(inputs: &Json, who: &UserId) -> i64 {
    let entities = inputs["entities"].as_array().into_iter().flatten();
    let mut of =
        entities.filter(|entity| entity["uid"]["type"] == "User" && entity["uid"]["id"] == who.as_str());
    of.next().and_then(|entity| entity["attrs"]["power_level"].as_i64()).unwrap_or(0)
}

fn people(json: &Json) -> BTreeSet<OwnedUserId> {
    names(json).into_iter().filter_map(|who| UserId::parse(who).ok()).collect()
}

fn names(json: &Json) -> BTreeSet<String> {
    json.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use crate::{catalogue, model::RequestNumber, model::Value};

    use super::*;

    fn example() -> Rules {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/example/ops");
        Rules::compile(&catalogue::load(&folder, &|_| None).unwrap()).unwrap()
    }

    fn kept(rules: &Rules, who: &str, kind: &str) -> KeptDecision {
        let who = UserId::parse(who).unwrap();
        let invocation = Invocation {
            command: "uptime".to_owned(),
            arguments: std::collections::BTreeMap::<String, Value>::new(),
            subject: None,
            filters: Vec::new(),
            dry: false,
        };
        let at = "2026-11-23T12:00:00Z".parse().unwrap();
        let asked = Question::new(&who, 7, "status", at, Action::Run(&invocation));
        let inputs = match rules.decide(&asked) {
            Decision::Permitted(permit) => permit.inputs().to_json(),
            Decision::Waits(wait) => wait.inputs.to_json(),
            Decision::Refused(refusal) => refusal.inputs.to_json(),
        };
        assert_eq!((power_level(&inputs, &who), room(&inputs).as_deref()), (7, Some("status")));
        KeptDecision {
            place: 1,
            number: RequestNumber(482),
            sender: who.to_string(),
            at,
            kind: kind.to_owned(),
            policies: vec!["then".to_owned()],
            invocation: serde_json::to_vec(&invocation).unwrap(),
            inputs: inputs.to_string().into_bytes(),
        }
    }

    #[test]
    fn a_decision_that_would_be_the_same_is_no_line() {
        let rules = example();
        let permitted = kept(&rules, "@bob:example.org", "command.permitted");
        assert_eq!(replay(&rules, &permitted).unwrap(), None);
        let refused = kept(&rules, "@mallory:example.org", "command.refused");
        assert_eq!(replay(&rules, &refused).unwrap(), None);
    }

    #[test]
    fn a_decision_that_would_be_another_tells_both_with_their_rules() {
        let rules = example();
        assert_eq!(
            replay(&rules, &kept(&rules, "@bob:example.org", "command.refused")).unwrap().unwrap(),
            "482 2026-11-23 12:00 UTC @bob:example.org in status: uptime\n    \
             was refused by then, would be permitted by reading-for-teams"
        );
        assert!(
            replay(&rules, &kept(&rules, "@mallory:example.org", "approval.requested"))
                .unwrap()
                .unwrap()
                .ends_with("would be refused, because no rule permits it")
        );
    }
}
