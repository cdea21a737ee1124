//! Takes what was recorded into what searches look at, now and then, so that whoever searches waits for little of it.

use std::time::Duration;

use tokio::time::sleep;

use crate::storage::Storage;

/// How often. A search takes in by itself what came since.
const ROUND: Duration = Duration::from_secs(30);
/// The pause between two steps of a backlog: nobody waits for this.
const PAUSE: Duration = Duration::from_millis(200);

/// Goes on for as long as the server does.
pub async fn keep_extending(storage: Storage) {
    loop {
        sleep(ROUND).await;
        loop {
            match storage.extend_trail().await {
                Ok(0) => break,
                Ok(_) => sleep(PAUSE).await,
                Err(error) => {
                    tracing::warn!(%error, "searches take in what was recorded by themselves for now");
                    break;
                }
            }
        }
    }
}
