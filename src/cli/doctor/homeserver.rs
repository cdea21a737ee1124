//! The homeserver: reached, speaking with us, reaching us back, on time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ruma::OwnedRoomId;

use super::{Patient, report::Report};
use crate::{
    appservice::Registration,
    matrix::{Error, Homeserver},
    model::Clock,
};

/// Clocks that differ by more than this make commands stale, or seem to come from the future.
const TOO_FAR: SignedDuration = SignedDuration::from_secs(30);
/// More than this is worth a look.
const FAR: SignedDuration = SignedDuration::from_secs(3);
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at the homeserver. `rooms` are those that the database knows.
pub(super) async fn check(
    patient: &Patient,
    registration: Option<&Registration>,
    rooms: Option<Vec<(String, OwnedRoomId)>>,
    report: &mut Report,
) {
    if !check_reachable(patient, report).await {
        return;
    }
    let Some(registration) = registration else {
        report.warn(
            "homeserver",
            "nothing further can be asked of it without the registration",
            "Mend that first.",
        );
        return;
    };
    let settings = &patient.ops.settings;
    let token = registration.as_token.clone();
    let homeserver =
        match Homeserver::new(&settings.homeserver_url, settings.bot_user(), token, patient.clock.clone()) {
            Ok(homeserver) => homeserver,
            Err(error) => {
                report.fail(
                    "homeserver",
                    error.to_string(),
                    "Mend `url` of [homeserver] in quarterdeck.toml.",
                );
                return;
            }
        };
    let known = check_identity(patient, &homeserver, report).await;
    if known == Known::Not {
        return;
    }
    check_ping(patient, &homeserver, &registration.id, report).await;
    if known == Known::Well {
        check_offers(patient, &homeserver, report).await;
        check_encryption(&homeserver, rooms.unwrap_or_default(), report).await;
    }
}

/// It answers at the URL; its clock is read on the way.
async fn check_reachable(patient: &Patient, report: &mut Report) -> bool {
    let url = &patient.ops.settings.homeserver_url;
    let mend = "Look whether it runs, and compare `[homeserver] url` with its client listener.";
    let versions = format!("{}/_matrix/client/versions", url.as_str().trim_end_matches('/'));
    let before = patient.clock.now();
    let answer = match client() {
        Ok(client) => client.get(versions).send().await,
        Err(error) => Err(error),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            report.fail("homeserver", format!("{url} does not answer: {}", causes(&error)), mend);
            return false;
        }
    };
    let after = patient.clock.now();
    let date =
        answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok().map(str::to_owned));
    let status = answer.status();
    let body: serde_json::Value = answer.json().await.unwrap_or_default();
    let Some(newest) = body["versions"].as_array().and_then(|versions| versions.last()?.as_str()) else {
        report.fail(
            "homeserver",
            format!("what answers at {url} (HTTP {status}) is not the client-server API of a homeserver"),
            mend,
        );
        return false;
    };
    report.ok("homeserver", format!("{url} answers, and speaks {newest} of the specification"));
    match date.and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date.as_str()).ok())
    {
        Some(date) => check_clock(date, before, after, report),
        None => report.warn(
            "clock",
            "the homeserver does not say what time it is",
            "Compare the two clocks by hand.",
        ),
    }
    true
}

/// The header has whole seconds, cut off; the answer was written between the two times.
fn check_clock(date: Timestamp, before: Timestamp, after: Timestamp, report: &mut Report) {
    let behind = before.duration_since(date) - SignedDuration::from_secs(1);
    let ahead = date.duration_since(after);
    let apart = behind.max(ahead).max(SignedDuration::ZERO);
    let words = format!(
        "this host's clock and the homeserver's are {} s apart",
        apart.as_secs() + i64::from(apart.subsec_nanos() > 0)
    );
    let mend = "Start a time service on both hosts (`timedatectl set-ntp true`): commands whose sender's clock is off are refused as stale.";
    if apart > TOO_FAR {
        report.fail("clock", words, mend);
    } else if apart > FAR {
        report.warn("clock", words, mend);
    } else {
        report.ok("clock", "this host and the homeserver agree on the time, to within a few seconds");
    }
}

/// How well the homeserver knows us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// By token and by user.
    Well,
    /// By token; the user does not exist yet.
    ByToken,
    /// Not at all.
    Not,
}

async fn check_identity(patient: &Patient, homeserver: &Homeserver, report: &mut Report) -> Known {
    let bot = patient.ops.settings.bot_user();
    match homeserver.whoami().await {
        Ok((user, _)) if user == bot => {
            report.ok("token", format!("the homeserver accepts the as_token, and knows us as {bot}"));
            Known::Well
        }
        Ok((user, _)) => {
            report.fail(
                "token",
                format!("the homeserver knows us as {user}, and the settings as {bot}"),
                "Mend `name` and `bot` of [homeserver] in quarterdeck.toml.",
            );
            Known::Not
        }
        Err(Error::Permanent { words, .. }) if words.contains("not registered this user") => {
            report.ok(
                "token",
                format!("the homeserver accepts the as_token; {bot} does not exist yet, and `serve` makes it when it first starts"),
            );
            Known::ByToken
        }
        Err(error) if error.is("M_FORBIDDEN") || error.is("M_EXCLUSIVE") => {
            report.fail(
                "token",
                error.to_string(),
                format!("See that the homeserver's copy of the registration has {bot} in its namespace, and restart the homeserver."),
            );
            Known::Not
        }
        Err(error) => {
            report.fail(
                "token",
                error.to_string(),
                "Compare the as_token of both copies of the registration, and restart the homeserver: it reads its copy at its start.",
            );
            Known::Not
        }
    }
}

/// The homeserver is asked to call us, which shows whether it can.
async fn check_ping(patient: &Patient, homeserver: &Homeserver, id: &str, report: &mut Report) {
    let listen = &patient.ops.settings.listen;
    match homeserver.ping(id).await {
        Ok(took) => report.ok("ping", format!("the homeserver reaches `serve`, in {} ms", took.as_millis())),
        Err(error) if is_listening(listen).await => report.fail(
            "ping",
            format!("{error}. Something listens at {listen}"),
            "Set `url` in both copies of the registration to the address at which the homeserver's host reaches `serve`; compare the \
             hs_token of both copies; restart the homeserver.",
        ),
        Err(error) => report.warn(
            "ping",
            format!("`serve` is not running: nothing listens at {listen} ({error})"),
            "Start it, then run doctor again: only then can the way back be tried.",
        ),
    }
}

/// Whether anything accepts connections at `listen`.
async fn is_listening(listen: &str) -> bool {
    matches!(tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(listen)).await, Ok(Ok(_)))
}

/// How large an output may well become, in bytes: whoever is to read it in the room needs it as a file.
const COMMON: u64 = 10 << 20;

/// Room versions and the size of uploads.
async fn check_offers(patient: &Patient, homeserver: &Homeserver, report: &mut Report) {
    match homeserver.room_versions().await {
        Ok((_, true)) => report.ok("room version", "12 is offered"),
        Ok((default, false)) => report.warn(
            "room version",
            format!("12 is not offered: rooms will be of version {default}, in which the creator's homeserver can back-date power levels"),
            "Upgrade the homeserver (Synapse 1.135 or later).",
        ),
        Err(error) => report.fail(
            "room version",
            error.to_string(),
            "Ask again; if it stays so, look into the homeserver's log for what it made of the question.",
        ),
    }
    let largest = patient.ops.commands.values().map(|command| command.run.kind.output() as u64);
    let needed = largest.max().unwrap_or_default();
    match homeserver.upload_limit().await {
        Ok(limit) if limit >= needed => {
            report.ok("uploads", format!("files of up to {} KiB are taken", limit >> 10));
        }
        Ok(limit) if limit >= COMMON => {
            let words = "longer output is kept whole, and read by `quarterdeck audit output`";
            report.ok("uploads", format!("files of up to {} KiB are taken; {words}", limit >> 10));
        }
        Ok(limit) => report.warn(
            "uploads",
            format!(
                "files of up to {} KiB are taken, and commands may keep {} KiB of output",
                limit >> 10,
                needed >> 10
            ),
            "Raise max_upload_size of the homeserver, or lower `output` in the commands' limits.",
        ),
        Err(error) => report.fail(
            "uploads",
            error.to_string(),
            "Look whether the homeserver keeps media at all (Synapse: enable_media_repo): long output is uploaded.",
        ),
    }
}

/// Whether rooms are encrypted by default shows only on rooms.
async fn check_encryption(homeserver: &Homeserver, rooms: Vec<(String, OwnedRoomId)>, report: &mut Report) {
    let mut looked_at = 0;
    for (key, room) in rooms {
        match homeserver.state_event(&room, "m.room.encryption", "").await {
            Ok(None) => looked_at += 1,
            Ok(Some(_)) => report.fail(
                "encryption",
                format!("the room {key} ({room}) is encrypted, and Quarterdeck cannot read what is said in it"),
                "Encryption cannot be switched off. Take encryption_enabled_by_default_for_room_type out of the homeserver's \
                 configuration, take the room's alias away, and restart `serve`: it makes the room anew.",
            ),
            Err(error) => {
                report.warn("encryption", format!("the room {key} cannot be looked at: {error}"), "`serve` says at its start what it does about it.");
            }
        }
    }
    if looked_at > 0 {
        report.ok("encryption", format!("{looked_at} rooms were looked at and are not encrypted"));
    } else {
        report.warn(
            "encryption",
            "not looked at: no rooms are there yet, and whether the homeserver encrypts new ones by default shows on a room alone",
            "See that Synapse's encryption_enabled_by_default_for_room_type is off, start `serve`, then run doctor again.",
        );
    }
}

fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()
}

/// An error with its causes.
fn causes(error: &reqwest::Error) -> String {
    let mut words = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words = if words.is_empty() { error.to_string() } else { format!("{words}: {error}") };
        cause = error.source();
    }
    if words.is_empty() { error.to_string() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(date: &str, before: &str, after: &str) -> String {
        let mut report = Report::default();
        let [date, before, after] =
            [date, before, after].map(|time| format!("2026-01-01T{time}Z").parse().expect("a time"));
        check_clock(date, before, after, &mut report);
        report.lines()
    }

    #[test]
    fn clocks_are_compared_with_the_little_that_a_date_header_tells() {
        assert!(clock("00:00:10", "00:00:10.2", "00:00:10.4").starts_with("ok"));
        assert!(clock("00:00:10", "00:00:10.99", "00:00:11.2").starts_with("ok"));
        assert!(clock("00:00:10", "00:00:20", "00:00:20").starts_with("warn"));
        assert!(clock("00:01:10", "00:00:20", "00:00:20").starts_with("FAIL"));
        assert!(clock("00:00:10", "00:02:20", "00:02:20").contains("129 s apart"));
    }
}
