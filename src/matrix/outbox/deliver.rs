//! One message, from the outbox to the room.

use std::{future::Future, time::Duration};

use backon::BackoffBuilder as _;
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedTransactionId, RoomId, events::relation::RelationType};
use serde_json::Value;

use super::{Delivered, Shared, carry, search};
use crate::{
    matrix::{
        Error,
        render::{self, STEP_TO_EDIT, STEP_TO_REDACT},
        rooms::{self, Unopened},
    },
    model::{Digest, SignedDuration, fault::Point},
    storage::{self, OutboxRow, Said, To},
};

/// How long after a message was written we rely on the homeserver's memory of its transaction id. Synapse keeps
/// those of a device for 24 hours; others may keep them for as long as they run.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(15);

/// How often a message is tried by a homeserver that otherwise answers, before its lane is given back for a while.
const TRIES: usize = 10;

/// How long a lane that was given back is left alone.
const REST: SignedDuration = SignedDuration::from_mins(1);

/// How long what nobody waits for waits after a message.
const A_BREATH: Duration = Duration::from_millis(20);

/// Takes a row to its end, however long the homeserver and the database are away. `is_last`: nothing waits behind it.
pub(super) async fn deliver(shared: &Shared, mut row: OutboxRow, is_last: bool) -> Delivered {
    let mut pauses = backon::ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(20))
        .with_max_times(TRIES)
        .build();
    let mut tried = false;
    if let Some(key) =
        [STEP_TO_REDACT, STEP_TO_EDIT].into_iter().find(|key| row.draft.content[*key].is_string())
    {
        match until_said(shared, &row, key).await {
            Target::Known(event) if key == STEP_TO_REDACT => {
                row.draft.content["redacts"] = Value::from(event.as_str());
            }
            Target::Known(event) => row.draft.content = render::edit(&event, &row.draft.content),
            Target::Nothing => return Delivered::Concluded,
            Target::NotYet => return Delivered::GivenBack,
        }
    }
    loop {
        shared.gate.pass().await;
        // The semaphore is never closed.
        let place = shared.places.acquire().await;
        let result = attempt(shared, &mut row).await;
        drop(place);
        match result {
            Ok(event) => {
                metrics::counter!("quarterdeck_messages_sent_total").increment(1);
                // The homeserver is handing it to people at this moment, and needs the disk as well. Until it is noted,
                // its transaction id bars a second message.
                if is_last {
                    tokio::time::sleep(A_BREATH).await;
                }
                until_noted(|| shared.storage.sent(row.id, &event)).await;
                return Delivered::Concluded;
            }
            Err(error) if error.is_permanent() => {
                metrics::counter!("quarterdeck_outbox_parked_total").increment(1);
                tracing::error!(message.step = row.draft.step, to = %row.draft.to, %error, "a message is parked");
                let reason = error.to_string();
                until_noted(|| shared.storage.parked(row.id, &reason)).await;
                return Delivered::Concluded;
            }
            Err(Error::RateLimited { after, .. }) => shared.gate.pause(after),
            Err(error) => {
                // Where it is somebody else's homeserver that does not answer, nothing else waits for it.
                if !matches!(error, Error::Unanswered { .. }) {
                    shared.gate.close(&error);
                }
                // The first time it is enough that the homeserver answers again. After that it is this message
                // which it cannot take just now.
                if tried {
                    let Some(pause) = pauses.next() else {
                        tracing::warn!(message.step = row.draft.step, %error, "a message is left for later");
                        let when = shared.storage.now() + REST;
                        until_noted(|| shared.storage.retry_at(row.id, when)).await;
                        return Delivered::GivenBack;
                    };
                    tokio::time::sleep(pause).await;
                }
                // While it cannot be reached at all, that is nobody's try.
                tried = !matches!(&error, Error::Away { reached: false, .. } | Error::Token { .. });
            }
        }
    }
}

/// What a redaction takes back, or an edit changes.
enum Target {
    /// The event is known.
    Known(OwnedEventId),
    /// It was never sent: so there is nothing to take back or to change, and that is noted.
    Nothing,
    /// It still waits: the row was given back.
    NotYet,
}

/// Waits until the step was sent that a row names under this key.
async fn until_said(shared: &Shared, row: &OutboxRow, key: &str) -> Target {
    let step = row.draft.content[key].as_str().unwrap_or_default().to_owned();
    for _ in 0..TRIES * 10 {
        match shared.storage.said(&step).await {
            Ok(Said::As(event)) => return Target::Known(event),
            Ok(Said::Never) => {
                until_noted(|| shared.storage.parked(row.id, "there is nothing to take back or to change"))
                    .await;
                return Target::Nothing;
            }
            Ok(Said::Waits) => {}
            Err(error) => tracing::debug!(%error, "what changes another message waits"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let when = shared.storage.now() + REST;
    until_noted(|| shared.storage.retry_at(row.id, when)).await;
    Target::NotYet
}

/// The room that a message goes to. That with one person alone is opened, or opened again.
async fn room_of(shared: &Shared, to: &To) -> Result<OwnedRoomId, Error> {
    let user = match to {
        To::Room(room) => return Ok(room.clone()),
        To::Person(user) => user,
    };
    loop {
        match rooms::room_with(&shared.homeserver, &shared.storage, &shared.aliases, user).await {
            Ok(room) => return Ok(room),
            Err(Unopened::Homeserver(error)) => return Err(error),
            Err(Unopened::Storage(error)) => {
                tracing::debug!(%error, "a room with one person waits");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// One try: the file first, where there is one, then the message.
async fn attempt(shared: &Shared, row: &mut OutboxRow) -> Result<OwnedEventId, Error> {
    let room = room_of(shared, &row.draft.to).await?;
    if row.draft.file.is_some() && row.draft.content["url"].is_null() {
        carry::file(shared, row).await?;
        // Uploads have no transaction id: noted before the message is sent, so that it happens once.
        until_noted(|| shared.storage.uploaded(row.id, &row.draft.content)).await;
    }
    if let Some(event) =
        row.draft.content["redacts"].as_str().and_then(|event| <&EventId>::try_from(event).ok())
    {
        if row.draft.content[render::WITH_EDITS] == true {
            redact_edits(shared, &room, event, row).await?;
        }
        // Done twice it takes back no more than once, so nothing is looked for.
        return shared.homeserver.redact(&room, event, &transaction_id(row)).await;
    }
    let age = shared.storage.now().duration_since(row.written_at);
    if age > REMEMBERED
        && let Some(event) = search::sent_before(&shared.homeserver, &room, row).await?
    {
        return Ok(event);
    }
    Point::BeforeAnswer.pass();
    let sent =
        shared.homeserver.send_event(&room, &row.draft.kind, &row.draft.content, &transaction_id(row)).await;
    Point::AfterAnswer.pass();
    match sent {
        // The same reaction is there: ours, from before.
        Err(error) if error.is("M_DUPLICATE_ANNOTATION") => {
            search::sent_before(&shared.homeserver, &room, row).await?.ok_or(error)
        }
        result => result,
    }
}

/// Takes back what a message was edited to. Before the message itself: of one that is redacted a homeserver tells no edits.
async fn redact_edits(shared: &Shared, room: &RoomId, event: &EventId, row: &OutboxRow) -> Result<(), Error> {
    let edits = shared.homeserver.relations(room, event, RelationType::Replacement).await;
    let edits = match edits {
        Ok(edits) => edits,
        // It is not there any more, or we are not: the redaction itself says what is wrong.
        Err(error) if error.is_permanent() => return Ok(()),
        Err(error) => return Err(error),
    };
    for edit in edits.iter().filter(|edit| edit.sender == shared.homeserver.bot()) {
        let whole = transaction_id(row);
        let digest = Digest::of_parts([whole.as_bytes(), edit.event_id.as_bytes()]).to_string();
        let transaction = OwnedTransactionId::from(format!("qd{}", &digest[..32]));
        shared.homeserver.redact(room, &edit.event_id, &transaction).await?;
    }
    Ok(())
}

/// The transaction id: the same for the same row at every try, and another for a row of the same step in another
/// database, which may well count from 1 again on the same homeserver.
fn transaction_id(row: &OutboxRow) -> OwnedTransactionId {
    let written = row.written_at.as_microsecond().to_be_bytes();
    let digest = Digest::of_parts([row.draft.step.as_bytes(), &written]).to_string();
    format!("qd{}", &digest[..32]).into()
}

/// Writes a note into the database, waiting for it where it is away: what was sent must not be forgotten.
async fn until_noted<F, N>(note: F)
where
    F: Fn() -> N,
    N: Future<Output = Result<(), storage::Error>>,
{
    loop {
        match note().await {
            Ok(()) => return,
            Err(error) if error.is_away() => {
                tracing::debug!(%error, "a note waits");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => {
                // The lease runs out, the row is taken again, and its transaction id bars a second message.
                tracing::error!(%error, "what became of a message could not be noted");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::storage::OutboxDraft;

    fn row(step: &str, written_at: i64) -> OutboxRow {
        OutboxRow {
            id: 1,
            draft: OutboxDraft {
                step: step.to_owned(),
                to: ruma::owned_room_id!("!r").into(),
                request: None,
                kind: "m.room.message".to_owned(),
                content: Value::Null,
                file: None,
            },
            lane: "l".to_owned(),
            written_at: Timestamp::from_microsecond(written_at).unwrap(),
            failures: 0,
        }
    }

    #[test]
    fn a_row_has_the_same_transaction_id_at_every_try_and_another_in_another_database() {
        assert_eq!(
            transaction_id(&row("request/1/succeeded", 5)),
            transaction_id(&row("request/1/succeeded", 5))
        );
        assert_ne!(
            transaction_id(&row("request/1/succeeded", 5)),
            transaction_id(&row("request/1/succeeded", 6))
        );
        assert_ne!(
            transaction_id(&row("request/1/succeeded", 5)),
            transaction_id(&row("request/1/failed", 5))
        );
    }
}
