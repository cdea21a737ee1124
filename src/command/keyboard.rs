//! What phone keyboards make of quotes, dashes and spaces, made plain again; then words.
//!
//! Splitting itself is `shell-words`'s. This pass goes before it: it repairs, takes the meaning out of
//! `#` (a comment in a shell; the beginning of an alias here), and finds each `|` outside quotes.

use super::Mistake;
use crate::model::Filter;

/// How many operators may follow a command.
const FILTERS: usize = 4;

/// The words of a line, and whether something was repaired.
pub(super) struct Split {
    pub(super) words: Vec<String>,
    pub(super) repaired: bool,
    /// What shapes its output.
    pub(super) filters: Vec<Filter>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    /// Outside quotes.
    None,
    /// In plain single quotes: everything stands for itself.
    Single,
    /// In plain double quotes.
    Double,
    /// In double quotes that a keyboard opened.
    SmartDouble,
    /// In single quotes that a keyboard opened.
    SmartSingle,
}

/// Splits a line into words as a POSIX shell would, and expands nothing; with the operators behind each `|`.
pub(super) fn words(line: &str) -> Result<Split, Mistake> {
    let Part { words, mut repaired, mut after } = part(line)?;
    let mut filters = Vec::new();
    while let Some(text) = after {
        let next = part(&text)?;
        let filter = Filter::read(&next.words).filter(|_| filters.len() < FILTERS);
        filters.push(filter.ok_or_else(|| Mistake::Filter { typed: next.words.join(" ") })?);
        repaired |= next.repaired;
        after = next.after;
    }
    Ok(Split { words, repaired, filters })
}

/// The words before a `|` outside quotes, and what is after it.
struct Part {
    words: Vec<String>,
    repaired: bool,
    after: Option<String>,
}

fn part(line: &str) -> Result<Part, Mistake> {
    let mut plain = String::with_capacity(line.len() + 8);
    let mut repaired = false;
    let mut quote = Quote::None;
    let mut before: Option<char> = None;
    let mut chars = line.chars().peekable();
    let mut after = None;
    while let Some(c) = chars.next() {
        let apostrophe = c == '\u{2019}'
            && before.is_some_and(char::is_alphanumeric)
            && chars.peek().is_some_and(|next| next.is_alphanumeric());
        let starts_word = before.is_none_or(char::is_whitespace);
        match (quote, c) {
            (_, c) if is_no_break_space(c) => {
                repaired = true;
                plain.push(' ');
            }
            (Quote::None, c) if c.is_whitespace() => {
                repaired |= c != ' ' && c != '\t';
                plain.push(' ');
            }
            (Quote::None | Quote::Double | Quote::SmartDouble, '\\') => {
                plain.push('\\');
                if let Some(next) = chars.next() {
                    plain.push(if is_no_break_space(next) { ' ' } else { next });
                    before = Some('\\');
                    continue;
                }
            }
            (Quote::None, '\'') => {
                quote = Quote::Single;
                plain.push(c);
            }
            (Quote::None, '"') => {
                quote = Quote::Double;
                plain.push(c);
            }
            (Quote::None, _) if apostrophe => {
                repaired = true;
                plain.push_str("\\'");
            }
            (Quote::None, c) if is_smart_double(c) => {
                repaired = true;
                quote = Quote::SmartDouble;
                plain.push('"');
            }
            (Quote::None, c) if is_smart_single(c) => {
                repaired = true;
                quote = Quote::SmartSingle;
                plain.push('\'');
            }
            (Quote::None, '—' | '–')
                if starts_word
                    && chars.peek().is_none_or(|next| next.is_alphabetic() || next.is_whitespace()) =>
            {
                repaired = true;
                plain.push_str("--");
            }
            (Quote::None, '|') => {
                // What follows shapes the output, and is no part of the command.
                after = Some(chars.by_ref().collect::<String>());
                break;
            }
            (Quote::None, '#') if starts_word => plain.push_str("\\#"),
            (Quote::Single, '\'') | (Quote::Double, '"') => {
                quote = Quote::None;
                plain.push(c);
            }
            (Quote::SmartDouble, c) if c == '"' || is_smart_double(c) => {
                quote = Quote::None;
                plain.push('"');
            }
            (Quote::SmartSingle, _) if apostrophe => plain.push_str("'\\''"),
            (Quote::SmartSingle, c) if c == '\'' || is_smart_single(c) => {
                quote = Quote::None;
                plain.push('\'');
            }
            (_, c) => plain.push(c),
        }
        before = Some(c);
    }
    let unclosed = match quote {
        Quote::None => None,
        Quote::Single | Quote::SmartSingle => Some('\''),
        Quote::Double | Quote::SmartDouble => Some('"'),
    };
    if let Some(quote) = unclosed {
        return Err(Mistake::Unclosed { quote });
    }
    let words = shell_words::split(&plain).map_err(|_| Mistake::Unclosed { quote: '"' })?;
    Ok(Part { words, repaired, after })
}

const fn is_no_break_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{202f}' | '\u{2007}')
}

const fn is_smart_double(c: char) -> bool {
    matches!(c, '“' | '”' | '„' | '‟' | '＂')
}

const fn is_smart_single(c: char) -> bool {
    matches!(c, '‘' | '’' | '‚' | '‛')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        words(line).unwrap().words
    }

    #[test]
    fn what_phone_keyboards_type_is_understood() {
        assert_eq!(split("docs “roll back”"), ["docs", "roll back"]);
        assert_eq!(split("docs ‘roll back’"), ["docs", "roll back"]);
        assert_eq!(split("docs don’t panic"), ["docs", "don't", "panic"]);
        assert_eq!(split("docs ‘don’t panic’"), ["docs", "don't panic"]);
        assert_eq!(split("deploy\u{a0}web —env staging"), ["deploy", "web", "--env", "staging"]);
        assert_eq!(split("deploy –env staging — x"), ["deploy", "--env", "staging", "--", "x"]);
        assert!(words("deploy —env x").unwrap().repaired);
        assert!(!words("deploy --env 'a — “b”'").unwrap().repaired);
    }

    #[test]
    fn inside_plain_quotes_everything_stands_for_itself() {
        assert_eq!(split("docs 'a “b” — #c | d'"), ["docs", "a “b” — #c | d"]);
        assert_eq!(split(r#"docs "a \"b\" $HOME `id`""#), ["docs", "a \"b\" $HOME `id`"]);
    }

    #[test]
    fn nothing_of_a_shell_but_its_quotes_is_understood() {
        assert_eq!(
            split("docs $(id) `id` a;b a&b > x * ~ #room:x"),
            ["docs", "$(id)", "`id`", "a;b", "a&b", ">", "x", "*", "~", "#room:x"]
        );
    }

    #[test]
    fn what_is_behind_a_bar_is_read_by_itself_and_an_unknown_operator_is_refused() {
        let read = words("docs 'a|b' | filter \"x y\" App=web|head -3 | json").unwrap();
        assert_eq!(read.words, ["docs", "a|b"]);
        let filter = Filter::Filter(vec!["x y".into(), "App=web".into()]);
        assert_eq!(read.filters, [filter, Filter::Head(3), Filter::Json]);
        for line in [
            "status web | grep x",
            "status |",
            "status | | json",
            "status | head x",
            "status | filter",
            "a | json b",
            "a | head 0",
            "a | head | head | head | head | head",
        ] {
            assert!(matches!(words(line), Err(Mistake::Filter { .. })), "{line}");
        }
    }

    #[test]
    fn an_open_quote_is_refused() {
        assert!(matches!(words("a | filter 'x"), Err(Mistake::Unclosed { quote: '\'' })));
        assert!(matches!(words("docs 'x"), Err(Mistake::Unclosed { quote: '\'' })));
        assert!(matches!(words("docs “x"), Err(Mistake::Unclosed { quote: '"' })));
    }
}
