//! Runbooks that can be searched from a room: what was found, as a message.
//!
//! Called by `dispatch` for `!docs`. It keeps nothing itself: the passages are in the database, where
//! PostgreSQL's full text search finds them.

mod passages;

pub use passages::found;
