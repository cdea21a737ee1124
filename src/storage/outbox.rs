//! The outbox: what is to be said, in order, once.

use ruma::OwnedEventId;

use super::{Error, OutboxRow, Storage};
use crate::model::Timestamp;

impl Storage {
    /// Leases to this process the messages whose time has come and that nobody else holds: those never
    /// leased, those whose lease ran out or whose holder is dead. Of a lane either all that wait, in
    /// order, or none. A lease lasts a minute.
    pub async fn due(&self, limit: i64) -> Result<Vec<OutboxRow>, Error> {
        let _ = limit;
        todo!()
    }

    /// Notes that a message was sent. A second note changes nothing.
    pub async fn sent(&self, id: i64, event_id: &OwnedEventId) -> Result<(), Error> {
        let _ = (id, event_id);
        todo!()
    }

    /// Keeps the content of a message whose file was uploaded: it now names the file's address, so that
    /// the file is not uploaded again.
    pub async fn uploaded(&self, id: i64, content: &serde_json::Value) -> Result<(), Error> {
        let _ = (id, content);
        todo!()
    }

    /// Gives a message up, for a reason that waiting does not mend; records `answer.parked`.
    pub async fn parked(&self, id: i64, reason: &str) -> Result<(), Error> {
        let _ = (id, reason);
        todo!()
    }

    /// Gives the lease back until `when`, for the message and all that follow it in its lane.
    pub async fn retry_at(&self, id: i64, when: Timestamp) -> Result<(), Error> {
        let _ = (id, when);
        todo!()
    }

    /// The event that a step became, once it was sent: what an edit, a reaction or a redaction points to.
    pub async fn event_of_step(&self, step: &str) -> Result<Option<OwnedEventId>, Error> {
        let _ = step;
        todo!()
    }
}
