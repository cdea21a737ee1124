//! The room with one person alone, for what others may not read.
//!
//! There is one for each person, made when it is first needed and kept. Everything here may die at any place and be done
//! again: the alias is drawn and kept before the room is made, so that a room which was made and not noted is found again
//! by its alias. It refuses to use a room in which anybody else is, or which somebody else made.

use ruma::{
    OwnedRoomId, RoomAliasId, UserId,
    api::client::room::{Visibility, create_room::v3 as create_room},
};
use serde_json::json;

use super::{
    bind::{initial, newest_version, patiently},
    found::Found,
    wanted::{State, power_levels},
};
use crate::{
    matrix::{Error, Homeserver},
    model::fault::Point,
    storage::{self, DirectRoom, Membership, Storage},
};

/// How many rooms that turn out to be unusable are given up at one time.
const TRIES: usize = 3;

/// Why there is no room with somebody now.
#[derive(Debug, thiserror::Error)]
pub enum Unopened {
    /// The homeserver says why.
    #[error(transparent)]
    Homeserver(#[from] Error),
    /// The database is away.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// The room with a person alone, in which they are or to which they are invited. `aliases`: what our aliases begin with.
///
/// # Errors
///
/// Where the homeserver or the database is away, or the person cannot be invited.
pub async fn room_with(
    homeserver: &Homeserver,
    storage: &Storage,
    aliases: &str,
    user: &UserId,
) -> Result<OwnedRoomId, Unopened> {
    let mut last = "it could not be made".to_owned();
    for _ in 0..TRIES {
        let known = storage.direct_room(user).await?;
        let room = match &known.room {
            Some(room) => room.clone(),
            None => make(homeserver, storage, aliases, user, &known).await?,
        };
        let found = match patiently(|| homeserver.state(&room)).await {
            Ok(state) => Found::new(&state),
            // It was deleted, or we were put out.
            Err(error) if error.is_permanent() => {
                last = error.to_string();
                storage.direct_room_given_up(user, &DirectRoom { room: Some(room), ..known }, &last).await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(why) = unusable(&found, homeserver.bot(), user) {
            tracing::warn!(room.id = %room, %user, why, "gave up the room with somebody alone");
            why.clone_into(&mut last);
            storage.direct_room_given_up(user, &DirectRoom { room: Some(room), ..known }, why).await?;
            continue;
        }
        if !matches!(
            found.standing(user).map(|it| it.membership),
            Some(Membership::Join | Membership::Invite)
        ) {
            invite(homeserver, &room, user).await?;
            Point::AfterDirectInvitation.pass();
            storage.direct_room_invited(user, &room).await?;
        }
        return Ok(room);
    }
    let doing = format!("opening the room with {user} alone");
    Err(Error::Away { doing, reason: last, reached: true }.into())
}

/// Why a room must not be used for what only this person may read.
fn unusable(found: &Found, bot: &UserId, user: &UserId) -> Option<&'static str> {
    if !found.is_made_by(bot) {
        return Some("somebody else made it");
    }
    if found.replaced_by().is_some() {
        return Some("it was closed");
    }
    let others = found.members().into_iter().any(|member| {
        matches!(member.membership, Membership::Join | Membership::Invite)
            && member.user != bot
            && member.user != user
    });
    if others {
        return Some("somebody else is in it");
    }
    let open = found.content("m.room.join_rules", "").is_none_or(|content| content["join_rule"] != "invite");
    if open {
        return Some("others could come in");
    }
    (found.standing(user).is_some_and(|it| it.membership == Membership::Ban))
        .then_some("they are banned there")
}

/// Makes the room, or finds the one that an earlier life made under this alias; and notes it.
async fn make(
    homeserver: &Homeserver,
    storage: &Storage,
    aliases: &str,
    user: &UserId,
    known: &DirectRoom,
) -> Result<OwnedRoomId, Unopened> {
    let bot = homeserver.bot();
    let local = format!("{aliases}direct_{}", known.token.simple());
    let version = newest_version(homeserver).await?;
    let above = version.as_str().parse::<u32>().is_ok_and(|version| version >= 12);
    let mut request = create_room::Request::new();
    // As for all our rooms: homeservers that encrypt private rooms by default go by the preset.
    request.preset = Some(create_room::RoomPreset::PublicChat);
    request.visibility = Visibility::Private;
    request.room_alias_name = Some(local.clone());
    request.room_version = Some(version);
    request.initial_state = state(bot, user, above).iter().filter_map(initial).collect();
    let room = match patiently(|| homeserver.create_room(request.clone())).await {
        Ok(room) => {
            Point::AfterDirectRoomMade.pass();
            room
        }
        Err(error) if error.is("M_ROOM_IN_USE") => {
            let alias = format!("#{local}:{}", bot.server_name());
            let unwritable =
                |reason: String| Error::Unwritable { doing: format!("resolving {alias}"), reason };
            let alias = RoomAliasId::parse(&alias).map_err(|error| unwritable(error.to_string()))?;
            match patiently(|| homeserver.resolve(&alias)).await? {
                Some(room) => room,
                None => return Err(error.into()),
            }
        }
        Err(error) => return Err(error.into()),
    };
    storage.direct_room_made(user, known.token, &room).await?;
    Ok(room)
}

fn state(bot: &UserId, user: &UserId, creators_stand_above: bool) -> Vec<State> {
    let state = |kind, content| State { kind, key: String::new(), content, says: "" };
    let servers = [bot.server_name(), user.server_name()].map(|server| [server.as_str(), server.host()]);
    let literals = bot.server_name().is_ip_literal() || user.server_name().is_ip_literal();
    vec![
        state("m.room.power_levels", power_levels(bot, creators_stand_above)),
        state("m.room.join_rules", json!({ "join_rule": "invite" })),
        state("m.room.guest_access", json!({ "guest_access": "forbidden" })),
        // What is said before the invitation is accepted can be read after it.
        state("m.room.history_visibility", json!({ "history_visibility": "invited" })),
        state(
            "m.room.server_acl",
            json!({ "allow": servers.concat(), "deny": [], "allow_ip_literals": literals }),
        ),
        state("m.room.name", json!({ "name": "Quarterdeck, for you alone" })),
        state(
            "m.room.topic",
            json!({ "topic": "Answers that not everybody in their room may read. Commands go into the rooms, not here." }),
        ),
    ]
}

/// Invites the person, so that their client files the room among those with one person.
async fn invite(homeserver: &Homeserver, room: &OwnedRoomId, user: &UserId) -> Result<(), Error> {
    match patiently(|| homeserver.invite_alone(room, user)).await {
        // They came meanwhile.
        Err(error) if error.is("M_FORBIDDEN") && error.to_string().contains("already in the room") => Ok(()),
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use ruma::serde::Raw;
    use serde_json::Value;

    use super::*;

    fn room(more: &[(&str, &str, Value)]) -> Found {
        let event = |(kind, key, content): &(&str, &str, Value)| json!({ "type": kind, "state_key": key, "sender": "@bot:c", "content": content });
        let first = [
            ("m.room.create", "", json!({ "room_version": "12" })),
            ("m.room.join_rules", "", json!({ "join_rule": "invite" })),
            ("m.room.member", "@bot:c", json!({ "membership": "join" })),
            ("m.room.member", "@alice:d", json!({ "membership": "leave" })),
        ];
        let raw: Vec<_> =
            first.iter().chain(more).map(|it| Raw::new(&event(it)).unwrap().cast_unchecked()).collect();
        Found::new(&raw)
    }

    #[test]
    fn a_room_in_which_anybody_else_is_or_could_come_is_not_used() {
        let (bot, alice) = (ruma::user_id!("@bot:c"), ruma::user_id!("@alice:d"));
        let why = |more: &[(&str, &str, Value)]| unusable(&room(more), bot, alice);
        assert_eq!(why(&[]), None);
        assert_eq!(why(&[("m.room.member", "@mallory:x", json!({ "membership": "leave" }))]), None);
        for membership in ["join", "invite"] {
            assert!(why(&[("m.room.member", "@mallory:x", json!({ "membership": membership }))]).is_some());
        }
        assert!(why(&[("m.room.join_rules", "", json!({ "join_rule": "public" }))]).is_some());
        assert!(why(&[("m.room.tombstone", "", json!({}))]).is_some());
        let create = json!({ "room_version": "12", "additional_creators": ["@mallory:x"] });
        assert!(why(&[("m.room.create", "", create)]).is_some());
    }
}
