//! A long output, and files that a run left, from the spool into the database, part by part, before the outcome is recorded.

use std::{sync::Arc, time::Duration};

use super::dispatcher::House;
use crate::{
    executor::{Left, Whole},
    model::{Commitment, RequestNumber, Salt, SignedDuration, fault::Point},
    storage::{Error, KeptFile, Parts},
};

/// Something that is kept in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// What lists its parts.
    pub name: Commitment,
    /// How long it is, in bytes.
    pub length: u64,
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Where.
    pub stored: Stored,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: &'static str,
}

/// What of a run is kept in parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// All of a long output.
    pub whole: Option<Stored>,
    /// The files that it left, in their order.
    pub files: Vec<StoredFile>,
    /// What it left and is not kept, and why, in words for whoever may read the output.
    pub refused: Vec<String>,
}

/// Keeps all of a long output and what a run left, however long the database is away. What cannot be kept is told in the
/// server's log; of an output both ends are kept then.
pub async fn keep(house: &House, number: RequestNumber, whole: Option<&Whole>, left: &Left) -> Kept {
    let mut kept = Kept { refused: left.refused.clone(), ..Kept::default() };
    if let Some(whole) = whole {
        match one(house, number, whole, 0, None).await {
            Ok(stored) => kept.whole = Some(stored),
            Err(error) => {
                tracing::error!(%number, error, "a long output could not be kept whole; its beginning and its end are");
            }
        }
    }
    for (place, file) in (1..).zip(&left.files) {
        let named =
            KeptFile { name: file.name.clone(), media_type: file.media_type.to_owned(), digest: file.digest };
        match one(house, number, &file.whole, place, Some(named)).await {
            Ok(stored) => {
                let (name, media_type) = (file.name.clone(), file.media_type);
                kept.files.push(StoredFile { stored, name, media_type });
            }
            Err(error) => {
                tracing::error!(%number, error, "a file that a run left could not be kept");
                kept.refused.push(format!("{}: it could not be kept", file.name));
            }
        }
    }
    if whole.is_some() || !left.files.is_empty() {
        Point::AfterPartsKept.pass();
    }
    kept
}

/// Keeps one of them: the output, which is number 0, or a file.
async fn one(
    house: &House,
    number: RequestNumber,
    whole: &Whole,
    place: u64,
    file: Option<KeptFile>,
) -> Result<Stored, String> {
    let whole = Arc::new(whole.clone());
    let fresh = house.storage.salt();
    let salt = {
        let whole = Arc::clone(&whole);
        read(move || whole.salt(fresh)).await?
    };
    // Beside those of the output's own parts.
    let salt = if place == 0 { salt } else { salt.of_part(u64::MAX - place) };
    let parts = parts(house, number, &whole, &salt).await?;
    let list = Parts { length: whole.length(), parts, file };
    let name = until_there(|| house.storage.keep_whole(number, &salt, &list)).await;
    Ok(Stored { name: name.map_err(|error| error.to_string())?, length: whole.length() })
}

async fn parts(
    house: &House,
    number: RequestNumber,
    whole: &Arc<Whole>,
    salt: &Salt,
) -> Result<Vec<Commitment>, String> {
    let mut parts = Vec::new();
    for place in 0..whole.parts() {
        let from = Arc::clone(whole);
        let bytes = read(move || from.part(place)).await?;
        let part = until_there(|| house.storage.keep_part(number, salt, place, &bytes)).await;
        parts.push(part.map_err(|error| error.to_string())?);
    }
    Ok(parts)
}

/// Takes away what was kept in parts of runs whose outcome was never recorded by the life that wrote them.
pub async fn sweep(house: &House) -> Result<(), Error> {
    /// How far it is looked back: it is looked at each start.
    const BACK: SignedDuration = SignedDuration::from_hours(24 * 7);
    for number in house.storage.stray_parts(house.storage.now() - BACK).await? {
        house.storage.sweep_parts(number).await?;
    }
    Ok(())
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
