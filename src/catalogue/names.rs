//! What names may look like, and which one was probably meant.

/// The declared name nearest to `word`, where one is near enough to be what was meant.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = match word.chars().count() {
        0 | 1 => return None,
        2..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    let mut best: Option<(usize, &str)> = None;
    for name in names {
        // A beginning of at least three letters is what somebody typed who stopped early.
        let distance = if word.len() >= 3 && name.starts_with(&word) {
            1
        } else {
            strsim::damerau_levenshtein(&word, &name.to_lowercase())
        };
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// `Did you mean "web"?`, or `otherwise` where nothing is near.
pub(super) fn did_you_mean<'a>(
    word: &str,
    names: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    nearest(word, names).map_or_else(otherwise, |name| format!("Did you mean \"{name}\"?"))
}

/// The names in a sentence: `a, b or c`.
pub fn one_of<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [only] => only.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} or {}", first.join(", "), last.as_ref())
        }
    }
}

/// A lower-case word that begins with a letter and goes on with letters, digits and `more`.
pub(super) fn is_word(name: &str, more: &str) -> bool {
    let mut chars = name.chars();
    name.len() <= 60
        && chars.next().is_some_and(|first| first.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c))
}

/// Whether a command, tag, room, team or system may be called so: `restart-web`.
pub fn is_name(name: &str) -> bool {
    is_word(name, "-") && !name.ends_with('-') && !name.contains("--")
}

/// Whether a secret may be called so: `deploy-token`.
pub fn is_secret(name: &str) -> bool {
    is_word(name, "-_.")
}

/// Whether an argument may be called so: `dry-run` or `dry_run`.
pub(super) fn is_argument_name(name: &str) -> bool {
    is_word(name, "-_") && !name.ends_with(['-', '_']) && !name.contains("--")
}

/// Whether an environment may be called so: what stands after the `@` of a subject.
pub(super) fn is_environment_name(name: &str) -> bool {
    is_word(name, "-_.")
}

/// What a command may not be called: built-ins that are still to come, and the groups and actions that
/// the rules know already.
pub fn is_reserved_command(name: &str) -> bool {
    const RESERVED: &[&str] = &[
        "again", "approve", "cancel", "change", "danger", "deny", "docs", "dry", "erase", "pause", "read",
        "resume", "run", "say", "snooze", "tail", "who", "why",
    ];
    RESERVED.contains(&name) || super::builtins().iter().any(|command| command.name == name)
}

/// What a tag may not be called: the groups of actions that the rules know already.
pub(super) const RESERVED_TAGS: &[&str] =
    &["read", "change", "danger", "run", "builtin", "authority", "emergency"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let names = ["deploy", "status", "restart"];
        assert_eq!(nearest("depoly", names), Some("deploy"));
        assert_eq!(nearest("Deploy", names), Some("deploy"));
        assert_eq!(nearest("rest", names), Some("restart"));
        assert_eq!(nearest("banana", names), None);
        assert_eq!(nearest("", names), None);
    }

    #[test]
    fn names_are_lower_case_words_joined_by_dashes() {
        for name in ["deploy", "restart-web", "a1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "1a", "Deploy", "a-", "a--b", "-a", "a b", "a@b", "é"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn alternatives_read_as_a_sentence() {
        assert_eq!(one_of(&["a"]), "a");
        assert_eq!(one_of(&["a", "b", "c"]), "a, b or c");
    }
}
