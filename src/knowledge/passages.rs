//! Passages of runbooks, as a room sees them.

use crate::{
    model::{Message, Span},
    storage::Passage,
};

/// The answer to `!docs`: the passages found, the best first.
pub fn found(words: &str, passages: &[Passage]) -> Message {
    if passages.is_empty() {
        return Message::plain().line([
            Span::text("No runbook speaks of "),
            Span::code(words),
            Span::text(". Try fewer or other words."),
        ]);
    }
    passages.iter().fold(Message::plain(), |message, passage| {
        message
            .line([Span::strong(heading(passage)), Span::text(format!(" ({})", passage.path))])
            .verbatim(shortened(&passage.text))
    })
}

/// The document's title and the heading, once where they are the same.
fn heading(passage: &Passage) -> String {
    if passage.heading == passage.title {
        passage.title.clone()
    } else {
        format!("{} › {}", passage.title, passage.heading)
    }
}

/// At most 12 lines of a passage.
fn shortened(text: &str) -> String {
    const LINES: usize = 12;
    let mut lines: Vec<_> = text.lines().take(LINES).collect();
    if text.lines().nth(LINES).is_some() {
        lines.push("…");
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_found_is_said_with_the_words() {
        let message = found("flux", &[]);
        assert_eq!(message.blocks.len(), 1);
    }
}
