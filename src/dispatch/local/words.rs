//! What became of a request, for somebody who cannot see its room.

use super::super::{
    dispatcher::House,
    pipeline::plain,
    seeing::{Output, Sees},
    speech,
};
use crate::{
    catalogue::Command,
    model::{Event, Filter, Outcome, RequestNumber, Span, State},
    storage::{ContentKind, Error, Request},
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
    let in_force = house.current.get();
    let name = request.as_ref().and_then(|request| request.invocation.as_ref());
    let command = name.and_then(|invocation| in_force.ops.command_of(invocation));
    let filters: &[Filter] = name.map_or(&[], |invocation| &invocation.filters);
    let kept = last(ContentKind::Output).map(|content| content.bytes.clone()).unwrap_or_default();
    Ok(match (finished, command) {
        (Some(_), Some(command)) if matches!(command.run.kind, crate::catalogue::RunKind::Builtin) => {
            String::from_utf8_lossy(&kept).into_owned()
        }
        (Some(mut outcome), Some(command)) => {
            let prefix = &in_force.ops.settings.prefix;
            let may = match &request {
                Some(request) => may_read(house, request, &command).await?,
                None => false,
            };
            let shown: &[u8] = if may { &kept } else { &[] };
            if !may {
                outcome.ending = outcome.ending.without_reason();
            }
            let mut message = speech::outcome(prefix, number, &command, &outcome, (shown, filters));
            if !may && !kept.is_empty() {
                message = message.line([Span::text("The rules do not let you read what it printed.")]);
            }
            let mark = message.mark.map(|mark| format!("{} ", mark.symbol())).unwrap_or_default();
            format!("{mark}{}", plain(&message))
        }
        _ if state == State::Refused => last(ContentKind::Reason)
            .map(|content| format!("⛔ {}", String::from_utf8_lossy(&content.bytes)))
            .unwrap_or_default(),
        _ => format!("{number}: {state}"),
    })
}

/// Whether who asked may read what it printed, as they stand in the room now.
async fn may_read(house: &House, request: &Request, command: &Command) -> Result<bool, Error> {
    let standing = house.storage.standing(&request.room, &request.sender).await?;
    let elevated = standing.map(|standing| standing.elevated).unwrap_or_default();
    let output = Output {
        room: &request.room,
        command: &command.name,
        private: command.private,
        subject: request.invocation.as_ref().and_then(|invocation| invocation.subject.as_deref()),
        requester: &request.sender,
        elevated: &elevated,
    };
    Ok(!matches!(house.sees_now(&output).await?.sees, Sees::Nobody(_)))
}
