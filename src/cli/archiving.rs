//! Puts old contents into files by the declared rules: now and then while `serve` runs, and when it is asked for.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::logged::operator;
use crate::{
    audit::{
        archive::{self, Archive, Report},
        note::PublicKey,
    },
    catalogue::{Ops, Retention},
    dispatch::House,
    model::{Digest, SystemRandom},
    storage::{self, Old, Storage},
};

/// How long after the start the first round begins: a backlog goes first.
const FIRST: Duration = Duration::from_mins(10);
/// How often.
const ROUND: Duration = Duration::from_hours(6);

/// Goes on for as long as the server does, by the rules that are in force.
pub async fn keep_archiving(house: Arc<House>, key: PublicKey) {
    let mut wait = FIRST;
    loop {
        sleep(wait).await;
        wait = ROUND;
        let in_force = house.current.get();
        let Some(retention) = &in_force.ops.settings.retention else { continue };
        match round(&house.storage, retention, in_force.ops.digest, &key).await {
            Ok(Report { contents: 0, .. }) => {}
            Ok(report) => tracing::info!(
                contents = report.contents,
                requests = report.requests,
                files = report.files.len(),
                "old contents went to the archive"
            ),
            Err(error) => tracing::error!(%error, "old contents stay in the database"),
        }
    }
}

/// One round.
pub async fn round(
    storage: &Storage,
    retention: &Retention,
    ops: Digest,
    key: &PublicKey,
) -> Result<Report, archive::Error> {
    let rules = rules(storage, retention).await?;
    let folder = &retention.folder;
    Archive { storage, key, random: &SystemRandom, folder, rules: &rules, ops, by: operator() }.run().await
}

/// The declared rules, as they stand now.
pub async fn rules(storage: &Storage, retention: &Retention) -> Result<Vec<Old>, storage::Error> {
    let now = storage.now();
    let mut rules = Vec::new();
    for rule in &retention.rules {
        let mut rooms = Vec::new();
        for key in &rule.rooms {
            rooms.extend(storage.rooms_ever(key).await?);
        }
        rules.push(Old {
            commands: (!rule.commands.is_empty()).then(|| rule.commands.clone()),
            rooms: (!rule.rooms.is_empty()).then_some(rooms),
            // What would be before all time is nothing.
            before: rule.after.and_then(|after| now.checked_sub(after).ok()),
        });
    }
    Ok(rules)
}

/// What a retention rule names and nobody declares: what is old may have been of a command that is gone, and a name may be
/// wrong.
pub fn unknown(ops: &Ops) -> Vec<String> {
    let rules = ops.settings.retention.iter().flat_map(|retention| &retention.rules);
    let mut unknown = Vec::new();
    for rule in rules {
        let commands = rule.commands.iter().filter(|name| !ops.commands.contains_key(*name));
        unknown.extend(commands.map(|name| format!("the command `{name}`")));
        let rooms = rule.rooms.iter().filter(|key| !ops.rooms.contains_key(*key));
        unknown.extend(rooms.map(|key| format!("the room `{key}`")));
    }
    unknown
}
