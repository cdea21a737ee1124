//! Which room it is: the bound one, a new one, or one that we made before and did not note.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{
    OwnedRoomId, RoomId, RoomVersionId,
    api::client::room::{Visibility, create_room::v3 as create_room},
    serde::Raw,
};
use serde_json::json;

use super::{
    ReconcileError, Report,
    found::Found,
    wanted::{State, WantedRoom},
};
use crate::{
    matrix::{Error, Homeserver},
    model::fault::Point,
    storage::Storage,
};

/// How often a request that is limited is made again.
const PATIENCE: usize = 8;

/// What there is: the homeserver, the database, and what both say of our rooms.
pub(super) struct House<'a> {
    pub(super) homeserver: &'a Homeserver,
    pub(super) storage: &'a Storage,
    pub(super) bound: BTreeMap<String, OwnedRoomId>,
    pub(super) joined: BTreeSet<OwnedRoomId>,
    /// Whether a key was moved to another room in this round, so that there must be another.
    pub(super) moved: bool,
    /// The keys that are declared: a room bound under another key was renamed, and may be taken over.
    pub(super) declared: BTreeSet<String>,
    version: Option<RoomVersionId>,
}

impl<'a> House<'a> {
    pub(super) async fn look(
        homeserver: &'a Homeserver,
        storage: &'a Storage,
        declared: BTreeSet<String>,
    ) -> Result<Self, ReconcileError> {
        let bound = storage.bound_rooms().await?.into_iter().collect();
        let joined = patiently(|| homeserver.joined_rooms()).await?.into_iter().collect();
        Ok(Self { homeserver, storage, bound, joined, moved: false, declared, version: None })
    }

    /// Finds or makes the room, and binds it. `None` where that failed; the report then says why.
    pub(super) async fn room(
        &mut self,
        wanted: &WantedRoom,
        report: &mut Report,
    ) -> Result<Option<OwnedRoomId>, ReconcileError> {
        if let Some(room) = self.bound.get(&wanted.key).cloned() {
            return self.reach(wanted, room, report).await;
        }
        let (room, what) = match self.make(wanted).await {
            Ok(room) => {
                Point::AfterRoomMade.pass();
                (room, "made")
            }
            Err(error) if error.is("M_ROOM_IN_USE") => match self.adoptable(wanted, report).await? {
                Some(room) => (room, "bound: Quarterdeck had made it before"),
                None => return Ok(None),
            },
            Err(error) => {
                return note(wanted, None, report, error, |error| {
                    format!(
                        "{} cannot be made: {error}. Look whether the alias lies in the namespace of registration.yaml, \
                         and whether the homeserver lets application services create rooms",
                        wanted.alias
                    )
                });
            }
        };
        // Noted before anything else: a room that is made and not bound is found again by its alias.
        self.storage.bind_room(&wanted.key, &room).await?;
        self.joined.insert(room.clone());
        report.change(&wanted.key, &room, format!("{} {what}", wanted.alias));
        Ok(Some(room))
    }

    /// The state of a room, after the mirror was filled from it.
    pub(super) async fn read(
        &mut self,
        wanted: &WantedRoom,
        room: &OwnedRoomId,
        report: &mut Report,
    ) -> Result<Option<Found>, ReconcileError> {
        let found = match self.mirror(room).await? {
            Ok(found) => found,
            Err(error) => {
                return note(wanted, Some(room), report, error, |error| {
                    format!("{} ({room}) cannot be read: {error}", wanted.alias)
                });
            }
        };
        if let Some(other) = found.replaced_by() {
            self.follow(wanted, room, other, report).await?;
            return Ok(None);
        }
        if found.is_encrypted() {
            report.encrypted.insert(room.clone());
            report.fail(
                &wanted.key,
                Some(room),
                format!(
                    "{} ({room}) is encrypted, and Quarterdeck cannot read commands there. Encryption cannot be turned \
                     off: set `encryption_enabled_by_default_for_room_type: \"off\"` (or \"invite\") in homeserver.yaml, \
                     restart the homeserver, delete the room, and rename rooms/{}.toml so that a new one is made",
                    wanted.alias, wanted.key
                ),
            );
        }
        Ok(Some(found))
    }

    /// Reads the state until it stays the same, so that a change that arrives meanwhile is not overwritten by what
    /// was read before it.
    async fn mirror(&self, room: &OwnedRoomId) -> Result<Result<Found, Error>, ReconcileError> {
        let mut last = None;
        for _ in 0..4 {
            let found = match patiently(|| self.homeserver.state(room)).await {
                Ok(state) => Found::new(&state),
                Err(error) => return Ok(Err(error)),
            };
            let mut members = found.members();
            members.sort_by(|a, b| a.user.cmp(&b.user));
            if last.as_ref() == Some(&members) || self.storage.members(room).await? == members {
                if let Some(levels) = found.content("m.room.power_levels", "") {
                    let creators = if found.creators_stand_above() { found.creators() } else { Vec::new() };
                    self.storage.set_power(room, levels, &creators).await?;
                }
                return Ok(Ok(found));
            }
            self.storage.set_members(room, &members).await?;
            last = Some(members);
        }
        Ok(Err(Error::Away {
            doing: format!("reading {room}"),
            reason: "its members change all the time".to_owned(),
            reached: true,
        }))
    }

    /// A bound room is ours by its id. We may have been put out of it, or it may be gone.
    async fn reach(
        &self,
        wanted: &WantedRoom,
        room: OwnedRoomId,
        report: &mut Report,
    ) -> Result<Option<OwnedRoomId>, ReconcileError> {
        if self.joined.contains(&room) {
            return Ok(Some(room));
        }
        let unsure = |error: &Error| {
            format!("whether Quarterdeck is in {} is not known: {error}", told(wanted, &room))
        };
        // Perhaps we left it, or were invited back.
        match patiently(|| self.homeserver.join(&room)).await {
            Ok(()) => {
                report.change(&wanted.key, &room, "entered again");
                return Ok(Some(room));
            }
            Err(error) if error.is_permanent() => {}
            Err(error) => return note(wanted, Some(&room), report, error, unsure),
        }
        let bot = self.homeserver.bot();
        let ours = match patiently(|| self.homeserver.state_event(&room, "m.room.member", bot.as_str())).await
        {
            Ok(content) => content.unwrap_or_default(),
            Err(error) if error.is_permanent() => serde_json::Value::Null,
            Err(error) => return note(wanted, Some(&room), report, error, unsure),
        };
        let membership = ours["membership"].as_str().unwrap_or_default();
        let again = format!(
            "To have a new room made instead, rename rooms/{}.toml, and delete the old room's alias if it is still there",
            wanted.key
        );
        let what = match membership {
            "ban" => format!(
                "{bot} was banned from {} ({room}). Let a homeserver administrator unban and invite it. {again}",
                wanted.alias
            ),
            "leave" => format!(
                "{bot} is no longer in {} ({room}). Let somebody in the room or a homeserver administrator invite it. {again}",
                wanted.alias
            ),
            _ => format!(
                "{} ({room}) does not exist any more: it was deleted on the homeserver. {again}",
                wanted.alias
            ),
        };
        report.fail(&wanted.key, Some(&room), what);
        Ok(None)
    }

    /// The room behind an alias that is in use, if it is one that we made.
    async fn adoptable(
        &self,
        wanted: &WantedRoom,
        report: &mut Report,
    ) -> Result<Option<OwnedRoomId>, ReconcileError> {
        let room = match patiently(|| self.homeserver.resolve(&wanted.alias)).await {
            Ok(room) => room,
            Err(error) => {
                return note(wanted, None, report, error, |error| {
                    format!("{} is in use, and it cannot be learnt by which room: {error}", wanted.alias)
                });
            }
        };
        let Some(room) = room else {
            report.fail(
                &wanted.key,
                None,
                format!("{} is in use and leads nowhere: delete the alias", wanted.alias),
            );
            return Ok(None);
        };
        let taken = |why: &str| {
            format!(
                "{} belongs to {room}, {why}. Delete that alias, or choose another in rooms/{}.toml",
                wanted.alias, wanted.key
            )
        };
        if let Some((key, _)) =
            self.bound.iter().find(|(key, bound)| **bound == room && self.declared.contains(*key))
        {
            report.fail(&wanted.key, Some(&room), taken(&format!("which is bound as {key}")));
            return Ok(None);
        }
        if !self.joined.contains(&room) {
            report.fail(&wanted.key, Some(&room), taken("in which Quarterdeck is not"));
            return Ok(None);
        }
        let found = match patiently(|| self.homeserver.state(&room)).await {
            Ok(state) => Found::new(&state),
            Err(error) => {
                return note(wanted, Some(&room), report, error, |error| {
                    taken(&format!("whose state cannot be read ({error})"))
                });
            }
        };
        if !found.is_made_by(self.homeserver.bot()) {
            report.fail(&wanted.key, Some(&room), taken("which somebody else made"));
            return Ok(None);
        }
        if found.is_space() != wanted.is_space {
            report.fail(&wanted.key, Some(&room), taken("which is of another kind"));
            return Ok(None);
        }
        Ok(Some(room))
    }

    async fn make(&mut self, wanted: &WantedRoom) -> Result<OwnedRoomId, Error> {
        let version = self.newest_version().await?;
        let mut request = create_room::Request::new();
        // Homeservers that encrypt private rooms by default go by the preset. All that a preset would set, we set.
        request.preset = Some(create_room::RoomPreset::PublicChat);
        request.visibility = Visibility::Private;
        request.room_alias_name = Some(wanted.alias.alias().to_owned());
        if wanted.is_space {
            let kind = json!({ "type": "m.space" });
            request.creation_content = Raw::new(&kind).ok().map(Raw::cast_unchecked);
        }
        let above = version.as_str().parse::<u32>().is_ok_and(|version| version >= 12);
        request.room_version = Some(version);
        let state = wanted.state(self.homeserver.bot(), above);
        // The alias is set by `room_alias_name`, and its event with it.
        let state = state.into_iter().filter(|state| state.kind != "m.room.canonical_alias");
        request.initial_state = state.filter_map(|state| initial(&state)).collect();
        patiently(|| self.homeserver.create_room(request.clone())).await
    }

    async fn newest_version(&mut self) -> Result<RoomVersionId, Error> {
        if let Some(version) = &self.version {
            return Ok(version.clone());
        }
        Ok(self.version.insert(newest_version(self.homeserver).await?).clone())
    }
}

/// Version 12 where it is offered; else what the homeserver makes by default.
pub(super) async fn newest_version(homeserver: &Homeserver) -> Result<RoomVersionId, Error> {
    let (default, twelve) = patiently(|| homeserver.room_versions()).await?;
    let newer = default.as_str().parse::<u32>().is_ok_and(|version| version > 12);
    Ok(if twelve && !newer {
        RoomVersionId::V12
    } else {
        default.as_str().try_into().unwrap_or(RoomVersionId::V11)
    })
}

/// Sorts an error: one that concerns everything ends the round, any other is this room's.
fn note<T>(
    wanted: &WantedRoom,
    room: Option<&OwnedRoomId>,
    report: &mut Report,
    error: Error,
    words: impl FnOnce(&Error) -> String,
) -> Result<Option<T>, ReconcileError> {
    if concerns_all(&error) {
        return Err(error.into());
    }
    report.fail(&wanted.key, room, words(&error));
    Ok(None)
}

/// Whether an error says nothing about the room in question.
pub(super) const fn concerns_all(error: &Error) -> bool {
    matches!(error, Error::Away { reached: false, .. } | Error::Token { .. } | Error::RateLimited { .. })
}

pub(super) fn initial(state: &State) -> Option<Raw<ruma::events::AnyInitialStateEvent>> {
    let event = json!({ "type": state.kind, "state_key": state.key, "content": state.content });
    Raw::new(&event).ok().map(Raw::cast_unchecked)
}

/// Makes a request, and again after each wait that the homeserver asks for.
pub(super) async fn patiently<T, F, R>(request: F) -> Result<T, Error>
where
    F: Fn() -> R,
    R: Future<Output = Result<T, Error>>,
{
    for _ in 0..PATIENCE {
        match request().await {
            Err(Error::RateLimited { after, .. }) => tokio::time::sleep(after).await,
            result => return result,
        }
    }
    request().await
}

/// What a room is called in a message about it.
pub(super) fn told(wanted: &WantedRoom, room: &RoomId) -> String {
    format!("{} ({room})", wanted.alias)
}
