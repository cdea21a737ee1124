//! Commands of emergency: their use is told to the whole room and to the log room, and stands out in the log.

use serde_json::json;

use super::{pipeline::Asked, reload::in_log_room};
use crate::{
    catalogue::Command,
    command,
    matrix::render::{self, Loudness, Placement},
    model::{Event, Invocation, Message, Span, Value},
    storage::{ContentKind, Error, OutboxDraft, Work},
};

/// Records and tells that a command of emergency is about to start. Nothing for other commands.
pub async fn announce(
    asked: &Asked<'_>,
    work: &mut Work,
    command: &Command,
    invocation: &Invocation,
) -> Result<(), Error> {
    if !command.is_emergency() {
        return Ok(());
    }
    let reason = match invocation.arguments.get("reason") {
        Some(Value::Text(reason)) => reason.as_str(),
        _ => "",
    };
    let kept = work.content(asked.number, ContentKind::Reason, reason.as_bytes());
    let event = Event::EmergencyUsed {
        by: asked.sender.to_owned(),
        command: command.name.clone(),
        subject: invocation.subject.clone(),
        reason: kept,
    };
    work.append(Some(asked.number), Some(&asked.address.room), event);
    let prefix = &asked.in_force.ops.settings.prefix;
    let message = Message::plain()
        .line([
            Span::strong("Emergency: "),
            Span::strong(asked.sender.as_str()),
            Span::text(" runs "),
            Span::code(format!("{prefix}{}", command::say(command, invocation))),
            Span::text(" · "),
            Span::code(asked.number.to_string()),
        ])
        .line([Span::text("Reason: "), Span::emphasis(reason)]);
    let step = format!("emergency/{}", asked.number);
    let room = &asked.address.room;
    // Everybody is to know at once: the one message of ours that mentions a whole room.
    let mut content = render::message(&message, &Placement::Timeline, &[], Loudness::Text, &step);
    content["m.mentions"] = json!({ "room": true });
    work.send(OutboxDraft {
        step: step.clone(),
        to: room.clone().into(),
        // What is said of it goes with it when it is erased.
        request: Some(asked.number),
        kind: "m.room.message".to_owned(),
        content,
        file: None,
    });
    let told = message.line([Span::text(format!("In {}", asked.room.name))]);
    if let Some(mut draft) = in_log_room(asked.house, format!("{step}/log"), &told).await?
        && draft.to != room.clone().into()
    {
        draft.request = Some(asked.number);
        draft.content["msgtype"] = "m.text".into();
        draft.content["m.mentions"] = json!({ "room": true });
        work.send(draft);
    }
    Ok(())
}
