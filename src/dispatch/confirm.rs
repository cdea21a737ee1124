//! The requester of a request that waits for it confirms what is shown.

use super::{
    approve::Heard,
    docket::{Docket, Word},
    pipeline::Asked,
    said_of_waiting as said,
};
use crate::{
    model::State,
    policy::Permit,
    storage::{Error, Membership, Work},
};

/// Notes the requester's word; what the rules then say is the rest of it.
pub async fn confirm(
    asked: &mut Asked<'_>,
    work: &mut Work,
    docket: &Docket,
    word: &Word<'_>,
    permit: Option<Permit>,
) -> Result<Heard, Error> {
    let Docket { request, invocation, command, waiting, .. } = docket;
    let Some(waiting) = waiting.as_ref().filter(|_| request.state == State::AwaitingConfirmation) else {
        return Ok(Heard::not("not_waiting", said::stands(request.number, request.state)));
    };
    if word.by != request.sender {
        let words = "cannot confirm this: only who asked can.";
        return Ok(Heard::not("requester", said::not_counted(word.by, words, None)));
    }
    if word.standing.membership != Some(Membership::Join) {
        return Ok(Heard::Silent("membership"));
    }
    if word.late || waiting.until <= work.now() {
        let words = "confirmed this too late: it does not count.";
        return Ok(Heard::not("late", said::not_counted(word.by, words, None)));
    }
    let sees = word.seen.is_present(waiting);
    if sees.is_none() {
        let words = "must say what is confirmed: the 4 digits of the newest prompt.";
        return Ok(Heard::not("no_digest", said::not_counted(word.by, words, None)));
    }
    let digest = asked.approval_digest(command, invocation).await;
    let void = asked.take_granted(work, invocation, waiting, digest).await?;
    if digest != waiting.digest || sees == Some(false) {
        asked.decide_anew(work, request.state, command, invocation, digest, &void).await?;
        let words = "confirmed what has changed since: look at it anew.";
        return Ok(Heard::not("outdated", said::not_counted(word.by, words, None)));
    }
    work.confirm(request.number, word.event_id, word.by, digest).await?;
    asked.granted.confirmed = true;
    asked.decide_anew(work, request.state, command, invocation, digest, &void).await?;
    Ok(Heard::Counts(permit, said::confirmed(word.by)))
}
