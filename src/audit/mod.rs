//! The log as people read it: lists, and the story of one request.
//!
//! It puts into words what `storage` read; `dispatch` shows it in a room, where its reader's right to it
//! was decided, and `cli` on a terminal. It refuses to decide who may read, and to leave anything out: an
//! entry that it has no better words for is shown by its kind. All times are UTC.

pub mod archive;
pub mod bundle;
mod collector;
pub mod cosign;
mod export;
pub mod follow;
pub mod keys;
mod list;
pub mod note;
pub mod proof;
pub mod room;
mod sealed;
pub mod search;
mod sequencer;
mod story;
mod table;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod verify;
pub mod witness;
mod words;
mod words_of_waiting;

pub use collector::{Collector, Declared, Error as CollectorError};
pub use export::{Error as ExportError, Written, export};
pub use list::{is_dry, line, list, summary};
pub use sealed::{bare, cosigners, sealed};
pub use sequencer::{Error as SequencerError, Round, Sequencer, tiles};
pub use story::{mark, shown, steps, story};
pub use table::csv;
pub use words::rules_of;
