//! After an absence, one line in each room: from when to when, and which commands had become too old to run.
//!
//! It is said when what was sent meanwhile is decided, because only then it is known what was too old. Known gap: a
//! server that dies in these seconds says nothing of the absence before.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ruma::{OwnedRoomId, OwnedUserId};
use tokio::time::{Instant, sleep};

use crate::{
    dispatch::{self, Absence, House},
    model::{Event, RequestNumber, Timestamp},
    storage::{Error, Filter, Storage},
    web::Health,
};

/// How long nothing may have arrived before the backlog counts as decided.
const QUIET: Duration = Duration::from_secs(1);
/// How long the backlog is waited for: in a room where people go on talking it is never quiet.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many refusals are looked at.
const REFUSALS: i64 = 10_000;

/// Says it, if there was an absence.
pub async fn say_that_we_are_back(house: Arc<House>, health: Arc<Health>) {
    let to = house.storage.now();
    let mut pause = Duration::from_millis(200);
    while let Err(error) = say(&house, &health, to).await {
        if !error.is_away() {
            tracing::error!(%error, "could not tell the rooms of the absence");
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

async fn say(house: &House, health: &Health, to: Timestamp) -> Result<(), Error> {
    let in_force = house.current.get();
    let settings = &in_force.ops.settings;
    let seen = house.storage.last_seen().await?;
    let Some(from) = seen.filter(|seen| to.duration_since(*seen) > settings.absence) else { return Ok(()) };
    while !health.homeserver.load(Ordering::Relaxed) {
        sleep(QUIET).await;
    }
    until_quiet(&house.storage).await?;
    // From when it was last seen, not from when this task began: a backlog that the homeserver delivers the moment the
    // door is open is decided before that.
    let mut stale = stale_since(&house.storage, from).await?;
    let rooms = house.storage.bound_rooms().await?;
    let lines = rooms.into_iter().filter(|(key, _)| in_force.ops.rooms.contains_key(key));
    let absence = Absence { boot: house.storage.boot(), from, to };
    let lines = lines.map(|(_, room)| {
        let stale = stale.remove(&room).unwrap_or_default();
        dispatch::away(&room, &absence, &stale)
    });
    house.outbox.hand(house.storage.say(lines.collect()).await?);
    Ok(())
}

/// Waits until what the homeserver had kept is decided.
async fn until_quiet(storage: &Storage) -> Result<(), Error> {
    let begun = Instant::now();
    let received = Filter { kind: Some("command.received".to_owned()), ..Filter::default() };
    let mut last = None;
    while begun.elapsed() < PATIENCE {
        let newest = storage.entries(&received, None, 1).await?.entries.first().map(|entry| entry.place);
        let pending = storage.unfinished().await?.inbox;
        if pending == 0 && last == Some(newest) {
            break;
        }
        last = Some(newest);
        sleep(QUIET).await;
    }
    Ok(())
}

/// What was refused since `from` because it was too old, by room, the oldest first.
async fn stale_since(
    storage: &Storage,
    from: Timestamp,
) -> Result<BTreeMap<OwnedRoomId, Vec<(RequestNumber, OwnedUserId)>>, Error> {
    let refused = Filter { kind: Some("command.refused".to_owned()), since: Some(from), ..Filter::default() };
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for recorded in storage.entries(&refused, None, REFUSALS).await?.entries.into_iter().rev() {
        let entry = recorded.entry;
        let is_stale = matches!(&entry.event, Event::CommandRefused { why, .. } if why == "stale");
        let sender = recorded.sender.and_then(|sender| OwnedUserId::try_from(sender).ok());
        if let (true, Some(room), Some(number), Some(sender)) = (is_stale, entry.room, entry.request, sender)
        {
            found.entry(room).or_default().push((number, sender));
        }
    }
    Ok(found)
}
