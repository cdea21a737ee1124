//! An event of a room as the inbox kept it, parsed into what Quarterdeck acts on.
//!
//! Everything in it is a stranger's claim until it stands in a type. What does not parse is passed
//! over: it was kept raw, and nothing is run for it.

use jiff::Timestamp;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// An event, as far as every kind of event goes.
#[derive(Debug)]
pub struct Incoming {
    /// Its id.
    pub event_id: OwnedEventId,
    /// Its room.
    pub room_id: OwnedRoomId,
    /// Who sent it: the only identity there is.
    pub sender: OwnedUserId,
    /// When the sender's homeserver claims that it was sent.
    pub claimed_at: Timestamp,
    /// What it is.
    pub kind: Kind,
}

/// What an event is to us.
#[derive(Debug, PartialEq)]
pub enum Kind {
    /// A message, with its content.
    Message(Value),
    /// A message edited: the event that it replaces, and the new text.
    Edit {
        /// The edited event.
        target: OwnedEventId,
        /// The new text.
        text: String,
    },
    /// A message redacted.
    Redaction {
        /// The redacted event.
        target: OwnedEventId,
    },
    /// A membership.
    Member {
        /// Whose.
        user: OwnedUserId,
        /// `join`, `leave`, `invite`, `ban` or `knock`.
        membership: String,
    },
    /// Something encrypted, which Quarterdeck cannot read.
    Encrypted,
    /// A piece of room state.
    State {
        /// The type: `m.room.power_levels`, ...
        event_type: String,
        /// The new content.
        content: Value,
    },
    /// Nothing that concerns us.
    Other,
}

#[derive(Deserialize)]
struct Raw<'a> {
    event_id: OwnedEventId,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    origin_server_ts: i64,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(borrow)]
    content: &'a RawValue,
    state_key: Option<String>,
    redacts: Option<OwnedEventId>,
}

impl Incoming {
    /// Reads the raw bytes of an event.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for the log.
    pub fn parse(raw: &[u8]) -> Result<Self, String> {
        let raw: Raw<'_> = serde_json::from_slice(raw).map_err(|error| format!("not an event: {error}"))?;
        let content: Value =
            serde_json::from_str(raw.content.get()).map_err(|error| format!("its content: {error}"))?;
        let claimed_at = Timestamp::from_millisecond(raw.origin_server_ts)
            .map_err(|error| format!("its origin_server_ts: {error}"))?;
        let kind = match (raw.event_type.as_str(), raw.state_key) {
            ("m.room.message", None) => message(content),
            ("m.room.encrypted", None) => Kind::Encrypted,
            ("m.room.redaction", None) => redaction(&content, raw.redacts),
            ("m.room.member", Some(user)) => member(&content, &user),
            (_, Some(_)) => Kind::State { event_type: raw.event_type, content },
            (_, None) => Kind::Other,
        };
        Ok(Self { event_id: raw.event_id, room_id: raw.room_id, sender: raw.sender, claimed_at, kind })
    }
}

fn message(content: Value) -> Kind {
    let relation = &content["m.relates_to"];
    if relation["rel_type"] != "m.replace" {
        return Kind::Message(content);
    }
    let text = content["m.new_content"]["body"].as_str().or(content["body"].as_str()).unwrap_or_default();
    match relation["event_id"].as_str().and_then(|id| OwnedEventId::try_from(id).ok()) {
        Some(target) => Kind::Edit { target, text: text.to_owned() },
        // An edit of nothing is still no command.
        None => Kind::Other,
    }
}

/// Room version 11 and later keep the target in the content, earlier ones beside it.
fn redaction(content: &Value, beside: Option<OwnedEventId>) -> Kind {
    let inside = content["redacts"].as_str().and_then(|id| OwnedEventId::try_from(id).ok());
    inside.or(beside).map_or(Kind::Other, |target| Kind::Redaction { target })
}

fn member(content: &Value, user: &str) -> Kind {
    match (OwnedUserId::try_from(user), content["membership"].as_str()) {
        (Ok(user), Some(membership @ ("join" | "leave" | "invite" | "ban" | "knock"))) => {
            Kind::Member { user, membership: membership.to_owned() }
        }
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(event_type: &str, content: &Value, more: &Value) -> Result<Incoming, String> {
        let mut event = json!({
            "event_id": "$e", "room_id": "!r:x", "sender": "@a:x", "origin_server_ts": 1000,
            "type": event_type, "content": content,
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Incoming::parse(event.to_string().as_bytes())
    }

    #[test]
    fn an_edit_is_never_a_message() {
        let content = json!({
            "msgtype": "m.text", "body": "* !deploy web staging",
            "m.new_content": {"msgtype": "m.text", "body": "!deploy web staging"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": "$old"},
        });
        let kind = event("m.room.message", &content, &json!({})).unwrap().kind;
        assert_eq!(
            kind,
            Kind::Edit { target: "$old".try_into().unwrap(), text: "!deploy web staging".into() }
        );
        let nothing = json!({"body": "!x", "m.relates_to": {"rel_type": "m.replace"}});
        assert_eq!(event("m.room.message", &nothing, &json!({})).unwrap().kind, Kind::Other);
    }

    #[test]
    fn the_target_of_a_redaction_is_read_from_the_content_first() {
        let kind =
            event("m.room.redaction", &json!({"redacts": "$a"}), &json!({"redacts": "$b"})).unwrap().kind;
        assert_eq!(kind, Kind::Redaction { target: "$a".try_into().unwrap() });
        let kind = event("m.room.redaction", &json!({}), &json!({"redacts": "$b"})).unwrap().kind;
        assert_eq!(kind, Kind::Redaction { target: "$b".try_into().unwrap() });
    }

    #[test]
    fn what_is_no_event_is_an_error_and_no_panic() {
        for raw in ["", "null", "{}", r#"{"event_id": 5}"#, "[1]"] {
            assert!(Incoming::parse(raw.as_bytes()).is_err(), "{raw}");
        }
        assert!(event("m.room.message", &json!({}), &json!({"sender": "alice"})).is_err());
        assert!(event("m.room.message", &json!({}), &json!({"origin_server_ts": i64::MAX})).is_err());
    }
}
