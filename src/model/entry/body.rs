//! An entry as it is written: what happened, with what all entries have.

use jiff::Timestamp;
use ruma::{
    CanonicalJsonError, CanonicalJsonObject, CanonicalJsonValue, OwnedRoomId,
    canonical_json::to_canonical_value,
};
use serde::{Deserialize, Serialize};

use super::Event;
use crate::model::{EntryId, RequestNumber};

/// One entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its identifier.
    pub id: EntryId,
    /// When it was written, by the clock of the writer.
    pub at: Timestamp,
    /// The request it belongs to, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestNumber>,
    /// The room it belongs to, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<OwnedRoomId>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Entry {
    /// The entry in canonical JSON: the bytes that are stored and, later, hashed into the tree.
    ///
    /// # Errors
    ///
    /// Only where a number is outside the range of canonical JSON.
    pub fn to_canonical_json(&self) -> Result<Vec<u8>, CanonicalJsonError> {
        let value: CanonicalJsonValue = to_canonical_value(self)?;
        Ok(value.to_string().into_bytes())
    }

    /// The entry's body as an object of canonical JSON.
    ///
    /// # Errors
    ///
    /// As [`Self::to_canonical_json`].
    pub fn to_canonical_object(&self) -> Result<CanonicalJsonObject, CanonicalJsonError> {
        match to_canonical_value(self)? {
            CanonicalJsonValue::Object(object) => Ok(object),
            _ => unreachable!("a struct serialises to an object"),
        }
    }
}
