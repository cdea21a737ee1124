//! A witness that follows a log in its log room, with an ordinary account: it reads the checkpoints that are posted there, and says
//! its cosignatures there (`!cosign`).
//!
//! Whoever is in the room can post what looks like a checkpoint. What counts is the log's signature; what bears it and does not
//! go on from what was seen is told with its sender's name, and never cosigned. What was cosigned is stored first and said then,
//! and said again after a crash, by the same transaction id, unless it was noted as said.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::{Value, json};
use url::Url;

use super::{
    note::{PublicKey, said},
    witness::{Ask, Refusal, Witness},
};
use crate::model::{Digest, Secret, Timestamp};

/// The key of a post's content that has what a program needs of it.
pub const CHECKPOINT: &str = "org.quarterdeck.checkpoint";
/// How long an answer of the homeserver may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many events one answer of it has, and how many answers a look takes.
const EVENTS: usize = 100;
const PAGES: usize = 100;

/// What is wrong with a log's room, or with what is posted there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The homeserver, or the room.
    #[error("{doing} at {homeserver}: {what}")]
    Away {
        /// What was tried.
        doing: &'static str,
        /// The homeserver's address.
        homeserver: String,
        /// What came.
        what: String,
    },
    /// What says that it is a checkpoint and is none that the log signed.
    #[error("{sender} posted what is no checkpoint of the log ({event}): {what}. It was not cosigned")]
    Forged {
        /// Who posted it.
        sender: String,
        /// Its event.
        event: String,
        /// What is wrong.
        what: String,
    },
    /// The log signed it, and it does not go on from what was seen.
    #[error(
        "the log's checkpoint of {size} entries, posted by {sender} ({event}), was not cosigned: {refusal}"
    )]
    Refused {
        /// Who posted it.
        sender: String,
        /// Its event.
        event: String,
        /// Its size.
        size: u64,
        /// Why.
        refusal: Refusal,
    },
    /// The log shows less than it did.
    #[error(
        "{sender} posted a checkpoint of {size} entries ({event}) after one of {seen}: an older log was put in its place, or \
         somebody repeats an old post. It was not cosigned"
    )]
    Shrunk {
        /// Who posted it.
        sender: String,
        /// Its event.
        event: String,
        /// Its size.
        size: u64,
        /// What was seen.
        seen: u64,
    },
    /// What lies between is not in the room.
    #[error(
        "the log's checkpoint of {size} entries ({event}) is proved from {old} entries on, and {seen} were seen here: what was posted \
         between cannot be read. It was not cosigned; let this witness look at the log itself once (--follow URL)"
    )]
    Gap {
        /// Its event.
        event: String,
        /// Its size.
        size: u64,
        /// What it is proved from.
        old: u64,
        /// What was seen.
        seen: u64,
    },
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Looked {
    /// What was said in the room: the size and the line.
    pub said: Vec<(u64, String)>,
    /// What is wrong, each told once.
    pub wrong: Vec<Error>,
    /// What kept it from reading on, or from saying what it has cosigned: the next look goes on from there.
    pub away: Option<Error>,
}

/// A checkpoint that was posted, signed by the log.
#[derive(Debug, Clone)]
struct Post {
    event: String,
    sender: String,
    origin: String,
    size: u64,
    root: [u8; 32],
    ask: Ask,
}

/// Follows logs in a room.
#[derive(Debug)]
pub struct RoomFollower {
    homeserver: Url,
    token: Secret,
    /// The room's id.
    room: String,
    prefix: String,
    logs: Vec<PublicKey>,
    http: reqwest::Client,
    /// What was posted, the first first, as far back as it matters.
    posts: Vec<Post>,
    /// The last event that was read.
    newest: Option<String>,
    /// The events of which something wrong was told.
    told: BTreeSet<String>,
}

impl RoomFollower {
    /// One that is in the room of this alias or id, by an invitation or an open door. `prefix` is what commands begin with there.
    pub async fn enter(
        homeserver: Url,
        token: Secret,
        room: &str,
        prefix: &str,
        logs: Vec<PublicKey>,
    ) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::Away {
                doing: "making a client",
                homeserver: homeserver.to_string(),
                what: error.to_string(),
            })?;
        let mut follower = Self {
            homeserver,
            token,
            room: String::new(),
            prefix: prefix.to_owned(),
            logs,
            http,
            posts: Vec::new(),
            newest: None,
            told: BTreeSet::new(),
        };
        let url = follower.address(&["join", room]);
        let request = follower.http.post(url).json(&json!({}));
        let joined = follower.answer("going into the log room", request).await?;
        follower.room = joined["room_id"].as_str().unwrap_or(room).to_owned();
        Ok(follower)
    }

    /// Looks once: what is new is checked, stored, cosigned, and the last of it said. What was found wrong is told whatever
    /// fails after it.
    pub async fn look(&mut self, witness: &Arc<Witness>, now: Timestamp) -> Looked {
        let mut looked = Looked::default();
        looked.away = self.read(witness, &mut looked).await.err();
        let origins: BTreeSet<_> = self.logs.iter().map(|log| log.origin().to_owned()).collect();
        for origin in origins {
            self.follow(&origin, witness, now, &mut looked).await;
            match self.say(&origin, witness).await {
                Ok(said) => looked.said.extend(said),
                Err(error) => looked.away = Some(error),
            }
        }
        looked
    }

    /// Reads what was posted since the last look; at first, as far back as what was seen of each log.
    async fn read(&mut self, witness: &Witness, looked: &mut Looked) -> Result<(), Error> {
        let (mut fresh, mut from, mut newest) = (Vec::new(), None::<String>, None);
        // What is new is kept only when all of it was read: else it is read again.
        'back: for _ in 0..PAGES {
            let mut url = self.address(&["rooms", &self.room, "messages"]);
            url.query_pairs_mut().append_pair("dir", "b").append_pair("limit", &EVENTS.to_string());
            if let Some(from) = &from {
                url.query_pairs_mut().append_pair("from", from);
            }
            let page = self.answer("reading the log room", self.http.get(url)).await?;
            let events = page["chunk"].as_array().map(Vec::as_slice).unwrap_or_default();
            for event in events {
                let id = event["event_id"].as_str().unwrap_or_default();
                newest.get_or_insert_with(|| id.to_owned());
                if self.newest.as_deref() == Some(id) {
                    break 'back;
                }
                match self.post(event) {
                    Some(Ok(post)) => fresh.push(post),
                    Some(Err(error)) if self.told.insert(id.to_owned()) => looked.wrong.push(error),
                    _ => {}
                }
            }
            from = page["end"].as_str().map(ToOwned::to_owned);
            let reached = |log: &PublicKey| {
                let seen = witness.seen(log.origin()).map_or(0, |head| head.size);
                fresh.iter().any(|post| post.origin == log.origin() && (seen == 0 || post.size <= seen))
            };
            if from.is_none() || self.newest.is_none() && self.logs.iter().all(reached) {
                break;
            }
        }
        self.newest = newest.or(self.newest.take());
        fresh.reverse();
        self.posts.extend(fresh);
        Ok(())
    }

    /// What an event posts of one of the logs; nothing, where it is none of that.
    fn post(&self, event: &Value) -> Option<Result<Post, Error>> {
        let text = event["content"][CHECKPOINT]["add_checkpoint"].as_str()?;
        let (id, sender) = (event["event_id"].as_str()?, event["sender"].as_str()?);
        let forged = |what: String| Error::Forged { sender: sender.to_owned(), event: id.to_owned(), what };
        let read = || {
            let ask = Ask::read(text.as_bytes()).map_err(|refusal| forged(refusal.to_string()))?;
            let checkpoint = said(&ask.note).map_err(|error| forged(error.to_string()))?;
            // A log may have had another key before.
            let known: Vec<_> = self.logs.iter().filter(|log| log.origin() == checkpoint.origin).collect();
            let Some(first) = known.first() else { return Ok(None) };
            let signed: Result<Vec<_>, _> = known.iter().map(|log| log.signature(&ask.note)).collect();
            if signed.map_err(|error| forged(error.to_string()))?.iter().all(Option::is_none) {
                return Err(forged(format!("it is not signed by {first}")));
            }
            let (event, sender) = (id.to_owned(), sender.to_owned());
            let (size, root) = (checkpoint.head.size, checkpoint.head.root);
            Ok(Some(Post { event, sender, origin: checkpoint.origin, size, root, ask }))
        };
        read().transpose()
    }

    /// Has the witness look at what was posted of a log, in order.
    async fn follow(&mut self, origin: &str, witness: &Arc<Witness>, now: Timestamp, looked: &mut Looked) {
        let of_log = |post: &&Post| post.origin == origin;
        let posts: Vec<_> = self.posts.iter().filter(of_log).cloned().collect();
        let (mut wrong, mut is_passed, mut gap) = (Vec::new(), false, None);
        let last = posts.len().saturating_sub(1);
        for (number, post) in posts.iter().enumerate() {
            let seen = match witness.seen(origin) {
                Ok(seen) => seen,
                Err(refusal) => {
                    wrong.push((post.event.clone(), refused(post, refusal)));
                    break;
                }
            };
            let begins = seen.size == 0;
            if begins && number != last {
                // Nothing was seen, so nothing proves the first: the newest is as good as any.
                continue;
            }
            if post.size < seen.size {
                if is_passed {
                    let (sender, event) = (post.sender.clone(), post.event.clone());
                    let error = Error::Shrunk { sender, event, size: post.size, seen: seen.size };
                    wrong.push((post.event.clone(), error));
                }
                continue;
            }
            is_passed = true;
            if post.size == seen.size && post.root == seen.root {
                continue;
            }
            let ask = match () {
                () if begins => Ask { old: 0, proof: Vec::new(), ..post.ask.clone() },
                // Another tree of the same size needs no proof to be one.
                () if post.size == seen.size => Ask { old: seen.size, proof: Vec::new(), ..post.ask.clone() },
                () if post.ask.old == seen.size => post.ask.clone(),
                () => {
                    let (event, old) = (post.event.clone(), post.ask.old);
                    gap = Some((event.clone(), Error::Gap { event, size: post.size, old, seen: seen.size }));
                    continue;
                }
            };
            let asked = Arc::clone(witness);
            // It waits for the disk.
            match tokio::task::spawn_blocking(move || asked.add(&ask, now)).await {
                Ok(Ok(_)) => gap = None,
                // Somebody asked it over HTTP in this moment: the next look goes on from there.
                Ok(Err(Refusal::Elsewhere(_))) => {}
                Ok(Err(refusal)) => wrong.push((post.event.clone(), refused(post, refusal))),
                Err(error) => {
                    let refusal = Refusal::Store(error.to_string());
                    wrong.push((post.event.clone(), refused(post, refusal)));
                }
            }
        }
        for (event, error) in wrong.into_iter().chain(gap) {
            if self.told.insert(event) {
                looked.wrong.push(error);
            }
        }
        // What comes later is held against the last of those that were seen.
        let seen = witness.seen(origin).map_or(0, |head| head.size);
        let keep = self.posts.iter().rposition(|post| post.origin == origin && post.size <= seen);
        let mut place = 0;
        self.posts.retain(|post| {
            place += 1;
            post.origin != origin || keep.is_none_or(|keep| place > keep)
        });
    }

    /// Says the last cosignature of a log, if it is of a checkpoint that was posted here and was not said yet.
    async fn say(&self, origin: &str, witness: &Witness) -> Result<Option<(u64, String)>, Error> {
        let store = |refusal: Refusal| Error::Away {
            doing: "reading what is to be said",
            homeserver: self.homeserver.to_string(),
            what: refusal.to_string(),
        };
        let size = witness.seen(origin).map_err(store)?.size;
        let posted = self.posts.iter().any(|post| post.origin == origin && post.size == size);
        if size == 0 || !posted || witness.told(origin).map_err(store)? == Some(size) {
            return Ok(None);
        }
        let digest = Digest::of(origin.as_bytes()).to_string();
        let Some(note) = witness.shown(&digest).map_err(store)? else { return Ok(None) };
        let found = witness.key().public().find(&note).ok().flatten();
        let Some(line) = found.map(|found| found.line) else { return Ok(None) };
        let body = format!("{}cosign {size} {}", self.prefix, line.trim());
        let step = format!("cosign-{}-{size}", &digest[..16]);
        let url = self.address(&["rooms", &self.room, "send", "m.room.message", &step]);
        let content = json!({ "msgtype": "m.text", "body": body, "m.mentions": {} });
        self.answer("answering in the log room", self.http.put(url).json(&content)).await?;
        witness.note_told(origin, size).map_err(store)?;
        Ok(Some((size, line)))
    }

    /// An address of the client-server API.
    fn address(&self, path: &[&str]) -> Url {
        let mut url = self.homeserver.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(["_matrix", "client", "v3"]).extend(path);
        }
        url
    }

    async fn answer(&self, doing: &'static str, request: reqwest::RequestBuilder) -> Result<Value, Error> {
        let away = |what: String| Error::Away { doing, homeserver: self.homeserver.to_string(), what };
        let answer = request.bearer_auth(self.token.expose()).send().await;
        let answer = answer.map_err(|error| away(error.without_url().to_string()))?;
        let status = answer.status();
        let body: Value = answer.json().await.map_err(|error| away(error.without_url().to_string()))?;
        if status.is_success() {
            return Ok(body);
        }
        let (code, said) = (body["errcode"].as_str(), body["error"].as_str());
        Err(away(format!("{status} {} {}", code.unwrap_or_default(), said.unwrap_or_default())))
    }
}

fn refused(post: &Post, refusal: Refusal) -> Error {
    let (sender, event) = (post.sender.clone(), post.event.clone());
    Error::Refused { sender, event, size: post.size, refusal }
}
