//! Somebody refuses a request that waits, drops it, or stops it: a no counts however late it comes.

use super::{
    approve::Heard,
    docket::{Docket, Word},
    elevation,
    pipeline::Asked,
    said_of_waiting as said,
};
use crate::{
    matrix::render::Loudness,
    model::{Event, Invocation, State},
    policy::{Action, Decision, Permit, Refusal, Why},
    storage::{ContentKind, Error, Membership, Request, Work},
};

/// Refuses a request that waits.
pub async fn deny(
    asked: &Asked<'_>,
    work: &mut Work,
    docket: &Docket,
    word: &Word<'_>,
    reason: Option<&str>,
) -> Result<Heard, Error> {
    let request = &docket.request;
    if !matches!(request.state, State::AwaitingApproval | State::AwaitingConfirmation | State::Queued) {
        return Ok(Heard::not("not_waiting", said::stands(request.number, request.state)));
    }
    let permit = match may(asked, (request, &docket.invocation), word, false, work) {
        Ok(permit) => permit,
        Err(heard) => return Ok(*heard),
    };
    if request.state == State::Queued {
        // It has all it needs: whoever may refuse it may still keep it from starting.
        cancel_before_start(asked, work, request, word).await?;
    } else {
        let words = reason.map(|reason| work.content(request.number, ContentKind::Reason, reason.as_bytes()));
        let event = Event::CommandDenied {
            by: word.by.to_owned(),
            reason: words,
            elevated: word.standing.elevated.iter().cloned().collect(),
        };
        work.transition(request.number, request.state, State::Denied, event).await?;
        let message = said::denied(word.by, request.number, reason);
        let message = elevation::says_elevation_of(word.by, message, &word.standing.elevated);
        work.send(asked.address.answer(request.number, State::Denied, &message, Loudness::Text));
        ended("denied");
    }
    Ok(Heard::Counts(Some(permit), said::done("Refused", request.number)))
}

/// Drops a request that waits or is queued, or has a running one stopped: also one whose command is no more.
pub async fn cancel(
    asked: &Asked<'_>,
    work: &mut Work,
    (request, invocation): (&Request, &Invocation),
    word: &Word<'_>,
) -> Result<Heard, Error> {
    if request.state.is_terminal() || request.state == State::Received {
        return Ok(Heard::not("not_waiting", said::stands(request.number, request.state)));
    }
    let permit = match may(asked, (request, invocation), word, true, work) {
        Ok(permit) => permit,
        Err(heard) => return Ok(*heard),
    };
    if request.state == State::Running {
        work.wish_to_cancel(&permit, request.number).await?;
        return Ok(Heard::Counts(Some(permit), said::stopping(request.number)));
    }
    cancel_before_start(asked, work, request, word).await?;
    Ok(Heard::Counts(Some(permit), said::done("Cancelled", request.number)))
}

async fn cancel_before_start(
    asked: &Asked<'_>,
    work: &mut Work,
    request: &Request,
    word: &Word<'_>,
) -> Result<(), Error> {
    let event = Event::CommandCancelled { by: word.by.to_owned() };
    work.transition(request.number, request.state, State::Cancelled, event).await?;
    let message = said::cancelled(word.by, request.number);
    asked.house.waits_no_longer(work, &asked.address, request.number).await?;
    work.send(asked.address.answer(request.number, State::Cancelled, &message, Loudness::Notice));
    ended("cancelled");
    Ok(())
}

fn ended(state: &'static str) {
    metrics::counter!("quarterdeck_requests_total", "state" => state).increment(1);
}

/// Whether the rules let somebody say no to this. Whoever may approve it may also refuse it.
fn may(
    asked: &Asked<'_>,
    (request, invocation): (&Request, &Invocation),
    word: &Word<'_>,
    cancels: bool,
    work: &Work,
) -> Result<Permit, Box<Heard>> {
    if !asked.in_force.admits(asked.room, word.by.server_name()) {
        return Err(Box::new(Heard::Silent("server")));
    }
    if word.standing.membership != Some(Membership::Join) {
        return Err(Box::new(Heard::Silent("membership")));
    }
    // What is done to a system that is no more is done to the room.
    let known = |subject: &String| asked.in_force.declares(subject);
    let of = Invocation { subject: invocation.subject.clone().filter(known), ..invocation.clone() };
    let (of, requester, said) = (&of, &*request.sender, word.said);
    let by = (word.by, word.standing);
    let ask = |action| asked.in_force.ask_as_said(asked.room, by, action, said, work.now());
    let first =
        if cancels { ask(Action::Cancel { of, requester }) } else { ask(Action::Deny { of, requester }) };
    let refusal = match first {
        Decision::Permitted(permit) => return Ok(permit),
        Decision::Refused(refusal) => refusal,
        Decision::Waits(_) => return Err(refused(word, cancels, None)),
    };
    let may_approve = !cancels && refusal.why == Why::NothingPermits && word.by != requester;
    if may_approve && let Decision::Permitted(permit) = ask(Action::Approve { of, requester }) {
        return Ok(permit);
    }
    Err(refused(word, cancels, Some(refusal)))
}

fn refused(word: &Word<'_>, cancels: bool, refusal: Option<Refusal>) -> Box<Heard> {
    let says = refusal.as_ref().map_or(&[][..], |refusal| &refusal.says);
    let message = said::rules_say_no(word.by, if cancels { "stop" } else { "refuse" }, says);
    Box::new(Heard::Not("rules", message, refusal.map(Box::new)))
}
