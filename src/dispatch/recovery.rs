//! What an earlier life left behind: runs whose outcome nobody knows.

use super::{answers::Address, dispatcher::House, speech};
use crate::{
    catalogue::Answers,
    matrix::render::Loudness,
    model::{Ending, Outcome, OutputSummary, State, StateMark},
    storage::{Error, Finished, InterruptedRun, Said},
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
    let (kept, output) = leftover
        .map_or_else(|| (Vec::new(), OutputSummary::empty()), |leftover| (leftover.kept, leftover.output));
    let took = house.storage.now().duration_since(run.started_at);
    let outcome = Outcome {
        ending: Ending::Interrupted,
        took_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
        output,
    };
    let in_force = house.current.get();
    let command = run.request.invocation.as_ref().map_or("a command", |invocation| &invocation.command);
    let key = house.storage.room_by_id(&run.request.room).await?;
    let room = key.and_then(|key| in_force.ops.rooms.get(&key));
    let address = Address::of_request(&run.request, room.map_or(Answers::Thread, |room| room.answers));
    let message = speech::interrupted(
        &in_force.ops.settings.prefix,
        number,
        command,
        String::from_utf8_lossy(&kept).trim_end(),
    );
    // Somebody waits for this and must look: it makes a sound.
    let answer = address.answer(number, State::Interrupted, &message, Loudness::Text);
    let mut drafts = vec![answer];
    // If it was marked as running, that mark goes.
    let running = Address::mark_step(number, StateMark::Running);
    if let Some(mark) = message.mark
        && house.storage.said(&running).await? != Said::Never
    {
        drafts.extend(address.end_mark(number, mark));
    }
    let kept = (!kept.is_empty()).then_some(&kept[..]);
    if let Finished::Recorded(messages) =
        house.storage.finish((number, &run.request.room), run.attempt, &outcome, kept, drafts).await?
    {
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
