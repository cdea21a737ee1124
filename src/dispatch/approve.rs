//! Somebody approves a request that waits.
//!
//! Whether it counts is decided by the rules and by who is in the room, never by how it was said: a reaction and a
//! command come here with the same word. Each that counts leads to a whole new decision.

use ruma::UserId;

use super::{
    dispatcher::House,
    docket::{Docket, Word},
    elevation,
    pipeline::Asked,
    said_of_queue, said_of_waiting as said,
    waiting::Begin,
};
use crate::{
    command,
    model::{Digest, Message, State},
    policy::{Decision, Permit, Refusal, Wait},
    storage::{Approval, Error, Membership, Work},
};

/// What came of somebody's word.
pub enum Heard {
    /// It counts, by this leave of the rules; what is said of it, and where the request stands.
    Counts(Option<Permit>, Message),
    /// It does not, and why: for the record, and in words.
    Not(&'static str, Message, Option<Box<Refusal>>),
    /// It does not, and everything about it has been said.
    Silent(&'static str),
}

impl Heard {
    /// It does not count.
    pub fn not(why: &'static str, message: Message) -> Self {
        Self::Not(why, message, None)
    }
}

/// Counts an approval, or says why not.
pub async fn approve(
    house: &House,
    asked: &mut Asked<'_>,
    work: &mut Work,
    docket: &Docket,
    word: &Word<'_>,
) -> Result<Heard, Error> {
    let request = &docket.request;
    let heard = weigh(asked, work, docket, word).await?;
    if let Heard::Not(why, ..) | Heard::Silent(why) = &heard {
        let digest = docket.waiting.as_ref().map(|waiting| waiting.digest);
        work.approval_refused(request.number, word.by, why, digest).await?;
        metrics::counter!("quarterdeck_approvals_total", "counted" => "no").increment(1);
    } else {
        metrics::counter!("quarterdeck_approvals_total", "counted" => "yes").increment(1);
    }
    // What came free, or became startable, is looked for.
    house.storage.bell().ring();
    Ok(heard)
}

async fn weigh(
    asked: &mut Asked<'_>,
    work: &mut Work,
    docket: &Docket,
    word: &Word<'_>,
) -> Result<Heard, Error> {
    let Docket { request, invocation, command, waiting, .. } = docket;
    let not =
        |why, words: &str, wait: Option<&Wait>| Heard::not(why, said::not_counted(word.by, words, wait));
    let stands = said::stands(request.number, request.state);
    let Some(waiting) = waiting.as_ref().filter(|_| request.state == State::AwaitingApproval) else {
        let why = if request.state == State::AwaitingConfirmation { "unconfirmed" } else { "not_waiting" };
        return Ok(Heard::not(why, stands));
    };
    if !asked.in_force.admits(asked.room, word.by.server_name()) {
        // As with commands: nothing is said to strangers.
        return Ok(Heard::Silent("server"));
    }
    if word.standing.membership != Some(Membership::Join) {
        return Ok(Heard::Silent("membership"));
    }
    if word.late || waiting.until <= work.now() {
        return Ok(not("late", "approved this too late: it does not count.", None));
    }

    // Is it still what they saw?
    let digest = asked.approval_digest(command, invocation).await;
    let void = asked.take_granted(work, invocation, waiting, digest).await?;
    if digest != waiting.digest {
        asked.decide_anew(work, request.state, command, invocation, digest, &void).await?;
        return Ok(not("outdated", "approved what has changed since: it does not count.", None));
    }
    let Decision::Waits(wait) = asked.decide(invocation, work.now()) else {
        // Nothing is missing, or nothing helps any more: it has changed without anybody's word.
        asked.decide_anew(work, request.state, command, invocation, digest, &void).await?;
        return Ok(not("not_waiting", "need not approve this any more.", None));
    };
    if let Some(no) = barred(asked, work, docket, word, &wait, digest).await? {
        return Ok(no);
    }

    // May they approve it, and does that bring it further?
    let by = (word.by, word.standing);
    let permit = match asked.may_approve(invocation, by, word.said, work.now()) {
        Decision::Permitted(permit) => permit,
        Decision::Waits(wait) => {
            return Ok(not(
                "rules",
                "cannot approve this: the rules ask for somebody else's word first.",
                Some(&wait),
            ));
        }
        Decision::Refused(refusal) => {
            let message = said::rules_say_no(word.by, "approve", &refusal.says);
            return Ok(Heard::Not("rules", message, Some(Box::new(refusal))));
        }
    };
    let Some(after) = asked.with_approval_of(invocation, word.by, &wait, work.now()) else {
        let teams = said::teams(&wait);
        return Ok(not("team", &format!("cannot approve this: not in {teams}."), Some(&wait)));
    };
    let given = Approval { approver: word.by.to_owned(), event_id: word.event_id.to_owned(), digest };
    work.approve(&permit, request.number, &given, &word.standing.elevated).await?;
    asked.granted.approvals.insert(given.approver);
    let message = match after {
        Decision::Permitted(start) => {
            asked.let_start(work, start, command, invocation).await?;
            let lock = command::lock(command, invocation);
            asked.says_approved(work, word.by, lock.as_deref()).await?
        }
        Decision::Waits(wait) => said::approved_by_one_of(word.by, &wait),
        Decision::Refused(refusal) => {
            // The rules say no by now, whoever approves: such as when a freeze has begun.
            let no = asked.forbidden(refusal, command, invocation.clone(), work.now());
            asked.write_refusal(work, request.state, no).await?;
            said::not_counted(word.by, "approved this, and the rules refuse it by now.", None)
        }
    };
    let message = elevation::says_elevation_of(word.by, message, &word.standing.elevated);
    Ok(Heard::Counts(Some(permit), message))
}

impl Asked<'_> {
    /// What is said of the last approval: that it runs, or that others have what it needs.
    async fn says_approved(
        &self,
        work: &mut Work,
        by: &UserId,
        lock: Option<&str>,
    ) -> Result<Message, Error> {
        if let Some(lock) = lock {
            let ahead = work.ahead(self.number, &self.address.room, lock).await?;
            if ahead.is_held {
                let prefix = &self.in_force.ops.settings.prefix;
                let waits = said_of_queue::queued(prefix, self.number, lock, &ahead);
                return Ok(said::approved_and_waits(by).followed_by(waits));
            }
        }
        if self.house.is_full() {
            let waits = said_of_queue::no_place(&self.in_force.ops.settings.prefix, self.number);
            return Ok(said::approved_and_waits(by).followed_by(waits));
        }
        Ok(said::approved(by))
    }
}

/// Why somebody cannot approve this, whatever the rules say.
async fn barred(
    asked: &Asked<'_>,
    work: &mut Work,
    docket: &Docket,
    word: &Word<'_>,
    wait: &Wait,
    digest: Digest,
) -> Result<Option<Heard>, Error> {
    let Docket { request, invocation, command, .. } = docket;
    let Some(waiting) = &docket.waiting else { return Ok(None) };
    let not = |why, words: &str| Some(Heard::not(why, said::not_counted(word.by, words, Some(wait))));
    if word.by == request.sender {
        return Ok(not("requester", "asked for this, and cannot approve it too."));
    }
    match word.seen.is_present(waiting) {
        Some(true) => {}
        Some(false) => {
            // They are shown the present one, which they can approve.
            let begin = Begin {
                from: request.state,
                command,
                invocation,
                wait: wait.clone(),
                digest,
                void: &[],
                understood: false,
            };
            asked.show_again(work, begin, waiting, word.event_id).await?;
            return Ok(not("outdated", "approved another version: look at the present one below."));
        }
        None => return Ok(not("no_digest", "must say what is approved: the 4 digits of the newest prompt.")),
    }
    if asked.granted.approvals.contains(word.by) {
        return Ok(not("twice", "has approved this already."));
    }
    Ok(None)
}

/// Takes back the approval that an event gave: its giver, or somebody with the power, removed that event.
pub async fn withdraw(
    asked: &mut Asked<'_>,
    work: &mut Work,
    docket: &Docket,
    approval: &Approval,
) -> Result<Option<Message>, Error> {
    let Docket { request, invocation, command, waiting, .. } = docket;
    let Some(waiting) = waiting else { return Ok(None) };
    if !matches!(request.state, State::AwaitingApproval | State::Queued) {
        return Ok(None);
    }
    work.end_approval(request.number, approval, crate::storage::Ended::Withdrawn).await?;
    let digest = asked.approval_digest(command, invocation).await;
    let void = asked.take_granted(work, invocation, waiting, digest).await?;
    match asked.decide(invocation, work.now()) {
        // It still has enough.
        Decision::Permitted(_) => Ok(Some(said::withdrawn(&approval.approver, None))),
        Decision::Waits(wait) => {
            let message = said::withdrawn(&approval.approver, Some(&wait));
            if request.state == State::Queued || digest != waiting.digest {
                asked.decide_anew(work, request.state, command, invocation, digest, &void).await?;
            }
            Ok(Some(message))
        }
        Decision::Refused(_) => {
            asked.decide_anew(work, request.state, command, invocation, digest, &void).await?;
            Ok(Some(said::withdrawn(&approval.approver, None)))
        }
    }
}
