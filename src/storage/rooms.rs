//! The rooms that are bound by id, and the mirror of who is in them with which power.

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::{Error, Storage, Work};

/// Somebody's membership of a room, as Matrix names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Membership {
    /// Is in it.
    Join,
    /// Was invited.
    Invite,
    /// Asked to come in.
    Knock,
    /// Left, or was removed.
    Leave,
    /// Was banned.
    Ban,
}

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: OwnedUserId,
    /// How.
    pub membership: Membership,
}

/// Somebody's standing in a room that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The room's key in the ops folder.
    pub key: String,
    /// The membership; of somebody who was never there, `None`.
    pub membership: Option<Membership>,
    /// The power level; of a room's creators, 2^53 - 1.
    pub power_level: i64,
}

impl Storage {
    /// Binds a room of the ops folder to a room id. From now on commands count there, and nowhere else
    /// under that key.
    pub async fn bind_room(&self, key: &str, room: &RoomId) -> Result<(), Error> {
        let _ = (key, room);
        todo!()
    }

    /// The bound rooms: key and id.
    pub async fn bound_rooms(&self) -> Result<Vec<(String, OwnedRoomId)>, Error> {
        todo!()
    }

    /// The key of a bound room.
    pub async fn room_by_id(&self, room: &RoomId) -> Result<Option<String>, Error> {
        let _ = room;
        todo!()
    }

    /// Replaces the mirror of a bound room's members.
    pub async fn set_members(&self, room: &RoomId, members: &[Member]) -> Result<(), Error> {
        let _ = (room, members);
        todo!()
    }

    /// The mirror of a bound room's members.
    pub async fn members(&self, room: &RoomId) -> Result<Vec<Member>, Error> {
        let _ = room;
        todo!()
    }

    /// Keeps the content of `m.room.power_levels`, and the creators that stand above it (room version
    /// 12 and later; empty before).
    pub async fn set_power(
        &self,
        room: &RoomId,
        power_levels: &serde_json::Value,
        creators: &[OwnedUserId],
    ) -> Result<(), Error> {
        let _ = (room, power_levels, creators);
        todo!()
    }

    /// Somebody's standing in a room; `None` where the room is not ours.
    pub async fn standing(&self, room: &RoomId, user: &UserId) -> Result<Option<Standing>, Error> {
        let _ = (room, user);
        todo!()
    }
}

impl Work {
    /// As [`Storage::standing`], within the transaction of this work.
    pub async fn standing(&mut self, room: &RoomId, user: &UserId) -> Result<Option<Standing>, Error> {
        let _ = (room, user);
        todo!()
    }

    /// Notes a change of membership in the mirror. Rooms that are not ours are passed over.
    pub async fn set_member(&mut self, room: &RoomId, member: &Member) -> Result<(), Error> {
        let _ = (room, member);
        todo!()
    }

    /// Notes new power levels in the mirror. Rooms that are not ours are passed over.
    pub async fn set_power_levels(
        &mut self,
        room: &RoomId,
        power_levels: &serde_json::Value,
    ) -> Result<(), Error> {
        let _ = (room, power_levels);
        todo!()
    }
}
