//! Looks for a message by the step key in its content: was it sent, by a life that did not note it?

use ruma::{EventId, OwnedEventId, RoomId, events::relation::RelationType};

use crate::{
    matrix::{Error, Homeserver, homeserver::Relation, render::STEP},
    model::SignedDuration,
    storage::OutboxRow,
};

/// How far before the row was written the room is read: the clocks of two machines differ.
const SLACK: SignedDuration = SignedDuration::from_mins(10);

/// The event that a row became in this room, if it was sent.
///
/// What relates to another event is found by that; what stands by itself, among what we said since.
pub(super) async fn sent_before(
    homeserver: &Homeserver,
    room: &RoomId,
    row: &OutboxRow,
) -> Result<Option<OwnedEventId>, Error> {
    let draft = &row.draft;
    let relation = &draft.content["m.relates_to"];
    let target = relation["event_id"].as_str().and_then(|event| <&EventId>::try_from(event).ok());
    let found = if let (Some(kind), Some(target)) = (relation["rel_type"].as_str(), target) {
        homeserver.relations(room, target, RelationType::from(kind)).await
    } else {
        homeserver.said_since(room, &draft.kind, row.written_at - SLACK).await
    };
    match found {
        Ok(found) => Ok(found
            .into_iter()
            .find(|event| is_step(homeserver, event, &draft.step))
            .map(|event| event.event_id)),
        // What cannot be read is no reason not to send: the sending itself says what is wrong.
        Err(error) if error.is_permanent() => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_step(homeserver: &Homeserver, event: &Relation, step: &str) -> bool {
    event.sender == homeserver.bot() && event.content[STEP] == step
}
