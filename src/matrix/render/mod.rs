//! From a [`Message`] to the content of an `m.room.message` event (pure).
//!
//! `body` stands alone for clients without HTML; `formatted_body` uses a small part of the allowed subset; every
//! text is escaped, and characters that steer a terminal or turn the direction of writing are made visible
//! (MATRIX.md, 23 to 26). `m.mentions` is always set, so that output can ping nobody.

mod html;
mod place;
mod plain;
mod preview;
mod terminal;
mod visible;

use std::borrow::Cow;

pub use place::Placement;
pub use preview::{Preview, preview};
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value, json};
pub use terminal::as_plain;

use crate::model::{Block, Message, Span, StateMark};

/// The key of the content that holds the message's step key.
pub const STEP: &str = "org.quarterdeck.step";

/// How large the content may become, in bytes of JSON. An event may have 65,536; signatures, references to earlier
/// events, room and sender take their share.
const LARGEST: usize = 48 * 1024;

/// To what lengths, in bytes, single texts are cut until a message fits: its first try cuts nothing that fits.
const CUTS: [usize; 6] = [LARGEST, 16_384, 6_144, 2_048, 512, 128];

/// How many blocks, and items of a list, are shown at each of the [`CUTS`].
const COUNTS: [usize; 6] = [400, 400, 200, 100, 60, 40];

/// Whether a message makes a sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// `m.notice`: the default push rules silence it.
    Notice,
    /// `m.text`: for what somebody must act on or waits for.
    Text,
}

/// Renders a message into the content of an `m.room.message`.
///
/// A message that is too large for an event is cut, text by text, each keeping its head and its tail.
pub fn message(
    message: &Message,
    place: &Placement,
    mentions: &[OwnedUserId],
    loudness: Loudness,
    step: &str,
) -> Value {
    let mut content = Value::Null;
    for (most_bytes, most_blocks) in CUTS.into_iter().zip(COUNTS) {
        content = render(&cut(message, most_bytes, most_blocks), place, mentions, loudness, step);
        if content.to_string().len() <= LARGEST {
            break;
        }
    }
    content
}

fn render(
    message: &Message,
    place: &Placement,
    mentions: &[OwnedUserId],
    loudness: Loudness,
    step: &str,
) -> Value {
    let mut content = base(place, mentions, step);
    let msgtype = if loudness == Loudness::Text { "m.text" } else { "m.notice" };
    content.insert("msgtype".to_owned(), msgtype.into());
    content.insert("body".to_owned(), plain::body(message).into());
    content.insert("format".to_owned(), "org.matrix.custom.html".into());
    content.insert("formatted_body".to_owned(), html::body(message).into());
    Value::Object(content)
}

/// The content of an `m.file` message. Its `url` is put in once the file is uploaded.
pub fn file(name: &str, content_type: &str, size: u64, place: &Placement, step: &str) -> Value {
    let mut content = base(place, &[], step);
    content.insert("msgtype".to_owned(), "m.file".into());
    content.insert("body".to_owned(), name.into());
    content.insert("filename".to_owned(), name.into());
    content.insert("info".to_owned(), json!({ "mimetype": content_type, "size": size }));
    Value::Object(content)
}

/// The key that names what is kept in parts and is to be uploaded as a message's file.
pub const KEPT_AS: &str = "org.quarterdeck.kept_as";
/// The key that holds what is said where the homeserver does not take a file of that size.
pub const TOO_LARGE: &str = "org.quarterdeck.too_large";

/// The same as [`file`], for what is kept in parts under a name, with what is said instead where it is too large.
pub fn kept_file(mut file: Value, name: &str, too_large: Value) -> Value {
    if let Some(content) = file.as_object_mut() {
        content.insert(KEPT_AS.to_owned(), name.into());
        content.insert(TOO_LARGE.to_owned(), too_large);
    }
    file
}

/// The content of a reaction that shows a request's state at its command.
pub fn reaction(to: &ruma::EventId, mark: StateMark, step: &str) -> Value {
    json!({
        "m.relates_to": { "rel_type": "m.annotation", "event_id": to, "key": mark.symbol() },
        STEP: step,
    })
}

/// The type of a redaction.
pub const REDACTION: &str = "m.room.redaction";

/// The key that names the step whose event is to be redacted: it has an id only once it was sent.
pub const STEP_TO_REDACT: &str = "org.quarterdeck.redacts_step";

/// The redaction of what another step became.
pub fn redaction_of(other: &str, step: &str) -> Value {
    json!({ STEP_TO_REDACT: other, STEP: step })
}

/// The key that says that all our edits of that event are to be redacted before it.
pub const WITH_EDITS: &str = "org.quarterdeck.with_edits";

/// As [`redaction_of`], and of all that the message was edited to.
pub fn redaction_with_edits_of(other: &str, step: &str) -> Value {
    json!({ STEP_TO_REDACT: other, STEP: step, WITH_EDITS: true })
}

/// The key that names the step whose event is to be edited.
pub const STEP_TO_EDIT: &str = "org.quarterdeck.edits_step";

/// The same content as an edit of what another step became: [`edit`] makes it one when that is known.
pub fn edit_of(other: &str, mut content: Value) -> Value {
    if let Some(content) = content.as_object_mut() {
        content.remove("m.relates_to");
        content.insert(STEP_TO_EDIT.to_owned(), other.into());
    }
    content
}

/// The same message as an edit of `original`: live output, a prompt that was decided.
pub fn edit(original: &ruma::EventId, new: &Value) -> Value {
    let mut replacement = new.clone();
    if let Some(replacement) = replacement.as_object_mut() {
        // The original's own relation stays; the new content may not have one.
        replacement.remove("m.relates_to");
        replacement.remove(STEP_TO_EDIT);
    }
    let mut content = new.clone();
    if let Some(content) = content.as_object_mut() {
        content.remove(STEP_TO_EDIT);
        for key in ["body", "formatted_body"] {
            if let Some(Value::String(text)) = content.get_mut(key) {
                text.insert_str(0, "* ");
            }
        }
        content.insert("m.new_content".to_owned(), replacement);
        content.insert("m.relates_to".to_owned(), json!({ "rel_type": "m.replace", "event_id": original }));
    }
    content
}

fn base(place: &Placement, mentions: &[OwnedUserId], step: &str) -> Map<String, Value> {
    let mut content = Map::new();
    content.insert("m.mentions".to_owned(), self::mentions(mentions.iter().map(AsRef::as_ref)));
    if let Some(relation) = place.relation() {
        content.insert("m.relates_to".to_owned(), relation);
    }
    content.insert(STEP.to_owned(), step.into());
    content
}

fn mentions<'a>(users: impl Iterator<Item = &'a UserId>) -> Value {
    let users: Vec<_> = users.collect();
    if users.is_empty() { json!({}) } else { json!({ "user_ids": users }) }
}

/// The message with each text at most `most_bytes` long, and at most `most_blocks` blocks and items.
fn cut(message: &Message, most_bytes: usize, most_blocks: usize) -> Message {
    let line =
        |spans: &Vec<Span>| spans.iter().take(most_blocks).map(|span| cut_span(span, most_bytes)).collect();
    let mut blocks: Vec<Block> = message
        .blocks
        .iter()
        .take(most_blocks)
        .map(|block| match block {
            Block::Line(spans) => Block::Line(line(spans)),
            Block::List(items) => {
                let mut list: Vec<Vec<Span>> = items.iter().take(most_blocks).map(line).collect();
                if let Some(more) = items.len().checked_sub(most_blocks).filter(|more| *more > 0) {
                    list.push(vec![Span::text(format!("… and {more} more"))]);
                }
                Block::List(list)
            }
            Block::Verbatim(text) => Block::Verbatim(preview::shorten(text, most_bytes).into_owned()),
            Block::Table { head, rows } => {
                let cells =
                    |cells: &Vec<String>| cells.iter().map(|cell| cut_line(cell, most_bytes)).collect();
                let mut short: Vec<Vec<String>> = rows.iter().take(most_blocks).map(cells).collect();
                if let Some(more) = rows.len().checked_sub(most_blocks).filter(|more| *more > 0) {
                    short.push(vec![format!("… and {more} more")]);
                }
                Block::Table { head: cells(head), rows: short }
            }
            // An address that is cut leads elsewhere.
            Block::Link { text, url } if url.len() > most_bytes => {
                Block::Line(vec![Span::Text(cut_line(text, most_bytes))])
            }
            Block::Link { text, url } => Block::Link { text: cut_line(text, most_bytes), url: url.clone() },
        })
        .collect();
    if let Some(more) = message.blocks.len().checked_sub(most_blocks).filter(|more| *more > 0) {
        blocks.push(Block::Line(vec![Span::text(format!("… and {more} more"))]));
    }
    Message { mark: message.mark, blocks }
}

fn cut_line(text: &str, most: usize) -> String {
    match preview::shorten(text, most) {
        Cow::Borrowed(_) => text.to_owned(),
        // A line stays one line.
        Cow::Owned(text) => text.replace('\n', " "),
    }
}

fn cut_span(span: &Span, most: usize) -> Span {
    let short = |text: &String| cut_line(text, most);
    match span {
        Span::Text(text) => Span::Text(short(text)),
        Span::Code(text) => Span::Code(short(text)),
        Span::Strong(text) => Span::Strong(short(text)),
        Span::Emphasis(text) => Span::Emphasis(short(text)),
    }
}

#[cfg(test)]
mod tests;
