//! Removes, in small batches and now and then, what is only kept to know a repeated event by.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    dispatch::House,
    storage::{Error, Walk},
};

/// How long after the start the first walk begins: a backlog goes first.
const FIRST: Duration = Duration::from_mins(5);
/// How often.
const ROUND: Duration = Duration::from_hours(6);
/// How many rows at once.
const BATCH: i64 = 500;
/// The pause between two batches: nobody waits for this.
const PAUSE: Duration = Duration::from_millis(100);

/// Goes on for as long as the server does.
pub async fn keep_pruning(house: Arc<House>) {
    let mut wait = FIRST;
    loop {
        sleep(wait).await;
        wait = ROUND;
        match prune(&house).await {
            Ok((0, 0)) => {}
            Ok((events, transactions)) => {
                tracing::info!(events, transactions, "removed old rows of the inbox");
            }
            Err(error) => tracing::warn!(%error, "old rows of the inbox stay for now"),
        }
    }
}

/// One round. Gives how many rows of the inbox and how many transactions were removed.
async fn prune(house: &House) -> Result<(u64, u64), Error> {
    let before = house.storage.now() - house.current.get().ops.settings.keep_events;
    let mut walk = Walk::default();
    while !walk.over {
        walk = house.storage.prune_inbox(walk, before, BATCH).await?;
        sleep(PAUSE).await;
    }
    let mut transactions = 0;
    loop {
        let gone = house.storage.prune_transactions(before, BATCH).await?;
        transactions += gone;
        if gone == 0 {
            return Ok((walk.removed, transactions));
        }
        sleep(PAUSE).await;
    }
}
