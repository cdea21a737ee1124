//! Passages of a document: what stands under one heading.

use crate::{
    catalogue::Document,
    model::{Message, Span},
};

/// What stands under one heading of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The document's path in `docs/`.
    pub path: String,
    /// The headings above it, from the document's title down: `Deploying › Rolling back`.
    pub heading: String,
    /// Its text, without the heading.
    pub text: String,
}

/// Cuts a document at its headings. A heading inside a fenced block is none.
pub fn cut(document: &Document) -> Vec<Passage> {
    let mut passages = Vec::new();
    let mut trail: Vec<(usize, String)> = Vec::new();
    let mut text = String::new();
    let mut fenced = false;
    let mut close = |trail: &[(usize, String)], text: &mut String| {
        let body = std::mem::take(text);
        let body = body.trim();
        if !body.is_empty() {
            let heading = if trail.is_empty() {
                document.title.clone()
            } else {
                trail.iter().map(|(_, words)| words.as_str()).collect::<Vec<_>>().join(" › ")
            };
            passages.push(Passage { path: document.path.clone(), heading, text: body.to_owned() });
        }
    };
    for line in document.text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let level = line.chars().take_while(|c| *c == '#').count();
        if !fenced && (1..=6).contains(&level) && line[level..].starts_with(' ') {
            close(&trail, &mut text);
            trail.retain(|(above, _)| *above < level);
            trail.push((level, line[level..].trim().trim_end_matches('#').trim_end().to_owned()));
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    close(&trail, &mut text);
    passages
}

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
            .line([Span::strong(passage.heading.clone()), Span::text(format!(" ({})", passage.path))])
            .verbatim(shortened(&passage.text))
    })
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
    fn a_document_is_cut_at_its_headings_but_not_inside_code() {
        let document = Document {
            path: "deploying.md".into(),
            title: "Deploying".into(),
            text: "# Deploying\nHow.\n## Rolling back\n```\n# not a heading\n```\n## After\nLook.\n".into(),
        };
        let headings: Vec<_> = cut(&document).into_iter().map(|passage| passage.heading).collect();
        assert_eq!(headings, ["Deploying", "Deploying › Rolling back", "Deploying › After"]);
    }

    #[test]
    fn what_is_not_found_is_said_with_the_words() {
        let message = found("flux", &[]);
        assert_eq!(message.blocks.len(), 1);
    }
}
