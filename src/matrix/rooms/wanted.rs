//! What the ops folder asks of each room, as Matrix state (pure).

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomAliasId, ServerName, UserId};
use serde_json::{Value, json};

use super::{SPACE, found::Found};
use crate::catalogue::{Join, Ops};

/// A state event: type, state key, content.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    pub(super) kind: &'static str,
    pub(super) key: String,
    pub(super) content: Value,
    /// What it is, for people.
    pub(super) says: &'static str,
}

/// A room as it should be.
#[derive(Debug, Clone)]
pub(super) struct WantedRoom {
    pub(super) key: String,
    pub(super) alias: OwnedRoomAliasId,
    pub(super) name: String,
    pub(super) topic: String,
    pub(super) join: Join,
    pub(super) is_space: bool,
    /// Who is invited.
    pub(super) people: BTreeSet<OwnedUserId>,
    /// The homeservers that may take part: those of its teams, and ours.
    pub(super) servers: BTreeSet<OwnedServerName>,
}

/// The space and the rooms.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// `None` where its alias is longer than an alias may be.
    pub(super) space: Option<WantedRoom>,
    pub(super) rooms: Vec<WantedRoom>,
}

impl Wanted {
    pub(super) fn of(ops: &Ops) -> Self {
        let rooms: Vec<_> = ops
            .rooms
            .values()
            .map(|room| {
                let teams = || room.teams.iter().filter_map(|team| ops.teams.get(team));
                let ours = ops.settings.server_name.clone();
                WantedRoom {
                    key: room.key.clone(),
                    alias: room.alias.clone(),
                    name: room.name.clone(),
                    topic: room.purpose.clone(),
                    join: room.join,
                    is_space: false,
                    people: teams().flat_map(|team| team.users.iter().cloned()).collect(),
                    servers: teams()
                        .flat_map(|team| team.homeservers.iter().cloned())
                        .chain([ours])
                        .collect(),
                }
            })
            .collect();
        let settings = &ops.settings;
        let alias = format!("#{}{}:{}", settings.alias_prefix, settings.space_alias, settings.server_name);
        let space = RoomAliasId::parse(&alias).ok().map(|alias| WantedRoom {
            key: SPACE.to_owned(),
            alias,
            name: settings.space_name.clone(),
            topic: format!("The rooms that Quarterdeck keeps on {}", settings.server_name),
            join: Join::Invite,
            is_space: true,
            people: rooms.iter().flat_map(|room| room.people.iter().cloned()).collect(),
            servers: rooms
                .iter()
                .flat_map(|room| room.servers.iter().cloned())
                .chain([settings.server_name.clone()])
                .collect(),
        });
        Self { space, rooms }
    }
}

impl WantedRoom {
    /// Whether somebody may be in it.
    pub(super) fn admits(&self, user: &UserId) -> bool {
        self.people.contains(user) || (self.join == Join::Open && self.servers.contains(user.server_name()))
    }

    /// The state of the room, but for what ties it to others. `creators_stand_above`: from room version 12 on.
    pub(super) fn state(&self, bot: &UserId, creators_stand_above: bool) -> Vec<State> {
        let state = |kind, says, content| State { kind, key: String::new(), content, says };
        let join_rule = match self.join {
            Join::Invite => "invite",
            Join::Knock => "knock",
            Join::Open => "public",
        };
        vec![
            state("m.room.power_levels", "the power levels", power_levels(bot, creators_stand_above)),
            state("m.room.join_rules", "how people come in", json!({ "join_rule": join_rule })),
            state("m.room.guest_access", "the access of guests", json!({ "guest_access": "forbidden" })),
            state(
                "m.room.history_visibility",
                "who sees the history",
                json!({ "history_visibility": "joined" }),
            ),
            state("m.room.server_acl", "the list of homeservers", self.server_acl()),
            state("m.room.canonical_alias", "the main alias", json!({ "alias": self.alias })),
            state("m.room.name", "the name", json!({ "name": self.name })),
            state("m.room.topic", "the topic", json!({ "topic": self.topic })),
        ]
    }

    fn server_acl(&self) -> Value {
        // Servers are compared without their ports; with them they are named for people.
        let names: BTreeSet<&str> =
            self.servers.iter().flat_map(|server| [server.as_str(), server.host()]).collect();
        let literals = self.servers.iter().any(|server| server.is_ip_literal());
        json!({ "allow": names, "deny": [], "allow_ip_literals": literals })
    }
}

/// People talk and react; only Quarterdeck changes state, invites, removes, and calls everybody at once.
pub(super) fn power_levels(bot: &UserId, creators_stand_above: bool) -> Value {
    // A creator stands above all levels from version 12 on, and may not be among them (MSC4289).
    let users: BTreeMap<&UserId, i64> =
        if creators_stand_above { BTreeMap::new() } else { [(bot, 100)].into() };
    json!({
        "users": users,
        "users_default": 0,
        "events": {},
        "events_default": 0,
        "state_default": 100,
        "invite": 100,
        "kick": 100,
        "ban": 100,
        "redact": 100,
        "notifications": { "room": 100 },
    })
}

/// The ties of the space: each room a child, and children that are no longer declared removed.
pub(super) fn children(rooms: &BTreeSet<OwnedRoomId>, server: &ServerName, found: &Found) -> Vec<State> {
    let tie = |room: &str, content| State {
        kind: "m.space.child",
        key: room.to_owned(),
        content,
        says: "its rooms",
    };
    let declared = rooms.iter().map(|room| tie(room.as_str(), json!({ "via": [server], "suggested": true })));
    let gone = found.keys_of("m.space.child").filter(|(key, content)| {
        content.get("via").is_some() && !rooms.iter().any(|room| room.as_str() == *key)
    });
    declared.chain(gone.map(|(key, _)| tie(key, json!({})))).collect()
}

/// The tie of a room to its space.
pub(super) fn parent(space: Option<&OwnedRoomId>, server: &ServerName) -> Vec<State> {
    let tie = |space: &OwnedRoomId| State {
        kind: "m.space.parent",
        key: space.to_string(),
        content: json!({ "canonical": true, "via": [server] }),
        says: "its space",
    };
    space.map(tie).into_iter().collect()
}
