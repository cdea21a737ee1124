//! The pages: the record, as people read it in a browser.
//!
//! Who looks is known by a session, which began with a link that was sent to them alone ([`login`]). What they see is decided
//! anew at each request, by what `cli` hands in as [`Decides`]: nothing here asks the rules, and nothing is read but within the
//! [`Sight`] that it gives. It refuses to change anything but sessions: whatever runs something is said in a room. Each page
//! works without its script, and nothing of it comes from elsewhere.

mod assets;
mod charts;
mod checking;
mod home;
mod html;
mod login;
mod output;
mod rules;
mod sessions;
mod story;
mod trail;
mod visitor;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware::map_response};
use futures_util::future::BoxFuture;
use ruma::{RoomId, UserId};
use tokio::sync::Semaphore;
use url::Url;

use crate::{
    catalogue::Ops,
    model::RequestNumber,
    storage::{Error, RoomIds, Storage},
};

/// How many requests for pages have the database at once.
const AT_ONCE: usize = 8;
/// How long the body of a request may be, in bytes: a form of ours has a few hundred.
const BODY: usize = 16 << 10;

/// Decides what somebody sees. Each method decides anew.
pub trait Decides: Send + Sync + 'static {
    /// What somebody may read now.
    fn sight<'a>(&'a self, who: &'a UserId) -> BoxFuture<'a, Result<Box<dyn Sight>, Error>>;

    /// Records that somebody reads the record; `room` is the one that it is about, if it is one.
    fn reads<'a>(
        &'a self,
        who: &'a UserId,
        room: Option<&'a RoomId>,
        query: &'a str,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// What a run of this server has printed so far, if it is one that is shown as it goes.
    fn printed_so_far(&self, number: RequestNumber) -> Option<String>;
}

/// What somebody may read at one moment.
pub trait Sight: Send + Sync {
    /// The rooms whose record they may read, by key.
    fn rooms(&self) -> &RoomIds;

    /// The folder as far as they may know of it.
    fn ops(&self) -> &Ops;

    /// Whether they may read what a request of one of these rooms printed.
    fn may_read_output(
        &self,
        room: &RoomId,
        command: &str,
        requester: &UserId,
        subject: Option<&str>,
    ) -> bool;

    /// The rules in force that they may see, how many others are about what can be done there, and the version.
    fn rules(&self) -> (Vec<WrittenRule>, usize, String);
}

/// A rule, in words and as it is written.
pub struct WrittenRule {
    /// Its name: `@id`.
    pub id: String,
    /// Its words.
    pub says: String,
    /// Where it is written.
    pub place: String,
    /// As it is written.
    pub code: String,
}

/// What the pages need.
#[derive(Clone)]
pub struct Pages {
    storage: Storage,
    decides: Arc<dyn Decides>,
    /// What a command begins with: for the words that tell what to type.
    prefix: Arc<str>,
    /// The address at which they are, without a slash at its end.
    base: Arc<str>,
    /// The public key of the log.
    log_key: Arc<str>,
    /// Whether they are reached by https, so that a cookie is for that alone.
    secure: bool,
    /// Whoever asks needs no right to do so: however many do, the database hears few at once.
    asking: Arc<Semaphore>,
}

impl Pages {
    /// The pages at `url`. `log_key`: the public key of the log.
    pub fn new(storage: Storage, decides: Arc<dyn Decides>, url: &Url, prefix: &str, log_key: &str) -> Self {
        Self {
            storage,
            decides,
            prefix: prefix.into(),
            base: url.as_str().trim_end_matches('/').into(),
            log_key: log_key.into(),
            secure: url.scheme() == "https",
            asking: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .merge(home::routes())
            .merge(login::routes())
            .merge(sessions::routes())
            .merge(trail::routes())
            .merge(story::routes())
            .merge(output::routes())
            .merge(rules::routes())
            .merge(charts::routes())
            .merge(checking::routes())
            .merge(assets::routes())
            .layer(DefaultBodyLimit::max(BODY))
            .layer(map_response(html::guarded))
            .with_state(self)
    }
}
