//! `credentials`, `credential_files` and `credential_input` in `[run]`: how a program is given its secrets.

use std::collections::BTreeMap;

use super::section::Section;
use crate::catalogue::problems::Located;

/// The secrets of a program, by what carries them.
pub(super) struct Credentials {
    pub environment: BTreeMap<String, Located<String>>,
    pub files: BTreeMap<String, Located<String>>,
    pub input: Option<Located<String>>,
}

impl Credentials {
    /// The names of the secrets.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Located<String>> {
        self.environment.values().chain(self.files.values()).chain(&self.input)
    }
}

/// Reads them. Their variables are none of the plain environment's, and no argument looks as if it meant one: every
/// user of the host reads arguments.
pub(super) fn credentials(
    file: &mut Section<'_>,
    environment: &BTreeMap<String, Located<String>>,
    arguments: &[Located<String>],
) -> Credentials {
    let found = Credentials {
        environment: file.text_table("credentials"),
        files: file.text_table("credential_files"),
        input: file.text("credential_input"),
    };
    for (name, value) in environment.iter().chain(&found.environment).chain(&found.files) {
        let good = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !good {
            file.wrong(
                &value.place,
                format!("\"{name}\" is no name of an environment variable"),
                "Write letters, digits and _ alone.",
            );
        }
    }
    for (name, value) in environment {
        if found.environment.contains_key(name) || found.files.contains_key(name) {
            file.wrong(
                &value.place,
                format!("{name} is both in environment and in credentials"),
                "Remove it from environment.",
            );
        }
    }
    for (name, value) in &found.files {
        if found.environment.contains_key(name) {
            file.wrong(
                &value.place,
                format!("{name} is both in credentials and in credential_files"),
                "Remove one of them: it holds the secret, or the path of a file with the secret.",
            );
        }
    }
    for Located { value, place } in arguments {
        let meant = found.environment.keys().find(|name| mentions(value, name));
        if let Some(name) = meant {
            file.wrong(
                place,
                format!("the argument \"{value}\" means the secret in {name}, and a secret never stands in an argument"),
                "Arguments can be read by every user of the host, and nothing is expanded in them. Let the program read \
                 its environment, a file (credential_files) or its standard input (credential_input).",
            );
        }
    }
    found
}

/// Whether an argument names a variable, as a shell or a template would.
fn mentions(argument: &str, name: &str) -> bool {
    let plain = format!("${name}");
    let at_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    argument.contains(&format!("{{{name}}}"))
        || argument.match_indices(&plain).any(|(at, _)| at_end(&argument[at + plain.len()..]))
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn an_argument_means_a_variable_where_a_shell_or_a_template_would_put_it() {
        for meant in ["$TOKEN", "--token=${TOKEN}", "x{TOKEN}y", "$TOKEN/", "$TOKENS $TOKEN"] {
            assert!(mentions(meant, "TOKEN"), "{meant}");
        }
        for other in ["TOKEN", "$TOKENS", "${TOKENS}", "--token", "{app}"] {
            assert!(!mentions(other, "TOKEN"), "{other}");
        }
    }
}
