//! Everything that happens in a room beside commands: memberships, power levels, edits, redactions.

use std::sync::Arc;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::{
    answers::Address,
    dispatcher::House,
    event::{Incoming, Kind},
    local,
    reactions::{self, Place},
    said_of_rooms, speech,
};
use crate::{
    catalogue::{Answers, Room},
    model::{Event, SignedDuration},
    storage::{ContentKind, Error, InboxRow, Member, Membership, Request, Work},
};

/// A change that says it is older than this is a repetition or came very late: the homeserver knows what holds now.
/// It must be shorter than what `keep_event_days` may be, because after that a repeated event is not known as one.
const OLD: SignedDuration = SignedDuration::from_hours(24);

/// The power to redact what others wrote, as our rooms ask for it.
const REDACT: i64 = 100;

/// What the record says of work that was given up.
pub const GIVEN_UP: &str = "it failed three times; the server's log has the reason";

/// Takes an event that is no message to its commit.
pub async fn process(
    house: &Arc<House>,
    mut work: Work,
    row: &InboxRow,
    incoming: Incoming,
) -> Result<(), Error> {
    let Incoming { room_id, sender, kind, claimed_at, .. } = incoming.clone();
    let is_old = work.now().duration_since(claimed_at) > OLD;
    let in_force = house.current.get();
    let standing = work.standing(&room_id, &sender).await?;
    let ours =
        standing.as_ref().and_then(|standing| in_force.ops.rooms.get(&standing.key).zip(Some(standing)));
    let Some((room, standing)) = ours else {
        // Elsewhere nothing concerns us but an invitation.
        house.conclude(work).await?;
        if matches!(&kind, Kind::Member { user, membership } if user == house.homeserver.bot() && membership == "invite")
        {
            invited(house, room_id, sender);
        }
        return Ok(());
    };
    match kind {
        Kind::Member { user, membership } => {
            // Who is let in by something old is looked up first; who is put out is put out.
            if is_old {
                house.look_at(&room_id);
            }
            if !(is_old && membership == "join") {
                member(house, &mut work, &room_id, &sender, user, &membership).await?;
            }
        }
        Kind::Edit { target, text } => {
            let place = Place { in_force: &in_force, room, standing, row };
            edited(house, &mut work, &place, &incoming, &target, &text).await?;
        }
        Kind::Redaction { target } => {
            let place = Place { in_force: &in_force, room, standing, row };
            redacted(house, &mut work, &place, &incoming, &target).await?;
        }
        Kind::Reaction { target, key } => {
            let place = Place { in_force: &in_force, room, standing, row };
            reactions::process(house, &mut work, &place, &incoming, (&target, &key)).await?;
            return house.conclude_word(work).await;
        }
        Kind::State { event_type, content } => {
            if event_type == "m.room.power_levels" && !is_old {
                work.set_power_levels(&room_id, &content).await?;
            }
            house.look_at(&room_id);
        }
        Kind::Encrypted => encrypted(house, &mut work, &room_id),
        Kind::Message(_) | Kind::Other => {}
    }
    house.conclude(work).await
}

/// A row that failed again and again for a reason of its own is recorded, answered and passed.
pub async fn unprocessable(house: &Arc<House>, mut work: Work, row: &InboxRow) -> Result<(), Error> {
    let reason = GIVEN_UP.to_owned();
    let event = Event::CommandUnprocessable { external_id: row.external_id.clone(), reason };
    let incoming = Incoming::of(row).ok();
    let room = incoming.as_ref().map(|incoming| incoming.room_id.clone());
    work.append(None, room.as_deref(), event);
    let standing = match &incoming {
        Some(incoming) => work.standing(&incoming.room_id, &incoming.sender).await?,
        None => None,
    };
    if let Some(incoming) = incoming.filter(|_| standing.is_some()) {
        if !matches!(incoming.kind, Kind::Message(_)) {
            // It may have been a membership or a power level: the mirror is filled anew.
            house.look_at(&incoming.room_id);
            return house.conclude(work).await;
        }
        let address = local::address(row, &incoming, Some(&incoming.event_id), Answers::Thread);
        let step = format!("unprocessable/{}", row.id);
        work.send(address.note(step, None, &speech::unprocessable()));
    }
    metrics::counter!("quarterdeck_requests_total", "state" => "unprocessable").increment(1);
    house.conclude(work).await
}

async fn member(
    house: &House,
    work: &mut Work,
    room: &RoomId,
    by: &OwnedUserId,
    user: OwnedUserId,
    membership: &str,
) -> Result<(), Error> {
    let kind = match membership {
        "join" => Membership::Join,
        "invite" => Membership::Invite,
        "knock" => Membership::Knock,
        "ban" => Membership::Ban,
        _ => Membership::Leave,
    };
    let user_is_us = user == house.homeserver.bot();
    work.set_member(room, &Member { user: user.clone(), membership: kind }).await?;
    let event = Event::MemberChanged { user, membership: membership.to_owned(), by: by.clone() };
    work.append(None, Some(room), event);
    let about_us = user_is_us && kind != Membership::Join;
    if about_us || kind == Membership::Knock {
        house.look_at(room);
    }
    Ok(())
}

/// Somebody invites Quarterdeck into a room of theirs: only administrators may.
///
/// It is followed or declined beside the work and after its commit: our homeserver asks the inviter's, and a
/// stranger whose homeserver never answers must hold up nobody's room.
fn invited(house: &Arc<House>, room: OwnedRoomId, by: OwnedUserId) {
    let in_force = house.current.get();
    let house = Arc::clone(house);
    if in_force.ops.settings.administrators.contains(&by) {
        tokio::spawn(async move {
            if let Err(error) = house.homeserver.join(&room).await {
                tracing::warn!(room.id = %room, %by, %error, "could not follow an administrator's invitation");
            }
        });
        return;
    }
    let Some(errand) = house.take_errand() else {
        tracing::warn!(room.id = %room, %by, "left an invitation open: too many others are being declined");
        return;
    };
    let rooms: Vec<_> = in_force.ops.rooms.values().map(|room| room.alias.as_str()).collect();
    let reason = said_of_rooms::not_here(&rooms);
    tokio::spawn(async move {
        if let Err(error) = house.homeserver.leave(&room, Some(&reason)).await {
            tracing::warn!(room.id = %room, %by, %error, "could not decline an invitation");
        } else if let Err(error) =
            house.storage.record(None, Some(&room), Event::InvitationDeclined { by: by.clone() }).await
        {
            tracing::warn!(room.id = %room, %by, %error, "could not record that an invitation was declined");
        }
        drop(errand);
    });
}

async fn edited(
    house: &Arc<House>,
    work: &mut Work,
    place: &Place<'_>,
    incoming: &Incoming,
    target: &OwnedEventId,
    text: &str,
) -> Result<(), Error> {
    let (room, by) = (&incoming.room_id, &incoming.sender);
    let Some(request) = work.request_by_event(room, target).await? else { return Ok(()) };
    // Nobody edits somebody else's message; a homeserver that lets it pass is not believed.
    if request.sender != *by {
        return Ok(());
    }
    let text = work.content(request.number, ContentKind::Text, text.as_bytes());
    let event = Event::MessageEdited { event_id: target.clone(), by: by.clone(), text };
    work.append(Some(request.number), Some(room), event);
    // What people would approve is not what they read there.
    if reactions::message_changed(house, work, place, incoming, &request, true).await? {
        return Ok(());
    }
    note(work, place.room, &request, &incoming.event_id, true);
    Ok(())
}

async fn redacted(
    house: &Arc<House>,
    work: &mut Work,
    place: &Place<'_>,
    incoming: &Incoming,
    target: &OwnedEventId,
) -> Result<(), Error> {
    let (room, by) = (&incoming.room_id, &incoming.sender);
    // Homeservers hand on redactions that they do not obey: that of somebody without the power counts for nothing.
    let counts = |whose: &UserId| *by == whose || place.standing.power_level >= REDACT;
    reactions::taken_away(house, work, place, incoming, target, counts).await?;
    let Some(request) = work.request_by_event(room, target).await? else { return Ok(()) };
    let event = Event::MessageRedacted { event_id: target.clone(), by: by.clone() };
    work.append(Some(request.number), Some(room), event);
    if counts(&request.sender)
        && reactions::message_changed(house, work, place, incoming, &request, false).await?
    {
        return Ok(());
    }
    note(work, place.room, &request, &incoming.event_id, false);
    Ok(())
}

/// Says in the request's thread that its message was changed, and that the record was not.
fn note(work: &mut Work, room: &Room, request: &Request, event_id: &OwnedEventId, edited: bool) {
    let address = Address::of_request(request, room.answers);
    let message = speech::what_was_recorded_stays(request.number, edited);
    work.send(address.note(format!("note/{event_id}"), None, &message));
}

/// In a room of ours that is encrypted, silence would be the worst answer. It is said when somebody writes there, and not
/// when the room is made: nobody would be there to see it, and who comes later sees only what is said from then on.
fn encrypted(house: &House, work: &mut Work, room: &RoomId) {
    if house.first_encrypted(room) {
        work.send(said_of_rooms::cannot_read(room.to_owned()));
    }
}
