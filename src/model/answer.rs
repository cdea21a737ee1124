//! A message as a small document, before it becomes a plain body and HTML.
//!
//! What is said is made once, of these parts; `matrix` renders it for a room and `cli` for a
//! terminal. Every text in it is data: escaping is the renderer's work, and nobody else's.

use serde::{Deserialize, Serialize};

/// The mark a message opens with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateMark {
    /// ✅ ended well.
    Succeeded,
    /// ❌ ended badly.
    Failed,
    /// ⛔ not run.
    Refused,
    /// ⏳ runs.
    Running,
    /// ⏸ waits.
    Waiting,
    /// 🛑 was stopped.
    Cancelled,
    /// ⌛ too old.
    Stale,
    /// ❓ outcome unknown.
    Unknown,
}

impl StateMark {
    /// The mark itself.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Succeeded => "✅",
            Self::Failed => "❌",
            Self::Refused => "⛔",
            Self::Running => "⏳",
            Self::Waiting => "⏸",
            Self::Cancelled => "🛑",
            Self::Stale => "⌛",
            Self::Unknown => "❓",
        }
    }
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "span", content = "text", rename_all = "snake_case")]
pub enum Span {
    /// Plain words.
    Text(String),
    /// Something that can be copied: a command, a name, a number.
    Code(String),
    /// Something that stands out.
    Strong(String),
    /// Somebody else's words: a rule's own text.
    Emphasis(String),
}

impl Span {
    /// Its text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Code(text) | Self::Strong(text) | Self::Emphasis(text) => text,
        }
    }
}

/// A block of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "block", content = "content", rename_all = "snake_case")]
pub enum Block {
    /// A line of spans.
    Line(Vec<Span>),
    /// Lines with a bullet each.
    List(Vec<Vec<Span>>),
    /// Text kept as it is, in a fixed-width font: output.
    Verbatim(String),
    /// Cells in rows.
    Table {
        /// The names of the columns; empty where the first cell of each row is its name.
        head: Vec<String>,
        /// The rows.
        rows: Vec<Vec<String>>,
    },
    /// Where to go on.
    Link {
        /// What it is.
        text: String,
        /// An address of http or https.
        url: String,
    },
}

/// A table as text: a row a line, its columns aligned.
pub fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let heads = (!head.is_empty()).then_some(head);
    let lines: Vec<&[String]> = heads.into_iter().chain(rows.iter().map(Vec::as_slice)).collect();
    let columns = lines.iter().map(|line| line.len()).max().unwrap_or_default();
    let widest = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    let text = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    text.collect::<Vec<_>>().join("\n")
}

/// A message: an optional mark, then blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The mark it opens with.
    pub mark: Option<StateMark>,
    /// What it says, from top to bottom.
    pub blocks: Vec<Block>,
}

impl Message {
    /// An empty message with a mark.
    pub const fn marked(mark: StateMark) -> Self {
        Self { mark: Some(mark), blocks: Vec::new() }
    }

    /// An empty message without a mark.
    pub const fn plain() -> Self {
        Self { mark: None, blocks: Vec::new() }
    }

    /// The same message with a line more.
    #[must_use]
    pub fn line(mut self, line: impl IntoIterator<Item = Span>) -> Self {
        self.blocks.push(Block::Line(line.into_iter().collect()));
        self
    }

    /// The same message with a list more, where there is something to list.
    #[must_use]
    pub fn list(mut self, items: Vec<Vec<Span>>) -> Self {
        if !items.is_empty() {
            self.blocks.push(Block::List(items));
        }
        self
    }

    /// The same message with verbatim text more, where there is any.
    #[must_use]
    pub fn verbatim(mut self, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.blocks.push(Block::Verbatim(text));
        }
        self
    }
}

impl Span {
    /// Plain words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Something that can be copied.
    pub fn code(text: impl Into<String>) -> Self {
        Self::Code(text.into())
    }

    /// Something that stands out.
    pub fn strong(text: impl Into<String>) -> Self {
        Self::Strong(text.into())
    }

    /// Somebody else's words.
    pub fn emphasis(text: impl Into<String>) -> Self {
        Self::Emphasis(text.into())
    }
}
