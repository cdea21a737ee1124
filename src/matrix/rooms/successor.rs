//! The room that takes the place of one that was closed by a tombstone.
//!
//! A tombstone points where its writer likes, and earlier bots that believed it were led into rooms of others
//! (CVE-2021-32659). So a key moves only to a room that names the closed one as its predecessor, and that Quarterdeck
//! alone created; where somebody else created it, an administrator must have confirmed it, by [`adopt`].

use ruma::{OwnedRoomId, OwnedUserId, RoomId};

use super::{
    ReconcileError, Report,
    bind::{House, concerns_all, patiently},
    found::Found,
    reconcile,
    wanted::{Wanted, WantedRoom},
};
use crate::{
    catalogue::Ops,
    matrix::{Error, Homeserver},
    model::Event,
    storage::{self, Storage},
};

/// Why a room does not take the place of another.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// No such key.
    #[error("no room `{key}` is declared; there are: {there}")]
    Undeclared {
        /// What was given.
        key: String,
        /// The declared keys.
        there: String,
    },
    /// It has no room yet.
    #[error(
        "{key} has no room yet, so there is none to succeed: `quarterdeck serve` makes one, or finds the one it made"
    )]
    Unbound {
        /// The key.
        key: String,
    },
    /// It is the room that is bound.
    #[error("{room} is the room of {key} already")]
    Same {
        /// The key.
        key: String,
        /// The room.
        room: OwnedRoomId,
    },
    /// Somebody changed it meanwhile.
    #[error("{key} was bound to another room in this moment: look at it again")]
    Moved {
        /// The key.
        key: String,
    },
    /// A condition is not met.
    #[error("{room} cannot take the place of {before}: {why}")]
    Unfit {
        /// The room.
        room: OwnedRoomId,
        /// The room that is bound.
        before: OwnedRoomId,
        /// What is wrong, and how to mend it.
        why: String,
    },
    /// The homeserver or the database is away.
    #[error(transparent)]
    Away(#[from] ReconcileError),
}

impl From<storage::Error> for AdoptError {
    fn from(error: storage::Error) -> Self {
        Self::Away(error.into())
    }
}

/// Moves a key to the room that succeeds its room, as an administrator (`by`) confirms, and makes the state there anew.
///
/// The old room must be closed or gone, and the new one must name it as its predecessor.
pub async fn adopt(
    homeserver: &Homeserver,
    storage: &Storage,
    ops: &Ops,
    key: &str,
    room: &RoomId,
    by: &str,
) -> Result<Report, AdoptError> {
    let declared = Wanted::of(ops);
    let Some(wanted) = declared.rooms.iter().find(|wanted| wanted.key == key) else {
        let there: Vec<_> = ops.rooms.keys().map(String::as_str).collect();
        return Err(AdoptError::Undeclared { key: key.to_owned(), there: there.join(", ") });
    };
    let keys = ops.rooms.keys().cloned().collect();
    let mut house = House::look(homeserver, storage, keys).await?;
    let Some(before) = house.bound.get(key).cloned() else {
        return Err(AdoptError::Unbound { key: key.to_owned() });
    };
    if before == room {
        return Err(AdoptError::Same { key: key.to_owned(), room: before });
    }
    let unfit = |why: String| AdoptError::Unfit { room: room.to_owned(), before: before.clone(), why };
    if house.is_open(&before).await? {
        return Err(unfit(format!(
            "{before} is still open. Close it first (a homeserver administrator, or `/upgraderoom` of a client)"
        )));
    }
    if !house.joined.contains(room) {
        match patiently(|| homeserver.join(room)).await {
            Ok(()) => house.joined.insert(room.to_owned()),
            Err(error) if concerns_all(&error) => return Err(ReconcileError::from(error).into()),
            Err(error) => {
                return Err(unfit(format!(
                    "Quarterdeck cannot enter it ({error}). Have somebody who is named under `administrators` in \
                     quarterdeck.toml invite {}",
                    homeserver.bot()
                )));
            }
        };
    }
    let found = house.successor(wanted, &before, room).await?.map_err(unfit)?;
    if let Some(level) = found.lacks(homeserver.bot()) {
        return Err(unfit(format!(
            "Quarterdeck may not set all its state. Give {} level {level} there",
            homeserver.bot()
        )));
    }
    if !house.take_place(wanted, &before, room, found.creators(), Some(by.to_owned())).await? {
        return Err(AdoptError::Moved { key: key.to_owned() });
    }
    Ok(reconcile(homeserver, storage, ops).await?)
}

impl House<'_> {
    /// The room was closed by a tombstone that points to `other`: moves the key there if it is a room of ours, else
    /// says what an administrator can do.
    pub(super) async fn follow(
        &mut self,
        wanted: &WantedRoom,
        room: &OwnedRoomId,
        other: &str,
        report: &mut Report,
    ) -> Result<(), ReconcileError> {
        let key = &wanted.key;
        let anew = format!(
            "To have a new room made instead, rename rooms/{key}.toml and remove the alias from the old room"
        );
        let closed = format!("{} ({room}) was closed by a tombstone", wanted.alias);
        let Ok(other) = OwnedRoomId::try_from(other) else {
            report.fail(key, Some(room), format!("{closed} that names no other room. {anew}"));
            return Ok(());
        };
        let (why, mend) = match self.successor(wanted, room, &other).await? {
            Ok(found) if found.is_made_by(self.homeserver.bot()) => {
                if self.take_place(wanted, room, &other, found.creators(), None).await? {
                    report.change(key, &other, format!("took the place of {room}, which was closed"));
                }
                return Ok(());
            }
            Ok(found) => {
                let creators: Vec<_> = found.creators().iter().map(ToString::to_string).collect();
                (format!("which was created by {}", creators.join(", ")), "")
            }
            Err(why) => (why, ", once that is mended"),
        };
        report.fail(
            key,
            Some(room),
            format!(
                "{closed} that points to {other}: {why}. Quarterdeck follows no tombstone by itself. If that room is \
                 right, confirm it{mend}: `quarterdeck rooms adopt {key} '{other}'`. {anew}"
            ),
        );
        Ok(())
    }

    /// The state of a room that can take the place of `before`, or why it cannot.
    async fn successor(
        &self,
        wanted: &WantedRoom,
        before: &RoomId,
        room: &RoomId,
    ) -> Result<Result<Found, String>, ReconcileError> {
        if let Some((key, _)) =
            self.bound.iter().find(|(key, bound)| **bound == room && self.declared.contains(*key))
        {
            return Ok(Err(format!("it is the room of {key}")));
        }
        if !self.joined.contains(room) {
            return Ok(Err("Quarterdeck is not in it".to_owned()));
        }
        let found = match patiently(|| self.homeserver.state(room)).await {
            Ok(state) => Found::new(&state),
            Err(error) if concerns_all(&error) => return Err(error.into()),
            Err(error) => return Ok(Err(format!("its state cannot be read ({error})"))),
        };
        Ok(if found.predecessor() != Some(before.as_str()) {
            Err(format!(
                "it does not name {before} as its predecessor, as a room made by an upgrade does: make it by one"
            ))
        } else if found.is_space() != wanted.is_space {
            Err("it is of another kind (a space, or none)".to_owned())
        } else if found.is_encrypted() {
            Err("it is encrypted, and Quarterdeck could read no command there".to_owned())
        } else if found.replaced_by().is_some() {
            Err("it was closed itself".to_owned())
        } else {
            Ok(found)
        })
    }

    /// Whether a room can be read, and no tombstone closes it.
    async fn is_open(&self, room: &RoomId) -> Result<bool, ReconcileError> {
        if !self.joined.contains(room) {
            return Ok(false);
        }
        match patiently(|| self.homeserver.state_event(room, "m.room.tombstone", "")).await {
            Ok(tombstone) => Ok(tombstone.is_none()),
            Err(error) if error.is_permanent() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Binds the key to the room in the place of `before`, on the record, and frees the alias for it.
    async fn take_place(
        &mut self,
        wanted: &WantedRoom,
        before: &RoomId,
        room: &RoomId,
        creators: Vec<OwnedUserId>,
        by: Option<String>,
    ) -> Result<bool, ReconcileError> {
        let event = Event::RoomAdopted { name: wanted.key.clone(), before: before.to_owned(), creators, by };
        if !self.storage.adopt_room(&wanted.key, before, room, event).await? {
            return Ok(false);
        }
        self.bound.insert(wanted.key.clone(), room.to_owned());
        self.moved = true;
        // Whatever goes wrong with the alias is named, with its mend, when the room is looked at.
        if let Ok(Some(leads_to)) = patiently(|| self.homeserver.resolve(&wanted.alias)).await
            && leads_to == before
            && let Err(error) = patiently(|| self.homeserver.delete_alias(&wanted.alias)).await
        {
            warn_of_alias(wanted, &error);
        }
        Ok(true)
    }
}

fn warn_of_alias(wanted: &WantedRoom, error: &Error) {
    tracing::warn!(room.name = wanted.key, %error, "the alias could not be taken from the closed room");
}
