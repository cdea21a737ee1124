//! `[[argument]]` of a command.

use regex::Regex;
use toml::de::DeValue;

use super::section::{Section, integer};
use crate::catalogue::{
    Argument, ArgumentType, did_you_mean,
    names::is_argument_name,
    problems::{Located, Place},
    values::{MAX_INTEGER, anchored, duration},
};

/// The names of the types.
const TYPES: &[&str] =
    &["text", "integer", "boolean", "choice", "duration", "user", "room", "system", "list"];

/// An argument, with its default as text until the systems are known.
pub(super) struct Read {
    pub(super) argument: Argument,
    pub(super) default: Option<Located<String>>,
    pub(super) place: Place,
}

/// Reads one argument and tells of everything that is wrong in it.
pub(super) fn argument(mut file: Section<'_>) -> Option<Read> {
    let place = file.place.clone();
    let name = file.required_text("name", "name = \"version\"");
    if let Some(name) = &name
        && !is_argument_name(&name.value)
    {
        file.wrong(
            &name.place,
            format!("an argument cannot be called \"{}\"", name.value),
            "Write a lower-case word: letters, digits, - and _, a letter first.",
        );
    }
    let summary = file.line("summary");
    let kind = kind(&mut file, "type");
    let default = file.raw("default");
    let required = file.boolean("required");
    let rest = file.boolean("rest").unwrap_or(false);

    let default = match (default, &kind) {
        (Some((value, place)), Some(kind)) => default_text(&file, value, place, kind),
        _ => None,
    };
    if let (Some(default), Some(true)) = (&default, required) {
        file.wrong(
            &default.place,
            "an argument with a default is never missing, so it cannot be required",
            "Remove either required = true or the default.",
        );
    }
    if rest && !matches!(kind, Some(ArgumentType::Text { .. }) | None) {
        file.wrong(&place, "rest = true is for text alone", "Write type = \"text\", or remove rest.");
    }
    file.finish();
    Some(Read {
        argument: Argument {
            name: name?.value,
            summary: summary.map(|summary| summary.value).unwrap_or_default(),
            kind: kind?,
            required: required.unwrap_or(default.is_none()) && default.is_none(),
            default: None,
            rest,
        },
        default,
        place,
    })
}

/// Reads the type under `key`, with the bounds that belong to it.
fn kind(file: &mut Section<'_>, key: &'static str) -> Option<ArgumentType> {
    let name = file.required_text(key, if key == "type" { "type = \"text\"" } else { "items = \"text\"" })?;
    let kind = match name.value.as_str() {
        "text" => text(file),
        "integer" => {
            let min = file.integer("min", -MAX_INTEGER, MAX_INTEGER);
            let max = file.integer("max", -MAX_INTEGER, MAX_INTEGER);
            ordered(file, min.as_ref().map(|min| min.value), max.as_ref());
            ArgumentType::Integer {
                min: min.map_or(-MAX_INTEGER, |min| min.value),
                max: max.map_or(MAX_INTEGER, |max| max.value),
            }
        }
        "boolean" => ArgumentType::Boolean,
        "choice" => choice(file),
        "duration" => {
            let min = bound(file, "min");
            let max = bound(file, "max");
            ordered(file, min.as_ref().map(|min| min.value), max.as_ref());
            ArgumentType::Duration {
                min: min.map_or(0, |min| min.value),
                max: max.map_or(MAX_INTEGER, |max| max.value),
            }
        }
        "user" => ArgumentType::User,
        "room" => ArgumentType::Room,
        "system" => ArgumentType::System,
        "list" if key == "type" => {
            let items = kind(file, "items")?;
            let max_items = file.integer("max_items", 1, 1_000);
            ArgumentType::List {
                items: Box::new(items),
                max_items: max_items.and_then(|max| usize::try_from(max.value).ok()).unwrap_or(32),
            }
        }
        other => {
            let types = if key == "type" { TYPES } else { &TYPES[..TYPES.len() - 1] };
            let mend =
                did_you_mean(other, types.iter().copied(), || format!("Write one of: {}.", types.join(", ")));
            file.wrong(&name.place, format!("{key} = \"{other}\" is no type of an argument"), mend);
            return None;
        }
    };
    Some(kind)
}

fn text(file: &mut Section<'_>) -> ArgumentType {
    let pattern = file.text("pattern").and_then(|pattern| {
        // Compiled as it stands first: `a)|(b` is a pattern only between our own brackets.
        match Regex::new(&pattern.value).and_then(|_| Regex::new(&anchored(&pattern.value))) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                file.wrong(
                    &pattern.place,
                    format!("the pattern '{}' cannot be used: {reason}", pattern.value),
                    "Mend the regular expression; it is matched against the whole text.",
                );
                None
            }
        }
    });
    let min = file.integer("min_length", 0, 60_000);
    let max = file.integer("max_length", 1, 60_000);
    ordered(file, Some(min.as_ref().map_or(1, |min| min.value)), max.as_ref());
    ArgumentType::Text {
        pattern,
        min_length: min.and_then(|min| usize::try_from(min.value).ok()).unwrap_or(1),
        max_length: max.and_then(|max| usize::try_from(max.value).ok()).unwrap_or(1_000),
    }
}

fn choice(file: &mut Section<'_>) -> ArgumentType {
    let place = file.place.clone();
    let choices = file.texts("choices");
    if choices.is_empty() {
        file.wrong(&place, "a choice needs choices", "Add choices = [\"staging\", \"production\"].");
    }
    for choice in &choices {
        let good = !choice.value.is_empty()
            && !choice.value.starts_with('-')
            && choice.value.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != ',');
        if !good {
            file.wrong(
                &choice.place,
                format!("\"{}\" is no word to choose", choice.value),
                "Write a word without spaces and commas that does not begin with a dash.",
            );
        }
    }
    ArgumentType::Choice(choices.into_iter().map(|choice| choice.value).collect())
}

/// `min = "1m"` of a duration.
fn bound(file: &mut Section<'_>, key: &'static str) -> Option<Located<i64>> {
    let text = file.text(key)?;
    if let Some(seconds) = duration(&text.value) {
        return Some(Located { value: seconds, place: text.place });
    }
    file.wrong(
        &text.place,
        format!("{key} = \"{}\" is no length of time", text.value),
        "Write one such as \"90s\", \"10m\" or \"1h30m\".",
    );
    None
}

fn ordered(file: &Section<'_>, min: Option<i64>, max: Option<&Located<i64>>) {
    if let (Some(min), Some(max)) = (min, max)
        && min > max.value
    {
        file.wrong(&max.place, "the greatest is less than the least", "Swap them, or remove one.");
    }
}

/// A default in the one spelling of its type; read as a value when the systems are known.
fn default_text(
    file: &Section<'_>,
    value: &DeValue<'_>,
    place: Place,
    kind: &ArgumentType,
) -> Option<Located<String>> {
    let text = match (kind, value) {
        (ArgumentType::Integer { .. }, value) => integer(value).map(|number| number.to_string()),
        (ArgumentType::Boolean, DeValue::Boolean(yes)) => Some(yes.to_string()),
        (ArgumentType::List { items, .. }, DeValue::Array(array)) => array
            .iter()
            .map(|item| match (&**items, item.get_ref()) {
                (ArgumentType::Integer { .. }, item) => integer(item).map(|number| number.to_string()),
                (ArgumentType::Boolean, DeValue::Boolean(yes)) => Some(yes.to_string()),
                (ArgumentType::Boolean, _) => None,
                (_, DeValue::String(text)) if !text.contains(',') => Some(text.to_string()),
                _ => None,
            })
            .collect::<Option<Vec<String>>>()
            .map(|items| items.join(",")),
        (ArgumentType::List { .. } | ArgumentType::Boolean, _) => None,
        (_, DeValue::String(text)) => Some(text.to_string()),
        _ => None,
    };
    if text.is_none() {
        file.wrong(
            &place,
            format!("the default is no {}", kind.name()),
            match kind {
                ArgumentType::Integer { .. } => "Write a whole number without quotes.",
                ArgumentType::Boolean => "Write true or false without quotes.",
                ArgumentType::List { .. } => "Write a list of its items: default = [\"a\", \"b\"].",
                _ => "Write it in quotes.",
            },
        );
    }
    text.map(|value| Located { value, place })
}
