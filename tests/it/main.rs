//! The integration tests: one binary, a module a file, each test a sentence about behaviour.
//!
//! They stand on a real PostgreSQL and real homeservers, which `deploy/test` starts. A test gets a
//! [`harness::Database`] or a whole [`harness`] world of its own and shares nothing that another could disturb.

mod adopting;
mod adversary;
mod approvals;
mod approved_builtins;
mod approved_starts;
mod audit_log;
mod burst;
mod chatops;
mod console;
mod control;
mod coverage;
mod crashes;
mod docs;
mod doctor;
mod doors;
mod elevation;
mod emergency;
mod executor;
mod federation;
mod floors;
mod forged;
mod harness;
mod identity;
mod import;
mod install;
mod live;
mod local_door;
mod log_checked;
mod log_tree;
mod lying_witness;
mod outages;
mod over_versions;
mod path;
mod posting;
mod receiving;
mod records;
mod reload;
mod remote;
mod requests;
mod restored;
mod rooms_keeping;
mod rooms_sending;
mod rooms_succession;
mod rooms_yard;
mod sandboxed;
mod search;
mod seeing;
mod sight;
mod speaking;
mod storage;
mod tutorial;
mod two_instances;
mod witness;
