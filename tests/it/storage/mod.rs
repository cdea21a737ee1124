//! Storage on a real database: what is promised of each table family, as sentences.

mod arriving;
mod audit_log;
mod claims;
mod command_line;
mod inbox;
mod instances;
mod knowledge;
mod lost_commits;
mod outbox;
mod pruning;
mod rights;
mod rooms;
mod runs;
mod starts;
pub mod support;
mod trail;
mod transitions;
pub mod tree;
mod unreachable;
mod visits;
