//! What the tests stand on: a description of what runs, and parts of it that belong to one test alone.
//!
//! A [`World`] has it all: a database, an application service of the pool, an ops folder, a running
//! `quarterdeck serve` and people in its rooms.

#![expect(dead_code, reason = "what the tests to come will use")]

pub mod database;
pub mod lease;
pub mod ops;
pub mod parts;
pub mod people;
pub mod server;
pub mod state;
pub mod world;

pub use database::Database;
pub use lease::Lease;
pub use ops::OpsFolder;
pub use parts::{OwnHomeserver, OwnPostgres};
pub use people::{Answer, Person};
pub use server::Server;
pub use state::State;
pub use world::{Plan, World};
