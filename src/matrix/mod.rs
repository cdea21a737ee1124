//! What Quarterdeck says and owns on Matrix: the homeserver's client, messages, rooms, the outbox.
//!
//! `dispatch` renders answers here and has them sent, `cli` prepares the bot, the space and the rooms.
//! It refuses to decide anything: what is said, and to whom, it is handed as values.

pub mod homeserver;
mod outbox;
pub mod render;
pub mod rooms;

pub use homeserver::{Error, Homeserver};
pub use outbox::{Outbox, Passing};
