//! The processes that share this database: who lives, who is dead, and what the dead left running.

use std::{collections::HashMap, time::Duration};

use jiff_sqlx::Timestamp as SqlTime;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    Error, Request, Storage,
    error::Doing as _,
    requests::{RequestColumns, read_request},
    sheaf::Sheaf,
};
use crate::model::{AttemptId, BootId, Event, ServerStarted, ServerStopped, SignedDuration, Timestamp};

/// A boot whose counter stands still for so long, while the database answers, is dead.
const SILENCE: SignedDuration = SignedDuration::from_secs(30);
/// How often the name is asked for before another process is believed to hold it: the server may need a
/// moment to see that a killed process is gone.
const TRIES: u32 = 20;
/// The class of our advisory locks, so that they meet nobody else's in the same database.
pub(super) const LOCK_CLASS: i32 = 0x5144;

/// What this process keeps of its own standing among the others.
#[derive(Debug, Default)]
pub(super) struct Presence(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The session that holds the instance's name.
    session: Option<PgConnection>,
    /// The others' counters, and since when each stands there.
    counters: HashMap<Uuid, (i64, Timestamp)>,
}

impl Presence {
    /// Gives the instance's name free.
    pub async fn let_go(&self) {
        let session = self.0.lock().await.session.take();
        if let Some(session) = session {
            // Where it cannot be closed in good order it is gone already.
            let _ = session.close().await;
        }
    }
}

/// What a heartbeat found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// We are alive. These boots were found dead just now: look at [`Storage::interrupted_runs`].
    Alive {
        /// The dead.
        died: Vec<BootId>,
    },
    /// Somebody declared us dead: take no more work, end the runs, and stop.
    DeclaredDead,
}

/// A run whose process was left alone by a boot that is dead.
#[derive(Debug, Clone)]
pub struct InterruptedRun {
    /// The attempt: conclude it with [`Storage::finish`].
    pub attempt: AttemptId,
    /// When it was started.
    pub started_at: Timestamp,
    /// The boot that started it.
    pub boot: BootId,
    /// That boot's instance: its spool has what was printed.
    pub instance: String,
    /// The request.
    pub request: Request,
}

impl Storage {
    /// Enters this boot, once: takes the instance's name (refused while another process holds it),
    /// declares its earlier boots dead, and records `server.started`.
    pub async fn register_boot(&self) -> Result<(), Error> {
        const DOING: &str = "entering this server among the instances";
        let mut seen = self.inner.presence.0.lock().await;
        let mut tries = 1;
        loop {
            if let Some(session) = self.take_name().await? {
                seen.session = Some(session);
                break;
            }
            if tries == TRIES {
                return Err(Error::NameTaken(self.instance().to_owned()));
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        sqlx::query!(
            "UPDATE instances SET ended_at = $3, ended_by = boot
             WHERE instance = $1 AND boot <> $2 AND ended_at IS NULL",
            self.instance(),
            self.boot().0,
            SqlTime::from(now) as _,
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
        let entered = sqlx::query!(
            "INSERT INTO instances (boot, instance, started_at) VALUES ($1, $2, $3) ON CONFLICT (boot) DO NOTHING",
            self.boot().0,
            self.instance(),
            SqlTime::from(now) as _,
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?
        .rows_affected();
        if entered == 1 {
            let mut sheaf = Sheaf::default();
            let event = Event::ServerStarted(ServerStarted {
                instance: self.instance().to_owned(),
                boot: self.boot(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            });
            sheaf.append(None, None, event);
            sheaf.write(self, &mut tx, now, None).await?;
        }
        tx.commit().await.doing(DOING)
    }

    /// When an earlier life of this instance was last seen, by its own clock: when it wrote its last
    /// heartbeat, or left in good order. `None` at the very first start.
    pub async fn last_seen(&self) -> Result<Option<Timestamp>, Error> {
        let seen = sqlx::query_scalar!(
            r#"
            SELECT max(GREATEST(seen_at, started_at, CASE WHEN ended_by = boot THEN ended_at END))
                   AS "seen: SqlTime"
            FROM instances WHERE instance = $1 AND boot <> $2
            "#,
            self.instance(),
            self.boot().0
        )
        .fetch_one(self.pool())
        .await
        .doing("looking up when this instance was last seen")?;
        Ok(seen.map(Into::into))
    }

    /// The heartbeat, every few seconds. Another boot is dead when its counter has not changed for 30
    /// seconds of a database that answered.
    pub async fn beat(&self) -> Result<Beat, Error> {
        let mut seen = self.inner.presence.0.lock().await;
        let beat = self.beat_once(&mut seen).await;
        if beat.is_err() {
            // While the database is away nobody's counter moves, and nobody is dead for it.
            seen.counters.clear();
            seen.session = None;
        }
        beat
    }

    async fn beat_once(&self, seen: &mut Seen) -> Result<Beat, Error> {
        const DOING: &str = "the heartbeat";
        let now = self.now();
        // The session may have been lost with the network, and the server may not know it yet: whether we
        // are alive is therefore told by our row alone, which whoever takes the name declares dead.
        if let Some(session) = &mut seen.session
            && session.ping().await.is_err()
        {
            seen.session = None;
        }
        if seen.session.is_none() {
            seen.session = self.take_name().await?;
        }
        let alive = sqlx::query!(
            "UPDATE instances SET counter = counter + 1, seen_at = $2 WHERE boot = $1 AND ended_at IS NULL",
            self.boot().0,
            SqlTime::from(self.now()) as _,
        )
        .execute(self.pool())
        .await
        .doing(DOING)?
        .rows_affected();
        if alive == 0 {
            return Ok(Beat::DeclaredDead);
        }
        let others = sqlx::query!(
            "SELECT boot, counter FROM instances WHERE ended_at IS NULL AND boot <> $1",
            self.boot().0
        )
        .fetch_all(self.pool())
        .await
        .doing(DOING)?;
        let mut died = Vec::new();
        let before = std::mem::take(&mut seen.counters);
        for other in others {
            let since = match before.get(&other.boot) {
                Some(&(counter, since)) if counter == other.counter => since,
                _ => now,
            };
            if now.duration_since(since) < SILENCE {
                seen.counters.insert(other.boot, (other.counter, since));
                continue;
            }
            // Only if it still stands where it stood.
            let ended = sqlx::query!(
                "UPDATE instances SET ended_at = $3, ended_by = $4
                 WHERE boot = $1 AND counter = $2 AND ended_at IS NULL",
                other.boot,
                other.counter,
                SqlTime::from(now) as _,
                self.boot().0,
            )
            .execute(self.pool())
            .await
            .doing(DOING)?
            .rows_affected();
            if ended == 1 {
                died.push(BootId(other.boot));
            }
        }
        Ok(Beat::Alive { died })
    }

    /// Leaves in good order: records `server.stopped` and gives the name free.
    pub async fn leave(&self) -> Result<(), Error> {
        const DOING: &str = "leaving the instances";
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let left = sqlx::query!(
            "UPDATE instances SET ended_at = $2, ended_by = boot WHERE boot = $1 AND ended_at IS NULL",
            self.boot().0,
            SqlTime::from(now) as _,
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?
        .rows_affected();
        if left == 1 {
            let mut sheaf = Sheaf::default();
            let event = Event::ServerStopped(ServerStopped {
                instance: self.instance().to_owned(),
                boot: self.boot(),
            });
            sheaf.append(None, None, event);
            sheaf.write(self, &mut tx, now, None).await?;
        }
        tx.commit().await.doing(DOING)?;
        self.inner.presence.let_go().await;
        Ok(())
    }

    /// The runs that dead boots left behind, and only those.
    pub async fn interrupted_runs(&self) -> Result<Vec<InterruptedRun>, Error> {
        const DOING: &str = "looking for interrupted runs";
        let left = sqlx::query!(
            r#"
            SELECT a.id, a.started_at AS "started_at: SqlTime", a.boot, i.instance, a.request
            FROM attempts a JOIN instances i ON i.boot = a.boot
            WHERE a.ended_at IS NULL AND i.ended_at IS NOT NULL
            ORDER BY a.started_at
            "#
        )
        .fetch_all(self.pool())
        .await
        .doing(DOING)?;
        let mut runs = Vec::new();
        for row in left {
            let columns = read_request!(" WHERE r.number = $1 AND r.state = 'running'", row.request)
                .fetch_optional(self.pool())
                .await
                .doing(DOING)?;
            let Some(columns) = columns else { continue };
            runs.push(InterruptedRun {
                attempt: AttemptId(row.id),
                started_at: row.started_at.into(),
                boot: BootId(row.boot),
                instance: row.instance,
                request: columns.try_into()?,
            });
        }
        Ok(runs)
    }

    /// A session of its own that holds the instance's name, if nobody else does. It lives as long as the
    /// process, or until the database goes away.
    async fn take_name(&self) -> Result<Option<PgConnection>, Error> {
        const DOING: &str = "taking the instance's name";
        let mut session = PgConnection::connect_with(&self.inner.options).await.doing(DOING)?;
        let taken = sqlx::query_scalar!(
            r#"SELECT pg_try_advisory_lock($1, hashtext($2)) AS "taken!""#,
            LOCK_CLASS,
            self.instance()
        )
        .fetch_one(&mut session)
        .await
        .doing(DOING)?;
        Ok(taken.then_some(session))
    }
}
