//! Characters that steer rather than show, made visible.

use std::{borrow::Cow, fmt::Write as _};

/// Where a text stands, which decides what a line break in it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// Part of a line: a line break in it is data, and is shown.
    Line,
    /// Output: line breaks and tabs are what they are.
    Verbatim,
}

/// The text with every control character, every override of the direction of writing and every
/// invisible character shown as a sign of its own.
pub(super) fn visible(text: &str, within: Within) -> Cow<'_, str> {
    let plain = |c: char| match c {
        '\n' | '\t' => within == Within::Verbatim,
        c => !steers(c),
    };
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            c if plain(c) => shown.push(c),
            // The line ends of other systems are line ends.
            '\r' if within == Within::Verbatim && characters.peek() == Some(&'\n') => {}
            '\0'..='\x1f' => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('�')),
            '\x7f' => shown.push('␡'),
            c => {
                // Writing into a String cannot fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Cow::Owned(shown)
}

/// Whether a character steers a terminal or a reader's eye instead of showing itself.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(visible("a\x1b[31mb\0\x7f", Within::Verbatim), "a␛[31mb␀␡");
        assert_eq!(visible("a\u{9b}31m", Within::Line), "a\\u{9b}31m");
    }

    #[test]
    fn a_text_that_turns_the_direction_of_writing_is_shown_as_it_is() {
        assert_eq!(visible("user\u{202e}txt.exe\u{2066}", Within::Line), "user\\u{202e}txt.exe\\u{2066}");
    }

    #[test]
    fn line_breaks_are_kept_in_output_and_shown_in_a_line() {
        assert_eq!(visible("a\r\nb\tc\rd", Within::Verbatim), "a\nb\tc␍d");
        assert_eq!(visible("a\nb\tc", Within::Line), "a␊b␉c");
    }

    #[test]
    fn ordinary_text_of_any_script_is_left_alone() {
        for text in ["grüße", "日本語", "👩\u{200d}🚒", "⏸\u{fe0f}", "שלום", "مرحبا"] {
            assert!(matches!(visible(text, Within::Line), Cow::Borrowed(_)), "{text}");
        }
    }
}
