//! Runbooks that can be searched from a room: documents cut into passages, and passages shown.
//!
//! Called by `dispatch` when a version of the ops folder comes into force and for `!docs`. It keeps
//! nothing itself: the passages are in the database, where PostgreSQL's full text search finds them.

mod passages;

pub use passages::{Passage, cut, found};
