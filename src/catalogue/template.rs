//! Templates: text in which `{name}` stands for an argument.

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// The value of the argument with this name.
    Argument(String),
}

/// A template cut into pieces. `{{` and `}}` are the braces themselves.
///
/// # Errors
///
/// A brace that is not closed, not opened, or empty, said in a few words.
pub fn pieces(template: &str) -> Result<Vec<Piece>, &'static str> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if chars.peek() == Some(&c) => {
                chars.next();
                text.push(c);
            }
            '{' => {
                let mut name = String::new();
                loop {
                    match chars.next() {
                        Some('}') => break,
                        Some('{') | None => return Err("a `{` is not closed"),
                        Some(c) => name.push(c),
                    }
                }
                if name.is_empty() {
                    return Err("`{}` names no argument");
                }
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(Piece::Argument(name));
            }
            '}' => return Err("a `}` closes nothing"),
            c => text.push(c),
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// The names of the arguments in a template; none where it cannot be read.
pub fn names(template: &str) -> Vec<String> {
    pieces(template)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Argument(name) => Some(name),
            Piece::Text(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_cut_into_text_and_arguments() {
        assert_eq!(
            pieces("--version={version}!"),
            Ok(vec![
                Piece::Text("--version=".into()),
                Piece::Argument("version".into()),
                Piece::Text("!".into())
            ])
        );
        assert_eq!(pieces("{{literal}}"), Ok(vec![Piece::Text("{literal}".into())]));
        assert_eq!(names("{app}@{env}"), ["app", "env"]);
    }

    #[test]
    fn a_broken_brace_is_told() {
        for template in ["{app", "app}", "{}", "{a{b}"] {
            assert!(pieces(template).is_err(), "{template}");
        }
    }
}
