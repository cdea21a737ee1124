//! Structured commands (MSC4391, `org.matrix.msc4391.command`).
//!
//! A client that knows them sends name and arguments as JSON beside the text. People read the text, so
//! the two must say the same.

use std::collections::BTreeMap;

use ruma::UserId;
use serde_json::Value as Json;

use super::Mistake;

/// The two names of the content block: before and after the proposal is accepted.
const KEYS: [&str; 2] = ["org.matrix.msc4391.command", "m.bot.command"];

/// A structured command as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Structured {
    /// The command's name.
    pub command: String,
    /// Its arguments.
    pub arguments: BTreeMap<String, Json>,
}

/// Whether the message mentions the bot; nothing where it has no list of mentions.
pub(super) fn mentions(content: &Json, bot: &UserId) -> Option<bool> {
    let users = content.get("m.mentions")?.get("user_ids")?.as_array()?;
    Some(users.iter().any(|user| user.as_str() == Some(bot.as_str())))
}

/// The structured command of a message.
pub(super) fn of(content: &Json) -> Option<Structured> {
    let block = KEYS.iter().find_map(|key| content.get(key))?;
    let command = block.get("command").and_then(Json::as_str).unwrap_or_default().to_owned();
    let arguments = match block.get("arguments") {
        None | Some(Json::Null) => BTreeMap::new(),
        Some(Json::Object(arguments)) => {
            arguments.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
        }
        // What is no object of arguments can agree with nothing.
        Some(other) => BTreeMap::from([(String::new(), other.clone())]),
    };
    Some(Structured { command, arguments })
}

/// The arguments as texts, ready to be read by their types.
pub(super) fn texts(structured: &Structured) -> Result<BTreeMap<String, String>, Mistake> {
    structured
        .arguments
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| text(value).map(|text| (name.clone(), text)).ok_or(Mistake::Disagree))
        .collect()
}

fn text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(yes) => Some(yes.to_string()),
        Json::Number(number) => number.as_i64().map(|number| number.to_string()),
        Json::Array(items) => {
            let items: Vec<String> = items
                .iter()
                .map(|item| text(item).filter(|item| !item.contains(',')))
                .collect::<Option<_>>()?;
            Some(items.join(","))
        }
        // A room comes with the servers that know it.
        Json::Object(object) => {
            object.get("id").or_else(|| object.get("room_id")).and_then(Json::as_str).map(str::to_owned)
        }
        Json::Null => None,
    }
}
