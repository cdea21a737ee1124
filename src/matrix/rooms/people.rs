//! Who belongs into a room is invited; who is there without belonging is named.

use jiff::{SignedDuration, Timestamp};
use ruma::{OwnedRoomId, UserId};

use super::{
    ReconcileError, Report,
    bind::{House, concerns_all, patiently, told},
    found::{Found, Standing},
    wanted::WantedRoom,
};
use crate::storage::Membership;

/// Who left by themselves is left alone for so long. While the ops folder names them, they belong.
const LEFT_ALONE: SignedDuration = SignedDuration::from_hours(24);

/// Invites who belongs, and names who does not.
pub(super) async fn admit(
    house: &House<'_>,
    wanted: &WantedRoom,
    room: &OwnedRoomId,
    found: &Found,
    report: &mut Report,
) -> Result<(), ReconcileError> {
    let bot = house.homeserver.bot();
    let strangers = found.members().into_iter().filter(|member| {
        matches!(member.membership, Membership::Join | Membership::Invite)
            && member.user != bot
            && !wanted.admits(&member.user)
    });
    let strangers: std::collections::BTreeSet<_> = strangers.map(|member| member.user).collect();
    if !strangers.is_empty() {
        tracing::warn!(
            room.name = wanted.key,
            ?strangers,
            "in the room without belonging to a team that it admits"
        );
        report.strangers.insert(wanted.key.clone(), strangers);
    }
    let now = house.storage.now();
    for user in wanted.people.iter().filter(|user| *user != bot) {
        match need(found.standing(user), now) {
            Need::Nothing => {}
            Need::Invitation => invite(house, wanted, room, user, report).await?,
            Need::Unban => report.fail(
                &wanted.key,
                Some(room),
                format!(
                    "{user} belongs to a team of {} and is banned there. Take them out of the team, or have them unbanned",
                    told(wanted, room)
                ),
            ),
        }
    }
    Ok(())
}

async fn invite(
    house: &House<'_>,
    wanted: &WantedRoom,
    room: &OwnedRoomId,
    user: &UserId,
    report: &mut Report,
) -> Result<(), ReconcileError> {
    match patiently(|| house.homeserver.invite(room, user)).await {
        Ok(()) => report.change(&wanted.key, room, format!("{user} invited")),
        Err(error) if concerns_all(&error) => return Err(error.into()),
        // They came meanwhile.
        Err(error) if error.is("M_FORBIDDEN") && error.to_string().contains("already in the room") => {}
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
    Ok(())
}

/// What somebody who belongs needs in order to be there.
#[derive(Debug, PartialEq, Eq)]
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
