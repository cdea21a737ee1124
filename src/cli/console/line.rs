//! An event as lines for a terminal.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

/// What an event says, as the terminal shows it; nothing for events that say nothing.
pub fn shown(event: &Value, zone: &TimeZone) -> Option<String> {
    let sender = event["sender"].as_str()?;
    let content = &event["content"];
    let relation = content["m.relates_to"]["rel_type"].as_str();
    let text = match (event["type"].as_str()?, relation) {
        ("m.room.message", Some("m.replace")) => {
            format!("(edited) {}", content["m.new_content"]["body"].as_str()?)
        }
        ("m.room.message", _) => content["body"].as_str()?.to_owned(),
        ("m.reaction", _) => format!("reacts {}", content["m.relates_to"]["key"].as_str()?),
        ("m.room.member", _) => {
            let whose = event["state_key"].as_str()?;
            let membership = content["membership"].as_str()?;
            if whose == sender { format!("→ {membership}") } else { format!("→ {membership}: {whose}") }
        }
        _ => return None,
    };
    let time = event["origin_server_ts"]
        .as_i64()
        .and_then(|at| Timestamp::from_millisecond(at).ok())
        .map_or_else(String::new, |at| at.to_zoned(zone.clone()).strftime("%H:%M").to_string());
    let indent = if relation == Some("m.thread") { "    " } else { "" };
    let further = format!("\n      {indent}");
    let said = safe(&text).lines().collect::<Vec<_>>().join(&further);
    Some(format!("{time} {indent}{}  {said}", safe(sender)))
}

pub(super) use super::super::console_safe as safe;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_threads_message_is_indented_with_all_its_lines() {
        let event = json!({
            "type": "m.room.message", "sender": "@q:example.org", "origin_server_ts": 0,
            "content": { "body": "✅ done\nmore", "m.relates_to": { "rel_type": "m.thread", "event_id": "$a" } },
        });
        assert_eq!(
            shown(&event, &TimeZone::UTC).unwrap(),
            "00:00     @q:example.org  ✅ done\n          more"
        );
    }

    #[test]
    fn nothing_that_somebody_writes_steers_the_terminal() {
        assert_eq!(safe("\x1b[2Jgone\r\u{202e}"), "␛[2Jgone␍�");
    }
}
