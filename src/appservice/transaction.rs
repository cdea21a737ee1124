//! `PUT /transactions/{txnId}`: from a transaction to inbox rows, then 200.
//!
//! ruma's type of this request is not used: one malformed device list would make it refuse all the events beside it,
//! and the homeserver would send the same transaction for ever. Here every part is taken raw, and what is wrong with
//! one event is that event's affair alone (MATRIX.md, 4).

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State, rejection::BytesRejection},
};
use bytes::Bytes;
use http::StatusCode;
use ruma::{EventId, OwnedTransactionId, RoomId, UserId};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{Appservice, failure::Failure};
use crate::{
    model::{Digest, claimed_at, fault::Point},
    storage::{Arrival, Transaction},
};

/// The source of what comes from the homeserver.
pub const SOURCE: &str = "matrix";

/// The source, and the lane, of what came from the homeserver and is no event.
pub const MALFORMED: &str = "matrix.malformed";

/// What an event must have for us to know which it is and where it belongs.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    room_id: Cow<'a, str>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    _kind: Cow<'a, str>,
    #[serde(default)]
    origin_server_ts: Option<i64>,
}

/// What a transaction may hold beside events. Kept for encryption.
const BESIDE: [&str; 8] = [
    "to_device",
    "de.sorunome.msc2409.to_device",
    "device_lists",
    "org.matrix.msc3202.device_lists",
    "device_one_time_keys_count",
    "org.matrix.msc3202.device_one_time_keys_count",
    "device_unused_fallback_key_types",
    "org.matrix.msc3202.device_unused_fallback_key_types",
];

/// Stores a transaction, then acknowledges it.
pub(super) async fn handle(
    State(state): State<Arc<Appservice>>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            metrics::counter!("quarterdeck_transactions_too_large_total").increment(1);
            tracing::error!(
                transaction.id = id,
                limit = state.largest,
                "a transaction is too large; raise `request_bytes` in the `[limits]` of quarterdeck.toml"
            );
            Failure::TOO_LARGE
        }
        _ => Failure::UNREADABLE,
    })?;
    let transaction = read(&state, id.into(), &body);
    Point::BeforeInboxCommit.pass();
    let stored = (state.store)(transaction).await.map_err(|error| {
        tracing::warn!(%error, "a transaction was not stored; the homeserver keeps it");
        metrics::counter!("quarterdeck_transactions_not_stored_total").increment(1);
        Failure::DATABASE_AWAY
    })?;
    Point::AfterInboxCommit.pass();
    metrics::counter!("quarterdeck_transactions_total").increment(1);
    metrics::counter!("quarterdeck_events_total").increment(stored.new as u64);
    metrics::counter!("quarterdeck_events_repeated_total").increment(stored.duplicates as u64);
    Ok(Json(json!({})))
}

/// Takes a transaction apart. There is no body of which nothing can be made.
fn read(state: &Appservice, id: OwnedTransactionId, body: &[u8]) -> Transaction {
    let mut parts: BTreeMap<String, &RawValue> = serde_json::from_slice(body).unwrap_or_default();
    let events = parts.remove("events").map(|events| serde_json::from_str::<Vec<&RawValue>>(events.get()));
    let arrivals = match events {
        Some(Ok(events)) => events.into_iter().map(|event| arrival(event.get())).collect(),
        // Other parts alone: there are transactions without events.
        None if !parts.is_empty() || body.trim_ascii() == b"{}" => Vec::new(),
        // Not even a transaction: kept whole, so that it is neither lost nor sent for ever.
        _ => vec![malformed(body)],
    };
    parts.retain(|key, _| BESIDE.contains(&key.as_str()));
    let to_device = if parts.is_empty() { None } else { serde_json::to_vec(&parts).ok() };
    Transaction { homeserver: state.homeserver.clone(), id, digest: Digest::of(body), arrivals, to_device }
}

/// An event as a row of the inbox.
pub fn arrival(raw: &str) -> Arrival {
    // An array would be taken for the fields in their order.
    let head = serde_json::from_str::<Head<'_>>(raw).ok().filter(|head| {
        raw.starts_with('{')
            && EventId::parse(&head.event_id).is_ok()
            && RoomId::parse(&head.room_id).is_ok()
            && UserId::parse(&head.sender).is_ok()
            && ![&head.event_id, &head.room_id].iter().any(|id| id.chars().any(char::is_control))
    });
    let Some(head) = head else { return malformed(raw.as_bytes()) };
    Arrival {
        source: SOURCE.to_owned(),
        external_id: head.event_id.into_owned(),
        lane: head.room_id.into_owned(),
        claimed_at: head.origin_server_ts.and_then(claimed_at),
        raw: raw.as_bytes().to_vec(),
    }
}

fn malformed(raw: &[u8]) -> Arrival {
    let digest = Digest::of(raw);
    metrics::counter!("quarterdeck_events_malformed_total").increment(1);
    tracing::warn!(event.digest = %digest, event.bytes = raw.len(), "what the homeserver sent is no event; it is kept raw");
    Arrival {
        source: MALFORMED.to_owned(),
        external_id: digest.to_string(),
        lane: MALFORMED.to_owned(),
        claimed_at: None,
        raw: raw.to_vec(),
    }
}
