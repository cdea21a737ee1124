//! What is said in passing: edits of a message that was sent, of which only the newest counts and none is worth a row.
//!
//! An edit takes its turn in the lane of its message, so that it never overtakes nor follows what ends that lane. It is
//! sent once, with a transaction id of its step, or not at all: where the homeserver is away, or the edit has grown old
//! while it waited, it is left out. Nobody who may no longer read it is to get it later.

use std::time::Duration;

use ruma::OwnedTransactionId;
use serde_json::Value;
use tokio::time::Instant;

use super::{Outbox, Shared};
use crate::{
    matrix::{Error, render, rooms},
    model::{AttemptId, Digest, RequestNumber},
    storage::{OutboxDraft, Said, To},
};

/// How old an edit may become before it is left out.
const FRESH: Duration = Duration::from_secs(2);

/// An edit that is sent now or never.
#[derive(Debug, Clone)]
pub struct Passing {
    /// The request whose message is edited.
    pub number: RequestNumber,
    /// Its attempt: with the step it makes the transaction id.
    pub attempt: AttemptId,
    /// Where it goes.
    pub to: To,
    /// The step that became the message.
    pub original: String,
    /// The step key of this edit.
    pub step: String,
    /// What the message is to say.
    pub content: Value,
}

/// An edit, and since when it waits.
pub(super) struct Waiting {
    edit: Passing,
    since: Instant,
}

impl Outbox {
    /// Edits a message in passing. An edit of the same lane that still waits is left out for this one: of the same request, or in
    /// the room with the same person.
    pub fn pass(&self, edit: Passing) {
        let lane = lane_of(&edit);
        let mut lanes = self.lanes();
        lanes.passing.insert(lane.clone(), Waiting { edit, since: Instant::now() });
        if !lanes.queues.contains_key(&lane) {
            lanes.queues.insert(lane.clone(), std::collections::VecDeque::new());
            self.shared.tasks.spawn(self.clone().empty(lane));
        }
    }

    /// Leaves out what still waits to be said in passing of a request: what comes next ends it.
    pub fn pass_over(&self, number: RequestNumber) {
        self.lanes().passing.retain(|_, waiting| waiting.edit.number != number);
    }
}

/// Sends an edit, if it is worth it.
pub(super) async fn send(shared: &Shared, waiting: Waiting) {
    let Waiting { edit, since } = waiting;
    let original = match shared.storage.said(&edit.original).await {
        Ok(Said::As(event)) => event,
        Ok(Said::Never | Said::Waits) => return,
        Err(error) => return tracing::debug!(%error, "an edit in passing is left out"),
    };
    // The semaphore is never closed.
    let place = shared.places.acquire().await;
    if since.elapsed() > FRESH || !shared.gate.is_open() {
        return;
    }
    let content = render::edit(&original, &edit.content);
    let transaction = transaction_id(&edit);
    let room = match &edit.to {
        To::Room(room) => room.clone(),
        // Looked at each time: nobody else is to be there.
        To::Person(user) => {
            match rooms::room_with(&shared.homeserver, &shared.storage, &shared.aliases, user).await {
                Ok(room) => room,
                Err(_) => return tracing::debug!(%user, "an edit in passing has no room to go to"),
            }
        }
    };
    match shared.homeserver.send_event(&room, "m.room.message", &content, &transaction).await {
        Ok(_) => {}
        Err(Error::RateLimited { after, .. }) => shared.gate.pause(after),
        Err(error) => tracing::debug!(%error, "an edit in passing was not taken"),
    }
    drop(place);
}

/// The lane of its message.
fn lane_of(edit: &Passing) -> String {
    match &edit.to {
        To::Room(_) => OutboxDraft::lane_of(edit.number),
        To::Person(user) => user.to_string(),
    }
}

/// The same for the same edit of the same attempt, whoever sends it.
fn transaction_id(edit: &Passing) -> OwnedTransactionId {
    let attempt = edit.attempt.to_string();
    let digest = Digest::of_parts([edit.step.as_bytes(), attempt.as_bytes()]).to_string();
    format!("qd{}", &digest[..32]).into()
}
