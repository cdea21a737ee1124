//! Phrases: a command's second spellings, `deploy {app} to {env} at {version}`.

use super::bind::{Sorted, Texts};
use crate::catalogue::{
    Command,
    template::{Piece, pieces},
};

/// The texts of the arguments, where `words` (the first one included) read like this phrase.
pub(super) fn matches(command: &Command, phrase: &str, first: &str, sorted: &Sorted) -> Option<Texts> {
    let mut words = std::iter::once(first).chain(sorted.positional.iter().map(String::as_str));
    let mut texts = sorted.named.clone();
    let mut put = |name: String, value: String| texts.insert(name, value).is_none();
    for token in phrase.split_whitespace() {
        match pieces(token).ok()?.pop()? {
            Piece::Text(literal) => {
                if words.next()?.to_lowercase() != literal.to_lowercase() {
                    return None;
                }
            }
            Piece::Argument(name) => {
                let rest = command.arguments.iter().any(|argument| argument.rest && argument.name == name);
                let value = if rest && phrase.trim_end().ends_with(token) {
                    let all: Vec<&str> = words.by_ref().collect();
                    if all.is_empty() {
                        return None;
                    }
                    all.join(" ")
                } else {
                    words.next()?.to_owned()
                };
                if !put(name, value) {
                    return None;
                }
            }
        }
    }
    words.next().is_none().then_some(texts)
}
