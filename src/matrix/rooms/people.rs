//! Who belongs into a room is invited; who is there without belonging is named.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use ruma::{OwnedRoomId, OwnedUserId, UserId};

use super::{
    ReconcileError, Report,
    bind::{House, concerns_all, patiently, told},
    found::{Found, Standing},
    wanted::WantedRoom,
};
use crate::{matrix::Error, storage::Membership};

/// Who left by themselves is left alone for so long. While the ops folder names them, they belong.
const LEFT_ALONE: SignedDuration = SignedDuration::from_hours(24);

/// A homeserver that did not answer is not asked again for so long: a little less than from one look at all rooms to the next.
const REST: SignedDuration = SignedDuration::from_mins(9);

/// Names who does not belong, and who cannot come in.
pub(super) fn name(
    house: &House<'_>,
    wanted: &WantedRoom,
    room: &OwnedRoomId,
    found: &Found,
    report: &mut Report,
) {
    let bot = house.homeserver.bot();
    let strangers = found.members().into_iter().filter(|member| {
        matches!(member.membership, Membership::Join | Membership::Invite)
            && member.user != bot
            && !wanted.admits(&member.user)
    });
    let strangers: BTreeSet<_> = strangers.map(|member| member.user).collect();
    if !strangers.is_empty() {
        tracing::warn!(
            room.name = wanted.key,
            ?strangers,
            "in the room without belonging to a team that it admits"
        );
        report.strangers.insert(wanted.key.clone(), strangers);
    }
    for user in in_need(house, wanted, found, Need::Unban) {
        report.fail(
            &wanted.key,
            Some(room),
            format!(
                "{user} belongs to a team of {} and is banned there. Take them out of the team, or have them unbanned",
                told(wanted, room)
            ),
        );
    }
}

/// Invites who belongs and is on our homeserver.
pub(super) async fn admit_ours(
    house: &House<'_>,
    wanted: &WantedRoom,
    room: &OwnedRoomId,
    found: &Found,
    report: &mut Report,
) -> Result<(), ReconcileError> {
    let ours = house.homeserver.bot().server_name();
    for user in in_need(house, wanted, found, Need::Invitation).filter(|user| user.server_name() == ours) {
        invite(house, wanted, room, user, report).await?;
    }
    Ok(())
}

/// Invites who belongs and is elsewhere. To be called when all of ours are: while a homeserver is waited for that does not
/// answer, ours lets nobody else into that room.
pub(super) async fn admit_others(
    house: &House<'_>,
    wanted: &WantedRoom,
    room: &OwnedRoomId,
    found: &Found,
    report: &mut Report,
) -> Result<(), ReconcileError> {
    let (homeserver, now) = (house.homeserver, house.storage.now());
    let ours = homeserver.bot().server_name();
    let mut others: Vec<_> = in_need(house, wanted, found, Need::Invitation)
        .filter(|user| user.server_name() != ours)
        .map(|user| (homeserver.unanswered_at(user.server_name()), user))
        .collect();
    // Those who were not waited for in vain come first, and then whom that was longest ago.
    others.sort();
    for (unanswered_at, user) in others {
        if unanswered_at.is_some_and(|at| now.duration_since(at) < REST) {
            report.fail(&wanted.key, Some(room), unanswered(wanted, room, user));
        } else if !invite(house, wanted, room, user, report).await? {
            // Whoever else is invited to this room now would wait behind them: they are next time.
            return Ok(());
        }
    }
    Ok(())
}

/// The people of a room who need this.
fn in_need<'a>(
    house: &House<'_>,
    wanted: &'a WantedRoom,
    found: &Found,
    what: Need,
) -> impl Iterator<Item = &'a OwnedUserId> {
    let (bot, now) = (house.homeserver.bot(), house.storage.now());
    wanted.people.iter().filter(move |user| *user != bot && need(found.standing(user), now) == what)
}

/// Invites somebody. Says whether the homeserver is through with it.
async fn invite(
    house: &House<'_>,
    wanted: &WantedRoom,
    room: &OwnedRoomId,
    user: &UserId,
    report: &mut Report,
) -> Result<bool, ReconcileError> {
    match patiently(|| house.homeserver.invite(room, user)).await {
        Ok(()) => report.change(&wanted.key, room, format!("{user} invited")),
        Err(error) if concerns_all(&error) => return Err(error.into()),
        // They came meanwhile.
        Err(error) if error.is("M_FORBIDDEN") && error.to_string().contains("already in the room") => {}
        Err(Error::Unanswered { .. }) => {
            report.fail(&wanted.key, Some(room), unanswered(wanted, room, user));
            return Ok(false);
        }
        Err(error) => report.fail(
            &wanted.key,
            Some(room),
            format!(
                "{user} cannot be invited to {}: {error}. Look whether the MXID in the team is right, and whether its \
                 homeserver can be reached",
                told(wanted, room)
            ),
        ),
    }
    Ok(true)
}

fn unanswered(wanted: &WantedRoom, room: &OwnedRoomId, user: &UserId) -> String {
    format!(
        "{user} is not invited to {} yet: {} does not answer our homeserver. It is tried again every ten minutes; see whether it \
         is there and the two reach each other, and whether the MXID in the team is right",
        told(wanted, room),
        user.server_name()
    )
}

/// What somebody who belongs needs in order to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    Invitation,
    Unban,
}

fn need(standing: Option<Standing>, now: Timestamp) -> Need {
    match standing {
        None => Need::Invitation,
        Some(standing) => match standing.membership {
            Membership::Join | Membership::Invite => Need::Nothing,
            Membership::Ban => Need::Unban,
            // Asking to come in is answered by an invitation.
            Membership::Knock => Need::Invitation,
            Membership::Leave if !standing.by_themselves => Need::Nothing,
            Membership::Leave => {
                let since = Timestamp::from_millisecond(standing.since).unwrap_or(now);
                if now.duration_since(since) > LEFT_ALONE { Need::Invitation } else { Need::Nothing }
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(membership: Membership, by_themselves: bool, hours: i64) -> Need {
        let now: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
        let since = (now - SignedDuration::from_hours(hours)).as_millisecond();
        need(Some(Standing { membership, by_themselves, since }), now)
    }

    #[test]
    fn who_never_was_there_or_asks_is_invited_once() {
        assert_eq!(need(None, Timestamp::UNIX_EPOCH), Need::Invitation);
        assert_eq!(after(Membership::Knock, true, 0), Need::Invitation);
        assert_eq!(after(Membership::Invite, false, 1_000), Need::Nothing);
        assert_eq!(after(Membership::Join, true, 0), Need::Nothing);
    }

    #[test]
    fn who_left_is_left_alone_for_a_day_and_who_was_removed_for_ever() {
        assert_eq!(after(Membership::Leave, true, 1), Need::Nothing);
        assert_eq!(after(Membership::Leave, true, 25), Need::Invitation);
        assert_eq!(after(Membership::Leave, false, 1_000), Need::Nothing);
        assert_eq!(after(Membership::Ban, false, 1_000), Need::Unban);
    }
}
