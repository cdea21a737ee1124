//! A room's state as it is (pure).

use std::collections::BTreeMap;

use ruma::{OwnedUserId, UserId, events::AnyStateEvent, serde::Raw};
use serde::Deserialize;
use serde_json::Value;

use super::wanted::State;
use crate::storage::{Member, Membership};

/// A state event as it is.
#[derive(Debug, Clone, Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    state_key: String,
    sender: OwnedUserId,
    content: Value,
    #[serde(default)]
    origin_server_ts: i64,
}

/// The state of a room.
#[derive(Debug, Clone)]
pub(super) struct Found {
    events: BTreeMap<(String, String), Event>,
}

/// How somebody stands to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) membership: Membership,
    /// Whether they brought it about themselves.
    pub(super) by_themselves: bool,
    /// When, in milliseconds since 1970, as their homeserver says.
    pub(super) since: i64,
}

impl Found {
    pub(super) fn new(state: &[Raw<AnyStateEvent>]) -> Self {
        let events = state.iter().filter_map(|event| event.deserialize_as_unchecked::<Event>().ok());
        Self { events: events.map(|event| ((event.kind.clone(), event.state_key.clone()), event)).collect() }
    }

    fn event(&self, kind: &str, key: &str) -> Option<&Event> {
        self.events.get(&(kind.to_owned(), key.to_owned()))
    }

    pub(super) fn content(&self, kind: &str, key: &str) -> Option<&Value> {
        self.event(kind, key).map(|event| &event.content)
    }

    /// The state keys and contents of all events of a type.
    pub(super) fn keys_of(&self, kind: &str) -> impl Iterator<Item = (&str, &Value)> {
        self.events
            .values()
            .filter(move |event| event.kind == kind)
            .map(|event| (event.state_key.as_str(), &event.content))
    }

    /// Whether the state is as wanted.
    pub(super) fn has(&self, wanted: &State) -> bool {
        match self.content(wanted.kind, &wanted.key) {
            // What is to be gone may never have been.
            None => wanted.content.as_object().is_some_and(serde_json::Map::is_empty),
            Some(found)
                if wanted.kind == "m.room.power_levels"
                    || wanted.content == Value::Object(serde_json::Map::new()) =>
            {
                *found == wanted.content
            }
            // A homeserver may add fields of its own, such as a topic's other forms.
            Some(found) => wanted
                .content
                .as_object()
                .is_some_and(|wanted| wanted.iter().all(|(field, value)| found.get(field) == Some(value))),
        }
    }

    /// Whether the creators stand above all power levels.
    pub(super) fn creators_stand_above(&self) -> bool {
        let version = self.content("m.room.create", "").and_then(|create| create["room_version"].as_str());
        // Versions that are no numbers are experiments; those of today are built on 10 and 11.
        version.and_then(|version| version.parse::<u32>().ok()).is_some_and(|version| version >= 12)
    }

    /// Who created the room: from version 12 on, all who stand above its power levels.
    pub(super) fn creators(&self) -> Vec<OwnedUserId> {
        let Some(create) = self.event("m.room.create", "") else { return Vec::new() };
        let more = create.content["additional_creators"].as_array().into_iter().flatten();
        let more = more.filter_map(|user| OwnedUserId::try_from(user.as_str()?).ok());
        [create.sender.clone()].into_iter().chain(more).collect()
    }

    /// Whether we created the room, and nobody beside us.
    pub(super) fn is_made_by(&self, bot: &UserId) -> bool {
        self.creators() == [bot]
    }

    /// What a tombstone names as the room to go to, which may be none.
    pub(super) fn replaced_by(&self) -> Option<&str> {
        let tombstone = self.content("m.room.tombstone", "")?;
        Some(tombstone["replacement_room"].as_str().unwrap_or_default())
    }

    /// The room that it says it takes the place of.
    pub(super) fn predecessor(&self) -> Option<&str> {
        self.content("m.room.create", "")?["predecessor"]["room_id"].as_str()
    }

    /// The level that somebody still needs to set all state there; `None` where they can. Nobody may touch a level above
    /// their own, nor take away somebody's that is as high: since version 12 that of `m.room.tombstone` is usually 150.
    pub(super) fn lacks(&self, bot: &UserId) -> Option<i64> {
        if self.creators_stand_above() && self.creators().iter().any(|creator| creator == bot) {
            return None;
        }
        let none = Value::Null;
        let levels = self.content("m.room.power_levels", "").unwrap_or(&none);
        let map = |name: &str| levels[name].as_object().into_iter().flatten();
        let others = map("users").filter(|(user, _)| *user != bot.as_str());
        let others = others.filter_map(|(_, level)| Some(level.as_i64()?.saturating_add(1)));
        let events = map("events").chain(map("notifications")).filter_map(|(_, level)| level.as_i64());
        let fields = levels.as_object().into_iter().flatten().filter_map(|(_, level)| level.as_i64());
        let needed = others.chain(events).chain(fields).fold(100, i64::max);
        (levels["users"][bot.as_str()].as_i64().unwrap_or_default() < needed).then_some(needed)
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.content("m.room.encryption", "").is_some_and(|content| content.get("algorithm").is_some())
    }

    pub(super) fn is_space(&self) -> bool {
        self.content("m.room.create", "").is_some_and(|create| create["type"] == "m.space")
    }

    /// How somebody stands to the room, if they ever did.
    pub(super) fn standing(&self, user: &UserId) -> Option<Standing> {
        let event = self.event("m.room.member", user.as_str())?;
        Some(Standing {
            membership: membership(&event.content)?,
            by_themselves: event.sender == user,
            since: event.origin_server_ts,
        })
    }

    /// Everybody who ever stood to the room in some way.
    pub(super) fn members(&self) -> Vec<Member> {
        self.keys_of("m.room.member")
            .filter_map(|(user, content)| {
                Some(Member {
                    user: OwnedUserId::try_from(user).ok()?,
                    membership: self::membership(content)?,
                })
            })
            .collect()
    }
}

fn membership(content: &Value) -> Option<Membership> {
    Some(match content["membership"].as_str()? {
        "join" => Membership::Join,
        "invite" => Membership::Invite,
        "knock" => Membership::Knock,
        "leave" => Membership::Leave,
        "ban" => Membership::Ban,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(events: &[Value]) -> Found {
        let raw: Vec<_> = events.iter().map(|event| Raw::new(event).unwrap().cast_unchecked()).collect();
        Found::new(&raw)
    }

    fn event(kind: &str, key: &str, sender: &str, content: &Value) -> Value {
        json!({ "type": kind, "state_key": key, "sender": sender, "content": content, "origin_server_ts": 5 })
    }

    fn state(kind: &'static str, content: Value) -> State {
        State { kind, key: String::new(), content, says: "" }
    }

    #[test]
    fn a_field_more_is_no_drift_but_in_power_levels_it_is() {
        let found = found(&[
            event("m.room.topic", "", "@b:c", &json!({ "topic": "t", "m.topic": {} })),
            event(
                "m.room.power_levels",
                "",
                "@b:c",
                &json!({ "users_default": 0, "users": { "@mallory:x": 100 } }),
            ),
        ]);
        assert!(found.has(&state("m.room.topic", json!({ "topic": "t" }))));
        assert!(!found.has(&state("m.room.topic", json!({ "topic": "u" }))));
        assert!(!found.has(&state("m.room.power_levels", json!({ "users_default": 0 }))));
        assert!(!found.has(&state("m.room.name", json!({ "name": "n" }))));
        assert!(found.has(&state("m.space.child", json!({}))));
    }

    #[test]
    fn from_version_12_on_creators_stand_above_and_are_all_counted() {
        let create = |version: &str, more: &[&str]| {
            let content = json!({ "room_version": version, "additional_creators": more });
            found(&[event("m.room.create", "", "@bot:c", &content)])
        };
        let bot: &UserId = ruma::user_id!("@bot:c");
        assert!(create("12", &[]).creators_stand_above());
        assert!(!create("11", &[]).creators_stand_above());
        assert!(!create("org.example.strange", &[]).creators_stand_above());
        assert!(create("12", &[]).is_made_by(bot));
        assert!(!create("12", &["@mallory:x"]).is_made_by(bot));
        assert!(!create("12", &[]).is_made_by(ruma::user_id!("@other:c")));
    }

    #[test]
    fn who_did_not_create_a_room_needs_the_highest_level_and_one_above_that_of_any_other() {
        let bot: &UserId = ruma::user_id!("@bot:c");
        let room = |sender: &str, users: Value, events: Value| {
            let levels = json!({ "users": users, "events": events, "state_default": 50 });
            let create = event("m.room.create", "", sender, &json!({ "room_version": "12" }));
            found(&[create, event("m.room.power_levels", "", sender, &levels)]).lacks(bot)
        };
        assert_eq!(room("@bot:c", json!({}), json!({ "m.room.tombstone": 150 })), None);
        assert_eq!(room("@a:c", json!({}), json!({})), Some(100));
        assert_eq!(room("@a:c", json!({ "@bot:c": 100 }), json!({ "m.room.tombstone": 150 })), Some(150));
        assert_eq!(room("@a:c", json!({ "@bot:c": 150 }), json!({ "m.room.tombstone": 150 })), None);
        assert_eq!(room("@a:c", json!({ "@bot:c": 100, "@b:c": 100 }), json!({})), Some(101));
    }

    #[test]
    fn a_state_event_without_sense_is_passed_over() {
        let found = found(&[
            json!(7),
            json!({ "type": "m.room.name" }),
            event("m.room.member", "nobody", "@b:c", &json!({})),
        ]);
        assert!(found.members().is_empty());
        assert_eq!(found.creators(), Vec::<OwnedUserId>::new());
    }
}
