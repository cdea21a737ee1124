//! Every SQL statement; appends audit entries; makes warrants.
//!
//! Nothing lost, nothing twice, nothing unrecorded: what a floor above wants to be true, it asks for
//! here, and gets it in one commit together with the entry that tells of it. `appservice` fills the
//! inbox, `dispatch` claims [`Work`] from it and concludes it, `matrix` sends what stands in the
//! outbox, `audit` reads the entries. It refuses to start a run without a confirmed commit, to change
//! what was recorded, and to guess: a commit whose answer was lost counts as not done until read back.
//!
//! One file a family of tables. Time comes from the clock that [`Storage::connect`] was given.

mod adoption;
mod approvals;
mod archive;
mod arriving;
mod bell;
mod charts;
mod claim;
mod connect;
mod cosignatures;
mod direct;
mod documents;
mod drafts;
mod elevations;
mod entries;
mod erase;
mod error;
mod finish;
mod inbox;
mod instances;
mod kept;
mod leaves;
mod local;
mod logs;
mod migrate;
mod near;
mod opening;
mod outbox;
mod people;
mod posted;
mod prune;
mod queue;
mod read_back;
mod ready;
mod requests;
mod restored;
mod rooms;
mod schedules;
mod server;
mod sheaf;
mod start;
mod succession;
mod trail;
mod tree;
mod versions;
mod viewing;
mod visits;
mod waits;
mod walk;
mod whole;
mod work;

pub use adoption::Done;
pub use approvals::{Approval, Ended};
pub use archive::{Due, NamingLeaf, Old};
pub use bell::Bell;
pub use charts::{COUNTED, Count, Waited};
pub use claim::{InboxRow, Wanted};
pub use connect::Storage;
pub use cosignatures::{Cosignature, Sealed};
pub use direct::DirectRoom;
pub use documents::Passage;
pub use drafts::{ContentKind, File, OutboxDraft, OutboxRow, To};
pub use elevations::Over;
pub use entries::{Content, Filter, Page, Recorded};
pub use erase::{Erased, Erasure};
pub use error::Error;
pub use finish::{Finished, Telling};
pub use inbox::{Arrival, Stored, Transaction};
pub use instances::{Beat, InterruptedRun};
pub use kept::{KeptDecision, KeptVersion};
pub use leaves::{LeafRow, Leaves};
pub use local::Progress;
pub use logs::{KeyChange, Log};
pub use migrate::{Migrated, migrate};
pub use outbox::Said;
pub use people::{People, PeopleMark};
pub use prune::Walk;
pub use queue::{Ahead, Reached, Unended};
pub use requests::{NewRequest, Request, Unfinished};
pub use restored::{Quiet, Recovery};
pub use rooms::{Member, Membership, Standing};
pub use schedules::{Firing, Scheduled};
pub use start::{PendingWarrant, Start, Started, Warrant};
pub use succession::{RoomIds, SUCCESSION};
pub use trail::{Cursor, Found, Search};
pub use tree::{Checkpoint, Growth, Pending, TreeHead, Turn};
pub use versions::{Loaded, Loading, STRUCK};
pub use visits::{IDLE, SESSION, Session, asked_event, token};
pub use waits::{NewWait, Prompt, TIMER, Timer, Waiting};
pub use walk::{ContentRow, Cut, SignedLeaf};
pub use whole::{KeptFile, Parts};
pub use work::{PASSED, Ticket, Work};
