//! The database: there, new enough, migrated, and with the right roles.

use std::sync::Arc;

use ruma::OwnedRoomId;

use super::{Patient, report::Report};
use crate::{
    audit::note::LogKey,
    cli::audit::key,
    model::{Secret, SystemRandom},
    storage::{Error, Storage},
};

/// The oldest PostgreSQL that the schema needs.
const OLDEST: u32 = 14;

/// What to do where no connection comes about.
const ADDRESS: &str = "Look whether PostgreSQL runs, and compare QUARTERDECK_DATABASE_URL with its address, its roles and its databases \
                       (docs/install.md has the steps).";

/// Looks at the database, and gives the rooms that it knows, by key: `None` where it could not be asked.
pub(super) async fn check(
    patient: &Patient,
    log: Option<&LogKey>,
    report: &mut Report,
) -> Option<Vec<(String, OwnedRoomId)>> {
    let settings = &patient.ops.settings;
    let Some(url) = &settings.database_url else {
        report.fail(
            "database",
            "no URL is given",
            "Set QUARTERDECK_DATABASE_URL to the runtime role's URL; if `serve` gets it from a file, name that to doctor: --environment FILE.",
        );
        return None;
    };
    let url = Secret::new(url.clone());
    let storage =
        match Storage::connect(&url, &settings.instance, patient.clock.clone(), Arc::new(SystemRandom)) {
            Ok(storage) => storage,
            Err(error) => {
                report.fail("database", error.to_string(), ADDRESS);
                return None;
            }
        };
    let rooms = check_connected(&storage, report).await;
    if let (Some(_), Some(key)) = (&rooms, log) {
        check_log(&storage, key, report).await;
    }
    storage.close().await;
    rooms
}

/// The last checkpoint is signed by the key that is to sign the next.
async fn check_log(storage: &Storage, key: &LogKey, report: &mut Report) {
    let key = match storage.log().await {
        Ok(log) => key::of_log(key, &log).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let key = match key {
        Ok(key) => key,
        Err(error) => {
            return report.fail(
                "log",
                error,
                "Compare `[audit] origin` and `key` with those that this database began with.",
            );
        }
    };
    match storage.last_checkpoint().await {
        Ok(None) => report.ok("log", "nothing is signed yet"),
        Ok(Some(last)) => match key.public().open(&last.note) {
            Ok(opened) => report.ok("log", format!("{} entries are signed", opened.head.size)),
            Err(error) => {
                report.fail("log", error.to_string(), "Put back the key that signed it, or the log's name.");
            }
        },
        Err(error) => report.fail("log", error.to_string(), ADDRESS),
    }
}

/// Whether PostgreSQL is new enough, by its `server_version_num`.
fn is_new_enough(version: u32, report: &mut Report) -> bool {
    let shown = format!("PostgreSQL {}.{}", version / 10_000, version % 10_000);
    let enough = version / 10_000 >= OLDEST;
    if enough {
        report.ok("database", format!("{shown} answers"));
    } else {
        report.fail("database", format!("{shown} is too old"), format!("Upgrade it to {OLDEST} or later."));
    }
    enough
}

async fn check_connected(storage: &Storage, report: &mut Report) -> Option<Vec<(String, OwnedRoomId)>> {
    match storage.server_version().await {
        Ok(version) if is_new_enough(version, report) => {}
        Ok(_) => return None,
        Err(Error::Away { source, .. }) => {
            report.fail("database", format!("it cannot be reached: {source}"), ADDRESS);
            return None;
        }
        Err(Error::Refused { source, .. }) => {
            report.fail("database", format!("it refuses us: {source}"), ADDRESS);
            return None;
        }
        Err(error) => {
            report.fail("database", error.to_string(), ADDRESS);
            return None;
        }
    }
    match storage.check_ready().await {
        Ok(()) => {
            report.ok(
                "database",
                "its schema is this version's, and the role has the rights that it needs and no more",
            );
        }
        Err(Error::NotReady(reasons)) => {
            for reason in reasons {
                report.fail(
                    "database",
                    reason,
                    "docs/install.md has the two roles and `quarterdeck migrate`.",
                );
            }
            return None;
        }
        Err(error) => {
            report.fail("database", error.to_string(), ADDRESS);
            return None;
        }
    }
    match storage.bound_rooms().await {
        Ok(rooms) => Some(rooms.into_iter().collect()),
        Err(error) => {
            report.fail("database", error.to_string(), ADDRESS);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postgresql_of_before_the_oldest_is_told_with_what_to_do() {
        let mut report = Report::default();
        assert!(!is_new_enough(130_014, &mut report));
        assert!(report.has_failed());
        let lines = report.lines();
        assert!(lines.contains("PostgreSQL 13.14 is too old") && lines.contains("14 or later"), "{lines}");
        let mut report = Report::default();
        assert!(is_new_enough(140_000, &mut report) && !report.has_failed());
    }
}
