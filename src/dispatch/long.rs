//! A long output, from the spool into the database, part by part, before its outcome is recorded.

use std::{sync::Arc, time::Duration};

use super::dispatcher::House;
use crate::{
    executor::Whole,
    model::{Commitment, RequestNumber, Salt, fault::Point},
    storage::{Error, Parts},
};

/// A long output that is kept in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// What lists its parts.
    pub name: Commitment,
    /// How long it is, in bytes.
    pub length: u64,
}

/// Keeps all of a long output, however long the database is away. `None` where it cannot be kept: both ends of it are, and
/// the reason is told in the server's log.
pub async fn keep(house: &House, number: RequestNumber, whole: Option<&Whole>) -> Option<Stored> {
    let whole = Arc::new(whole?.clone());
    let kept = match parts(house, number, &whole).await {
        Ok((salt, parts)) => until_there(|| house.storage.keep_whole(number, &salt, &parts))
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    Point::AfterPartsKept.pass();
    match kept {
        Ok(name) => Some(Stored { name, length: whole.length() }),
        Err(error) => {
            tracing::error!(%number, error, "a long output could not be kept whole; its beginning and its end are");
            None
        }
    }
}

async fn parts(house: &House, number: RequestNumber, whole: &Arc<Whole>) -> Result<(Salt, Parts), String> {
    let fresh = house.storage.salt();
    let salt = {
        let whole = Arc::clone(whole);
        read(move || whole.salt(fresh)).await?
    };
    let mut parts = Parts { length: whole.length(), parts: Vec::new() };
    for place in 0..whole.parts() {
        let from = Arc::clone(whole);
        let bytes = read(move || from.part(place)).await?;
        let part = until_there(|| house.storage.keep_part(number, &salt, place, &bytes)).await;
        parts.parts.push(part.map_err(|error| error.to_string())?);
    }
    Ok((salt, parts))
}

/// Reads from the disk where that holds up nobody.
async fn read<T: Send + 'static>(
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let read = tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?;
    read.map_err(|error| format!("the spool cannot be read: {error}"))
}

async fn until_there<T, F: Future<Output = Result<T, Error>>>(write: impl Fn() -> F) -> Result<T, Error> {
    let mut pause = Duration::from_millis(100);
    loop {
        match write().await {
            Err(error) if error.is_away() => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            result => return result,
        }
    }
}
