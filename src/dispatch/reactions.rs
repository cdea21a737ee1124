//! ✅ and ⛔ on a prompt of ours, and a reaction taken away again.
//!
//! A reaction counts only on an event that the outbox knows as a prompt that we sent into this very room.

use std::{sync::Arc, time::Duration};

use ruma::{OwnedEventId, UserId};

use super::{
    approve::{self, Heard},
    confirm, deny,
    dispatcher::House,
    docket::{Docket, Found, Gone, Seen, Word},
    event::Incoming,
    in_force::InForce,
    said_of_waiting as said,
};
use crate::{
    catalogue::Room,
    matrix::render::Loudness,
    model::State,
    storage::{Arrival, Error, InboxRow, Prompt, Standing, Work},
};

const YES: &str = "✅";
const NO: [&str; 2] = ["⛔", "🛑"];

/// The source of a reaction that is looked at once more.
const AGAIN: &str = "reaction";
/// How long a reaction waits for its prompt to be known, and how often: a prompt can be seen, and answered, before
/// we have heard that it was sent.
const A_MOMENT: Duration = Duration::from_millis(250);
const TIMES: u32 = 240;

/// A room of ours, in which somebody reacted.
pub struct Place<'a> {
    /// The version in force.
    pub in_force: &'a InForce,
    /// The room.
    pub room: &'a Room,
    /// The standing of who reacted.
    pub standing: &'a Standing,
    /// The row.
    pub row: &'a InboxRow,
}

/// Hears a reaction.
pub async fn process(
    house: &Arc<House>,
    work: &mut Work,
    place: &Place<'_>,
    incoming: &Incoming,
    (target, key): (&OwnedEventId, &str),
) -> Result<(), Error> {
    if key != YES && !NO.contains(&key) {
        return Ok(());
    }
    let (number, round, live) = match work.prompt(&incoming.room_id, target).await? {
        Prompt::Sent { number, round } => (number, round, false),
        Prompt::Live(number) if key != YES => (number, 0, true),
        Prompt::PerhapsOnItsWay => return later(work, place.row).await,
        Prompt::Live(_) | Prompt::None => return Ok(()),
    };
    let docket = match Docket::find(place.in_force, work, &incoming.room_id, number).await? {
        Found::There(docket) => docket,
        Found::Gone(gone) if live => return stop_gone(house, work, place, incoming, &gone).await,
        Found::Gone(_) | Found::Nowhere => return Ok(()),
    };
    let mut asked = docket.asked(house, place.in_force, place.room);
    let word = Word {
        by: &incoming.sender,
        standing: place.standing,
        event_id: &incoming.event_id,
        late: is_late(place.in_force, incoming, place.row, work),
        said: None,
        seen: Seen::Round(round),
    };
    let by_requester = word.by == docket.request.sender;
    let heard = if key == YES {
        if by_requester && docket.request.state == State::AwaitingConfirmation {
            confirm::confirm(&mut asked, work, &docket, &word, None).await?
        } else {
            approve::approve(house, &mut asked, work, &docket, &word).await?
        }
    } else if live {
        deny::cancel(&asked, work, (&docket.request, &docket.invocation), &word).await?
    } else if docket.request.state == State::Running {
        return Ok(());
    } else if by_requester {
        deny::cancel(&asked, work, (&docket.request, &docket.invocation), &word).await?
    } else {
        deny::deny(&asked, work, &docket, &word, None).await?
    };
    let message = match heard {
        // What a no has ended says so itself.
        Heard::Counts(..) if key != YES => return Ok(()),
        // The run, or the next prompt, follows.
        Heard::Counts(permit, message) => {
            drop(permit);
            message
        }
        // It needs no words that a request which has ended has ended.
        Heard::Not("not_waiting", ..) if docket.request.state.is_terminal() => return Ok(()),
        Heard::Not(_, message, _) => message,
        Heard::Silent(_) => return Ok(()),
    };
    let step = format!("request/{number}/word/{}", incoming.event_id);
    work.send(asked.address.note(step, Some(number), &message));
    Ok(())
}

/// A run is to be stopped whose command is not in force any more.
async fn stop_gone(
    house: &Arc<House>,
    work: &mut Work,
    place: &Place<'_>,
    incoming: &Incoming,
    gone: &Gone,
) -> Result<(), Error> {
    let Some(invocation) = &gone.request.invocation else { return Ok(()) };
    let asked = gone.asked(house, place.in_force, place.room);
    let word = Word {
        by: &incoming.sender,
        standing: place.standing,
        event_id: &incoming.event_id,
        late: is_late(place.in_force, incoming, place.row, work),
        said: None,
        seen: Seen::Unsaid,
    };
    if let Heard::Not(why, message, _) =
        deny::cancel(&asked, work, (&gone.request, invocation), &word).await?
        && why != "not_waiting"
    {
        let number = gone.request.number;
        let step = format!("request/{number}/word/{}", incoming.event_id);
        work.send(asked.address.note(step, Some(number), &message));
    }
    Ok(())
}

/// Somebody removed an event by which they, or somebody else, had approved a request. Says whether it was one.
pub async fn taken_away(
    house: &Arc<House>,
    work: &mut Work,
    place: &Place<'_>,
    incoming: &Incoming,
    target: &OwnedEventId,
    counts: impl Fn(&UserId) -> bool,
) -> Result<bool, Error> {
    let Some((number, approval)) = work.approval_by_event(&incoming.room_id, target).await? else {
        return Ok(false);
    };
    if !counts(&approval.approver) {
        return Ok(false);
    }
    if let Found::There(docket) = Docket::find(place.in_force, work, &incoming.room_id, number).await? {
        let mut asked = docket.asked(house, place.in_force, place.room);
        if let Some(message) = approve::withdraw(&mut asked, work, &docket, &approval).await? {
            let step = format!("request/{number}/word/{}", incoming.event_id);
            work.send(asked.address.note(step, Some(number), &message));
        }
    }
    Ok(true)
}

/// Whether a yes is too old, or from the future.
fn is_late(in_force: &InForce, incoming: &Incoming, row: &InboxRow, work: &Work) -> bool {
    let now = work.now();
    let age = now.duration_since(incoming.claimed_at).max(now.duration_since(row.received_at));
    let ahead = incoming.claimed_at.duration_since(row.received_at);
    age > in_force.ops.settings.stale_after || ahead > jiff::SignedDuration::from_secs(60)
}

/// Looks at a reaction once more in a moment: at the end of its lane, so that nothing waits behind it for long.
async fn later(work: &mut Work, row: &InboxRow) -> Result<(), Error> {
    let (event, times) = match row.external_id.rsplit_once('/') {
        Some((event, times)) if row.source == AGAIN => (event, times.parse::<u32>().unwrap_or(TIMES)),
        _ => (&*row.external_id, 0),
    };
    if times >= TIMES {
        tracing::warn!(
            event.id = event,
            "a reaction named no prompt that was sent in time; it is passed over"
        );
        return Ok(());
    }
    tokio::time::sleep(A_MOMENT).await;
    work.enqueue(&Arrival {
        source: AGAIN.to_owned(),
        external_id: format!("{event}/{}", times + 1),
        lane: row.lane.clone(),
        claimed_at: row.claimed_at,
        raw: row.raw.clone(),
    })
    .await
}

/// The request of a message that was edited or removed while it waited is dropped.
pub async fn message_changed(
    house: &House,
    work: &mut Work,
    place: &Place<'_>,
    incoming: &Incoming,
    request: &crate::storage::Request,
    edited: bool,
) -> Result<bool, Error> {
    let waits = matches!(request.state, State::AwaitingApproval | State::AwaitingConfirmation);
    // What only waits for its lock was decided as it was read; removed, it is not wanted any more.
    let queued = request.state == State::Queued && (request.waited || !edited);
    if !waits && !queued {
        return Ok(false);
    }
    let event = crate::model::Event::CommandCancelled { by: incoming.sender.clone() };
    work.transition(request.number, request.state, State::Cancelled, event).await?;
    let address = super::answers::Address::of_request(request, place.room.answers);
    let message = if edited {
        said::edited(request.number)
    } else {
        super::speech::cancelled_before_start(&incoming.sender, request.number)
    };
    house.waits_no_longer(work, &address, request.number).await?;
    work.send(address.answer(request.number, State::Cancelled, &message, Loudness::Notice));
    metrics::counter!("quarterdeck_requests_total", "state" => "cancelled").increment(1);
    Ok(true)
}
