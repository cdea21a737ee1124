//! The pool of connections, the clock, and who we are.

use std::{str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    Connection as _, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Bell, Error, error::Doing as _, instances::Presence, near::Slot};
use crate::model::{BootId, Clock, Random, Secret, Timestamp};

/// The database, and who we are in it. Cheap to clone: all clones share one pool.
#[derive(Clone)]
pub struct Storage {
    pub(super) inner: Arc<Inner>,
    /// Whose tree is read and extended; `None`: that of the log that goes on.
    pub(super) log: Option<i32>,
}

pub(super) struct Inner {
    pub(super) pool: PgPool,
    /// For searches: their plan depends on what is searched for.
    pub(super) searches: PgPool,
    /// The connection of whoever waits for an answer.
    pub(super) near: Slot,
    pub(super) options: PgConnectOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) boot: BootId,
    pub(super) instance: String,
    pub(super) bell: Bell,
    pub(super) presence: Presence,
}

/// How long a caller waits for a connection before it hears that the database is away.
pub(super) const ACQUIRE: Duration = Duration::from_secs(3);
/// A connection that was idle for longer is tried before it is used.
pub(super) const STALE: Duration = Duration::from_secs(1);

impl Storage {
    /// Prepares to use the database at `url`, as a new boot of `instance`. No connection is made yet:
    /// a database that is away is found out by the first thing that is asked of it.
    pub fn connect(
        url: &Secret,
        instance: &str,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, Error> {
        let options = options(url)?;
        // On the path of a command every statement is the same each time, and planning it takes longer than doing it.
        let planned_once = options.clone().options([("plan_cache_mode", "force_generic_plan")]);
        let every_day = pool(24).connect_lazy_with(planned_once);
        // A search has many optional parts, and what is best depends on which of them are given.
        let planned_each = options.clone().options([("plan_cache_mode", "force_custom_plan")]);
        let searches = pool(4).connect_lazy_with(planned_each);
        let boot = BootId(random.uuid());
        Ok(Self {
            log: None,
            inner: Arc::new(Inner {
                pool: every_day,
                searches,
                near: Slot::default(),
                options,
                clock,
                random,
                boot,
                instance: instance.to_owned(),
                bell: Bell::new(),
                presence: Presence::default(),
            }),
        })
    }

    /// This life of the process.
    pub fn boot(&self) -> BootId {
        self.inner.boot
    }

    /// The instance's name.
    pub fn instance(&self) -> &str {
        &self.inner.instance
    }

    /// The time, to the microsecond: what PostgreSQL keeps, so that an entry says the same everywhere.
    pub fn now(&self) -> Timestamp {
        let now = self.inner.clock.now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// Ends every connection, the one that holds the instance's name included. What is under way is
    /// waited for. Without [`Storage::leave`] before it, this is a death.
    pub async fn close(&self) {
        self.inner.presence.let_go().await;
        self.inner.near.close().await;
        self.inner.searches.close().await;
        self.inner.pool.close().await;
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// The connections for questions with many optional parts, each of which is planned for itself.
    pub(super) fn searches(&self) -> &PgPool {
        &self.inner.searches
    }

    pub(super) async fn begin(&self, doing: &'static str) -> Result<Transaction<'static, Postgres>, Error> {
        self.pool().begin().await.doing(doing)
    }
}

/// A pool whose connections are tried before they are used, where they were idle for a while.
fn pool(largest: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(largest)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for > STALE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage")
            .field("instance", &self.inner.instance)
            .field("boot", &self.inner.boot)
            .finish_non_exhaustive()
    }
}

/// What every connection of ours is: durable whatever the cluster's default says, in UTC, and ended by
/// the server if it lingers in a transaction, so that a lost client never holds a lane for long.
pub(super) fn options(url: &Secret) -> Result<PgConnectOptions, Error> {
    // The driver itself would take any scheme.
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.expose().starts_with(scheme)) {
        return Err(Error::Address("it does not begin with postgres://".to_owned()));
    }
    let options =
        PgConnectOptions::from_str(url.expose()).map_err(|error| Error::Address(error.to_string()))?;
    Ok(options.application_name("quarterdeck").options([
        ("synchronous_commit", "on"),
        ("idle_in_transaction_session_timeout", "60s"),
        ("default_transaction_isolation", "read committed"),
        ("timezone", "UTC"),
        // A host that vanished keeps neither its lanes nor its instance's name for hours.
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ]))
}
