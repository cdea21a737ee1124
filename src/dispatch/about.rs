//! `!approve`, `!deny`, `!cancel`, `!confirm`: commands about another request, which they name by its number or by its thread.

use ruma::EventId;

use super::{
    approve::{self, Heard},
    confirm, deny,
    docket::{Docket, Found, Seen, Word},
    pipeline::{Asked, No},
    said_of_waiting as said,
};
use crate::{
    matrix::render::{Loudness, Placement},
    model::{Ending, Invocation, Message, Outcome, OutputSummary, RequestNumber, State, Value},
    policy::{Decision, Permit},
    storage::{Error, Work},
};

/// Which word is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `!approve`
    Approve,
    /// `!deny`
    Deny,
    /// `!cancel`
    Cancel,
    /// `!confirm`
    Confirm,
}

impl Verb {
    /// The word that a command says to another request, if it is such a command.
    pub fn of(command: &str) -> Option<Self> {
        [Self::Approve, Self::Deny, Self::Cancel, Self::Confirm]
            .into_iter()
            .find(|verb| verb.name() == command)
    }

    /// Whether a line says no, which counts however late it arrives.
    pub fn says_no(line: &str) -> bool {
        let first = line.split_whitespace().next().unwrap_or_default().to_lowercase();
        matches!(Self::of(&first), Some(Self::Deny | Self::Cancel))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Cancel => "cancel",
            Self::Confirm => "confirm",
        }
    }
}

/// What a line says beside its verb.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    number: Option<RequestNumber>,
    rest: String,
}

impl Said {
    /// `482 9c41`, `482 because`, or without a number what stands in a thread. A digest may look like a number: then what
    /// the thread's present digest begins with is a digest.
    fn of(invocation: &Invocation) -> Self {
        let text = |name: &str| invocation.arguments.get(name).map(Value::to_string);
        let words = text("words").unwrap_or_default();
        let (first, rest) = words.split_once(' ').unwrap_or((&words, ""));
        match first.parse() {
            Ok(number) => Self { number: Some(number), rest: rest.trim().to_owned() },
            Err(_) => Self { number: None, rest: words.trim().to_owned() },
        }
    }
}

/// Takes such a command to its commit.
pub async fn process(
    asked: &Asked<'_>,
    mut work: Work,
    event_id: &EventId,
    (verb, invocation): (Verb, &Invocation),
) -> Result<(), Error> {
    let prefix = &asked.in_force.ops.settings.prefix;
    let mut said_here = Said::of(invocation);
    let thread = match &asked.address.place {
        Placement::Thread { root, .. } if root != event_id => Some(root.clone()),
        _ => None,
    };
    let here = match &thread {
        Some(root) => work.requests_of_thread(&asked.address.room, root).await?,
        None => Vec::new(),
    };
    // `!approve 9441` in the thread of 482: a digest that looks like a number.
    if verb == Verb::Approve
        && let (Some(number), [_]) = (said_here.number, &here[..])
        && said_here.rest.is_empty()
        && !here.contains(&number)
    {
        said_here = Said { number: None, rest: number.to_string() };
    }
    let number = match (said_here.number, &here[..]) {
        (Some(number), _) => number,
        (None, [number]) => *number,
        (None, several) => {
            let which = said::which(prefix, verb.name(), several);
            return asked.refuse(work, No::plain("unreadable", Some(which))).await;
        }
    };
    let docket = match Docket::find(asked.in_force, &mut work, &asked.address.room, number).await? {
        Found::There(docket) => docket,
        Found::Gone(gone) => {
            let heard = match &gone.request.invocation {
                Some(of) if verb == Verb::Cancel => {
                    let other = gone.asked(asked.house, asked.in_force, asked.room);
                    let word = said_by(asked, event_id, invocation, Seen::Unsaid);
                    deny::cancel(&other, &mut work, (&gone.request, of), &word).await?
                }
                _ => Heard::not("not_waiting", said::stands(number, gone.request.state)),
            };
            return heed(asked, work, heard, invocation).await;
        }
        // A request of another room does not even exist here.
        Found::Nowhere => return asked.refuse(work, No::plain("nowhere", Some(said::nowhere(number)))).await,
    };
    let mut other = docket.asked(asked.house, asked.in_force, asked.room);
    // In its own thread the answer is the line about it; elsewhere both are said.
    let elsewhere = thread.is_none() || thread != docket.request.thread_root;
    let seen = match said_here.rest.replace(' ', "").to_lowercase() {
        none if none.is_empty() && elsewhere => Seen::Unsaid,
        none if none.is_empty() => Seen::InThread,
        digits => Seen::Digits(digits),
    };
    let word = said_by(asked, event_id, invocation, seen);
    let heard = match verb {
        Verb::Approve => approve::approve(asked.house, &mut other, &mut work, &docket, &word).await?,
        Verb::Deny => {
            let reason = Some(&*said_here.rest).filter(|reason| !reason.is_empty());
            deny::deny(&other, &mut work, &docket, &word, reason).await?
        }
        Verb::Cancel => deny::cancel(&other, &mut work, (&docket.request, &docket.invocation), &word).await?,
        Verb::Confirm => match asked.decide(invocation, work.now()) {
            Decision::Permitted(permit) => {
                // Who asked is who confirms: they were shown the one prompt that there was, wherever they say it.
                let seen = if word.seen == Seen::Unsaid { Seen::InThread } else { word.seen };
                let word = Word { seen, ..word };
                confirm::confirm(&mut other, &mut work, &docket, &word, Some(permit)).await?
            }
            Decision::Refused(refusal) => {
                let message = said::rules_say_no(asked.sender, "confirm", &refusal.says);
                Heard::Not("rules", message, Some(Box::new(refusal)))
            }
            Decision::Waits(_) => Heard::Silent("rules"),
        },
    };
    if let Heard::Counts(Some(_), message) = &heard
        && elsewhere
        && matches!(verb, Verb::Approve | Verb::Confirm)
    {
        let step = format!("request/{number}/word/{event_id}");
        work.send(other.address.note(step, Some(number), message));
    }
    heed(asked, work, heard, invocation).await
}

/// The word, as the one who asks says it by a command. A late one does not come so far, but for a no.
fn said_by<'a>(
    asked: &'a Asked<'_>,
    event_id: &'a EventId,
    invocation: &'a Invocation,
    seen: Seen,
) -> Word<'a> {
    let (by, standing) = (asked.sender, asked.standing);
    Word { by, standing, event_id, late: false, said: Some(invocation), seen }
}

/// Answers the command by what came of the word.
async fn heed(asked: &Asked<'_>, mut work: Work, heard: Heard, invocation: &Invocation) -> Result<(), Error> {
    match heard {
        Heard::Counts(Some(permit), message) => conclude(asked, work, permit, invocation, message).await,
        Heard::Counts(None, _) | Heard::Silent(_) => asked.refuse(work, No::plain("rules", None)).await,
        Heard::Not(why, message, refusal) => {
            let no = match refusal {
                Some(refusal) => No::ruled(why, message, *refusal),
                None => No::plain(why, Some(message)),
            };
            asked.write_refusal(&mut work, State::Received, no).await?;
            asked.house.conclude_word(work).await
        }
    }
}

/// The command itself has done what it does.
async fn conclude(
    asked: &Asked<'_>,
    mut work: Work,
    permit: Permit,
    invocation: &Invocation,
    message: Message,
) -> Result<(), Error> {
    let outcome =
        Outcome { ending: Ending::Exited { status: 0 }, took_ms: 0, output: OutputSummary::empty() };
    work.permitted(asked.number, &permit, invocation, asked.in_force.ops.digest, None).await?;
    work.conclude(permit, asked.number, &outcome, None).await?;
    work.send(asked.address.answer(asked.number, outcome.state(), &message, Loudness::Notice));
    metrics::counter!("quarterdeck_requests_total", "state" => outcome.state().name()).increment(1);
    asked.house.conclude_word(work).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn said(words: &str) -> Said {
        let arguments = BTreeMap::from([("words".to_owned(), Value::Text(words.to_owned()))]);
        Said::of(&Invocation {
            command: "approve".into(),
            arguments,
            subject: None,
            filters: Vec::new(),
            dry: false,
        })
    }

    #[test]
    fn a_number_comes_first_and_may_be_left_out() {
        assert_eq!(said("482 9c41"), Said { number: Some(RequestNumber(482)), rest: "9c41".into() });
        assert_eq!(
            said("#482 too risky now"),
            Said { number: Some(RequestNumber(482)), rest: "too risky now".into() }
        );
        assert_eq!(said("too risky"), Said { number: None, rest: "too risky".into() });
        assert_eq!(said("9c41 77e0"), Said { number: None, rest: "9c41 77e0".into() });
        assert_eq!(said(""), Said::default());
    }

    #[test]
    fn a_no_is_told_from_other_lines_by_its_first_word() {
        assert!(Verb::says_no("deny 482 no") && Verb::says_no("Cancel 482"));
        assert!(!Verb::says_no("approve 482") && !Verb::says_no("denyx") && !Verb::says_no(""));
    }
}
