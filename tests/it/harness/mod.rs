//! What the tests stand on: a description of what runs, and parts of it that belong to one test alone.

#![expect(dead_code, reason = "what the tests to come will use")]

mod database;
pub mod state;

pub use database::Database;
pub use state::State;
