//! The entries of the pages: who asked for a link, and the sessions that began with one. And the room in which links are given.

use jiff::Timestamp;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The room with one person alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectOpened {
    /// Who.
    pub user: OwnedUserId,
    /// `made`, `invited` (at first, or again after leaving it), or `given up` and why.
    pub how: String,
}

/// Somebody asked for a link by which a session at the pages begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginAsked {
    /// Who, and for whom it is.
    pub by: OwnedUserId,
    /// The link's name, which is no secret.
    pub link: Uuid,
    /// Until when it can be used, once.
    pub until: Timestamp,
}

/// A session began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionBegun {
    /// Whose.
    pub by: OwnedUserId,
    /// Its name, which is no secret.
    pub session: Uuid,
    /// The link that it began with.
    pub link: Uuid,
    /// When it ends at the latest.
    pub until: Timestamp,
}

/// A session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnded {
    /// Whose.
    pub by: OwnedUserId,
    /// Its name.
    pub session: Uuid,
    /// `logout`; `revoked`, from another session of the same person; `replaced`, by another in the same browser; `idle`: it was
    /// not used for too long; `over`: its time had come.
    pub why: String,
}
