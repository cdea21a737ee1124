//! What an earlier life left behind: runs whose outcome nobody knows.

use std::collections::BTreeSet;

use super::{
    answers::Address,
    dispatcher::House,
    live, long, outcome, said_of_files,
    seeing::{Decided, Output, Sees},
    speech,
};
use crate::{
    catalogue::Answers,
    executor::Left,
    matrix::render::{Loudness, as_plain},
    model::{Ending, Invocation, Message, Outcome, OutputSummary, State, StateMark},
    storage::{Error, Finished, InterruptedRun, Request, Said, Telling},
};

/// Ends the processes of dead boots' runs, records these runs as interrupted, and says so in their rooms.
pub async fn interrupted(house: &House) -> Result<(), Error> {
    for run in house.storage.interrupted_runs().await? {
        let number = run.request.number;
        match interrupt(house, run).await {
            Err(error) if !error.is_away() => {
                // One run that cannot be concluded must not keep the server from starting.
                tracing::error!(%number, %error, "an interrupted run could not be concluded; it is tried again at the next start");
            }
            other => other?,
        }
    }
    Ok(())
}

/// Removes what is spooled of runs whose outcome was recorded just before an earlier life ended. To be
/// called after [`interrupted`], before anything runs.
pub async fn sweep(house: &House) {
    if let Err(error) = long::sweep(house).await {
        tracing::warn!(%error, "parts of outputs that nothing names are left for the next start");
    }
    let attempts = match house.executor.leftovers() {
        Ok(attempts) => attempts,
        Err(error) => {
            tracing::warn!(%error, "could not look for what earlier runs left in the spool");
            return;
        }
    };
    for attempt in attempts {
        let ended = house.executor.end_leftover(attempt).await.map(drop);
        if let Err(error) = ended.and_then(|()| house.executor.forget(attempt)) {
            tracing::warn!(%attempt, %error, "could not remove what is left of an earlier run");
        }
    }
}

async fn interrupt(house: &House, run: InterruptedRun) -> Result<(), Error> {
    let number = run.request.number;
    let leftover = match house.executor.end_leftover(run.attempt).await {
        Ok(leftover) => leftover,
        Err(error) => {
            tracing::error!(%number, %error, "could not look for what is left of an interrupted run");
            None
        }
    };
    let (kept, output, whole, left) = leftover.map_or_else(
        || (Vec::new(), OutputSummary::empty(), None, false),
        |leftover| (leftover.kept, leftover.output, leftover.whole, leftover.left),
    );
    let whole = long::keep(house, number, whole.as_ref(), &Left::default()).await.whole;
    let whole = whole.map(|stored| stored.name);
    let took = house.storage.now().duration_since(run.started_at);
    let ended = Outcome {
        ending: Ending::Interrupted,
        took_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
        output,
    };
    let in_force = house.current.get();
    let command = run.request.invocation.as_ref().map_or("a command".to_owned(), Invocation::typed);
    let command = command.as_str();
    let key = house.storage.room_by_id(&run.request.room).await?;
    let room = key.and_then(|key| in_force.ops.rooms.get(&key));
    let address = Address::of_request(&run.request, room.map_or(Answers::Thread, |room| room.answers));
    let prefix = &in_force.ops.settings.prefix;
    let in_words = |kept: &[u8]| {
        let message = speech::interrupted(prefix, number, command, as_plain(kept).trim_end());
        if left { said_of_files::lost(message) } else { message }
    };
    // If it was marked as running, that mark goes.
    let running = Address::mark_step(number, StateMark::Running);
    let marked = house.storage.said(&running).await? != Said::Never;
    // And what showed it as running says so no longer.
    let live = house.storage.said(&Address::live_step(number)).await? != Said::Never;
    let privately = house.storage.said(&Address::private_live_step(number)).await? != Said::Never;
    let mut finished = Finished::OthersAreThere;
    for last in [false, false, false, true] {
        let decided = who_sees(house, &run.request, &kept, last).await?;
        let shown: &[u8] = if decided.sees == Sees::Room { &kept } else { &[] };
        let message = decided.said_in_room(in_words(shown), command, &run.request.sender);
        // Somebody waits for this and must look: it makes a sound.
        let mut drafts = vec![address.answer(number, State::Interrupted, &message, Loudness::Text)];
        if matches!(decided.sees, Sees::Asker(_)) {
            let asked = run.request.invocation.iter().map(|it| outcome::asked(prefix, it));
            let message = asked.fold(in_words(&kept), Message::line);
            drafts.extend(address.private(number, State::Interrupted, &message, Loudness::Text, None));
        }
        if live {
            drafts.insert(0, address.live_end(number, &live::lost(number, command)));
        }
        if privately {
            drafts.insert(0, address.private_live_end(number, &live::lost(number, command)));
        }
        if marked && let Some(mark) = message.mark {
            drafts.extend(address.end_mark(number, mark));
        }
        let telling = Telling {
            drafts,
            event: decided.event(&run.request.sender),
            people: decided.mark,
            whole,
            files: Vec::new(),
        };
        let kept = (!kept.is_empty()).then_some(&kept[..]);
        finished =
            house.storage.finish((number, &run.request.room), run.attempt, &ended, kept, telling).await?;
        if !matches!(finished, Finished::OthersAreThere) {
            break;
        }
        house.seeing.forget(&run.request.room);
    }
    if let Finished::Recorded(messages) = finished {
        metrics::counter!("quarterdeck_requests_total", "state" => "interrupted").increment(1);
        house.outbox.hand(messages);
        // Its lock is free.
        house.storage.bell().ring();
    }
    if let Err(error) = house.executor.forget(run.attempt) {
        tracing::warn!(%number, %error, "could not remove what was spooled of a run");
    }
    Ok(())
}

/// Who sees what an interrupted run had printed. Where people come and go all the time, in the end nobody.
async fn who_sees(house: &House, request: &Request, kept: &[u8], last: bool) -> Result<Decided, Error> {
    let in_force = house.current.get();
    let rules = in_force.rules.digest();
    if kept.is_empty() {
        return Ok(Decided::nothing_to_see(rules));
    }
    let Some(invocation) = request.invocation.as_ref().filter(|_| !last) else {
        return Ok(Decided::for_nobody(rules));
    };
    // Of a command that is no more the worst is to be thought.
    let private = in_force.ops.commands.get(&invocation.command).is_none_or(|command| command.private);
    let output = Output {
        room: &request.room,
        command: &invocation.command,
        private,
        subject: invocation.subject.as_deref(),
        requester: &request.sender,
        elevated: &BTreeSet::new(),
    };
    house.sees(&output).await
}
