//! A command with its arguments bound: what was understood, what is decided, what is run.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Digest, Filter, Value};

/// A command of the catalogue with every argument bound to a typed value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The command's name in the catalogue, built-ins included: `deploy`, `help`.
    pub command: String,
    /// The bound arguments by name, defaults filled in; what is optional and absent is absent.
    pub arguments: BTreeMap<String, Value>,
    /// The system it acts on, as the rules know it (`web@production`), where the command has one.
    pub subject: Option<String>,
    /// What shapes what is shown of its output, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Whether it is the command's dry run: what its file declares under `[dry]`, in the place of `[run]`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dry: bool,
}

/// The word before a command that asks for its dry run.
pub const DRY: &str = "dry";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(super) const fn is_false(yes: &bool) -> bool {
    !*yes
}

impl Invocation {
    /// The command as it is typed: `deploy`, or `dry deploy`.
    pub fn typed(&self) -> String {
        if self.dry { format!("{DRY} {}", self.command) } else { self.command.clone() }
    }

    /// The digest of exactly this invocation.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

impl fmt::Display for Invocation {
    /// The invocation in the one grammar, every argument by name and quoted where it must be:
    /// `deploy --app web --env staging`, with `dry` before it where it is a dry run. Parsed again, it gives the same
    /// invocation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed())?;
        for (name, value) in &self.arguments {
            write!(f, " --{name} {}", quoted(&value.to_string()))?;
        }
        self.filters.iter().try_for_each(|filter| write!(f, " | {filter}"))
    }
}

/// A word as it is typed: bare where it is plain, in single quotes where it is not.
///
/// `shell_words::quote` leaves bare what a shell leaves alone, such as a dash of a phone's keyboard at
/// the beginning; the grammar would repair that, so here everything unusual is quoted.
pub fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_@:.,/+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}
