//! What a decision was made from, as it is recorded: the Cedar request and the entity slice, in Cedar's JSON.
//!
//! It is put together as text, from parts most of which were rendered when the rules came into force: a decision is
//! recorded as it stands, and few are ever looked into again. That the text is what Cedar itself would have written
//! of the same request is shown by a property (`tests/narrowing.rs`).

use std::{collections::BTreeMap, fmt};

use cedar_policy::{Context, EntityUid};
use jiff::{Zoned, tz::TimeZone};
use serde::Serialize;
use serde_json::Value as Json;

use super::{
    Question, Rules,
    names::{self, SYSTEM, USER},
    request::{OfRequest, WEEKDAYS, argument},
    scene::Scene,
};
use crate::model::Value;

/// The Cedar request and the entity slice of one decision: enough to decide it once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs(String);

impl Inputs {
    /// The text that is recorded: one JSON object.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same to look into.
    pub fn to_json(&self) -> Json {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// What is known of a question that could not even be asked.
    pub(super) fn unasked(json: &Json) -> Self {
        Self(json.to_string())
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Rules {
    /// The inputs of a question whose time has been told as `at`.
    ///
    /// # Errors
    ///
    /// Why Cedar cannot write an argument, in words.
    pub(super) fn inputs(&self, question: &Question<'_>, scene: &Scene, at: &At) -> Result<Inputs, String> {
        let mut text = String::with_capacity(scene.named.len() + scene.recorded.len() + 1_024);
        text.push('{');
        text.push_str(&scene.named);
        text.push_str(r#","context":{"#);
        self.context(&mut text, question, at)?;
        text.push_str(r#"},"entities":["#);
        text.push_str(&scene.recorded);
        text.push(']');
        // Counts are what the rules see; who they are is for those who check the record.
        if !question.approvals.is_empty() {
            text.push_str(r#","approved_by":"#);
            push(&mut text, question.approvals);
        }
        if !question.elevated.is_empty() {
            text.push_str(r#","elevated":"#);
            push(&mut text, question.elevated);
        }
        text.push('}');
        Ok(Inputs(text))
    }

    /// The members of the context in the order of their names, as Cedar writes a record.
    fn context(&self, text: &mut String, question: &Question<'_>, at: &At) -> Result<(), String> {
        let arguments = question.action.arguments();
        let of_request = question.action.of_request();
        let circumstances = question.action.knows_circumstances();
        let mut between = "";
        let mut member = |text: &mut String, name: &str| {
            text.push_str(between);
            between = ",";
            push(text, name);
            text.push(':');
        };
        if circumstances {
            member(text, "approvals");
            if question.approvals.is_empty() {
                text.push_str(&self.no_approvals);
            } else {
                let count = |name: &String| (name.clone(), self.given(question, name).into());
                push(text, &self.counts.iter().map(count).collect::<serde_json::Map<_, _>>());
            }
        }
        if let Some(arguments) = arguments {
            member(text, "arguments");
            push_arguments(text, arguments)?;
        }
        if let Some(OfRequest { command, .. }) = of_request {
            member(text, "command");
            push(text, command);
        }
        if circumstances {
            member(text, "confirmed");
            push(text, &question.confirmed);
            member(text, "dry");
            push(text, &question.action.is_dry());
        }
        if let Some(OfRequest { command, requester }) = of_request {
            member(text, "effect");
            push(text, self.effect(command).name());
            member(text, "requester");
            push_entity(text, &USER.to_string(), requester.as_str());
        }
        member(text, "room");
        push_entity(text, &names::ROOM.to_string(), question.room);
        if circumstances {
            member(text, "time");
            text.push_str(r#"{"hour":"#);
            push(text, &at.hour);
            text.push_str(r#","minute":"#);
            push(text, &at.minute);
            text.push_str(r#","now":"#);
            push_extension(text, "datetime", &at.now);
            text.push_str(r#","weekday":"#);
            push(text, at.weekday);
            text.push('}');
        }
        Ok(())
    }
}

/// A time as the rules see it.
pub(super) struct At {
    /// In UTC, as Cedar writes a `datetime`.
    pub(super) now: String,
    pub(super) weekday: &'static str,
    pub(super) hour: i64,
    pub(super) minute: i64,
}

impl At {
    pub(super) fn new(now: crate::model::Timestamp, zone: &TimeZone) -> Self {
        let (utc, at): (Zoned, Zoned) = (now.to_zoned(TimeZone::UTC), now.to_zoned(zone.clone()));
        let weekday = WEEKDAYS[usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or_default()];
        let now = utc.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        Self { now, weekday, hour: at.hour().into(), minute: at.minute().into() }
    }
}

/// The counts where nobody has approved: the same for every question that most people ask.
pub(super) fn no_approvals(counts: &[String]) -> String {
    let mut text = String::new();
    push(
        &mut text,
        &counts.iter().map(|name| (name.clone(), Json::from(0))).collect::<serde_json::Map<_, _>>(),
    );
    text
}

/// Principal, action and resource, as the record begins.
pub(super) fn named(principal: &EntityUid, action: &EntityUid, resource: &EntityUid) -> String {
    let mut text = String::new();
    for (before, name) in
        [(r#""principal":"#, principal), (r#","action":"#, action), (r#","resource":"#, resource)]
    {
        text.push_str(before);
        push(&mut text, &name.to_string());
    }
    text
}

fn push_arguments(text: &mut String, arguments: &BTreeMap<String, Value>) -> Result<(), String> {
    text.push('{');
    for (place, (name, value)) in arguments.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        push(text, name);
        text.push(':');
        match value {
            Value::Text(words) | Value::Choice(words) => push(text, words),
            Value::Integer(number) => push(text, number),
            Value::Boolean(yes) => push(text, yes),
            Value::Duration(seconds) => push_extension(text, "duration", &format!("{seconds}s")),
            Value::User(id) => push_entity(text, &USER.to_string(), id.as_str()),
            Value::Room(id) => push(text, id),
            Value::System(key) => push_entity(text, &SYSTEM.to_string(), key),
            // A set has an order of Cedar's own, and nothing twice.
            Value::List(_) => {
                let set = Context::from_pairs([(name.clone(), argument(value))]);
                let set = set.map_err(|error| error.to_string())?;
                let json = set.to_json_value().map_err(|error| error.to_string())?;
                push(text, &json[name]);
            }
        }
    }
    text.push('}');
    Ok(())
}

fn push_entity(text: &mut String, kind: &str, id: &str) {
    text.push_str(r#"{"__entity":{"type":"#);
    push(text, kind);
    text.push_str(r#","id":"#);
    push(text, id);
    text.push_str("}}");
}

fn push_extension(text: &mut String, function: &str, argument: &str) {
    text.push_str(r#"{"__extn":{"fn":"#);
    push(text, function);
    text.push_str(r#","arg":"#);
    push(text, argument);
    text.push_str("}}");
}

fn push<T: Serialize + ?Sized>(text: &mut String, value: &T) {
    // Texts, numbers and maps by name: nothing that JSON cannot hold.
    text.push_str(&serde_json::to_string(value).unwrap_or_default());
}
