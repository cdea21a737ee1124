//! Whether a message is a command, and which line of it.

use std::collections::BTreeMap;

use ruma::{OwnedRoomAliasId, OwnedRoomId, UserId};
use serde_json::Value as Json;

use super::{
    Mistake, Structured, characters,
    pills::{self, Pill, Target},
    structured,
};

/// What a message is to Quarterdeck.
#[derive(Debug, Clone, PartialEq)]
pub enum Recognised {
    /// Talk among people, which gets no answer.
    Talk,
    /// A command.
    Command(Line),
    /// A command that cannot be read at all.
    Refused {
        /// Its text, for the record.
        text: String,
        /// What is wrong with it.
        mistake: Mistake,
    },
}

/// A command's line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    /// The text without quotation of a reply, without prefix or mention, pills replaced by their ids.
    pub text: String,
    /// The pills that were replaced.
    pub pills: Vec<Pill>,
    /// The structured form, where the client sent one.
    pub structured: Option<Structured>,
    /// Rooms by alias, as whoever calls knows them, for arguments that name a room so. Empty at first.
    pub rooms: BTreeMap<OwnedRoomAliasId, OwnedRoomId>,
}

impl Line {
    /// A line that was typed, without prefix: for tests, examples and the command line.
    pub fn typed(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// What a Matrix message is to us. `content` is the event's content; only `m.text` that does not replace
/// another event can be a command.
pub fn recognise(prefix: &str, bot: &UserId, content: &Json) -> Recognised {
    let text_of = |key: &str| content.get(key).and_then(Json::as_str);
    let relation = content.get("m.relates_to");
    let replaces = relation.and_then(|it| it.get("rel_type")).and_then(Json::as_str) == Some("m.replace");
    if text_of("msgtype") != Some("m.text") || replaces || content.get("m.new_content").is_some() {
        return Recognised::Talk;
    }
    let Some(body) = text_of("body") else { return Recognised::Talk };
    let is_reply = relation.is_some_and(|it| it.get("m.in_reply_to").is_some());
    let body = if is_reply { without_fallback(body) } else { body };

    let structured = structured::of(content);
    let named = structured::mentions(content, bot);
    if structured.is_some() && named == Some(false) {
        // It was made for another bot, whatever its text begins with.
        return Recognised::Talk;
    }

    let formatted = (text_of("format") == Some("org.matrix.custom.html"))
        .then(|| text_of("formatted_body"))
        .flatten()
        .unwrap_or_default();
    let found = pills::pills(formatted);
    let mentioned = found
        .as_ref()
        .ok()
        .and_then(|pills| pills.first())
        .filter(|pill| pill.first && matches!(&pill.target, Target::User(user) if user == bot));
    let addressed_by_structure = structured.is_some() && named == Some(true);
    let Some((line, by_pill)) = command_line(prefix, bot, body, mentioned, addressed_by_structure) else {
        return Recognised::Talk;
    };
    let refused = |mistake| Recognised::Refused { text: line.trim_end().to_owned(), mistake };

    let line = line.trim_end();
    let mut lines = line.lines();
    let first = lines.next().unwrap_or_default();
    if lines.any(|line| !line.trim().is_empty()) {
        return refused(Mistake::SeveralLines);
    }
    if let Err(mistake) = characters::check(first) {
        return refused(mistake);
    }
    let pills = match found {
        Ok(mut pills) => {
            if by_pill {
                pills.remove(0);
            }
            pills
        }
        Err(mistake) => return refused(mistake),
    };
    match pills::replace(first, &pills).and_then(|text| characters::check(&text).map(|()| text)) {
        Ok(text) => Recognised::Command(Line { text, pills, structured, rooms: BTreeMap::new() }),
        Err(mistake) => refused(mistake),
    }
}

/// The text after the prefix or the mention, where a letter follows; and whether a pill was the mention.
fn command_line<'a>(
    prefix: &str,
    bot: &UserId,
    body: &'a str,
    mentioned: Option<&Pill>,
    structured: bool,
) -> Option<(&'a str, bool)> {
    let body = body.trim_start_matches([' ', '\t', '\u{a0}']);
    let letter = |text: &str| text.starts_with(char::is_alphabetic);
    let after_prefix = |text: &'a str| text.strip_prefix(prefix).filter(|rest| letter(rest));
    if let Some(rest) = after_prefix(body) {
        return Some((rest, false));
    }
    let mut spellings = vec![(bot.to_string(), false)];
    if let Some(pill) = mentioned {
        spellings.insert(0, (bot.to_string(), true));
        spellings.push((format!("[{}]({})", pill.text, pill.href), true));
        spellings.push((pill.text.clone(), true));
    }
    for (spelling, by_pill) in spellings.iter().filter(|(spelling, _)| !spelling.is_empty()) {
        let Some(rest) = body.strip_prefix(spelling.as_str()) else { continue };
        // `@bot:example.org:8448` is somebody else.
        let rest = rest.strip_prefix([':', ',']).unwrap_or(rest);
        if !rest.starts_with(char::is_whitespace) {
            continue;
        }
        let rest = rest.trim_start_matches([' ', '\t', '\u{a0}']);
        if let Some(rest) = after_prefix(rest).or_else(|| Some(rest).filter(|rest| letter(rest))) {
            return Some((rest, *by_pill));
        }
    }
    // Clients write the line of a structured command as they like; a slash is their own prefix.
    if structured {
        let rest = body.strip_prefix('/').unwrap_or(body);
        return Some((rest, false));
    }
    None
}

/// A reply's text without the quotation of what it replies to (`> ` lines and one empty line).
fn without_fallback(body: &str) -> &str {
    let mut rest = body;
    let mut quoted = false;
    while rest.starts_with('>') {
        quoted = true;
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    if quoted { rest.strip_prefix('\n').or_else(|| rest.strip_prefix("\r\n")).unwrap_or(rest) } else { rest }
}
