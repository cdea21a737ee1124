//! Plain types that every floor shares. No I/O, no ambient clock, no ambient randomness.
//!
//! Everything here can be made from parts, compared and written down. What gives authority is not
//! here: a [`crate::policy::Permit`] is made by `policy` alone and a `Warrant` by `storage` alone.

mod ambient;
mod answer;
mod claimed;
mod digest;
mod entry;
pub mod fault;
mod filter;
mod ids;
mod invocation;
mod outcome;
mod record;
mod sandbox;
mod sealed;
mod secret;
mod state;
mod value;

pub use ambient::{Clock, Random, SystemClock, SystemRandom};
pub use answer::{Block, Message, Span, StateMark, table};
pub use claimed::claimed_at;
pub use digest::{Commitment, Digest, Hasher, Salt, approval_digest};
pub use entry::{
    Archived, DirectOpened, Entry, Event, KeyChanged, LoginAsked, Recovered, ScheduleEnded, ScheduleMissed,
    ScheduleSet, ServerStarted, ServerStopped, SessionBegun, SessionEnded, Shown,
};
pub use filter::Filter;
pub use ids::{AttemptId, BootId, EntryId, RequestNumber};
pub use invocation::{DRY, Invocation, quoted};
pub use jiff::{SignedDuration, Timestamp};
pub use outcome::{Ending, InParts, Outcome, OutputSummary};
pub use record::{Record, records};
pub use sandbox::Sandbox;
pub use sealed::{Identity, Recipient, SECRET_BYTES, Sealed};
pub use secret::Secret;
pub use state::State;
pub use value::Value;
