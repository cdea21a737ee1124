//! An entry as the bytes that count.

use ruma::{CanonicalJsonError, CanonicalJsonObject, CanonicalJsonValue, canonical_json::to_canonical_value};

use super::Entry;

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
