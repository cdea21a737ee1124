//! Characters that have no place in a command, by name.

use super::Mistake;

/// Refuses characters that hide what a command says, or end it early.
pub(super) fn check(text: &str) -> Result<(), Mistake> {
    match text.chars().find_map(|c| fault(c).map(|name| (c, name))) {
        Some((character, name)) => Err(Mistake::Character { character, name }),
        None => Ok(()),
    }
}

fn fault(c: char) -> Option<&'static str> {
    match c {
        '\t' => None,
        '\0' => Some("a NUL"),
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some("a line break"),
        '\u{1b}' => Some("an escape"),
        '\u{7f}' => Some("a delete"),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => {
            Some("a text-direction override")
        }
        '\u{200b}'
        | '\u{2060}'..='\u{2064}'
        | '\u{206a}'..='\u{206f}'
        | '\u{feff}'
        | '\u{ad}'
        | '\u{180e}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => Some("an invisible character"),
        c if c.is_control() => Some("a control character"),
        _ => None,
    }
}
