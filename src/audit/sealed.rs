//! Which checkpoint holds a request, and who has witnessed it, in words.

use super::words::time;
use crate::{model::Span, storage::Sealed};

/// A line below a request's story.
pub fn sealed(sealed: Option<&Sealed>) -> Vec<Span> {
    let Some(sealed) = sealed else { return vec![Span::text("Not in a signed checkpoint yet.")] };
    let log = sealed.ended.map(|log| format!(" of log {log}, which has ended")).unwrap_or_default();
    let mut spans = vec![Span::text(format!(
        "In the signed checkpoint of {} entries{log}, {} UTC · ",
        sealed.size,
        time(sealed.at)
    ))];
    if sealed.witnesses.is_empty() {
        spans.push(Span::text("witnessed by nobody yet"));
    }
    for (number, (witness, size, at)) in sealed.witnesses.iter().enumerate() {
        spans.push(Span::text(if number == 0 { "witnessed by " } else { ", " }));
        spans.push(Span::strong(name(witness)));
        spans.push(Span::text(format!(" (up to {size}, {} UTC)", time(*at))));
    }
    spans
}

/// The names of those who have cosigned a checkpoint: all below the log's own signature. Nothing is checked here.
pub fn cosigners(note: &str) -> Vec<String> {
    let lines = note.rsplit_once("\n\n").map_or("", |(_, lines)| lines).lines().skip(1);
    // Where the log was signed over to another key, that one's signature is the second.
    let origin = note.lines().next();
    let names = lines.filter_map(|line| Some(line.strip_prefix("— ")?.split_once(' ')?.0));
    names.filter(|name| Some(*name) != origin).map(ToOwned::to_owned).collect()
}

/// A checkpoint with the log's own signature alone: the first line of its signatures.
pub fn bare(note: &str) -> String {
    let (text, lines) = note.rsplit_once("\n\n").unwrap_or((note, ""));
    format!("{text}\n\n{}\n", lines.lines().next().unwrap_or_default())
}

/// The name in a public key: C2SP signed-note, "Verifier keys".
fn name(key: &str) -> &str {
    key.split_once('+').map_or(key, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(told: Option<&Sealed>) -> String {
        let spans = sealed(told).into_iter().map(|span| match span {
            Span::Text(text) | Span::Strong(text) | Span::Emphasis(text) | Span::Code(text) => text,
        });
        spans.collect()
    }

    #[test]
    fn it_is_told_which_checkpoint_holds_a_request_and_who_has_witnessed_it() {
        let at = "2026-11-23T12:03:04Z".parse().unwrap();
        let witness = |name: &str, size| (format!("{name}+25c3abb9+BOkyeRrm"), size, at);
        let mut told = Sealed { ended: None, size: 41, at, witnesses: Vec::new() };
        assert_eq!(plain(None), "Not in a signed checkpoint yet.");
        assert!(plain(Some(&told)).ends_with("witnessed by nobody yet"), "{}", plain(Some(&told)));
        told.witnesses = vec![witness("one.example/w", 41), witness("two.example/w", 60)];
        let said = plain(Some(&told));
        assert!(said.starts_with("In the signed checkpoint of 41 entries, "), "{said}");
        assert!(said.contains("witnessed by one.example/w (up to 41, "), "{said}");
        assert!(said.contains(", two.example/w (up to 60, "), "{said}");
    }

    #[test]
    fn the_log_itself_is_no_witness() {
        let note = "log.example\n1\nabc=\n\n— log.example AAAA\n— one.example/w AAAA\n";
        assert_eq!(cosigners(note), ["one.example/w"]);
        let over = note.replace("— one", "— log.example BBBB\n— one");
        assert_eq!(cosigners(&over), ["one.example/w"]);
        assert_eq!(bare(note), "log.example\n1\nabc=\n\n— log.example AAAA\n");
    }
}
