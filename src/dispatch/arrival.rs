//! The short way: a message that is alone in its room is decided as it arrives, in one commit with its receipt.
//!
//! Whoever asks waits for each commit. The pipeline is the same as for what was taken from the inbox, and where the
//! short way does not lead through, nothing was written, and the event goes into the inbox like all others.

use std::{borrow::Cow, sync::Arc};

use ruma::OwnedUserId;
use serde::Deserialize;

use super::{
    dispatcher::{House, caught},
    event::{Incoming, Kind},
    pipeline,
};
use crate::{
    model::fault,
    storage::{Error, Stored, Transaction},
};

/// What tells whose an event is.
#[derive(Deserialize)]
struct Head<'a> {
    sender: OwnedUserId,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// Decides a transaction's one message at once, or stores its events. When this returns, they are durable.
pub async fn arrive(house: &Arc<House>, mut transaction: Transaction) -> Result<Stored, Error> {
    leave_out_own_voice(house, &mut transaction);
    if transaction.arrivals.is_empty() && transaction.to_device.is_none() {
        return Ok(Stored { new: 0, duplicates: 0 });
    }
    let transaction = &transaction;
    if let Some(work) = house.storage.arriving(transaction)
        && !fault::inbox_first()
        && work
            .row()
            .and_then(|row| Incoming::of(row).ok())
            .is_some_and(|it| matches!(it.kind, Kind::Message(_)))
    {
        match caught(Box::pin(pipeline::process(house, work))).await {
            Some(Ok(())) => return Ok(Stored { new: 1, duplicates: 0 }),
            Some(Err(error)) if error.is_away() || matches!(error, Error::NotAlone) => {
                tracing::debug!(%error, "an event goes through the inbox");
            }
            // For a reason of its own: that is counted, and in the end answered, when it comes from the inbox.
            Some(Err(error)) => tracing::warn!(%error, "an event could not be decided as it arrived"),
            None => tracing::warn!("deciding an event as it arrived panicked"),
        }
    }
    house.storage.store_transaction(transaction).await
}

/// Leaves out what we said ourselves, which comes back to us as well. It stands in the outbox, and nothing is done about
/// it: to write it down once more would only be in the way of what comes next.
pub fn leave_out_own_voice(house: &House, transaction: &mut Transaction) {
    transaction.arrivals.retain(|arrival| !is_own_voice(house, &arrival.raw));
}

/// Whether an event is what we said ourselves. Of ourselves only memberships count: somebody may have put us out.
fn is_own_voice(house: &House, raw: &[u8]) -> bool {
    let head: Option<Head<'_>> = serde_json::from_slice(raw).ok();
    head.is_some_and(|head| head.kind != "m.room.member" && house.is_ours(&head.sender))
}
