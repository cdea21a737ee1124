//! Text becomes a typed value, or a reason why it is none.

use std::collections::BTreeMap;

use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomAliasId, RoomId, UserId};

use super::{ArgumentType, nearest, one_of};
use crate::model::Value;

/// The greatest integer of canonical JSON: 2^53 - 1.
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

/// The names that a value may refer to.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The declared systems.
    pub systems: &'a [&'a str],
    /// The rooms whose alias has been looked up.
    pub rooms: &'a BTreeMap<OwnedRoomAliasId, OwnedRoomId>,
}

/// Why a text is no value of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongValue {
    /// What it should have been: `staging or production`.
    pub expected: String,
    /// What was probably meant.
    pub nearest: Option<String>,
}

impl WrongValue {
    fn expected(expected: impl Into<String>) -> Self {
        Self { expected: expected.into(), nearest: None }
    }
}

impl ArgumentType {
    /// The name in files.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Integer { .. } => "integer",
            Self::Boolean => "boolean",
            Self::Choice(_) => "choice",
            Self::Duration { .. } => "duration",
            Self::User => "user",
            Self::Room => "room",
            Self::System => "system",
            Self::List { .. } => "list",
        }
    }

    /// What a value of this type looks like, in words.
    pub fn describe(&self, systems: &[&str]) -> String {
        match self {
            Self::Text { pattern: Some(pattern), .. } => {
                format!("text like `{}`", shown_pattern(pattern.as_str()))
            }
            Self::Text { pattern: None, min_length, max_length } => match (*min_length, *max_length) {
                (0 | 1, max) => format!("text of at most {max} characters"),
                (min, max) => format!("text of {min} to {max} characters"),
            },
            Self::Integer { min, max } => match (*min > -MAX_INTEGER, *max < MAX_INTEGER) {
                (false, false) => "a whole number".to_owned(),
                (true, false) => format!("a whole number, {min} or more"),
                (false, true) => format!("a whole number, {max} or less"),
                (true, true) => format!("a whole number from {min} to {max}"),
            },
            Self::Boolean => "true or false".to_owned(),
            Self::Choice(choices) => one_of(choices),
            Self::Duration { min, max } => {
                let (least, most) = (Value::Duration(*min), Value::Duration(*max));
                if *max >= MAX_INTEGER && *min <= 0 {
                    "a length of time such as 90s, 10m or 1h30m".to_owned()
                } else if *max >= MAX_INTEGER {
                    format!("a length of time of {least} or more")
                } else {
                    format!("a length of time from {least} to {most}")
                }
            }
            Self::User => "a user such as @alice:example.org".to_owned(),
            Self::Room => "a room's id or alias".to_owned(),
            Self::System if systems.is_empty() => "a system, and there is none for you here".to_owned(),
            Self::System => one_of(systems),
            Self::List { items, .. } => format!("{}; several separated by commas", items.describe(systems)),
        }
    }

    /// Reads a value of this type.
    ///
    /// # Errors
    ///
    /// What it should have been.
    pub fn read(&self, text: &str, known: &Known<'_>) -> Result<Value, WrongValue> {
        let wrong = || WrongValue::expected(self.describe(known.systems));
        match self {
            Self::Text { pattern, min_length, max_length } => {
                let length = text.chars().count();
                let fits = pattern.as_ref().is_none_or(|pattern| pattern.is_match(text));
                if length < *min_length || length > *max_length || !fits {
                    return Err(wrong());
                }
                Ok(Value::Text(text.to_owned()))
            }
            Self::Integer { min, max } => match text.parse::<i64>() {
                Ok(number) if (*min..=*max).contains(&number) => Ok(Value::Integer(number)),
                _ => Err(wrong()),
            },
            Self::Boolean => boolean(text).map(Value::Boolean).ok_or_else(wrong),
            Self::Choice(choices) => pick(text, choices.iter().map(String::as_str))
                .map(|choice| Value::Choice(choice.to_owned()))
                .map_err(|nearest| WrongValue { nearest, ..wrong() }),
            Self::System => {
                let key = text.split_once('@').map_or(text, |(key, _)| key);
                match pick(text, known.systems.iter().copied()) {
                    Ok(system) => Ok(Value::System(system.to_owned())),
                    Err(_) if known.systems.contains(&key) => {
                        Err(WrongValue { nearest: Some(key.to_owned()), ..wrong() })
                    }
                    Err(nearest) => Err(WrongValue { nearest, ..wrong() }),
                }
            }
            Self::Duration { min, max } => match duration(text) {
                Some(seconds) if (*min..=*max).contains(&seconds) => Ok(Value::Duration(seconds)),
                _ => Err(wrong()),
            },
            Self::User => UserId::parse(text).map(|user| Value::User(user.clone())).map_err(|_| wrong()),
            Self::Room => {
                if let Ok(alias) = RoomAliasId::parse(text) {
                    return known.rooms.get(&*alias).cloned().map(Value::Room).ok_or_else(|| {
                        WrongValue::expected("a room that Quarterdeck knows, or a room's id")
                    });
                }
                RoomId::parse(text).map(|room| Value::Room(room.clone())).map_err(|_| wrong())
            }
            Self::List { items, max_items } => {
                let values: Vec<Value> =
                    text.split(',').map(|item| items.read(item.trim(), known)).collect::<Result<_, _>>()?;
                if values.len() > *max_items {
                    return Err(WrongValue::expected(format!("at most {max_items} items")));
                }
                // What an item may hold besides is not representable in the list's one spelling.
                Ok(Value::List(values))
            }
        }
    }
}

/// A pattern anchored to the whole text.
pub(super) fn anchored(pattern: &str) -> String {
    format!(r"\A(?:{pattern})\z")
}

/// The pattern as it was written.
fn shown_pattern(anchored: &str) -> &str {
    anchored.strip_prefix(r"\A(?:").and_then(|rest| rest.strip_suffix(r")\z")).unwrap_or(anchored)
}

/// Yes or no, in the words people use.
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A length of time in seconds: whole numbers with the units `d`, `h`, `m` and `s`, from large to small.
pub fn duration(text: &str) -> Option<i64> {
    let mut seconds: i64 = 0;
    let mut number = String::new();
    let mut last = i64::MAX;
    for c in text.chars().filter(|c| *c != ' ') {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        if unit >= last {
            return None;
        }
        last = unit;
        let count: i64 = number.parse().ok()?;
        number.clear();
        seconds = seconds.checked_add(count.checked_mul(unit)?)?;
    }
    (number.is_empty() && last != i64::MAX && seconds <= MAX_INTEGER).then_some(seconds)
}

/// The name that was written, whatever its case where that leaves one; otherwise the nearest.
fn pick<'a>(text: &str, names: impl Iterator<Item = &'a str> + Clone) -> Result<&'a str, Option<String>> {
    if let Some(name) = names.clone().find(|name| *name == text) {
        return Ok(name);
    }
    let mut alike = names.clone().filter(|name| name.to_lowercase() == text.to_lowercase());
    if let (Some(name), None) = (alike.next(), alike.next()) {
        return Ok(name);
    }
    Err(nearest(text, names).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &ArgumentType, text: &str) -> Result<Value, WrongValue> {
        kind.read(text, &Known { systems: &["web", "db"], rooms: &BTreeMap::new() })
    }

    #[test]
    fn lengths_of_time_are_read_and_printed_alike() {
        for (text, seconds) in
            [("90s", 90), ("10m", 600), ("1h30m", 5_400), ("1d", 86_400), ("1h 30m", 5_400)]
        {
            assert_eq!(duration(text), Some(seconds), "{text}");
            assert_eq!(duration(&Value::Duration(seconds).to_string()), Some(seconds), "{text}");
        }
        for text in ["", "10", "m", "10m1h", "-5s", "1.5h", "10 minutes", "99999999999999999999s", "5m5m"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(duration(&Value::Duration(0).to_string()), Some(0));
    }

    #[test]
    fn a_choice_of_another_case_is_understood_and_a_mistyped_one_is_suggested() {
        let kind = ArgumentType::Choice(vec!["staging".into(), "production".into()]);
        assert_eq!(read(&kind, "Staging"), Ok(Value::Choice("staging".into())));
        let wrong = read(&kind, "stagng").unwrap_err();
        assert_eq!(wrong.expected, "staging or production");
        assert_eq!(wrong.nearest.as_deref(), Some("staging"));
    }

    #[test]
    fn a_system_with_an_environment_is_no_system_but_names_one() {
        let wrong = read(&ArgumentType::System, "web@production").unwrap_err();
        assert_eq!(wrong.nearest.as_deref(), Some("web"));
    }

    #[test]
    fn a_list_holds_values_of_its_type() {
        let kind = ArgumentType::List { items: Box::new(ArgumentType::System), max_items: 2 };
        assert_eq!(
            read(&kind, "web, db"),
            Ok(Value::List(vec![Value::System("web".into()), Value::System("db".into())]))
        );
        assert!(read(&kind, "web,db,web").is_err());
        assert!(read(&kind, "web,").is_err());
    }

    #[test]
    fn a_pattern_must_match_the_whole_text() {
        let pattern = regex::Regex::new(&anchored(r"v\d+|latest")).unwrap();
        let kind = ArgumentType::Text { pattern: Some(pattern), min_length: 1, max_length: 10 };
        assert!(read(&kind, "v12").is_ok());
        for text in ["v12; rm", "xlatest", "v12\n"] {
            assert_eq!(read(&kind, text).unwrap_err().expected, r"text like `v\d+|latest`", "{text}");
        }
    }
}
