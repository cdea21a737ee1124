//! Quarterdeck's answers, as programs read them.

use std::collections::BTreeMap;

use ruma::{EventId, OwnedUserId};
use serde_json::Value;

use crate::model::State;

/// The key of an answer's content that tells programs of the request: its number, and where it stands.
const REQUEST: &str = "org.quarterdeck.request";

/// What an answer says of the request.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request's number.
    pub number: i64,
    /// How many requests answer what was sent, where that is not this one alone: `!status web` may have several lines.
    pub of: Option<usize>,
    /// Where the request stands.
    pub state: State,
    /// Whether what was printed goes to the one who asked alone, in the room that is theirs.
    pub alone: bool,
    /// The answer in words.
    pub body: String,
}

/// The requests of what was sent that have ended.
#[derive(Debug, Default)]
pub struct Ended {
    ends: BTreeMap<i64, State>,
    of: usize,
}

impl Ended {
    /// Notes an answer. Gives the outcome of the whole once every request has one: the worst.
    pub fn with(&mut self, answer: &Answer) -> Option<State> {
        self.of = self.of.max(answer.of.unwrap_or(1));
        if answer.state.is_terminal() {
            self.ends.insert(answer.number, answer.state);
        }
        if self.ends.is_empty() || self.ends.len() < self.of {
            return None;
        }
        let bad = self.ends.values().find(|state| **state != State::Succeeded);
        Some(bad.copied().unwrap_or(State::Succeeded))
    }
}

/// The answer to the event `to`, if this event is one. Only `speakers` (the room's creators: Quarterdeck) are
/// believed; anybody may write a message that looks like an answer.
pub fn answer(event: &Value, to: &EventId, speakers: &[OwnedUserId]) -> Option<Answer> {
    let sender = event["sender"].as_str()?;
    if !speakers.iter().any(|speaker| speaker == sender) {
        return None;
    }
    let content = &event["content"];
    let relation = &content["m.relates_to"];
    let related = [&relation["event_id"], &relation["m.in_reply_to"]["event_id"]];
    if !related.iter().any(|id| id.as_str() == Some(to.as_str())) {
        return None;
    }
    let request = &content[REQUEST];
    let state = request["state"].as_str()?.parse().ok()?;
    let number = request["number"].as_i64()?;
    let of = request["of"].as_u64().and_then(|of| usize::try_from(of).ok());
    let alone = request["alone"] == true;
    Some(Answer { number, of, state, alone, body: content["body"].as_str().unwrap_or_default().to_owned() })
}

/// What a speaker says of a request to the one who asked alone, if this event is that.
pub fn told_alone<'a>(event: &'a Value, number: i64, speakers: &[OwnedUserId]) -> Option<&'a str> {
    let content = &event["content"];
    let from = event["sender"].as_str()?;
    let speaks = speakers.iter().any(|speaker| speaker == from);
    (speaks && content[REQUEST]["number"] == number).then(|| content["body"].as_str())?
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, owned_user_id};
    use serde_json::json;

    use super::*;

    fn event(sender: &str, to: &str) -> Value {
        json!({ "sender": sender, "content": {
            "body": "✅ done",
            "m.relates_to": { "rel_type": "m.thread", "event_id": to },
            "org.quarterdeck.request": { "number": 482, "state": "succeeded" },
        }})
    }

    #[test]
    fn only_the_rooms_creator_is_believed() {
        let speakers = [owned_user_id!("@quarterdeck:example.org")];
        let to = event_id!("$command");
        let answered = answer(&event("@quarterdeck:example.org", "$command"), to, &speakers);
        assert_eq!(
            answered,
            Some(Answer {
                number: 482,
                of: None,
                state: State::Succeeded,
                alone: false,
                body: "✅ done".to_owned()
            })
        );
        assert_eq!(answer(&event("@mallory:example.org", "$command"), to, &speakers), None);
    }

    #[test]
    fn one_of_several_answers_ends_nothing_and_the_worst_of_all_counts() {
        let answer = |number, of, state| Answer { number, of, state, alone: false, body: String::new() };
        let mut ended = Ended::default();
        assert_eq!(ended.with(&answer(1, Some(3), State::Succeeded)), None);
        assert_eq!(ended.with(&answer(2, Some(3), State::Failed)), None);
        assert_eq!(ended.with(&answer(2, Some(3), State::Failed)), None, "the same one, seen again");
        assert_eq!(ended.with(&answer(3, Some(3), State::Queued)), None);
        assert_eq!(ended.with(&answer(3, Some(3), State::Succeeded)), Some(State::Failed));
        assert_eq!(Ended::default().with(&answer(1, None, State::Succeeded)), Some(State::Succeeded));
    }

    #[test]
    fn an_answer_to_somebody_else_is_none() {
        let speakers = [owned_user_id!("@quarterdeck:example.org")];
        assert_eq!(
            answer(&event("@quarterdeck:example.org", "$other"), event_id!("$command"), &speakers),
            None
        );
    }
}
