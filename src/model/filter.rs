//! What a line ends with that shapes what is shown of its output: `| filter web | head 5`.
//!
//! It changes nothing of what runs, is recorded or is kept; only the answer in the room is another.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::quoted;

/// One operator behind a `|`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "filter", content = "with", rename_all = "lowercase")]
pub enum Filter {
    /// `filter WORDS`: only rows, or lines, that hold each of these words; `COLUMN=TEXT` looks at one column.
    Filter(Vec<String>),
    /// `head N`: only the first ones.
    Head(u32),
    /// `json`: the records as JSON.
    Json,
}

impl Filter {
    /// How many are shown where `head` is given no number.
    pub const HEAD: u32 = 10;
    /// The most that `head` may name: more is not shown anyway.
    pub const MOST: u32 = 1_000;

    /// Reads the words behind a `|`. `None` if they are no operator.
    pub fn read(words: &[String]) -> Option<Self> {
        let (name, rest) = words.split_first()?;
        match (name.to_lowercase().as_str(), rest) {
            ("filter", [_, ..]) => Some(Self::Filter(rest.to_vec())),
            ("head", []) => Some(Self::Head(Self::HEAD)),
            ("head", [number]) => {
                let number = number.strip_prefix('-').unwrap_or(number).parse().ok()?;
                (1..=Self::MOST).contains(&number).then_some(Self::Head(number))
            }
            ("json", []) => Some(Self::Json),
            _ => None,
        }
    }
}

impl fmt::Display for Filter {
    /// As it is typed, without the `|`. Read again, it gives the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(words) => {
                f.write_str("filter")?;
                words.iter().try_for_each(|word| write!(f, " {}", quoted(word)))
            }
            Self::Head(number) => write!(f, "head {number}"),
            Self::Json => f.write_str("json"),
        }
    }
}
