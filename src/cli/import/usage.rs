//! A line of usage, `usage: restart [--env ENV] SERVICE [COUNT]`, as arguments of a command.

/// An argument that a line of usage names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its name as a command's argument has it.
    pub(super) name: String,
    /// Whether it must be given.
    pub(super) required: bool,
    /// What stands in the argument vector for it.
    pub(super) elements: Vec<String>,
    /// What it may be, where the usage says so: `{start,stop}`.
    pub(super) choices: Vec<String>,
    /// Whether there may be several.
    pub(super) several: bool,
}

/// What a line of usage says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// The arguments, in its order.
    pub(super) arguments: Vec<Found>,
    /// What a person must decide about.
    pub(super) left_out: Vec<String>,
}

/// Reads what follows the program's name.
pub(super) fn read(line: &str) -> Usage {
    let mut usage = Usage::default();
    let groups = groups(line);
    let mut at = 0;
    while let Some((text, optional)) = groups.get(at) {
        at += 1;
        let text = text.trim();
        if text.is_empty() || text == "--" || text == "|" {
            continue;
        }
        if ["-h", "--help", "-V", "--version"]
            .iter()
            .any(|own| text.split(['|', ',']).any(|it| it.trim() == *own))
        {
            continue;
        }
        if !text.starts_with('-') {
            match positional(text, *optional) {
                Some(found) => add(&mut usage, found),
                None => usage.left_out.push(text.to_owned()),
            }
            continue;
        }
        // An option: its value stands behind a = or a space, or is the next word.
        let long = text.split('|').map(str::trim).find(|option| option.starts_with("--")).unwrap_or(text);
        let (option, mut value) = match long.split_once(['=', ' ']) {
            Some((option, value)) => (option.to_owned(), Some(value.trim().to_owned())),
            None => (long.to_owned(), None),
        };
        if value.is_none()
            && !optional
            && let Some((next, false)) = groups.get(at)
            && is_placeholder(next)
        {
            value = Some(next.clone());
            at += 1;
        }
        let name = named(option.trim_start_matches('-'));
        match (value, name) {
            (Some(value), Some(name)) if option.starts_with("--") || !optional => {
                let elements = if option.starts_with("--") {
                    vec![format!("{option}={{{name}}}")]
                } else {
                    vec![option.clone(), format!("{{{name}}}")]
                };
                add(
                    &mut usage,
                    Found { name, required: !optional, elements, choices: choices(&value), several: false },
                );
            }
            _ => usage.left_out.push(text.to_owned()),
        }
    }
    // What must be given comes first, as positions do; the vector keeps the order of the usage.
    usage
}

fn add(usage: &mut Usage, found: Found) {
    if usage.arguments.iter().any(|earlier| earlier.name == found.name) {
        usage.left_out.push(found.elements.join(" "));
    } else {
        usage.arguments.push(found);
    }
}

fn positional(text: &str, optional: bool) -> Option<Found> {
    let several = text.contains("...") || text.contains('…') || text.ends_with(['*', '+']);
    let bare = text.replace("...", "").replace('…', "");
    let bare = bare.trim_end_matches(['*', '+']).trim();
    let choices = choices(bare);
    let name = if choices.is_empty() { named(bare.trim_matches(['<', '>']))? } else { "what".to_owned() };
    let elements = vec![format!("{{{name}}}")];
    Some(Found { name, required: !optional, elements, choices, several })
}

/// `{start,stop}` or `start|stop`.
fn choices(text: &str) -> Vec<String> {
    let text = text.trim_matches(['<', '>']);
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let parts: Vec<_> = match inner {
        Some(inner) => inner.split([',', '|']).collect(),
        None if text.contains('|') => text.split('|').collect(),
        None => return Vec::new(),
    };
    let parts: Vec<String> = parts.into_iter().map(|part| part.trim().to_owned()).collect();
    if parts.iter().all(|part| !part.is_empty() && !part.contains(char::is_whitespace)) {
        parts
    } else {
        Vec::new()
    }
}

fn is_placeholder(word: &str) -> bool {
    word.starts_with(['<', '{'])
        || (word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c == '-'))
}

/// The name of an argument, made of a word of the usage.
fn named(word: &str) -> Option<String> {
    let name: String =
        word.to_lowercase().chars().map(|c| if c == ' ' || c == '.' { '-' } else { c }).collect();
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
        && !name.ends_with(['-', '_'])
        && !name.contains("--");
    good.then_some(name)
}

/// Words and groups in brackets, each with whether it may be left out.
fn groups(line: &str) -> Vec<(String, bool)> {
    let mut groups = Vec::new();
    let mut text = String::new();
    let (mut square, mut other) = (0_usize, 0_usize);
    let take = |text: &mut String, optional: bool, groups: &mut Vec<(String, bool)>| {
        if !text.trim().is_empty() {
            groups.push((text.trim().to_owned(), optional));
        }
        text.clear();
    };
    for c in line.chars() {
        match c {
            '[' if square == 0 && other == 0 => {
                take(&mut text, false, &mut groups);
                square = 1;
            }
            '[' => square += 1,
            ']' if square == 1 => {
                square = 0;
                take(&mut text, true, &mut groups);
            }
            ']' => square = square.saturating_sub(1),
            _ => {
                match c {
                    '<' | '{' | '(' => other += 1,
                    '>' | '}' | ')' => other = other.saturating_sub(1),
                    _ => {}
                }
                if c.is_whitespace() && square == 0 && other == 0 {
                    take(&mut text, false, &mut groups);
                } else if c != '(' && c != ')' {
                    text.push(c);
                }
            }
        }
    }
    take(&mut text, square > 0, &mut groups);
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(line: &str) -> Vec<String> {
        let usage = read(line);
        let arguments = usage.arguments.iter().map(|found| {
            let mark = if found.required { "" } else { "?" };
            let choices = if found.choices.is_empty() {
                String::new()
            } else {
                format!(" of {}", found.choices.join("/"))
            };
            let several = if found.several { " ..." } else { "" };
            format!("{}{mark}: {}{choices}{several}", found.name, found.elements.join(" "))
        });
        arguments.chain(usage.left_out.iter().map(|left| format!("left out: {left}"))).collect()
    }

    #[test]
    fn positions_options_and_choices_become_arguments() {
        assert_eq!(
            shown("[-h] [--env ENV] [-v] [--dry-run] <service> [COUNT]"),
            [
                "env?: --env={env}",
                "service: {service}",
                "count?: {count}",
                "left out: -v",
                "left out: --dry-run"
            ]
        );
        assert_eq!(shown("{start,stop} SERVICE"), ["what: {what} of start/stop", "service: {service}"]);
        assert_eq!(shown("start|stop [FILE...]"), ["what: {what} of start/stop", "file?: {file} ..."]);
        assert_eq!(
            shown("-e ENV --level=LEVEL [-q QUEUE]"),
            ["e: -e {e}", "level: --level={level}", "left out: -q QUEUE"]
        );
        assert_eq!(shown("[-n|--name NAME] <a b>"), ["name?: --name={name}", "a-b: {a-b}"]);
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in "[\\[\\]<>{}()|=.a-zA-Z -]{0,60}") {
            for found in read(&line).arguments {
                prop_assert!(found.elements.iter().any(|element| element.contains(&found.name)));
            }
        }
    }
}
