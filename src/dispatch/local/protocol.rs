//! What is said over the socket: one line of JSON to ask, then lines of JSON until the last.

use serde::{Deserialize, Serialize};

use crate::model::{RequestNumber, State};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The room: its key, its alias or its id. May be left out where there is one alone.
    #[serde(default)]
    pub room: Option<String>,
    /// The line, with its prefix or without.
    pub line: String,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Nothing was stored and nothing will be run: why.
    NotStored(String),
    /// It is stored, and will be decided.
    Stored,
    /// Where the request stands, in words.
    Stands {
        /// Its number.
        number: RequestNumber,
        /// Its state.
        state: State,
        /// What became of it so far.
        text: String,
    },
    /// It was stored and could not be made a request.
    PassedOver,
}
