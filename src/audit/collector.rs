//! Asks the declared witnesses for their cosignatures, and keeps them. Nobody waits for it.
//!
//! At a start each witness is asked where it is. One that has seen more than the database has shows that the database is an
//! old one, put back: nothing is signed then, because it would be a second history. A witness that does not answer says nothing.
//!
//! A witness may be wrong, or lie. What it says against the log is held against the checkpoint that it shows
//! (C2SP tlog-witness, "Monitor Retrieval Mechanism"). One that our own key has signed, and that this database does not go on
//! from, is proof. One that it does go on from refutes what was said, and work goes on. Where it shows none, nothing is known,
//! and nothing is signed: an honest witness whose face for readers is away looks the same. Taking it out of the settings is
//! the way on then, and the error says so.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    cosign::Cosigner,
    note::{self, Head, LogKey, PublicKey},
    sequencer,
    tree::{self, EMPTY_ROOT},
    witness::Ask,
};
use crate::{
    model::Digest,
    storage::{self, Storage},
};

/// How often a witness is shown what was signed since: never for each entry.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long a witness may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A longer answer is no cosignature.
const LONGEST: usize = 64 << 10;

/// Why a witness has not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// No client for HTTP can be made.
    #[error("making a client for the witnesses: {0}")]
    Client(reqwest::Error),
    /// The log's key.
    #[error(transparent)]
    Key(note::Error),
    /// The tree.
    #[error("proving to a witness that the log goes on: {0}. Run `quarterdeck audit verify`")]
    Tree(#[from] tree::Error),
    /// A checkpoint or a cosignature.
    #[error("the witness {name}: {error}")]
    Note {
        /// The witness.
        name: String,
        /// What is wrong.
        error: note::Error,
    },
    /// It cannot be reached, or has no answer that can be used.
    #[error("asking the witness {name} at {url}: {what}")]
    Away {
        /// The witness.
        name: String,
        /// Its address.
        url: String,
        /// What came.
        what: String,
    },
    /// It has seen more than there is, and shows it.
    #[error(
        "the witness {name} has seen {seen} entries of this log, and the database has {size}: it shows a checkpoint that this \
         log's key has signed. So the database is an older one that was put back. Nothing is done, because what is \
         signed now would be a second history. Put back a newer backup. If there is none: `quarterdeck recover --restored \
         --reason TEXT` begins a new log that names the gap (docs/backup.md)"
    )]
    Behind {
        /// The witness.
        name: String,
        /// How many it has seen.
        seen: u64,
        /// How many were signed here.
        size: u64,
    },
    /// It has seen another history, and shows it.
    #[error(
        "the witness {name} shows a checkpoint of {seen} entries that this log's key has signed, and that the database does not \
         go on from: the log has two histories. Nothing is done. Run `quarterdeck audit verify`, find out who else has the \
         key, and put back the newest backup if this database is an older one"
    )]
    Fork {
        /// The witness.
        name: String,
        /// The size of what it shows.
        seen: u64,
    },
    /// It says that something is wrong, and shows nothing.
    #[error(
        "the witness {name} at {url} says that {said}, and shows no checkpoint of this log that says so ({shown}). It may be right: \
         then the database is an older one that was put back, and a newer backup is needed. Or it is wrong. Nothing is done \
         meanwhile, because what is signed on an old database would be a second history. If you know that this database is the \
         newest, take the witness out of `[audit]` in quarterdeck.toml and start again. If it is a backup and there is no newer one: \
         `quarterdeck recover --restored --reason TEXT` (docs/backup.md)"
    )]
    Unproved {
        /// The witness.
        name: String,
        /// Its address.
        url: String,
        /// What it says.
        said: String,
        /// What it showed instead.
        shown: String,
    },
    /// What it says is refuted by what it shows.
    #[error(
        "the witness {name} at {url} says that {said}, and the last checkpoint that it shows is one of {seen} entries that \
         this log does go on from. So it is wrong, and is passed over. Ask whoever runs it"
    )]
    Wrong {
        /// The witness.
        name: String,
        /// Its address.
        url: String,
        /// What it says.
        said: String,
        /// The size of what it shows.
        seen: u64,
    },
}

impl Error {
    /// Whether the log may not be gone on with.
    pub const fn contradicts(&self) -> bool {
        matches!(self, Self::Behind { .. } | Self::Fork { .. } | Self::Unproved { .. })
    }
}

/// A witness that the settings name.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The address before `/add-checkpoint`.
    pub url: String,
    /// Its key.
    pub key: Cosigner,
}

/// Asks the witnesses.
#[derive(Debug, Clone)]
pub struct Collector {
    storage: Storage,
    witnesses: Vec<Declared>,
    http: reqwest::Client,
    log: PublicKey,
    /// The checkpoint of the empty log: what a database that has signed nothing asks with.
    empty: String,
}

/// What a witness answered.
enum Answer {
    Cosigned(String),
    At(u64),
    Refused,
}

impl Collector {
    /// One that asks these, for the log with this key.
    pub fn new(storage: Storage, key: &LogKey, witnesses: Vec<Declared>) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(Error::Client)?;
        let empty = key.sign(Head { size: 0, root: EMPTY_ROOT }).map_err(Error::Key)?;
        Ok(Self { storage, witnesses, http, log: key.public().clone(), empty })
    }

    /// Compares the database with what the witnesses have seen, before anything is signed.
    ///
    /// # Errors
    ///
    /// Where one has seen more, or something else, or says so and does not show that it is wrong.
    pub async fn start(&self) -> Result<(), Error> {
        let asked = self.witnesses.iter().map(|witness| self.ask(witness));
        for result in futures_util::future::join_all(asked).await {
            match result {
                Ok(()) => {}
                Err(error @ Error::Storage(_)) => return Err(error),
                Err(error) if error.contradicts() => return Err(error),
                Err(error) => tracing::warn!(%error, "going on without this witness"),
            }
        }
        Ok(())
    }

    /// Shows the witnesses what was signed, now and then, until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        if self.witnesses.is_empty() {
            return;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            for result in futures_util::future::join_all(self.witnesses.iter().map(|it| self.ask(it))).await {
                match result {
                    Ok(()) => {}
                    Err(error) if error.contradicts() => {
                        metrics::counter!("quarterdeck_witness_contradicts_total").increment(1);
                        tracing::error!(%error, "a witness contradicts the log");
                    }
                    Err(error) => tracing::warn!(%error, "a witness has not cosigned"),
                }
            }
        }
    }

    /// Has a witness cosign the last checkpoint, unless it has.
    async fn ask(&self, witness: &Declared) -> Result<(), Error> {
        let name = || witness.key.name().to_owned();
        let public = witness.key.to_string();
        let known = self.storage.last_cosignature(&public).await?.map_or(0, |last| last.size);
        let mut old = known;
        // At most: where it is was not known, and it moved on meanwhile because another instance asked it as well.
        for _ in 0..3 {
            let last = self.storage.last_checkpoint().await?;
            let (size, note) = last.map_or_else(|| (0, self.empty.clone()), |last| (last.size, last.note));
            if old > size {
                let said = format!("it has seen {old} entries of this log, of which the database has {size}");
                return Err(self.weigh(witness, size, said).await?);
            }
            let needed = tree::needed_for_consistency(size, old)?;
            let tiles = sequencer::tiles(&self.storage, size, needed).await?;
            let proof = if old == size { Vec::new() } else { tiles.consistency(old)? };
            match self.send(witness, &Ask { old, proof, note: note.clone() }).await? {
                Answer::Cosigned(lines) => {
                    let error = |error| Error::Note { name: name(), error };
                    let found = witness.key.find(&format!("{note}{lines}")).map_err(error)?;
                    let found = found.ok_or_else(|| Error::Away {
                        name: name(),
                        url: witness.url.clone(),
                        what: "its answer bears no cosignature by the key that is declared for it".to_owned(),
                    })?;
                    if size > 0 {
                        self.storage.keep_cosignature(size, &public, &found.line, found.at).await?;
                    }
                    return Ok(());
                }
                Answer::At(at) if at == old => {
                    let said = format!("it has seen another tree of {at} entries of this log");
                    return Err(self.weigh(witness, size, said).await?);
                }
                Answer::At(at) => old = at,
                Answer::Refused => {
                    let said = "this log does not go on from what it has seen of it".to_owned();
                    return Err(self.weigh(witness, size, said).await?);
                }
            }
        }
        Ok(())
    }

    /// The last checkpoint of this log that each witness shows, or why it shows none.
    pub async fn shown(&self) -> Vec<(String, Result<Head, String>)> {
        let shown = self
            .witnesses
            .iter()
            .map(async |witness| (witness.key.name().to_owned(), self.shown_by(witness).await));
        futures_util::future::join_all(shown).await
    }

    async fn shown_by(&self, witness: &Declared) -> Result<Head, String> {
        let path = format!("{}/checkpoint", Digest::of(self.log.origin().as_bytes()));
        match self.answer(witness, self.http.get(at(witness, &path))).await {
            Ok((200, note)) => Ok(self.log.open(&note).map_err(|error| error.to_string())?.head),
            Ok((status, _)) => Err(format!("it answered {status}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What to make of a witness that says something against the log of `size` entries.
    async fn weigh(&self, witness: &Declared, size: u64, said: String) -> Result<Error, Error> {
        let (name, url) = (witness.key.name().to_owned(), witness.url.clone());
        let seen = match self.shown_by(witness).await {
            Ok(seen) => seen,
            Err(shown) => return Ok(Error::Unproved { name, url, said, shown }),
        };
        if seen.size > size {
            return Ok(Error::Behind { name, seen: seen.size, size });
        }
        let tiles = sequencer::tiles(&self.storage, seen.size, tree::edge(seen.size)).await?;
        let ours = if seen.size == 0 { EMPTY_ROOT } else { tiles.root()? };
        Ok(if ours == seen.root {
            Error::Wrong { name, url, said, seen: seen.size }
        } else {
            Error::Fork { name, seen: seen.size }
        })
    }

    /// Status and text of a witness's answer.
    async fn answer(
        &self,
        witness: &Declared,
        request: reqwest::RequestBuilder,
    ) -> Result<(u16, String), Error> {
        let away = |what: String| away(witness, what);
        let mut answer = request.send().await.map_err(|error| away(in_words(&error)))?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| away(in_words(&error)))? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST {
                return Err(away("its answer is too long".to_owned()));
            }
        }
        let text = String::from_utf8(body).map_err(|_| away("its answer is not UTF-8".to_owned()))?;
        Ok((status, text))
    }

    async fn send(&self, witness: &Declared, ask: &Ask) -> Result<Answer, Error> {
        let away = |what: String| away(witness, what);
        let request = self.http.post(at(witness, "add-checkpoint")).body(ask.to_body());
        let (status, text) = self.answer(witness, request).await?;
        match status {
            200 => Ok(Answer::Cosigned(text)),
            409 => text
                .strip_suffix('\n')
                .and_then(|size| size.parse().ok())
                .map(Answer::At)
                .ok_or_else(|| away("it answered 409 without a size".to_owned())),
            422 => Ok(Answer::Refused),
            _ => Err(away(format!("it answered {status}: {}", text.lines().next().unwrap_or_default()))),
        }
    }
}

/// An address below a witness's own.
fn at(witness: &Declared, path: &str) -> String {
    format!("{}/{path}", witness.url.trim_end_matches('/'))
}

fn away(witness: &Declared, what: String) -> Error {
    Error::Away { name: witness.key.name().to_owned(), url: witness.url.clone(), what }
}

/// An error with its causes: its own words say only that the sending failed.
fn in_words(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
