//! Keeps the space and the rooms as the ops folder declares them.
//!
//! `cli` calls [`reconcile`] at the start, when the folder changes, when somebody else changed a room's state, and now
//! and then. It makes what is missing, mends what drifted, invites who belongs, and fills the mirror that decisions
//! read. It refuses to follow a tombstone on its word alone, to take over a room that it did not create (an administrator
//! may have it do so, by [`adopt`]), and to remove anybody: what it cannot mend, it names together with the mend, and goes
//! on with the next room.

mod bind;
mod direct;
mod found;
mod mend;
mod people;
mod successor;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedRoomId, OwnedUserId};

pub(super) use self::direct::{Unopened, room_with};
pub use self::successor::{AdoptError, adopt};
use self::{bind::House, wanted::Wanted};
use super::{Error, Homeserver};
use crate::{
    catalogue::Ops,
    model::Event,
    storage::{self, Storage},
};

/// The key under which the space is bound. No file can have this name.
pub const SPACE: &str = "@space";

/// Something that Quarterdeck did to a room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The room's key in the ops folder.
    pub name: String,
    /// The room.
    pub room: Option<OwnedRoomId>,
    /// What was done, in words.
    pub what: String,
}

/// Something that keeps a room from being as declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// The room's key in the ops folder.
    pub name: String,
    /// The room, where there is one.
    pub room: Option<OwnedRoomId>,
    /// What is wrong, and how to mend it.
    pub what: String,
}

/// What [`reconcile`] did and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What was done.
    pub changes: Vec<Change>,
    /// What could not be done.
    pub failures: Vec<Failure>,
    /// Who is in a room without belonging to a team that it admits, by room key. Nobody is removed.
    pub strangers: BTreeMap<String, BTreeSet<OwnedUserId>>,
    /// The rooms that are encrypted, so that no command can be read there.
    pub encrypted: BTreeSet<OwnedRoomId>,
}

/// Why no room could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The homeserver is away, or does not accept us.
    #[error(transparent)]
    Homeserver(#[from] Error),
    /// The database is away.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl Report {
    /// What is to be recorded: every change, every failure.
    pub fn events(&self) -> impl Iterator<Item = (Option<OwnedRoomId>, Event)> + '_ {
        self.news(None)
    }

    /// What is to be recorded where `last` was the report before: every change, and the failures that are new.
    pub fn news<'a>(
        &'a self,
        last: Option<&'a Self>,
    ) -> impl Iterator<Item = (Option<OwnedRoomId>, Event)> + 'a {
        let changes = self.changes.iter().map(|change| {
            let event = Event::RoomChanged { name: change.name.clone(), what: change.what.clone() };
            (change.room.clone(), event)
        });
        let is_new = move |failure: &&Failure| last.is_none_or(|last| !last.failures.contains(failure));
        let failures = self.failures.iter().filter(is_new).map(|failure| {
            let event = Event::RoomFailed { name: failure.name.clone(), what: failure.what.clone() };
            (failure.room.clone(), event)
        });
        changes.chain(failures)
    }

    fn change(&mut self, name: &str, room: &OwnedRoomId, what: impl Into<String>) {
        let change = Change { name: name.to_owned(), room: Some(room.clone()), what: what.into() };
        tracing::info!(room.name = name, room.id = %room, what = change.what, "a room was changed");
        self.changes.push(change);
    }

    fn fail(&mut self, name: &str, room: Option<&OwnedRoomId>, what: impl Into<String>) {
        let failure = Failure { name: name.to_owned(), room: room.cloned(), what: what.into() };
        tracing::error!(room.name = name, what = failure.what, "a room is not as declared");
        self.failures.push(failure);
    }
}

/// Makes the space and the rooms as declared.
///
/// # Errors
///
/// Only where the homeserver or the database is away: what is wrong with one room is in the report.
pub async fn reconcile(
    homeserver: &Homeserver,
    storage: &Storage,
    ops: &Ops,
) -> Result<Report, ReconcileError> {
    reconcile_until(homeserver, storage, ops, &|| {}).await
}

/// The same, which calls `ours` when the rooms stand and all who are on our homeserver are invited: those who are elsewhere may
/// have to be waited for.
///
/// # Errors
///
/// As [`reconcile`].
pub async fn reconcile_until(
    homeserver: &Homeserver,
    storage: &Storage,
    ops: &Ops,
    ours: &(dyn Fn() + Send + Sync),
) -> Result<Report, ReconcileError> {
    let mut report = Report::default();
    if !round(homeserver, storage, ops, ours, &mut report).await? {
        // A room took another's place: its state is made anew, and the space is tied to it.
        let changes = std::mem::take(&mut report.changes);
        report = Report { changes, ..Report::default() };
        round(homeserver, storage, ops, ours, &mut report).await?;
    }
    metrics::gauge!("quarterdeck_rooms_failing")
        .set(u32::try_from(report.failures.len()).unwrap_or(u32::MAX));
    Ok(report)
}

/// Looks at every room once. Says whether all stayed where they were bound.
async fn round(
    homeserver: &Homeserver,
    storage: &Storage,
    ops: &Ops,
    ours: &(dyn Fn() + Send + Sync),
    report: &mut Report,
) -> Result<bool, ReconcileError> {
    let wanted = Wanted::of(ops);
    let declared = wanted.rooms.iter().map(|room| room.key.clone()).chain([SPACE.to_owned()]).collect();
    let mut house = House::look(homeserver, storage, declared).await?;

    if wanted.space.is_none() {
        report.fail(
            SPACE,
            None,
            "the space's alias is too long: shorten `alias` in the [space] of quarterdeck.toml",
        );
    }
    // First each room by itself, so that commands work; then what ties them together; people last, because an
    // invitation may wait for another homeserver.
    let mut rooms = BTreeMap::new();
    for wanted in wanted.rooms.iter().chain(&wanted.space) {
        if let Some(room) = house.room(wanted, report).await? {
            rooms.insert(wanted.key.clone(), room);
        }
    }
    let space = rooms.get(SPACE).cloned();
    let children: BTreeSet<_> =
        rooms.iter().filter(|(key, _)| *key != SPACE).map(|(_, room)| room.clone()).collect();
    let mut keep = Vec::new();
    for wanted in wanted.rooms.iter().chain(&wanted.space) {
        let Some(room) = rooms.get(&wanted.key) else { continue };
        let Some(found) = house.read(wanted, room, report).await? else { continue };
        let ties = if wanted.key == SPACE {
            wanted::children(&children, &ops.settings.server_name, &found)
        } else {
            wanted::parent(space.as_ref(), &ops.settings.server_name)
        };
        mend::mend(&house, wanted, room, &found, ties, report).await?;
        keep.push((wanted, room, found));
    }
    for (wanted, room, found) in &keep {
        people::name(&house, wanted, room, found, report);
        people::admit_ours(&house, wanted, room, found, report).await?;
    }
    ours();
    for (wanted, room, found) in &keep {
        people::admit_others(&house, wanted, room, found, report).await?;
    }
    Ok(!house.moved)
}
