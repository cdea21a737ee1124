//! The file of a message, uploaded before the message is sent: at once, or part by part where it is long.

use std::time::Duration;

use futures_util::stream;
use ruma::OwnedMxcUri;
use serde_json::Value;

use super::Shared;
use crate::{
    matrix::{
        Error,
        render::{KEPT_AS, TOO_LARGE},
    },
    model::Commitment,
    storage::{File, OutboxRow},
};

/// Uploads the file of a row and puts its address into the content; or puts in its place what is said where the homeserver
/// does not take so much.
pub(super) async fn file(shared: &Shared, row: &mut OutboxRow) -> Result<(), Error> {
    let Some(file) = row.draft.file.clone() else { return Ok(()) };
    let kept = row.draft.content[KEPT_AS].as_str().and_then(|name| name.parse().ok()).map(Commitment);
    let uploaded = if let Some(name) = kept {
        parts(shared, &file, name).await
    } else {
        let bytes = bytes_of(shared, row.id).await;
        shared.homeserver.upload(&file.name, &file.media_type, bytes).await
    };
    match uploaded {
        Ok(address) => {
            if let Some(content) = row.draft.content.as_object_mut() {
                content.remove(KEPT_AS);
                content.remove(TOO_LARGE);
                content.insert("url".to_owned(), Value::from(address.as_str()));
            }
            Ok(())
        }
        Err(error) if error.is("M_TOO_LARGE") && row.draft.content[TOO_LARGE].is_object() => {
            row.draft.content = row.draft.content[TOO_LARGE].take();
            row.draft.file = None;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Uploads what is kept in parts, of which never more than a few are in memory.
async fn parts(shared: &Shared, file: &File, name: Commitment) -> Result<OwnedMxcUri, Error> {
    let doing = format!("uploading {}", file.name);
    let list = loop {
        match shared.storage.whole(name).await {
            Ok(Some(list)) => break list,
            Ok(None) => {
                return Err(Error::Unwritable { doing, reason: "what it holds was erased".to_owned() });
            }
            Err(error) if error.is_away() => tokio::time::sleep(Duration::from_millis(200)).await,
            Err(error) => return Err(Error::Unwritable { doing, reason: error.to_string() }),
        }
    };
    let limit = shared.homeserver.upload_limit().await?;
    if list.length > limit {
        let words = format!("{} bytes are more than the {limit} that it takes", list.length);
        return Err(Error::Permanent { doing, status: 413, errcode: "M_TOO_LARGE".to_owned(), words });
    }
    let pieces =
        stream::try_unfold((shared.storage.clone(), list.parts.into_iter()), async |(storage, mut parts)| {
            let Some(name) = parts.next() else { return Ok(None) };
            let part = storage.part(name).await?;
            Ok(Some((part.unwrap_or_default(), (storage, parts))))
        });
    shared.homeserver.upload_pieces((&file.name, &file.media_type), list.length, pieces).await
}

/// The bytes of a row's file, waiting for the database where it is away.
async fn bytes_of(shared: &Shared, id: i64) -> Vec<u8> {
    loop {
        match shared.storage.file_bytes(id).await {
            Ok(bytes) => return bytes.unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%error, "a file waits");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}
