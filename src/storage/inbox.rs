//! The inbox: every event is here, durably, before anybody is told that it arrived.

use ruma::{OwnedServerName, OwnedTransactionId};

use super::{Error, Storage};
use crate::model::{Digest, Timestamp};

/// What a homeserver delivered in one request.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// The homeserver, or another door's name.
    pub homeserver: OwnedServerName,
    /// The transaction's id, which is not to be relied on: a homeserver with a new database starts anew.
    pub id: OwnedTransactionId,
    /// The digest of the whole body.
    pub digest: Digest,
    /// Its events, in order.
    pub arrivals: Vec<Arrival>,
    /// What encryption will need: to-device messages, device lists, key counts, as they came.
    pub to_device: Option<Vec<u8>>,
}

/// One event.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Where it comes from: `matrix`, ...
    pub source: String,
    /// Its identity there: the event id; of an event without one, the digest of its bytes.
    pub external_id: String,
    /// What it must be in order with: its room.
    pub lane: String,
    /// When its sender's server says that it was sent.
    pub claimed_at: Option<Timestamp>,
    /// The event as it came, byte for byte.
    pub raw: Vec<u8>,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// How many events were not known before.
    pub new: usize,
    /// How many were.
    pub duplicates: usize,
}

impl Storage {
    /// Stores a transaction in one commit. When this returns, its events are durable; an event that
    /// is known is not stored again, whatever transaction brings it.
    pub async fn store_transaction(&self, transaction: &Transaction) -> Result<Stored, Error> {
        let _ = transaction;
        todo!()
    }
}
