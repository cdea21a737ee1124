//! From a committed start to a committed outcome.

use std::{sync::Arc, time::Duration};

use ruma::OwnedUserId;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    answers::Address,
    builtin,
    dispatcher::{House, caught},
    emergency,
    live::{Live, Of, Showing, Shown},
    outcome::{self, Ended, Recorded},
    pipeline::{Asked, Granted, No},
    room_events::GIVEN_UP,
    said_of_queue, speech,
    waiting::Begin,
};
use crate::{
    catalogue::{Answers, Ops, Room, RunKind},
    command::{self, Line},
    executor::{Left, Poised, Ran},
    matrix::render::Loudness,
    model::{Ending, Event, Invocation, Outcome, OutputSummary, SignedDuration, State},
    policy::Decision,
    storage::{Error, Membership, PendingWarrant, Request, Start, Started, Warrant, Work},
};

/// How long a run may take before a mark on its command, and what it prints, show that it runs.
pub const A_MOMENT: Duration = Duration::from_secs(2);
/// How long a request may wait for its lock or a place: who asked for it an hour ago no longer looks.
const WAITS_AT_MOST: SignedDuration = SignedDuration::from_hours(1);
/// How long what nobody waits for waits after an answer.
const A_BREATH: Duration = Duration::from_millis(20);

/// What the answer to a run needs.
pub struct About {
    /// Where the answer goes.
    pub address: Address,
    /// What was understood, where what was typed had to be repaired.
    pub understood: Option<String>,
    /// Who wanted it stopped, if somebody did.
    pub stopped_by: Option<OwnedUserId>,
    /// The teams that the sender is in for a while.
    pub elevated: std::collections::BTreeSet<String>,
    /// One of the places in which something may run; given back when this is dropped.
    pub place: OwnedSemaphorePermit,
}

/// Commits the decision with the start; then, and only then, runs.
pub async fn commit_and_run(
    house: &Arc<House>,
    work: Work,
    pending: PendingWarrant,
    about: About,
) -> Result<(), Error> {
    // Whoever asked waits for both: what can be made ready is made ready while the start is written.
    let poised = Box::pin(house.executor.poise(&pending));
    let (started, poised) = tokio::join!(Box::pin(work.done_starting(pending)), poised);
    let Started { warrant, messages } = started?;
    house.outbox.hand(messages);
    if let Some(warrant) = warrant {
        house.runs.spawn(watched(Arc::clone(house), warrant, poised, about));
    }
    Ok(())
}

/// Runs it, and sees to it that even a panic of ours leaves a recorded end and a free lock.
async fn watched(house: Arc<House>, warrant: Warrant, poised: Option<Poised>, about: About) {
    let (number, attempt) = (warrant.number(), warrant.attempt());
    let (command, address) = (Arc::clone(warrant.command()), about.address.clone());
    if caught(Box::pin(run(Arc::clone(&house), warrant, poised, about))).await.is_none() {
        let outcome = Outcome { ending: Ending::Interrupted, took_ms: 0, output: OutputSummary::empty() };
        let message = speech::lost(number, &command.title());
        let answer = address.answer(number, State::Interrupted, &message, Loudness::Text);
        let ran = Ran { number, attempt, outcome, kept: Vec::new(), whole: None, left: Left::default() };
        let recorded = outcome::record(&house, &address.room, &ran, vec![answer].into()).await;
        house.storage.bell().ring();
        if matches!(recorded, Recorded::Yes) {
            tidy(house, ran).await;
        }
    }
}

/// A queued request that failed again and again for a reason of its own is refused, and that is said.
pub async fn unprocessable(house: &Arc<House>, mut work: Work, request: Request) -> Result<(), Error> {
    let number = request.number;
    let external_id = request.event_id.as_ref().map_or_else(|| number.to_string(), ToString::to_string);
    let event = Event::CommandUnprocessable { external_id, reason: GIVEN_UP.to_owned() };
    work.transition(number, State::Queued, State::Refused, event).await?;
    if work.standing(&request.room, &request.sender).await?.is_some() {
        let address = Address::of_request(&request, Answers::Thread);
        house.waits_no_longer(&mut work, &address, number).await?;
        work.send(address.answer(number, State::Refused, &speech::unprocessable(), Loudness::Notice));
    }
    metrics::counter!("quarterdeck_requests_total", "state" => "unprocessable").increment(1);
    house.conclude(work).await
}

/// A request that was queued comes back: everything is decided anew, then it starts, stays queued, or is refused.
pub async fn start_queued(house: &Arc<House>, mut work: Work, request: Request) -> Result<(), Error> {
    let in_force = house.current.get();
    let Some((invocation, standing)) =
        request.invocation.clone().zip(work.standing(&request.room, &request.sender).await?)
    else {
        return work
            .failed("a queued request without an invocation, or in a room that is not ours")
            .await
            .map(drop);
    };
    let Some(room) = in_force.ops.rooms.get(&standing.key) else {
        return work.failed("a queued request in a room that the ops folder no longer has").await.map(drop);
    };
    let mut asked = Asked {
        house,
        in_force: &in_force,
        room,
        standing: &standing,
        sender: &request.sender,
        number: request.number,
        address: Address::of_request(&request, room.answers),
        granted: Granted::default(),
    };
    let command = in_force.ops.command_of(&invocation);
    let Some(command) = command.filter(|command| room.commands.contains(&command.name)) else {
        let no = No::no_longer_here(&invocation);
        asked.write_refusal(&mut work, State::Queued, no).await?;
        return house.conclude(work).await;
    };
    if standing.membership != Some(Membership::Join) || !in_force.admits(room, request.sender.server_name()) {
        asked.write_refusal(&mut work, State::Queued, No::left(room)).await?;
        return house.conclude(work).await;
    }
    let waiting = if request.waited { work.waiting(request.number).await? } else { None };
    let since = waiting.as_ref().and_then(|waiting| waiting.satisfied_at).unwrap_or(request.received_at);
    let waited = work.now().duration_since(since);
    if waited > WAITS_AT_MOST {
        let no = No::plain("stale", Some(speech::waited_too_long(waited)));
        asked.write_refusal(&mut work, State::Queued, no).await?;
        return house.conclude(work).await;
    }
    // The rules see types and names of arguments, not patterns, choices and ranges: where the folder has changed,
    // the line is read again as well.
    if request.ops != Some(in_force.ops.digest) && !still_means(&in_force.ops, room, &invocation) {
        let no = No::plain("unreadable", Some(speech::changed_meanwhile(&invocation)));
        asked.write_refusal(&mut work, State::Queued, no).await?;
        return house.conclude(work).await;
    }
    // What it was given counts for exactly what was shown, and while its givers are there and may give it.
    let (mut digest, mut void) = (None, Vec::new());
    if let Some(waiting) = &waiting {
        let now = asked.approval_digest(&command, &invocation).await;
        void = asked.take_granted(&mut work, &invocation, waiting, now).await?;
        digest = Some(now);
    }
    let permit = match asked.decide(&invocation, work.now()) {
        Decision::Permitted(permit) => permit,
        Decision::Waits(wait) => {
            let digest = match digest {
                Some(digest) => digest,
                None => asked.approval_digest(&command, &invocation).await,
            };
            let (from, understood) = (State::Queued, false);
            let begin = Begin {
                from,
                command: &command,
                invocation: &invocation,
                wait,
                digest,
                void: &void,
                understood,
            };
            asked.ask_for_words(&mut work, begin).await?;
            return house.conclude(work).await;
        }
        Decision::Refused(refusal) => {
            let no = asked.forbidden(refusal, &command, invocation, work.now());
            asked.write_refusal(&mut work, State::Queued, no).await?;
            return house.conclude(work).await;
        }
    };
    if matches!(command.run.kind, RunKind::Builtin) {
        let row = builtin::row_of(&request);
        return builtin::conclude(&asked, work, &row, permit, &invocation, false).await;
    }
    if let Some(no) = asked.over_a_limit(&mut work).await? {
        asked.write_refusal(&mut work, State::Queued, no).await?;
        return house.conclude(work).await;
    }
    // Without a free place the work is dropped, and found again when a run has ended.
    let Some(place) = house.take_place() else { return Ok(()) };
    let lock = command::lock(&command, &invocation);
    work.permitted(request.number, &permit, &invocation, in_force.ops.digest, lock.as_deref()).await?;
    let elevated = standing.elevated.clone();
    let about = About { address: asked.address.clone(), understood: None, stopped_by: None, elevated, place };
    let asked_for = invocation.clone();
    match work.start(permit, request.number, Arc::clone(&command), invocation).await? {
        Start::Pending(pending) => {
            house.waits_no_longer(&mut work, &asked.address, request.number).await?;
            emergency::announce(&asked, &mut work, &command, &asked_for).await?;
            commit_and_run(house, work, pending, about).await
        }
        // Taken in the meantime: it waits on, and that is said once. What was decided is committed, with the lock that
        // it waits for now: under the name of another it would be found free again and again.
        Start::Busy { lock } => {
            let ahead = work.ahead(asked.number, &asked.address.room, &lock).await?;
            let waits = said_of_queue::queued(&in_force.ops.settings.prefix, asked.number, &lock, &ahead);
            work.send(asked.address.answer(asked.number, State::Queued, &waits, Loudness::Notice));
            house.conclude(work).await
        }
    }
}

/// Whether the grammar in force still gives this invocation for its own line.
pub fn still_means(ops: &Ops, room: &Room, invocation: &Invocation) -> bool {
    let line = Line::typed(invocation.to_string());
    command::parse(ops, room, &line).is_ok_and(|parsed| parsed.invocation == *invocation)
}

/// Runs a warrant and has its outcome recorded.
async fn run(house: Arc<House>, warrant: Warrant, poised: Option<Poised>, about: About) {
    let (number, command) = (warrant.number(), Arc::clone(warrant.command()));
    let invocation = warrant.invocation().clone();
    let cancel = house.runs.cancel_token(number);
    let live = Arc::new(Live::default());
    let mut showing = None;
    let ran = {
        let attempt = warrant.attempt();
        let running = house.executor.run(warrant, poised, cancel, &*live);
        tokio::pin!(running);
        loop {
            tokio::select! {
                ran = &mut running => break ran,
                () = tokio::time::sleep(A_MOMENT), if showing.is_none() => {
                    let of = Of::new((number, attempt), &command, &invocation, &about);
                    showing = Some(Showing::begin(&house, &live, of));
                }
            }
        }
    };
    let shown = match showing {
        Some(showing) => showing.end().await,
        None => Shown::default(),
    };
    house.outbox.pass_over(number);
    let stopped_by = house.runs.forget(number);
    let about = About { stopped_by, ..about };
    let ended = Ended { command: &command, invocation: &invocation, ran: &ran, about: &about, shown };
    let recorded = ended.tell(&house).await;
    let others_may_wait = command.run.lock.is_some() || house.is_full();
    drop(about.place);
    if others_may_wait {
        house.storage.bell().ring();
    }
    if recorded {
        tidy(house, ran).await;
    }
}

/// What is left to do when the answer is on its way, and is not to stand in that way: the machine's cores are the
/// homeserver's for a moment.
async fn tidy(house: Arc<House>, ran: Ran) {
    tokio::time::sleep(A_BREATH).await;
    let tidied = tokio::task::spawn_blocking(move || {
        if let Err(error) = house.executor.forget(ran.attempt) {
            tracing::warn!(number = %ran.number, %error, "could not remove what was spooled of a run");
        }
        house.executor.warm();
    });
    // A panic in there has been told, and costs a folder.
    let _ = tidied.await;
}

impl No {
    /// The command was there when it was queued, and is not any more.
    fn no_longer_here(invocation: &Invocation) -> Self {
        Self::plain("unreadable", Some(speech::no_longer_here(&invocation.typed())))
    }

    /// Who asked is not there any more.
    fn left(room: &Room) -> Self {
        Self::plain("membership", Some(speech::not_a_member(room)))
    }
}
