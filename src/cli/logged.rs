//! The log as subcommands read it: with the runtime role, and recording that it was read.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};

use crate::{
    catalogue::{Listings, Settings},
    dispatch,
    model::{Event, Secret, SystemClock, SystemRandom},
    storage::Storage,
};

/// Connects to the database of these settings.
pub(super) fn connect(settings: Settings) -> anyhow::Result<Storage> {
    let url = settings.database_url.context(
        "the database's URL is not known. Set QUARTERDECK_DATABASE_URL, or `url` under [database] in quarterdeck.toml",
    )?;
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    Ok(Storage::connect(&Secret::new(url), &settings.instance, clock, random)?)
}

/// What endpoints offered in the version that the log names last: `check`, `try` and a replay ask none of them.
pub(super) async fn listings(storage: &Storage) -> anyhow::Result<Listings> {
    let last = storage.version_at(storage.now()).await?;
    Ok(dispatch::recorded(last.into_iter().flat_map(|last| last.files)))
}

/// The same, from the database of a folder's settings, where `asked` says so; else nothing.
pub(super) fn recorded_listings(folder: &Path, asked: bool) -> anyhow::Result<Listings> {
    if !asked {
        return Ok(Listings::new());
    }
    let settings = super::read_ops(folder)?.settings;
    super::runtime()?.block_on(async {
        let storage = connect(settings)?;
        let listings = listings(&storage).await;
        storage.close().await;
        listings
    })
}

/// Records that the log is being read, by the operating system's user.
pub(super) async fn record(storage: &Storage, query: String) -> anyhow::Result<()> {
    Ok(storage.record(None, None, Event::AuditRead { by: operator(), query }).await?)
}

/// Who runs this subcommand: the operating system's user, and on which host.
pub(super) fn operator() -> String {
    let uid = nix::unistd::Uid::effective();
    let user =
        nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{user} at {host}")
}

/// A time as it was given, or so long ago.
pub(super) fn moment(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let days = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok());
    let ago = match days {
        Some(days) => SignedDuration::from_hours(days.saturating_mul(24).min(24 * 365 * 1_000)),
        None => text.parse::<SignedDuration>().with_context(|| {
            format!("`{text}` is neither a time (2026-11-23T12:00:00Z) nor a length of time (2h, 7d)")
        })?,
    };
    Ok(now.checked_sub(ago)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_given_as_such_or_as_so_long_ago() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let at = |text: &str| moment(text, now).unwrap().to_string();
        assert_eq!(at("2026-11-22T00:00:00Z"), "2026-11-22T00:00:00Z");
        assert_eq!(at("2h"), "2026-11-23T10:00:00Z");
        assert_eq!(at("7d"), "2026-11-16T12:00:00Z");
        moment("yesterday", now).unwrap_err();
    }
}
