//! The inbox: every event is here, durably, before anybody is told that it arrived.

use ruma::{OwnedServerName, OwnedTransactionId};

use jiff_sqlx::Timestamp as SqlTime;
use sqlx::PgConnection;

use super::{Error, Storage, bell::CHANNEL, error::Doing as _};
use crate::model::{Digest, Timestamp};

/// What a homeserver delivered in one request.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// The homeserver, or another door's name.
    pub homeserver: OwnedServerName,
    /// The transaction's id, which is not to be relied on: a homeserver with a new database starts anew.
    pub id: OwnedTransactionId,
    /// The digest of the whole body.
    pub digest: Digest,
    /// Its events, in order.
    pub arrivals: Vec<Arrival>,
    /// What encryption will need: to-device messages, device lists, key counts, as they came.
    pub to_device: Option<Vec<u8>>,
}

/// One event.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Where it comes from: `matrix`, ...
    pub source: String,
    /// Its identity there: the event id; of an event without one, the digest of its bytes.
    pub external_id: String,
    /// What it must be in order with: its room.
    pub lane: String,
    /// When its sender's server says that it was sent.
    pub claimed_at: Option<Timestamp>,
    /// The event as it came, byte for byte.
    pub raw: Vec<u8>,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// How many events were not known before.
    pub new: usize,
    /// How many were.
    pub duplicates: usize,
}

impl Storage {
    /// Stores what came through a door of our own. When this returns, it is durable.
    pub async fn take_in(&self, arrival: &Arrival) -> Result<(), Error> {
        const DOING: &str = "storing what came through a door";
        let mut tx = self.begin(DOING).await?;
        enqueue(&mut tx, arrival, self.now()).await?;
        tx.commit().await.doing(DOING)?;
        self.inner.bell.next();
        Ok(())
    }

    /// Stores a transaction in one commit. When this returns, its events are durable; an event that
    /// is known is not stored again, whatever transaction brings it.
    pub async fn store_transaction(&self, transaction: &Transaction) -> Result<Stored, Error> {
        const DOING: &str = "storing a transaction";
        let now = self.now();
        let arrivals = &transaction.arrivals;
        let new = sqlx::query_scalar!(
            r#"
            WITH unknown AS (
                -- A shortcut alone: whether an event is new is decided by its own identity, below.
                INSERT INTO transactions (homeserver, id, digest, received_at, to_device)
                VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT DO NOTHING
                RETURNING id
            ), arrived AS (
                SELECT a.* FROM UNNEST($6::text[], $7::text[], $8::text[], $9::timestamptz[], $10::bytea[])
                    WITH ORDINALITY AS a (source, external_id, lane, claimed_at, raw, place)
                WHERE EXISTS (SELECT FROM unknown)
            ), opened AS (
                -- In order, so that two transactions cannot wait for each other.
                INSERT INTO lanes (lane) SELECT DISTINCT lane FROM arrived ORDER BY lane
                ON CONFLICT DO NOTHING
            ), stored AS (
                INSERT INTO inbox (source, external_id, lane, claimed_at, received_at, raw)
                SELECT source, external_id, lane, claimed_at, $4, raw FROM arrived ORDER BY place
                ON CONFLICT (source, external_id) DO NOTHING
                RETURNING id
            ), told AS (
                SELECT pg_notify($11, '') WHERE EXISTS (SELECT FROM stored)
                    -- Notifying commits wait for one another: only where somebody else may listen.
                    AND EXISTS (SELECT FROM instances WHERE ended_at IS NULL AND boot <> $12)
            )
            SELECT (SELECT count(*) FROM stored) + 0 * (SELECT count(*) FROM told) AS "new!"
            "#,
            transaction.homeserver.as_str(),
            transaction.id.as_str(),
            transaction.digest.as_bytes(),
            SqlTime::from(now) as _,
            transaction.to_device,
            &arrivals.iter().map(|a| a.source.clone()).collect::<Vec<_>>(),
            &arrivals.iter().map(|a| a.external_id.clone()).collect::<Vec<_>>(),
            &arrivals.iter().map(|a| a.lane.clone()).collect::<Vec<_>>(),
            &arrivals.iter().map(|a| a.claimed_at.map(SqlTime::from)).collect::<Vec<_>>() as _,
            &arrivals.iter().map(|a| a.raw.clone()).collect::<Vec<_>>(),
            CHANNEL,
            self.boot().0,
        )
        // One statement is its own commit.
        .fetch_one(self.pool())
        .await
        .doing(DOING)?;
        let new = usize::try_from(new).unwrap_or_default();
        if new > 0 {
            self.inner.bell.next();
        }
        Ok(Stored { new, duplicates: arrivals.len().saturating_sub(new) })
    }
}

/// Puts a single row into the inbox, within somebody's transaction. A row that is there already is not put there again.
pub(super) async fn enqueue(
    connection: &mut PgConnection,
    arrival: &Arrival,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "WITH opened AS (INSERT INTO lanes (lane) VALUES ($3) ON CONFLICT DO NOTHING)
             INSERT INTO inbox (source, external_id, lane, claimed_at, received_at, raw)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (source, external_id) DO NOTHING",
        arrival.source,
        arrival.external_id,
        arrival.lane,
        arrival.claimed_at.map(SqlTime::from) as _,
        SqlTime::from(now) as _,
        arrival.raw,
    )
    .execute(connection)
    .await
    .doing("putting a row into the inbox")?;
    Ok(())
}
