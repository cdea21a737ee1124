//! Tests of the rules, on a small company: two teams, three systems, a handful of commands.

mod company;
mod deciding;
mod documented;
mod narrowing;
mod properties;
mod rehearsing;
mod remedies;
mod seeing;
mod waiting;
mod writing;

use company::{ask, compile, invocation, mistakes, ops, question, run};
