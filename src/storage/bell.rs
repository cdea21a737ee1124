//! Waiting for work: rung in the process at once, and from other processes by NOTIFY.
//!
//! A ring wakes one worker. Whoever then finds work rings for the next, so that many workers share much
//! work, and one event does not wake them all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{Error, Storage, error::Doing as _};

/// How long nobody waits without looking: what no bell tells of (a lock freed elsewhere while the
/// listener was away) is found by then.
const POLL: Duration = Duration::from_secs(3);
/// The channel on which instances ring one another.
pub(super) const CHANNEL: &str = "quarterdeck_work";
/// The channel on which instances tell one another that a run is to be stopped.
pub(super) const HURRY: &str = "quarterdeck_cancel";

/// Rings when there may be work. A ring that nobody waits for is kept for the next who waits, so what
/// rings between a claim that found nothing and the wait is not missed.
#[derive(Debug, Clone, Default)]
pub struct Bell {
    rope: Arc<Notify>,
    /// Whether a request may be queued. Spares a look at the queue for each event.
    queue: Arc<AtomicBool>,
    /// Wakes whoever looks after times and after wishes to cancel.
    clock: Arc<Notify>,
    /// Wakes whoever makes leaves of entries.
    entries: Arc<Notify>,
}

impl Bell {
    pub(super) fn new() -> Self {
        let bell = Self::default();
        bell.look_at_queue();
        bell
    }

    /// Tells a waiting worker to look again, at the queue as well: a lock or a place was given free.
    pub fn ring(&self) {
        self.look_at_queue();
        self.next();
    }

    /// Waits until there may be work: the bell rang, or a few seconds have passed.
    pub async fn wait(&mut self) {
        if tokio::time::timeout(POLL, self.rope.notified()).await.is_err() {
            self.look_at_queue();
        }
    }

    /// Waits until somebody wants a run stopped, `at_most` for so long.
    pub async fn hurried(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.clock.notified()).await;
    }

    /// Waits until entries are being written in this process, `at_most` for so long; says whether they are. They may not
    /// be committed yet.
    pub async fn entries(&self, at_most: Duration) -> bool {
        tokio::time::timeout(at_most, self.entries.notified()).await.is_ok()
    }

    /// Tells that entries are being written.
    pub(super) fn entries_come(&self) {
        self.entries.notify_one();
    }

    /// Tells one worker to look at the inbox.
    pub(super) fn next(&self) {
        self.rope.notify_one();
    }

    pub(super) fn look_at_queue(&self) {
        self.queue.store(true, Ordering::Release);
    }

    /// Whether the queue is to be looked at; who asks does it.
    pub(super) fn is_queue_due(&self) -> bool {
        self.queue.swap(false, Ordering::AcqRel)
    }
}

impl Storage {
    /// A bell for one worker.
    pub fn bell(&self) -> Bell {
        self.inner.bell.clone()
    }

    /// Listens for other instances' bells until the database goes away. `serve` runs it beside the
    /// workers and starts it again; without it the workers still look every few seconds.
    pub async fn listen(&self) -> Result<(), Error> {
        const DOING: &str = "listening for work";
        let mut listener = sqlx::postgres::PgListener::connect_with(self.pool()).await.doing(DOING)?;
        listener.eager_reconnect(false);
        listener.listen_all([CHANNEL, HURRY]).await.doing(DOING)?;
        loop {
            // None: the connection was lost; something may have been missed.
            let heard = listener.try_recv().await.doing(DOING)?;
            self.inner.bell.clock.notify_one();
            self.inner.bell.ring();
            if heard.is_none() {
                return Ok(());
            }
        }
    }
}
