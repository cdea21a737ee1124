//! Checkpoints in the log room: posted now and then, each with a proof that the log goes on from the one posted before, so that
//! federation carries them to every team; and what witnesses answer there.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::json;

use super::{dispatcher::House, pipeline::Asked, reload::in_log_room};
use crate::{
    audit::{self, cosign::Cosigner, room::CHECKPOINT, tree, witness::Ask},
    model::{Invocation, Message, Span, StateMark, Timestamp, Value},
    policy::Permit,
    storage::{Error, Work},
};

/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(5);

/// Posts checkpoints for as long as the server runs.
pub async fn keep_posting(house: &House) {
    loop {
        if let Err(error) = post(house).await {
            tracing::warn!(%error, "a checkpoint waits to be posted to the log room");
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Posts one, if the log grew and the time has come.
async fn post(house: &House) -> Result<(), Error> {
    let every = house.current.get().ops.settings.audit_post_every;
    let log = house.storage.log().await?.number;
    let storage = house.storage.of_log(log);
    let posted = storage.last_posted(log).await?;
    if posted.is_some_and(|(_, at)| storage.now().duration_since(at) < every) {
        return Ok(());
    }
    let before = posted.map_or(0, |(size, _)| size);
    let Some(last) = storage.last_checkpoint().await?.filter(|last| last.size > before) else {
        return Ok(());
    };
    let unreadable =
        |error: tree::Error| Error::Unreadable { what: "the log's tree", reason: error.to_string() };
    let needed = tree::needed_for_consistency(last.size, before).map_err(unreadable)?;
    let proof = audit::tiles(&storage, last.size, needed).await?.consistency(before).map_err(unreadable)?;
    let body = Ask { old: before, proof, note: last.note }.to_body();
    let message = told(last.size, before, last.at).verbatim(body.clone());
    let step = format!("checkpoint/{log}/{}", last.size);
    let Some(mut draft) = in_log_room(house, step, &message).await? else { return Ok(()) };
    draft.content[CHECKPOINT] = json!({ "size": last.size, "old": before, "add_checkpoint": body });
    house.outbox.hand(storage.post(log, before, last.size, draft).await?);
    Ok(())
}

fn told(size: u64, before: u64, at: Timestamp) -> Message {
    let at = at.to_zoned(TimeZone::UTC).strftime("%F %H:%M");
    let since = if before == 0 {
        "the first that is posted here".to_owned()
    } else {
        format!(
            "{} more than in the one posted before, with the proof that it goes on from that",
            size - before
        )
    };
    Message::plain().line([Span::text(format!("The log has {size} entries, signed {at} UTC: {since}."))])
}

/// `!cosign SIZE LINE`: keeps a declared witness's cosignature of a checkpoint, if it holds.
pub async fn cosign(
    asked: &Asked<'_>,
    work: &mut Work,
    permit: &Permit,
    invocation: &Invocation,
) -> Result<Message, Error> {
    let no = |text: String| Ok(Message::marked(StateMark::Refused).line([Span::text(text)]));
    let (Some(Value::Integer(size)), Some(Value::Text(line))) =
        (invocation.arguments.get("size"), invocation.arguments.get("signature"))
    else {
        return no("A cosignature is a size and a line.".to_owned());
    };
    if !asked.room.log {
        return no("Not kept: cosignatures are given in the log room.".to_owned());
    }
    let checkpoint = asked.house.storage.checkpoint_at(size.cast_unsigned()).await?;
    let Some(checkpoint) = checkpoint else {
        return no(format!("Not kept: no checkpoint of {size} entries was signed."));
    };
    let line = line.trim().trim_start_matches('—').trim_start();
    let note = format!("{}— {line}\n", audit::bare(&checkpoint.note));
    for declared in &asked.in_force.ops.settings.audit_witnesses {
        let Ok(key) = Cosigner::read(&declared.key) else { continue };
        match key.find(&note) {
            Ok(None) => {}
            Ok(Some(found)) => {
                let size = checkpoint.size;
                work.keep_cosignature(permit, size, &key.to_string(), &found.line, found.at).await?;
                return Ok(Message::marked(StateMark::Succeeded).line([
                    Span::strong(key.name()),
                    Span::text(format!(" has cosigned the first {size} entries")),
                ]));
            }
            Err(error) => return no(format!("Not kept: {error}.")),
        }
    }
    no("Not kept: it is by no witness that `[[audit.witness]]` declares.".to_owned())
}
