//! An event of a room as the inbox kept it, parsed into what Quarterdeck acts on.
//!
//! Everything in it is a stranger's claim until it stands in a type. What does not parse is passed
//! over: it was kept raw, and nothing is run for it.

use jiff::Timestamp;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{appservice, model, storage::InboxRow};

/// An event, as far as every kind of event goes.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone, PartialEq)]
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
    /// A reaction to an event.
    Reaction {
        /// The event.
        target: OwnedEventId,
        /// The sign, without what only chooses its look.
        key: String,
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
    /// Reads a row of the inbox.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for the log. Also where the row says otherwise than the event in it: what is
    /// done once is what the row names, so nothing else may be done for it.
    pub fn of(row: &InboxRow) -> Result<Self, String> {
        if row.source == appservice::MALFORMED {
            return Err("the homeserver sent it as an event, and it is none".to_owned());
        }
        let event = Self::parse(&row.raw)?;
        if event.room_id != row.lane
            || (row.source == appservice::SOURCE && event.event_id != row.external_id)
        {
            return Err(format!("it calls itself {} in {}", event.event_id, event.room_id));
        }
        Ok(event)
    }

    /// Reads the raw bytes of an event.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for the log.
    fn parse(raw: &[u8]) -> Result<Self, String> {
        let raw: Raw<'_> = serde_json::from_slice(raw).map_err(|error| format!("not an event: {error}"))?;
        let content: Value =
            serde_json::from_str(raw.content.get()).map_err(|error| format!("its content: {error}"))?;
        let claimed_at = model::claimed_at(raw.origin_server_ts)
            .ok_or_else(|| format!("its origin_server_ts {} is no time", raw.origin_server_ts))?;
        // The specification forbids them, the types let them pass, and the database takes no NUL.
        if [raw.event_id.as_str(), raw.room_id.as_str(), raw.sender.as_str()].into_iter().any(has_control) {
            return Err("its event, room or sender holds a control character".to_owned());
        }
        let kind = match (raw.event_type.as_str(), raw.state_key) {
            ("m.room.message", None) => message(content),
            ("m.room.encrypted", None) => Kind::Encrypted,
            ("m.reaction", None) => reaction(&content),
            ("m.room.redaction", None) => redaction(&content, raw.redacts),
            ("m.room.member", Some(user)) => member(&content, &user),
            (_, Some(_)) => Kind::State { event_type: raw.event_type, content },
            (_, None) => Kind::Other,
        };
        Ok(Self { event_id: raw.event_id, room_id: raw.room_id, sender: raw.sender, claimed_at, kind })
    }
}

fn has_control(id: &str) -> bool {
    id.contains(char::is_control)
}

/// The id of another event, where it is one.
fn target(id: &Value) -> Option<OwnedEventId> {
    id.as_str().filter(|id| !has_control(id)).and_then(|id| OwnedEventId::try_from(id).ok())
}

fn message(content: Value) -> Kind {
    let relation = &content["m.relates_to"];
    if relation["rel_type"] != "m.replace" {
        return Kind::Message(content);
    }
    let text = content["m.new_content"]["body"].as_str().or(content["body"].as_str()).unwrap_or_default();
    match target(&relation["event_id"]) {
        Some(target) => Kind::Edit { target, text: text.to_owned() },
        // An edit of nothing is still no command.
        None => Kind::Other,
    }
}

/// Clients send a sign with or without a variation selector, which chooses between its looks.
fn reaction(content: &Value) -> Kind {
    let relation = &content["m.relates_to"];
    let annotates = relation["rel_type"] == "m.annotation";
    match (target(&relation["event_id"]).filter(|_| annotates), relation["key"].as_str()) {
        (Some(target), Some(key)) => {
            let key = key.chars().filter(|c| !matches!(c, '\u{fe00}'..='\u{fe0f}')).collect();
            Kind::Reaction { target, key }
        }
        _ => Kind::Other,
    }
}

/// Room version 11 and later keep the target in the content, earlier ones beside it.
fn redaction(content: &Value, beside: Option<OwnedEventId>) -> Kind {
    let beside = beside.filter(|id| !has_control(id.as_str()));
    target(&content["redacts"]).or(beside).map_or(Kind::Other, |target| Kind::Redaction { target })
}

fn member(content: &Value, user: &str) -> Kind {
    match (OwnedUserId::try_from(user), content["membership"].as_str()) {
        _ if has_control(user) => Kind::Other,
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
    fn a_reaction_is_read_without_the_selector_of_its_look() {
        for key in ["✅", "✅\u{fe0f}", "✅\u{fe0e}"] {
            let content =
                json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": "$p", "key": key } });
            let kind = event("m.reaction", &content, &json!({})).unwrap().kind;
            assert_eq!(kind, Kind::Reaction { target: "$p".try_into().unwrap(), key: "✅".into() });
        }
        let other = json!({ "m.relates_to": { "rel_type": "m.thread", "event_id": "$p", "key": "✅" } });
        assert_eq!(event("m.reaction", &other, &json!({})).unwrap().kind, Kind::Other);
    }

    #[test]
    fn what_is_no_event_is_an_error_and_no_panic() {
        for raw in ["", "null", "{}", r#"{"event_id": 5}"#, "[1]"] {
            assert!(Incoming::parse(raw.as_bytes()).is_err(), "{raw}");
        }
        assert!(event("m.room.message", &json!({}), &json!({"sender": "alice"})).is_err());
        for strange in [i64::MIN, -300_000_000_000_000, -1, i64::MAX] {
            assert!(event("m.room.message", &json!({}), &json!({ "origin_server_ts": strange })).is_err());
        }
    }

    #[test]
    fn a_row_stands_for_the_event_that_it_names_and_for_no_other() {
        let row = |source: &str, external_id: &str, lane: &str| InboxRow {
            id: 1,
            source: source.to_owned(),
            external_id: external_id.to_owned(),
            lane: lane.to_owned(),
            claimed_at: None,
            received_at: jiff::Timestamp::UNIX_EPOCH,
            raw: json!({
                "event_id": "$e", "room_id": "!r:x", "sender": "@a:x", "origin_server_ts": 1000,
                "type": "m.room.message", "content": {"msgtype": "m.text", "body": "!deploy"},
            })
            .to_string()
            .into_bytes(),
        };
        assert!(Incoming::of(&row("matrix", "$e", "!r:x")).is_ok());
        assert!(Incoming::of(&row("status", "$e/0", "!r:x")).is_ok());
        assert!(Incoming::of(&row("matrix", "$other", "!r:x")).is_err());
        assert!(Incoming::of(&row("matrix", "$e", "!other:x")).is_err());
        // What was stored by its digest could come again with another digest.
        assert!(Incoming::of(&row("matrix.malformed", "00ff", "matrix.malformed")).is_err());
        assert!(Incoming::of(&row("matrix.malformed", "00ff", "!r:x")).is_err());
    }

    #[test]
    fn an_id_with_a_control_character_names_nothing() {
        for key in ["event_id", "room_id", "sender"] {
            let value = json!({"event_id": "$e\0", "room_id": "!r\0:x", "sender": "@a\u{7}:x"})[key].clone();
            assert!(event("m.room.message", &json!({}), &json!({ key: value })).is_err(), "{key}");
        }
        let edit = json!({"body": "x", "m.relates_to": {"rel_type": "m.replace", "event_id": "$o\0"}});
        assert_eq!(event("m.room.message", &edit, &json!({})).unwrap().kind, Kind::Other);
        let redaction = event("m.room.redaction", &json!({"redacts": "$a\0"}), &json!({"redacts": "$b\0"}));
        assert_eq!(redaction.unwrap().kind, Kind::Other);
        let member =
            event("m.room.member", &json!({"membership": "join"}), &json!({"state_key": "@a\u{7}:x"}));
        assert_eq!(member.unwrap().kind, Kind::Other);
    }
}
