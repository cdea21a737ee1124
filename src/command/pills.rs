//! Pills: the links by which clients name users and rooms, matched one to one with the plain text.

use ruma::{
    OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId,
    matrix_uri::{MatrixId, MatrixToUri, MatrixUri},
};

use super::Mistake;
use crate::model::quoted;

/// A pill: what people saw, and whom it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pill {
    /// The text of the link: a display name, which proves nothing.
    pub text: String,
    /// Whom or what it names.
    pub target: Target,
    /// Its address, as it stood in the message.
    pub(super) href: String,
    /// Whether it is the first pill, and nothing but markup stands before it.
    pub(super) first: bool,
}

/// No line that a person writes names more people and rooms. Matching pills with a text takes time for each pair
/// of them, and anybody may write a message.
const MOST: usize = 64;

/// Whom or what a pill names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A user.
    User(OwnedUserId),
    /// A room, by id.
    Room(OwnedRoomId),
    /// A room, by alias.
    Alias(OwnedRoomAliasId),
}

impl Target {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::User(user) => user.as_str(),
            Self::Room(room) => room.as_str(),
            Self::Alias(alias) => alias.as_str(),
        }
    }

    fn of(href: &str) -> Option<Self> {
        let id = match MatrixToUri::parse(href) {
            Ok(link) => link.id().clone(),
            Err(_) => MatrixUri::parse(href).ok()?.id().clone(),
        };
        match id {
            MatrixId::User(user) => Some(Self::User(user)),
            MatrixId::Room(room) => Some(Self::Room(room)),
            MatrixId::RoomAlias(alias) => Some(Self::Alias(alias)),
            _ => None,
        }
    }
}

/// The pills of a `formatted_body`, without what it quotes of the message it replies to.
///
/// A small scanner, because the answer only ever narrows: what it does not understand is a pill that
/// matches nothing, and the command is refused.
pub(super) fn pills(formatted: &str) -> Result<Vec<Pill>, Mistake> {
    let html = without_reply(formatted);
    let mut pills = Vec::new();
    let mut rest = html;
    let mut seen = String::new();
    while let Some(at) = rest.find('<') {
        seen.push_str(&rest[..at]);
        let Some(end) = tag_end(&rest[at..]) else { break };
        let tag = &rest[at + 1..at + end];
        rest = &rest[at + end + 1..];
        if !is_anchor(tag) {
            continue;
        }
        let Some(href) = attribute(tag, "href") else { continue };
        let Some(target) = Target::of(&href) else { continue };
        let Some(close) = find_ignore_case(rest, "</a") else {
            return Err(Mistake::Pill { text: href });
        };
        if pills.len() == MOST {
            return Err(Mistake::Pill { text: href });
        }
        let text = collapse(&plain(&rest[..close]));
        let first = pills.is_empty() && plain(&seen).trim().is_empty();
        pills.push(Pill { text, target, href, first });
        seen.push_str(&rest[..close]);
        rest = &rest[close..];
    }
    Ok(pills)
}

/// Puts the ids of pills where their texts stand.
///
/// Each text must stand exactly as often as there are pills of that text: otherwise it could not be
/// said which word was the pill.
pub(super) fn replace(line: &str, pills: &[Pill]) -> Result<String, Mistake> {
    let mut result = String::new();
    let mut rest = line;
    for pill in pills {
        let wrong = || Mistake::Pill { text: pill.text.clone() };
        if pill.text.is_empty() || contradicts(pill) {
            return Err(wrong());
        }
        let markdown = format!("[{}]({})", pill.text, pill.href);
        let same = pills.iter().filter(|other| other.text == pill.text).count();
        let spelling = [markdown.as_str(), pill.target.as_str(), pill.text.as_str()]
            .into_iter()
            .find(|spelling| occurrences(rest, spelling).next().is_some())
            .ok_or_else(wrong)?;
        if spelling == pill.text && occurrences(line, spelling).count() != same {
            return Err(wrong());
        }
        let at = occurrences(rest, spelling).next().ok_or_else(wrong)?;
        let (before, after) = rest.split_at(at);
        result.push_str(before);
        if before.ends_with(['"', '\'', '“', '‘', ',', '=']) {
            result.push_str(pill.target.as_str());
        } else {
            result.push_str(&quoted(pill.target.as_str()));
        }
        rest = &after[spelling.len()..];
    }
    result.push_str(rest);
    Ok(result)
}

/// Whether the text is itself the id of something else than what the link names.
fn contradicts(pill: &Pill) -> bool {
    let text = pill.text.as_str();
    let is_id =
        UserId::parse(text).is_ok() || RoomId::parse(text).is_ok() || RoomAliasId::parse(text).is_ok();
    is_id && text != pill.target.as_str()
}

/// Where `needle` stands as a whole word or several.
fn occurrences<'a>(line: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    let boundary = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || "\"'“”‘’=,".contains(c));
    line.match_indices(needle).map(|(at, _)| at).filter(move |at| {
        boundary(line[..*at].chars().next_back()) && boundary(line[at + needle.len()..].chars().next())
    })
}

/// The text without `<mx-reply>`.
fn without_reply(html: &str) -> &str {
    match find_ignore_case(html, "</mx-reply>") {
        Some(end) => &html[end + "</mx-reply>".len()..],
        None => html,
    }
}

fn find_ignore_case(text: &str, needle: &str) -> Option<usize> {
    text.as_bytes().windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

/// The index of the `>` that ends the tag at the beginning of `text`.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(index),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn is_anchor(tag: &str) -> bool {
    let mut chars = tag.chars();
    chars.next().is_some_and(|c| c.eq_ignore_ascii_case(&'a'))
        && chars.next().is_some_and(|c| c.is_whitespace() || c == '/')
}

/// The value of an attribute, its entities decoded.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let mut rest = tag;
    loop {
        let at = find_ignore_case(rest, name)?;
        let whole = rest[..at].ends_with(|c: char| c.is_whitespace() || c == '"' || c == '\'');
        rest = rest[at + name.len()..].trim_start();
        let Some(value) = rest.strip_prefix('=').filter(|_| whole) else { continue };
        let value = value.trim_start();
        let value = match value.chars().next()? {
            quote @ ('"' | '\'') => value[1..].split(quote).next()?,
            _ => value.split(char::is_whitespace).next()?,
        };
        return Some(html_escape::decode_html_entities(value).into_owned());
    }
}

/// The text of a piece of HTML.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        let Some(end) = tag_end(&rest[at..]) else { break };
        rest = &rest[at + end + 1..];
    }
    text.push_str(rest);
    html_escape::decode_html_entities(&text).into_owned()
}

fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
