//! The business rules as code: what may be done, by whom, to what, and why not.
//!
//! Owns the Cedar schema (generated from the catalogue, see [`Rules::schema`]), the entities that the
//! rules speak of, the decision and its explanation. `dispatch` asks for a [`Decision`] before anything
//! runs; `storage` takes the [`Permit`] that comes of it and makes a warrant; `cli` compiles rules to
//! check and try them.
//!
//! It is pure: it reads no clock, no file and no database, and the same question gets the same answer
//! from the same rules; what it keeps of one question for the next (`scene.rs`) only spares time. It refuses to decide by anything but a whole MXID: display names, avatars and
//! the text of a message are not even parameters. It fails closed: what no rule permits is refused,
//! what any rule forbids is refused, and where any rule cannot be evaluated the answer is a refusal
//! that names the rule.
//!
//! How rules are written: `docs/rules.md`.

mod access;
mod compile;
mod decide;
mod explain;
mod inputs;
mod lint;
mod mutate;
mod names;
mod private;
mod prove;
mod read;
mod rehearse;
mod request;
mod scene;
mod schema;
mod scope;
mod seen;
mod shape;
mod spoken;
#[cfg(test)]
mod tests;
mod wait;
mod warn;
mod world;

pub use access::{Access, Samples};
pub use compile::{Remedy, Rules};
pub use decide::{Decision, Permit, Refusal, Why};
pub use explain::{Answer, Explanation, Told};
pub use inputs::Inputs;
pub use mutate::{Mutation, Survivor};
pub use private::{ANYBODY, PrivateAnswer};
pub use rehearse::{ReadLine, Rehearsal};
pub use request::{Action, Question};
pub use wait::{Need, NeedOf, Wait};
