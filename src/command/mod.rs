//! The grammar: a message becomes a typed [`Invocation`](crate::model::Invocation), or a mistake that
//! names the place and the mend.
//!
//! Everything here is pure: no I/O, no clock, no authority. `dispatch` calls [`recognise`] on each
//! message and [`parse`] on each command; whether it may run is for `policy` to say. It refuses to
//! guess: what reads two ways, or differs between what people see and what would be run, is a mistake.

mod bind;
mod characters;
mod fill;
mod help;
mod http;
mod keyboard;
mod mistake;
mod parse;
mod phrase;
mod pills;
mod recognise;
mod rpc;
mod samples;
mod shut_in;
mod spell;
mod ssh;
mod structured;
#[cfg(test)]
mod tests;
mod validate;

pub use fill::{argument_vector, fill, lock};
pub use help::{May, commands, help};
pub use http::{HttpRequest, http_request};
pub use mistake::Mistake;
pub use parse::{Parsed, parse};
pub use pills::{Pill, Target};
pub use recognise::{Line, Recognised, recognise};
pub use rpc::{RpcCall, rpc_call};
pub use samples::{Asker, samples, values};
pub use spell::{say, usage};
pub use ssh::{SshCommand, quoted_for_a_shell, ssh_command};
pub use structured::Structured;
pub use validate::{validate, warnings};
