//! The life of a request: from a row of the inbox to an answer in the outbox.
//!
//! `cli::serve` builds a [`Dispatcher`] and runs it. It claims work from `storage`, has `command`
//! understand it and `policy` decide it, hands warrants to `executor`, and has `storage` record each
//! step before the next is taken. [`pipeline`] is the one readable function of it all. It refuses to
//! hold anything in memory that the next start would need: what is not committed did not happen.

mod about;
mod adoption;
mod again;
mod answers;
mod approve;
mod archived;
mod arrival;
mod builtin;
mod changes;
mod confirm;
mod deny;
mod dispatcher;
mod docket;
mod elevation;
mod emergency;
mod erase;
mod event;
mod explain;
mod in_force;
mod listings;
mod live;
pub mod local;
mod login;
mod long;
mod marks;
mod may;
mod outcome;
mod pipeline;
mod posting;
mod prove;
mod ps;
mod reactions;
mod reading;
mod records;
mod recovery;
mod reload;
pub mod restored;
mod room_events;
mod running;
mod said_of_files;
mod said_of_queue;
mod said_of_rooms;
mod said_of_versions;
mod said_of_waiting;
mod schedule;
mod seeing;
mod sight;
mod speech;
mod struck;
mod succession;
mod timer;
mod trail;
mod versions;
mod waiting;

pub use arrival::{arrive, leave_out_own_voice};
pub use dispatcher::{Dispatcher, House};
pub use elevation::keep_ending as end_elevations;
pub use in_force::{Current, InForce};
pub use listings::{refused as listing_refused, relist};
pub use posting::keep_posting;
pub use reading::Sight;
pub use recovery::interrupted as recover;
pub use reload::{at_a_signal as reload_at_a_signal, follow};
pub use said_of_rooms::{Absence, away};
pub use versions::{NotLoaded, Origin, Reader, Version, Versions, recorded};
