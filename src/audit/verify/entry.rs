//! What an entry says of itself, read from its bytes in one pass: most of the time that checking a log takes would go here.

use std::{borrow::Cow, fmt};

use ruma::CanonicalJsonValue;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use uuid::Uuid;

/// What an entry says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Summary<'a> {
    pub id: Cow<'a, str>,
    pub kind: Cow<'a, str>,
    pub request: Option<i64>,
    pub room: Option<Cow<'a, str>>,
}

impl Summary<'_> {
    /// Its identifier's number, if it is a UUID in the one spelling that an entry has.
    pub(super) fn number(&self) -> Option<u128> {
        let id = Uuid::try_parse(&self.id).ok()?;
        let is_spelled = *id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *self.id;
        is_spelled.then(|| id.as_u128())
    }
}

/// Reads an entry's bytes, which must be canonical JSON.
///
/// # Errors
///
/// In words, where it is not canonical JSON, no object, or without id or type.
pub(super) fn read(body: &str) -> Result<Summary<'_>, String> {
    match at_once(body) {
        Some(found) => Ok(found),
        None => by_rewriting(body),
    }
}

/// By writing it anew: for what has escapes, and for what is wrong.
fn by_rewriting(body: &str) -> Result<Summary<'static>, String> {
    let value: CanonicalJsonValue =
        serde_json::from_str(body).map_err(|error| format!("it is no JSON: {error}"))?;
    let canonical = value.to_string();
    if canonical != body {
        return Err("it is not canonical JSON".to_owned());
    }
    let Some(object) = value.as_object() else { return Err("it is no object".to_owned()) };
    let text =
        |key: &str| object.get(key).and_then(|value| value.as_str()).map(|text| text.to_owned().into());
    let (Some(id), Some(kind)) = (text("id"), text("type")) else {
        return Err("it has no id and no type".to_owned());
    };
    let request = match object.get("request") {
        Some(CanonicalJsonValue::Integer(number)) => Some(i64::from(*number)),
        _ => None,
    };
    Ok(Summary { id, kind, request, room: text("room") })
}

/// By measuring it: what has no escapes, no floats and its keys in order is canonical if it is as short as can be, for
/// each other way to write it is longer. `None` where that cannot be said.
fn at_once(body: &str) -> Option<Summary<'_>> {
    let mut summary = Summary::default();
    let mut reader = serde_json::Deserializer::from_str(body);
    let length = Object { top: Some(&mut summary) }.deserialize(&mut reader).ok()?;
    let is_whole = length == body.len() && !summary.id.is_empty() && !summary.kind.is_empty();
    is_whole.then_some(summary)
}

/// How many bytes a value takes in canonical JSON.
struct Length<'de>(usize, Scalar<'de>);

enum Scalar<'de> {
    Text(&'de str),
    Number(i64),
    Other,
}

/// The largest number of canonical JSON, and with a minus the least.
const MOST: u64 = (1 << 53) - 1;

struct Value;

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Length<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

const fn digits(number: u64) -> usize {
    match number.checked_ilog10() {
        Some(more) => more as usize + 1,
        None => 1,
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Length<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value without escapes and floats")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Length(text.len() + 2, Scalar::Text(text)))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        if number > MOST {
            return Err(E::custom("a number out of range"));
        }
        Ok(Length(digits(number), Scalar::Number(number.cast_signed())))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
        if number >= 0 || number.unsigned_abs() > MOST {
            return Err(E::custom("a number out of range"));
        }
        Ok(Length(digits(number.unsigned_abs()) + 1, Scalar::Number(number)))
    }

    fn visit_bool<E>(self, is: bool) -> Result<Self::Value, E> {
        Ok(Length(if is { 4 } else { 5 }, Scalar::Other))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Length(4, Scalar::Other))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let (mut length, mut count) = (2, 0_usize);
        while let Some(item) = items.next_element_seed(Value)? {
            length += item.0;
            count += 1;
        }
        Ok(Length(length + count.saturating_sub(1), Scalar::Other))
    }

    fn visit_map<A: MapAccess<'de>>(self, pairs: A) -> Result<Self::Value, A::Error> {
        Ok(Length(Object { top: None }.visit_map(pairs)?, Scalar::Other))
    }
}

/// An object, and the entry itself if it is that.
struct Object<'a, 'de> {
    top: Option<&'a mut Summary<'de>>,
}

impl<'de> DeserializeSeed<'de> for Object<'_, 'de> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut pairs: A) -> Result<usize, A::Error> {
        let (mut length, mut count, mut last) = (2, 0_usize, None::<&'de str>);
        while let Some(key) = pairs.next_key::<&'de str>()? {
            if last.is_some_and(|last| last >= key) {
                return Err(A::Error::custom("its keys are out of order"));
            }
            last = Some(key);
            let value = pairs.next_value_seed(Value)?;
            length += key.len() + 3 + value.0;
            count += 1;
            let Some(top) = &mut self.top else { continue };
            match (key, value.1) {
                ("id", Scalar::Text(text)) => top.id = text.into(),
                ("type", Scalar::Text(text)) => top.kind = text.into(),
                ("room", Scalar::Text(text)) => top.room = Some(text.into()),
                ("request", Scalar::Number(number)) => top.request = Some(number),
                _ => {}
            }
        }
        Ok(length + count.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-20_i64..20).prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::hash_map("(id|type|room|request|[a-zä\"]{0,3})", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_read_at_once_is_what_writing_it_anew_finds(value in value()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                if let Some(found) = at_once(&text) {
                    prop_assert_eq!(Ok(found), by_rewriting(&text));
                }
            }
        }

        #[test]
        fn an_entry_in_which_a_byte_was_changed_is_read_as_writing_it_anew_reads_it(
            at in any::<prop::sample::Index>(),
            new in any::<u8>(),
            is_inserted in any::<bool>(),
        ) {
            let mut bytes = ENTRY.as_bytes().to_vec();
            let at = at.index(bytes.len());
            if is_inserted { bytes.insert(at, new) } else { bytes[at] = new }
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert_eq!(read(&text), by_rewriting(&text));
            }
        }
    }

    const ENTRY: &str = r#"{"at":"2026-11-23T12:00:00Z","by":"@alice:example.org","id":"7","no":[],"of":[1,-2,0],"request":482,"room":"!a:b","so":{"a":{},"b":null,"c":true},"type":"audit.read"}"#;

    #[test]
    fn an_entry_is_read_at_once() {
        let found = at_once(ENTRY).unwrap();
        assert_eq!(found, by_rewriting(ENTRY).unwrap());
        assert_eq!((found.id.as_ref(), found.request), ("7", Some(482)));
    }

    #[test]
    fn what_is_not_canonical_is_not_read() {
        for wrong in [
            r#"{"id":"1", "type":"a"}"#,
            r#"{"type":"a","id":"1"}"#,
            r#"{"id":"1","id":"1","type":"a"}"#,
            r#"{"id":"1","n":1.0,"type":"a"}"#,
            r#"{"id":"1","n":-0,"type":"a"}"#,
            r#"{"id":"1","n":9007199254740992,"type":"a"}"#,
            r#"{"id":"1","t":"\u001F","type":"a"}"#,
            r#"{"id":"1","t":"\u0041","type":"a"}"#,
            r#"{"id":"1","type":"a"} "#,
            r#"{"id":"1","type":"a"}x"#,
            r#"{"id":1,"type":"a"}"#,
            "[]",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read(r#"{"id":"1","t":"a\nb\u001f","type":"a"}"#).is_ok());
    }
}
