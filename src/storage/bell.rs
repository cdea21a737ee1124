//! Waiting for work: rung in the process at once, and from other processes by NOTIFY.

use std::time::Duration;

use tokio::sync::watch;

use super::{Error, Storage, error::Doing as _};

/// How long nobody waits without looking: what no bell tells of (a lock freed elsewhere while the
/// listener was away) is found by then.
const POLL: Duration = Duration::from_secs(3);
/// The channel on which instances ring one another.
pub(super) const CHANNEL: &str = "quarterdeck_work";

/// Rings when there may be work. Take one a worker, with [`Storage::bell`], before the first claim: what
/// rings between a claim that found nothing and the wait ends the wait at once.
#[derive(Debug, Clone)]
pub struct Bell {
    rope: watch::Sender<u64>,
    ear: watch::Receiver<u64>,
}

impl Bell {
    pub(super) fn new() -> Self {
        let (rope, ear) = watch::channel(0);
        Self { rope, ear }
    }

    /// Tells every waiting worker to look again.
    pub fn ring(&self) {
        self.rope.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// Waits until there may be work: the bell rang since the last wait, or a few seconds have passed.
    pub async fn wait(&mut self) {
        let _ = tokio::time::timeout(POLL, self.ear.changed()).await;
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
        let mut listener =
            sqlx::postgres::PgListener::connect_with(self.pool()).await.doing("listening for work")?;
        listener.listen(CHANNEL).await.doing("listening for work")?;
        loop {
            // None: the connection was lost and is there again; something may have been missed.
            listener.try_recv().await.doing("listening for work")?;
            self.inner.bell.ring();
        }
    }
}
