//! `!erase ID REASON`: takes away what was typed in a request and what it printed, wherever we keep it, and records that.
//!
//! The log stays whole: its entries name what was erased by a salted digest, and the salt goes with it.

use super::pipeline::Asked;
use crate::{
    matrix::render::{REDACTION, redaction_with_edits_of},
    model::{Invocation, Message, RequestNumber, Span, StateMark, Value, fault::Point},
    policy::Permit,
    storage::{ContentKind, Erasure, Error, OutboxDraft, Work},
};

/// Erases a request of this room, and has what we said of it redacted.
pub async fn erase(
    asked: &Asked<'_>,
    work: &mut Work,
    permit: &Permit,
    invocation: &Invocation,
) -> Result<Message, Error> {
    let not = |why: String| Ok(Message::marked(StateMark::Refused).line([Span::text(why)]));
    let Some(Value::Integer(number)) = invocation.arguments.get("id") else {
        return not("Which request? Its number is missing.".to_owned());
    };
    let number = RequestNumber(*number);
    // A request of another room is none of this room's business, and does not even exist here.
    if asked.request_of_here(number).await?.is_none() {
        return not(format!("There is no request {number} in this room."));
    }
    let reason = invocation.arguments.get("reason").map(Value::to_string).unwrap_or_default();
    let reason = work.content(asked.number, ContentKind::Reason, reason.as_bytes());
    let erased = match work.erase(permit, number, asked.number, reason).await? {
        Erasure::Done(erased) => erased,
        Erasure::NotOver => {
            return not(format!("{number} is not over yet. Cancel it, or wait for its end, then erase it."));
        }
        Erasure::NotSaid => {
            return not(format!(
                "Not all that is to be said of {number} is sent yet. Ask again in a moment."
            ));
        }
        Erasure::Scheduled => {
            let prefix = &asked.in_force.ops.settings.prefix;
            return not(format!(
                "{number} set something that is still done again and again. First: {prefix}unschedule {number}"
            ));
        }
    };
    let archived = super::archived::words(&asked.house.storage, number).await?;
    if erased.contents == 0 {
        let archived = archived.map(|archived| format!(" {archived}")).unwrap_or_default();
        return not(format!("Nothing is left of {number} that could be erased.{archived}"));
    }
    for (step, to) in &erased.said {
        // Once for each erasure: something may be said of it again.
        let own = format!("erase/{}/{step}", asked.number);
        work.send(OutboxDraft {
            content: redaction_with_edits_of(step, &own),
            step: own,
            to: to.clone(),
            request: Some(asked.number),
            kind: REDACTION.to_owned(),
            file: None,
        });
    }
    // What is spooled of a run goes when its end is recorded; this is for what was left there.
    if let Some(attempt) = erased.attempt
        && let Err(error) = asked.house.executor.forget(attempt)
    {
        tracing::warn!(%number, %error, "could not remove what was spooled of a run that is erased");
        return not(format!("What was spooled of {number} cannot be removed: the server's log says why."));
    }
    Point::BeforeErasureCommit.pass();
    let told = format!(
        "{} contents of {number} are erased, and what I said of it ({} messages) is redacted. The log still verifies.",
        erased.contents,
        erased.said.len()
    );
    let mut message = Message::marked(StateMark::Succeeded).line([Span::text(told)]);
    if !erased.repeats.is_empty() {
        let numbers: Vec<_> = erased.repeats.iter().map(ToString::to_string).collect();
        message = message.line([Span::text(format!(
            "The same was asked for again, and stands there still: {}.",
            numbers.join(", ")
        ))]);
    }
    if let Some(archived) = archived {
        message = message.line([Span::text(archived)]);
    }
    Ok(message.line([Span::text(
            "The message that asked is its sender's to remove. Homeservers of others may keep copies, of uploaded files too, and so may backups of the database.",
        )]))
}
