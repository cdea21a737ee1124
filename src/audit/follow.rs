//! A witness that looks at a log by itself, over HTTP: its checkpoint and its tiles (C2SP tlog-tiles), nothing else.

use std::{sync::Arc, time::Duration};

use super::{
    note::{self, Head, said},
    tree::{self, Tiles},
    witness::{Ask, Refusal, Witness},
};
use crate::model::Timestamp;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A longer answer is neither a checkpoint nor a tile.
const LONGEST: usize = 64 << 10;

/// Why a log could not be looked at, or what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("looking at the log at {url}: {what}")]
    Away {
        /// The address that was asked for.
        url: String,
        /// What came.
        what: String,
    },
    /// What it shows is no checkpoint.
    #[error("looking at the log at {url}: {error}")]
    Note {
        /// Its address.
        url: String,
        /// What is wrong.
        error: note::Error,
    },
    /// Its tiles make no proof.
    #[error(
        "the log at {url} shows a checkpoint of {size} entries that its own tiles do not go with: {error}"
    )]
    Tree {
        /// Its address.
        url: String,
        /// The size that it shows.
        size: u64,
        /// What is wrong.
        error: tree::Error,
    },
    /// It shows less than it did.
    #[error(
        "the log at {url} shows {size} entries, and {seen} were seen here: an older one was put in its place"
    )]
    Shrunk {
        /// Its address.
        url: String,
        /// The size that it shows.
        size: u64,
        /// What was seen.
        seen: u64,
    },
    /// It was not cosigned.
    #[error("the log at {url}: {refusal}")]
    Refused {
        /// Its address.
        url: String,
        /// Why.
        refusal: Refusal,
    },
}

/// Looks at one log.
#[derive(Debug, Clone)]
pub struct Follower {
    url: String,
    http: reqwest::Client,
}

impl Follower {
    /// One that looks at the log below this address: `https://ops.example.org/log`.
    pub fn new(url: &str) -> Result<Self, Error> {
        let url = url.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::Away { url: url.clone(), what: error.to_string() })?;
        Ok(Self { url, http })
    }

    /// Looks once. Gives the size and the line of a new cosignature, if the log grew.
    pub async fn look(&self, witness: &Arc<Witness>, now: Timestamp) -> Result<Option<(u64, String)>, Error> {
        let url = || self.url.clone();
        let note = String::from_utf8(self.read("checkpoint").await?)
            .map_err(|_| Error::Away { url: url(), what: "the checkpoint is not UTF-8".to_owned() })?;
        let checkpoint = said(&note).map_err(|error| Error::Note { url: url(), error })?;
        let Head { size, root } = checkpoint.head;
        let refused = |refusal| Error::Refused { url: url(), refusal };
        let seen = witness.seen(&checkpoint.origin).map_err(refused)?;
        if size < seen.size {
            return Err(Error::Shrunk { url: url(), size, seen: seen.size });
        }
        if seen.size == size && seen.root == root {
            return Ok(None);
        }
        let proof = if size == seen.size { Vec::new() } else { self.proof(size, seen.size).await? };
        let ask = Ask { old: seen.size, proof, note };
        let witness = Arc::clone(witness);
        // It waits for the disk.
        let added = tokio::task::spawn_blocking(move || witness.add(&ask, now)).await;
        let line =
            added.map_err(|error| Error::Away { url: url(), what: error.to_string() })?.map_err(refused)?;
        Ok(Some((size, line)))
    }

    /// The proof that its tree goes on from the one of `old` leaves, made of its tiles.
    async fn proof(&self, size: u64, old: u64) -> Result<Vec<tree::TreeHash>, Error> {
        let wrong = |error| Error::Tree { url: self.url.clone(), size, error };
        let mut tiles = Tiles::new(size);
        for tile in tree::needed_for_consistency(size, old).map_err(wrong)? {
            tiles.put(tile, self.read(&tile.path(size)).await?);
        }
        tiles.consistency(old).map_err(wrong)
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let url = format!("{}/{path}", self.url);
        let away = |what: String| Error::Away { url: url.clone(), what };
        let mut answer = self.http.get(&url).send().await.map_err(|error| away(error.to_string()))?;
        if answer.status().as_u16() != 200 {
            return Err(away(format!("it answered {}", answer.status().as_u16())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| away(error.to_string()))? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST {
                return Err(away("the answer is too long".to_owned()));
            }
        }
        Ok(body)
    }
}
