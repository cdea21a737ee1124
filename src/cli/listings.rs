//! Asks endpoints what they offer: soon after the start, whenever another version is in force, and now and then.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    catalogue::{Endpoint, Listings},
    dispatch::{self, House, NotLoaded},
    model::Digest,
};

/// How often is looked whether an endpoint is due.
const LOOK: Duration = Duration::from_secs(1);
/// The longest pause before an endpoint that did not answer is asked again.
const LONGEST: Duration = Duration::from_hours(1);

/// What is known of an endpoint's answers.
struct Asked {
    url: String,
    due: Instant,
    failures: u32,
    told: String,
}

/// Asks on and on. The server starts and works without any answer.
pub(super) async fn keep(house: Arc<House>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
    let mut refused: Option<(Digest, String)> = None;
    loop {
        ticks.tick().await;
        let in_force = house.current.get();
        asked.retain(|key, _| {
            let is_there = in_force.ops.endpoints.contains_key(key);
            if !is_there {
                // Neither up nor away: what is not asked any more raises no alert.
                metrics::gauge!("quarterdeck_endpoint_up", "endpoint" => key.clone()).set(f64::NAN);
            }
            is_there
        });
        let due = in_force.ops.endpoints.values().filter(|it| is_due(&asked, it));
        let answers = futures_util::future::join_all(
            due.map(async |endpoint| (endpoint, house.executor.listing(endpoint).await)),
        );
        let mut fresh = Listings::new();
        for (endpoint, answer) in answers.await {
            let every = Duration::from_secs(u64::try_from(endpoint.refresh_s).unwrap_or(300));
            let before = asked.remove(&endpoint.key);
            let mut now = Asked {
                url: endpoint.url.clone(),
                due: Instant::now() + every,
                failures: 0,
                told: String::new(),
            };
            match answer {
                Ok(listing) => {
                    metrics::gauge!("quarterdeck_endpoint_up", "endpoint" => endpoint.key.clone()).set(1);
                    fresh.insert(endpoint.key.clone(), listing);
                }
                Err(error) => {
                    metrics::gauge!("quarterdeck_endpoint_up", "endpoint" => endpoint.key.clone()).set(0);
                    now.failures = before.as_ref().map_or(0, |before| before.failures) + 1;
                    let pause = (every * 2_u32.saturating_pow(now.failures.min(10) - 1)).min(LONGEST);
                    now.due = Instant::now() + pause;
                    if before.is_none_or(|before| before.told != error) {
                        tracing::warn!(
                            endpoint = endpoint.key,
                            error,
                            "an endpoint does not say what it offers; what it said last counts"
                        );
                    }
                    now.told = error;
                }
            }
            asked.insert(endpoint.key.clone(), now);
        }
        if fresh.is_empty() {
            continue;
        }
        match dispatch::relist(&house, fresh).await {
            Ok(_) => refused = None,
            Err(NotLoaded::Storage(error)) => {
                tracing::warn!(%error, "what endpoints offer waits for the database");
            }
            Err(error) => {
                // Once for each reason and version: it is asked again and again.
                let now = Some((in_force.ops.digest, error.to_string()));
                if refused != now {
                    tracing::error!(%error, "what an endpoint offers cannot come into force; what it offered before stays");
                    dispatch::listing_refused(&house, &error).await;
                    refused = now;
                }
            }
        }
    }
}

fn is_due(asked: &BTreeMap<String, Asked>, endpoint: &Endpoint) -> bool {
    asked.get(&endpoint.key).is_none_or(|it| it.url != endpoint.url || it.due <= Instant::now())
}
