//! What became of a request, for somebody who cannot see its room.

use super::super::{dispatcher::House, pipeline::plain, speech};
use crate::{
    model::{Event, Outcome, RequestNumber, State},
    storage::{ContentKind, Error},
};

/// Where a request stands, in words.
pub async fn of(house: &House, number: RequestNumber, state: State) -> Result<String, Error> {
    if !state.is_terminal() {
        return Ok(match state {
            State::Queued => format!("⏸ {number} waits for its lock or a free place"),
            State::Running => format!("⏳ {number} runs"),
            State::AwaitingApproval => format!("⏸ {number} waits for approval: its room shows by whom"),
            State::AwaitingConfirmation => {
                format!("⏸ {number} waits for your confirmation: `confirm {number}`")
            }
            other => format!("{number}: {other}"),
        });
    }
    let (entries, contents) = house.storage.story(number).await?;
    let last = |kind: ContentKind| contents.iter().rev().find(|content| content.kind == kind);
    let finished = entries.iter().rev().find_map(|recorded| match &recorded.entry.event {
        Event::RunFinished { ending, took_ms, output, .. } => {
            Some(Outcome { ending: ending.clone(), took_ms: *took_ms, output: output.clone() })
        }
        _ => None,
    });
    let request = house.storage.request(number).await?;
    let name = request.and_then(|request| request.invocation).map(|invocation| invocation.command);
    let in_force = house.current.get();
    let command = name.and_then(|name| in_force.ops.commands.get(&name).cloned());
    let kept = last(ContentKind::Output).map(|content| content.bytes.clone()).unwrap_or_default();
    Ok(match (finished, command) {
        (Some(_), Some(command)) if matches!(command.run.kind, crate::catalogue::RunKind::Builtin) => {
            String::from_utf8_lossy(&kept).into_owned()
        }
        (Some(outcome), Some(command)) => {
            let prefix = &in_force.ops.settings.prefix;
            let message = speech::outcome(prefix, number, &command, &outcome, &kept);
            let mark = message.mark.map(|mark| format!("{} ", mark.symbol())).unwrap_or_default();
            format!("{mark}{}", plain(&message))
        }
        _ if state == State::Refused => last(ContentKind::Reason)
            .map(|content| format!("⛔ {}", String::from_utf8_lossy(&content.bytes)))
            .unwrap_or_default(),
        _ => format!("{number}: {state}"),
    })
}
