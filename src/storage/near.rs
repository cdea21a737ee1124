//! One connection that is always the same: for what a person waits for.
//!
//! A pool hands its connections round, and tries each of them when it comes back. Whoever asks one command after the
//! other would have another of the database's processes each time, cold, with a trial behind every statement. This
//! one stays warm. While it is busy, the pool serves as before.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sqlx::{Connection as _, PgConnection, Postgres, pool::PoolConnection};
use tokio::time::Instant;

use super::{
    Error, Storage,
    connect::{ACQUIRE, STALE},
    error::Doing as _,
};

/// Where the connection lies while nobody uses it.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// There is none: the next one to come takes one out of the pool for good.
    #[default]
    None,
    /// Somebody has it.
    Out,
    /// Here it is, since then.
    Here(Box<PgConnection>, Instant),
}

/// A connection for one statement, or several.
pub(super) struct Near<'a> {
    slot: &'a Slot,
    held: Option<Held>,
}

enum Held {
    Ours(Box<PgConnection>),
    Pooled(PoolConnection<Postgres>),
}

impl Storage {
    /// The connection that is always the same, or another where that is busy. To be given back with [`Near::keep`]
    /// when its statement has succeeded; otherwise it is closed, whatever state it is in (another one goes back to the
    /// pool, which tries it).
    pub(super) async fn near(&self, doing: &'static str) -> Result<Near<'_>, Error> {
        let slot = &self.inner.near;
        if let Some(near) = slot.take().await {
            return Ok(near);
        }
        let connection = self.pool().acquire().await.doing(doing)?;
        let held = if slot.is_wanted() {
            Held::Ours(Box::new(connection.detach()))
        } else {
            Held::Pooled(connection)
        };
        Ok(Near { slot, held: Some(held) })
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, if it is here and alive.
    async fn take(&self) -> Option<Near<'_>> {
        let (connection, since) = {
            let mut state = self.state();
            match std::mem::replace(&mut *state, State::Out) {
                State::Here(connection, since) => (connection, since),
                other => {
                    *state = other;
                    return None;
                }
            }
        };
        let mut near = Near { slot: self, held: Some(Held::Ours(connection)) };
        // A database that was away has closed it; it may also have been idle for hours.
        if since.elapsed() > STALE && !matches!(tokio::time::timeout(ACQUIRE, near.ping()).await, Ok(Ok(())))
        {
            return None;
        }
        Some(near)
    }

    /// Whether there is none; it is the caller's to bring one then.
    fn is_wanted(&self) -> bool {
        let mut state = self.state();
        let wanted = matches!(*state, State::None);
        if wanted {
            *state = State::Out;
        }
        wanted
    }

    /// Closes the connection.
    pub(super) async fn close(&self) {
        let state = std::mem::take(&mut *self.state());
        if let State::Here(connection, _) = state {
            // The database ends it as well when the socket closes.
            let _ = connection.close().await;
        }
    }
}

impl Near<'_> {
    /// Gives it back.
    pub(super) fn keep(mut self) {
        if let Some(Held::Ours(connection)) = self.held.take() {
            *self.slot.state() = State::Here(connection, Instant::now());
        }
    }
}

impl Drop for Near<'_> {
    fn drop(&mut self) {
        if let Some(Held::Ours(_)) = self.held {
            *self.slot.state() = State::None;
        }
    }
}

impl Deref for Near<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.held {
            Some(Held::Ours(connection)) => connection,
            Some(Held::Pooled(connection)) => connection,
            None => unreachable!("it is taken only by what uses this value up"),
        }
    }
}

impl DerefMut for Near<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.held {
            Some(Held::Ours(connection)) => connection,
            Some(Held::Pooled(connection)) => connection,
            None => unreachable!("it is taken only by what uses this value up"),
        }
    }
}
