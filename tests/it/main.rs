//! The integration tests: one binary, a module a file, each test a sentence about behaviour.
//!
//! They stand on a real PostgreSQL and real homeservers, which `deploy/test` starts. A test gets a
//! [`harness::Database`] or a whole [`harness`] world of its own and shares nothing that another could disturb.

mod docs;
mod doctor;
mod executor;
mod floors;
mod harness;
mod path;
mod rooms_keeping;
mod rooms_sending;
mod rooms_yard;
mod storage;
mod tutorial;
