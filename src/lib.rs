//! Quarterdeck: ChatOps for Matrix, under rules, on the record.
//!
//! The modules stand on floors; a module uses only the floors below its own, and modules of one
//! floor do not know one another. `docs/ARCHITECTURE.md` is the map, `tests/it/floors.rs` the guard.

// floor 7
pub mod cli;
// floor 6
pub mod dispatch;
pub mod web;
// floor 5
pub mod appservice;
pub mod audit;
pub mod executor;
pub mod knowledge;
pub mod matrix;
// floor 4
pub mod storage;
// floor 3
pub mod command;
pub mod policy;
// floor 2
pub mod catalogue;
// floor 1
pub mod model;
