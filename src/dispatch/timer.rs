//! Times that have come: a reminder to those whose word is missing, and the end of waiting. And runs that are to be stopped.

use std::{sync::Arc, time::Duration};

use ruma::RoomId;
use tokio_util::sync::CancellationToken;

use super::{
    answers::Address,
    dispatcher::House,
    docket::{Docket, Found},
    pipeline::Asked,
    said_of_waiting as said, schedule,
};
use crate::{
    catalogue::Answers,
    matrix::render::Loudness,
    model::{Event, RequestNumber, State},
    policy::Decision,
    storage::{Error, InboxRow, Request, Timer, Waiting, Work},
};

/// How often times are looked at: nobody minds a second.
const TICK: Duration = Duration::from_secs(1);

/// Looks for times that have come and for runs that are to be stopped, until `stop`.
pub async fn keep(house: Arc<House>, stop: CancellationToken) {
    let bell = house.storage.bell();
    let mut declared = None;
    while !stop.is_cancelled() {
        if let Err(error) = schedule::look(&house, &mut declared).await {
            tracing::debug!(%error, "could not look for schedules that are due");
        }
        if let Err(error) = look(&house).await {
            // What was due is due a second later as well.
            tracing::debug!(%error, "could not look for times that are due");
        }
        tokio::select! {
            () = bell.hurried(TICK) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn look(house: &House) -> Result<(), Error> {
    house.storage.ring_timers().await?;
    if house.runs.count() > 0 {
        for (number, by) in house.storage.wishes_to_cancel().await? {
            house.runs.cancel(number, by);
        }
    }
    Ok(())
}

/// Takes a time that has come to its commit.
pub async fn process(house: &Arc<House>, mut work: Work, row: &InboxRow) -> Result<(), Error> {
    let in_force = house.current.get();
    let timer = Timer::of(&row.external_id).zip(<&RoomId>::try_from(row.lane.as_str()).ok());
    let Some((timer, room_id)) = timer else { return house.conclude(work).await };
    match Docket::find(&in_force, &mut work, room_id, timer.number).await? {
        Found::There(docket) => {
            let declared = in_force.ops.rooms.get(&docket.standing.key);
            if let Some((waiting, room)) = docket.waiting.as_ref().zip(declared)
                && waiting.round == timer.round
                && waits(docket.request.state)
            {
                let mut asked = docket.asked(house, &in_force, room);
                if waiting.until <= work.now() {
                    let of = (asked.number, docket.request.state);
                    ends(house, &mut work, &asked.address, of, waiting).await?;
                } else {
                    remind(&mut asked, &mut work, &docket, waiting).await?;
                }
            }
        }
        // What it asked for is not there any more: nobody can approve it, and its time runs all the same.
        Found::Gone(gone) => {
            let address = Address::of_request(&gone.request, Answers::Thread);
            if let Some(waiting) = over(&mut work, &gone.request).await? {
                ends(house, &mut work, &address, (gone.request.number, gone.request.state), &waiting).await?;
            }
        }
        // Nor is the room ours any more: nobody is there to be told.
        Found::Nowhere => {
            if let Some(request) = work.request_by_number(room_id, timer.number).await?
                && let Some(waiting) = over(&mut work, &request).await?
            {
                record(&mut work, (request.number, request.state), &waiting).await?;
            }
        }
    }
    house.conclude_word(work).await
}

/// What a request has waited for, if that is over.
async fn over(work: &mut Work, request: &Request) -> Result<Option<Waiting>, Error> {
    if !waits(request.state) {
        return Ok(None);
    }
    Ok(work.waiting(request.number).await?.filter(|waiting| waiting.until <= work.now()))
}

const fn waits(state: State) -> bool {
    matches!(state, State::AwaitingApproval | State::AwaitingConfirmation)
}

/// Ends what nobody said a word to, and says so.
async fn ends(
    house: &House,
    work: &mut Work,
    address: &Address,
    (number, from): (RequestNumber, State),
    waiting: &Waiting,
) -> Result<(), Error> {
    record(work, (number, from), waiting).await?;
    let message = said::expired(number, from, waiting.until, work.now());
    house.waits_no_longer(work, address, number).await?;
    // Its requester waits for this.
    work.send(address.answer(number, State::Expired, &message, Loudness::Text));
    Ok(())
}

async fn record(
    work: &mut Work,
    (number, from): (RequestNumber, State),
    waiting: &Waiting,
) -> Result<(), Error> {
    let event = Event::CommandExpired { until: waiting.until };
    work.transition(number, from, State::Expired, event).await?;
    metrics::counter!("quarterdeck_requests_total", "state" => "expired").increment(1);
    Ok(())
}

async fn remind(
    asked: &mut Asked<'_>,
    work: &mut Work,
    docket: &Docket,
    waiting: &Waiting,
) -> Result<(), Error> {
    let Docket { request, invocation, command, .. } = docket;
    let digest = asked.approval_digest(command, invocation).await;
    let void = asked.take_granted(work, invocation, waiting, digest).await?;
    let wait = match asked.decide(invocation, work.now()) {
        Decision::Waits(wait) if digest == waiting.digest => wait,
        // Something has changed in the meantime: that is the time to say so.
        _ => return asked.decide_anew(work, request.state, command, invocation, digest, &void).await,
    };
    let mentions = if wait.confirm.is_empty() {
        asked.candidates(work, invocation, &wait).await?
    } else {
        vec![request.sender.clone()]
    };
    let prefix = &asked.in_force.ops.settings.prefix;
    let message = said::reminder(prefix, request.number, digest, (waiting.until, work.now()), &wait);
    let step = format!("request/{}/reminder/{}", request.number, waiting.round);
    work.send(asked.address.loud(step, request.number, &message, &mentions));
    Ok(())
}
