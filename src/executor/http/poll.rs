//! The wait for a job that a request began. Asking for its state changes nothing, so that is done again where it fails.

use std::{collections::BTreeSet, sync::atomic::AtomicBool, time::Duration};

use http::{
    HeaderMap,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use serde_json::Value;
use url::Url;

use super::{
    Exchange, Lost,
    answer::{self, Answer, Whole},
    named,
};
use crate::{catalogue::http::Poll, model::Ending};

/// How often in a row the question may fail before the job is given up as unknown.
const FAILURES: usize = 5;
/// How much of a state is shown, in characters.
const LONGEST_STATE: usize = 100;

impl Exchange<'_> {
    /// Asks until the job has ended. `Err` if it did not end well, or nobody can tell.
    pub(super) async fn follow(&mut self, poll: &Poll, first: Whole) -> Result<Whole, Ending> {
        let Some(target) = target(poll, &first) else {
            // Without an address it may be an answer that is complete already, but then its state must say so.
            return match self.state(poll, &first)? {
                State::Done => Ok(first),
                State::GoesOn => Err(unknown(&format!(
                    "{} answered {} and does not say where its job can be watched ({})",
                    named(&first.from),
                    first.status,
                    poll.at
                ))),
            };
        };
        if !self.may_reach(&target) {
            self.shown.line(&format!("Its job is at {target}"));
            return Err(unknown(&format!(
                "{} answered {} and names a place for its job to which this command does not go: add it to hosts if that is right",
                named(&first.from),
                first.status
            )));
        }
        let mut headers = self.headers.clone();
        headers.remove(CONTENT_TYPE);
        headers.remove(CONTENT_LENGTH);
        let mut failures = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(poll.every_s)).await;
            match self.look(&target, &headers).await {
                Ok(Answer::Whole(answer)) => {
                    failures = 0;
                    if self.state(poll, &answer)? == State::Done {
                        return Ok(answer);
                    }
                }
                Ok(Answer::Long(reason)) => return Err(unknown(&reason)),
                Ok(Answer::Refused(reason) | Answer::Behind(reason))
                | Err(Lost::Sent(reason) | Lost::Unsent(reason)) => {
                    failures += 1;
                    if failures >= FAILURES {
                        return Err(unknown(&format!("{reason}, {FAILURES} times in a row")));
                    }
                }
            }
        }
    }

    async fn look(&mut self, target: &Url, headers: &HeaderMap) -> Result<Answer, Lost> {
        let request = self.client.get(target.clone()).headers(headers.clone());
        let response = self.send(request, target, &AtomicBool::new(true)).await?;
        let answer = answer::read(response, target, self.run.answer_limit, &BTreeSet::new()).await?;
        Ok(answer.0)
    }

    /// What an answer says of the job; a state that it had not before is shown.
    fn state(&mut self, poll: &Poll, answer: &Whole) -> Result<State, Ending> {
        let Some(field) = &poll.field else {
            return Ok(if answer.status.as_u16() == 202 { State::GoesOn } else { State::Done });
        };
        let state = match answer.at(field) {
            Ok(Value::String(state)) => state,
            Ok(value) => value.to_string(),
            Err(reason) => return Err(unknown(&reason)),
        };
        if poll.done.contains(&state) {
            return Ok(State::Done);
        }
        if poll.failed.contains(&state) {
            self.shown.line(&answer.text());
            // One of the declared words, so nothing that the service made up.
            return Err(Ending::Failed {
                reason: format!("its job at {} ended as {state}", named(&answer.from)),
            });
        }
        // A state that it did not have a moment ago.
        let state: String = state.chars().take(LONGEST_STATE).collect();
        if self.state.as_ref() != Some(&state) {
            self.shown.line(&state);
            self.state = Some(state);
        }
        Ok(State::GoesOn)
    }
}

#[derive(PartialEq, Eq)]
enum State {
    Done,
    GoesOn,
}

fn unknown(reason: &str) -> Ending {
    Ending::Unknown { reason: format!("{reason}. What it began may go on where it runs") }
}

/// Where the job's state is asked for.
fn target(poll: &Poll, answer: &Whole) -> Option<Url> {
    if poll.at == "location" {
        return answer.location.clone();
    }
    let text = answer.at(&poll.at).ok()?;
    answer.from.join(text.as_str()?).ok()
}
