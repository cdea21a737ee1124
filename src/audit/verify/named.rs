//! The contents that an entry names, and whether what a bundle brings along is one of them.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::model::{Commitment, Digest, Salt};

/// The fields by which entries name contents.
const FIELDS: [&str; 6] = ["text", "invocation", "inputs", "reason", "kept", "whole"];

/// What an entry names and was not brought along yet.
#[derive(Debug)]
pub(super) struct Named {
    left: BTreeSet<String>,
    /// The lists among them: of the parts of a long output, and of each file, which name these.
    lists: BTreeSet<String>,
}

impl Named {
    /// What this entry names; its bytes were found to be those that were signed.
    pub fn by(body: &str) -> Self {
        let read: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        // A field of the same name may hold words.
        let name = |value: &serde_json::Value| Some(value.as_str()?.parse::<Digest>().ok()?.to_string());
        let field = |field: &str| read.get(field).and_then(name);
        let files = read.get("files").and_then(serde_json::Value::as_array);
        let mut lists: BTreeSet<String> = files.into_iter().flatten().filter_map(name).collect();
        lists.extend(field("whole"));
        Self { left: FIELDS.iter().filter_map(|it| field(it)).chain(lists.iter().cloned()).collect(), lists }
    }

    /// Takes what stands after the first word of its line: salt and bytes, in Base 64.
    ///
    /// # Errors
    ///
    /// In words, where it is nothing that the entry names, or was there before.
    pub fn take(&mut self, line: &str) -> Result<(), String> {
        let (salt, bytes) = line.split_once(' ').ok_or("it is no salt and bytes")?;
        let decoded = |text: &str| BASE64_STANDARD.decode(text).map_err(|error| error.to_string());
        let salt = decoded(salt)?.try_into().map_err(|_| "its salt has not 32 bytes")?;
        let bytes = decoded(bytes)?;
        let name = Commitment::new(&Salt(salt), &bytes).0.to_string();
        if !self.left.remove(&name) {
            return Err(format!("the entry before it does not name it ({name})"));
        }
        if self.lists.contains(&name) {
            let list: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let parts = list.get("parts").and_then(serde_json::Value::as_array);
            self.left.extend(parts.into_iter().flatten().filter_map(|it| it.as_str()).map(str::to_owned));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(salt: [u8; 32], bytes: &[u8]) -> String {
        format!("{} {}", BASE64_STANDARD.encode(salt), BASE64_STANDARD.encode(bytes))
    }

    fn name(salt: [u8; 32], bytes: &[u8]) -> String {
        Commitment::new(&Salt(salt), bytes).0.to_string()
    }

    #[test]
    fn a_content_is_taken_once_and_only_where_the_entry_names_it() {
        let body = format!(r#"{{"text":"{}","why":"{}"}}"#, name([1; 32], b"!status"), name([2; 32], b"x"));
        let mut named = Named::by(&body);
        named.take(&line([2; 32], b"x")).unwrap_err();
        named.take(&line([3; 32], b"!status")).unwrap_err();
        named.take(&line([1; 32], b"!status!")).unwrap_err();
        named.take(&line([1; 32], b"!status")).unwrap();
        named.take(&line([1; 32], b"!status")).unwrap_err();
        for wrong in ["", "AAAA AAAA", "!", " "] {
            named.take(wrong).unwrap_err();
        }
    }

    #[test]
    fn the_parts_of_a_long_output_are_named_by_their_list() {
        let list =
            format!(r#"{{"length":4,"parts":["{}","{}"]}}"#, name([1; 32], b"ab"), name([2; 32], b"cd"));
        let body = format!(r#"{{"whole":"{}"}}"#, name([7; 32], list.as_bytes()));
        let mut named = Named::by(&body);
        named.take(&line([1; 32], b"ab")).unwrap_err();
        named.take(&line([7; 32], list.as_bytes())).unwrap();
        named.take(&line([2; 32], b"cd")).unwrap();
        named.take(&line([1; 32], b"ab")).unwrap();
        // Those of a file as well.
        let body = format!(r#"{{"files":["{}"]}}"#, name([7; 32], list.as_bytes()));
        let mut named = Named::by(&body);
        named.take(&line([7; 32], list.as_bytes())).unwrap();
        named.take(&line([2; 32], b"cd")).unwrap();
        // What only looks like such a list names nothing.
        let body = format!(r#"{{"kept":"{}"}}"#, name([7; 32], list.as_bytes()));
        let mut named = Named::by(&body);
        named.take(&line([7; 32], list.as_bytes())).unwrap();
        named.take(&line([1; 32], b"ab")).unwrap_err();
    }
}
