//! The head and the tail of a long text.

use std::borrow::Cow;

use super::as_plain;

/// How much of an output stands in a message: what a phone shows without much scrolling.
const LINES: usize = 40;
/// The same in bytes.
const BYTES: usize = 4_096;

/// What of an output stands in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The text to show.
    pub text: String,
    /// Whether it is all there is. If not, the whole output belongs into a file.
    pub whole: bool,
}

/// The preview of a program's output: a third of it head, the rest tail, because the end tells how it went.
pub fn preview(output: &[u8]) -> Preview {
    let text = as_plain(output);
    let text = text.trim_end_matches(['\n', '\r']);
    match head_and_tail(text, LINES, BYTES) {
        Some(short) => Preview { text: short, whole: false },
        None => Preview { text: text.to_owned(), whole: true },
    }
}

/// The text, or its head and tail where it has more than `most` bytes.
pub(super) fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    head_and_tail(text, usize::MAX, most).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn head_and_tail(text: &str, lines: usize, bytes: usize) -> Option<String> {
    let count = text.lines().count();
    if count <= lines && text.len() <= bytes {
        return None;
    }
    let head = take(text.split_inclusive('\n'), lines / 3, bytes / 3);
    let rest = &text[head..];
    let tail = take(rest.split_inclusive('\n').rev(), lines - lines / 3, bytes - bytes / 3);
    let (head, rest) = text.split_at(head);
    let (middle, tail) = rest.split_at(rest.len() - tail);
    // Where single lines are longer than a share, the share is cut out of them.
    let head = if head.is_empty() { &text[..text.floor_char_boundary(bytes / 3)] } else { head };
    let (middle, tail) = if tail.is_empty() {
        let from = text.ceil_char_boundary(text.len() - (bytes - bytes / 3)).max(head.len());
        (&text[head.len()..from], &text[from..])
    } else {
        (middle, tail)
    };
    let gone = match middle.lines().count() {
        0 => return None,
        1 => format!("{} bytes", middle.len()),
        gone => format!("{gone} lines"),
    };
    Some(format!("{}\n… {gone} left out …\n{tail}", head.trim_end_matches('\n')))
}

/// How many bytes the first lines have, as far as both limits allow.
fn take<'a>(text: impl Iterator<Item = &'a str>, lines: usize, bytes: usize) -> usize {
    let mut taken = 0;
    for line in text.take(lines) {
        if taken + line.len() > bytes {
            break;
        }
        taken += line.len();
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_output_is_shown_whole() {
        assert_eq!(preview(b"a\nb\n"), Preview { text: "a\nb".to_owned(), whole: true });
        assert_eq!(preview(b""), Preview { text: String::new(), whole: true });
    }

    #[test]
    fn a_long_output_keeps_its_head_and_more_of_its_tail() {
        let output = (1..=100).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n");
        let preview = preview(output.as_bytes());
        assert!(!preview.whole);
        let lines: Vec<_> = preview.text.lines().collect();
        assert_eq!(lines[0], "line 1");
        assert_eq!(lines[13], "… 60 lines left out …");
        assert_eq!(lines.last(), Some(&"line 100"));
        assert_eq!(lines.len(), 41);
    }

    #[test]
    fn a_single_endless_line_is_cut_between_characters() {
        let preview = preview("é".repeat(10_000).as_bytes());
        assert!(!preview.whole);
        assert!(preview.text.len() < BYTES + 60, "{}", preview.text.len());
        assert!(preview.text.contains("bytes left out"));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(preview(b"a\xffb").text, "a\u{fffd}b");
    }

    #[test]
    fn no_text_of_any_shape_is_shortened_to_something_longer_than_asked() {
        for text in [
            "\n".repeat(9_000),
            "ab\n".repeat(9_000),
            format!("{}\n{}", "x".repeat(9_000), "y".repeat(9_000)),
        ] {
            for most in [128, 512, 2_048] {
                let short = shorten(&text, most);
                assert!(short.len() <= most + 60, "{} of {most}", short.len());
            }
        }
    }
}
