//! Quarterdeck's answers, as programs read them.

use ruma::{EventId, OwnedUserId};
use serde_json::Value;

use crate::model::State;

/// The key of an answer's content that tells programs of the request: its number, and where it stands.
const REQUEST: &str = "org.quarterdeck.request";

/// What an answer says of the request.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where the request stands.
    pub state: State,
    /// The answer in words.
    pub body: String,
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
    let state = content[REQUEST]["state"].as_str()?.parse().ok()?;
    Some(Answer { state, body: content["body"].as_str().unwrap_or_default().to_owned() })
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
        assert_eq!(answered, Some(Answer { state: State::Succeeded, body: "✅ done".to_owned() }));
        assert_eq!(answer(&event("@mallory:example.org", "$command"), to, &speakers), None);
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
