//! What endpoints offer comes into force: as a version of the ops folder, like everything else that is declared.
//!
//! A listing that says nothing new changes nothing. One that does is put beside its endpoint in the version in force, that
//! version is read whole, and it comes into force and into the log as a whole or not at all. The folder on the disk is
//! not read for it: what somebody is writing there is none of an endpoint's business.

use std::sync::Arc;

use super::{
    changes,
    dispatcher::House,
    reload::{put_in_force, say_in_log_room},
    said_of_versions as said,
    versions::{NotLoaded, listed},
};
use crate::{catalogue::Listings, model::fault::Point};

/// Takes up what endpoints say that they offer: together where that is right, else each by itself, so that no service keeps
/// others from theirs. Says whether that was anything new.
///
/// # Errors
///
/// Why the version with it, or with that of one of them, does not come into force; what that one offered before stays.
pub async fn relist(house: &Arc<House>, fresh: Listings) -> Result<bool, NotLoaded> {
    match take_up(house, fresh.clone()).await {
        Err(NotLoaded::Mistakes(_)) if fresh.len() > 1 => {}
        taken => return taken,
    }
    let (mut is_new, mut wrong) = (false, None);
    for (key, listing) in fresh {
        match take_up(house, Listings::from([(key, listing)])).await {
            Ok(new) => is_new |= new,
            Err(error @ NotLoaded::Mistakes(_)) => wrong = wrong.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    wrong.map_or(Ok(is_new), Err)
}

async fn take_up(house: &Arc<House>, fresh: Listings) -> Result<bool, NotLoaded> {
    let _turn = house.versions.turn().await;
    let current = house.current.get();
    let fresh: Listings = fresh
        .into_iter()
        .filter(|(key, listing)| {
            current.ops.endpoints.get(key).is_some_and(|endpoint| {
                endpoint.url == listing.url && endpoint.listing.as_ref() != Some(listing)
            })
        })
        .collect();
    if fresh.is_empty() {
        return Ok(false);
    }
    let last = house.storage.last_loaded().await?;
    let version = house.versions.relisted(&current, fresh, last).await?;
    let changes = changes::between(&current, &version.in_force);
    // Only in the place of the version that it was made from: another server may have loaded a newer one meanwhile.
    if !house.storage.keep_version(version.loading_over(current.ops.digest)).await? {
        return Ok(false);
    }
    Point::AfterReloadCommit.pass();
    let message = said::in_force(&version, changes, true);
    let in_force = put_in_force(house, version).await;
    let names: Vec<_> = listed(&in_force.ops).into_keys().collect();
    tracing::info!(folder = %in_force.ops.digest, endpoints = names.join(", "), "what endpoints offer is in force");
    let step = format!("log/listing/{}", house.storage.now().as_microsecond());
    say_in_log_room(house, step, &message).await;
    Ok(true)
}

/// Tells the log room that what an endpoint offers cannot come into force.
pub async fn refused(house: &House, error: &NotLoaded) {
    let step = format!("log/listing/{}", house.storage.now().as_microsecond());
    say_in_log_room(house, step, &said::not_loaded(error)).await;
}
