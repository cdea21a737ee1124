//! Entries as they are stored.

use super::*;
use crate::model::EntryId;

#[test]
fn an_entry_is_canonical_json_and_reads_back() {
    let entry = Entry {
        id: EntryId(uuid::Uuid::nil()),
        at: Timestamp::UNIX_EPOCH,
        request: Some(RequestNumber(482)),
        room: None,
        event: Event::CommandUnprocessable { external_id: "$e".into(), reason: "r".into() },
    };
    let bytes = entry.to_canonical_json().unwrap();
    assert_eq!(
        String::from_utf8(bytes.clone()).unwrap(),
        concat!(
            r#"{"at":"1970-01-01T00:00:00Z","external_id":"$e","id":"00000000-0000-0000-0000-000000000000","#,
            r#""reason":"r","request":482,"type":"command.unprocessable"}"#
        )
    );
    assert_eq!(serde_json::from_slice::<Entry>(&bytes).unwrap(), entry);
    assert_eq!(entry.to_canonical_object().unwrap()["type"].as_str(), Some(entry.event.kind()));
}
