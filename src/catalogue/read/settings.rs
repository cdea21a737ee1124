//! `quarterdeck.toml`.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, tz::TimeZone};
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};
use url::Url;

use super::{Source, doors, retention, section::Section};
use crate::catalogue::{
    MostRuns, Settings,
    problems::{Located, Place, Problems},
};

/// The environment, which overrides the file.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the settings. What is given by the environment counts more than the file.
pub(in crate::catalogue) fn settings(
    source: &Source<'_>,
    folder: &Path,
    environment: Environment<'_>,
    problems: &Problems,
) -> Option<Settings> {
    let table = source.parse(problems);
    let mut file = Section::whole(source, &table, problems);

    let prefix = file.text("prefix");
    let instance = over(environment, "QUARTERDECK_INSTANCE", file.text("instance"));
    let state = over(environment, "QUARTERDECK_STATE", file.text("state"));
    let listen = over(environment, "QUARTERDECK_LISTEN", file.text("listen"));
    let time_zone = file.text("time_zone").and_then(|name| time_zone(&name, problems));
    let administrators: Vec<OwnedUserId> =
        file.texts("administrators").into_iter().filter_map(|user| mxid(&user, problems)).collect();

    let mut homeserver = file.section("homeserver", "[homeserver]");
    if homeserver.is_none() && !file.has("homeserver") {
        file.wrong(
            &Place::file(source.path),
            "[homeserver] is missing",
            "Add [homeserver] with url = \"http://127.0.0.1:8008\" and name = \"example.org\".",
        );
    }
    let (mut url, mut name, mut registration, mut bot, mut alias_prefix) = (None, None, None, None, None);
    if let Some(section) = &mut homeserver {
        url = required(
            environment,
            "QUARTERDECK_HOMESERVER_URL",
            section,
            "url",
            "url = \"http://127.0.0.1:8008\"",
        );
        name =
            required(environment, "QUARTERDECK_HOMESERVER_NAME", section, "name", "name = \"example.org\"");
        registration = over(environment, "QUARTERDECK_REGISTRATION", section.text("registration"));
        bot = section.text("bot");
        alias_prefix = section.text("alias_prefix");
    }
    if let Some(section) = homeserver {
        section.finish();
    }

    let (mut database_url, mut owner_database_url) = (None, None);
    if let Some(mut database) = file.section("database", "[database]") {
        database_url =
            database.text("url").inspect(|url| no_password(url, "QUARTERDECK_DATABASE_URL", problems));
        owner_database_url = database
            .text("owner_url")
            .inspect(|url| no_password(url, "QUARTERDECK_OWNER_DATABASE_URL", problems));
        database.finish();
    }
    let database_url = over(environment, "QUARTERDECK_DATABASE_URL", database_url);
    let owner_database_url = over(environment, "QUARTERDECK_OWNER_DATABASE_URL", owner_database_url);

    let (mut space_name, mut space_alias) = (None, None);
    if let Some(mut space) = file.section("space", "[space]") {
        space_name = space.line("name");
        space_alias = space.text("alias");
        space.finish();
    }

    let (mut stale_after, mut absence, mut grace) = (None, None, None);
    let (mut runs, mut request_bytes, mut most) = (None, None, MostRuns::default());
    let (mut keep_event_days, mut elevation) = (None, None);
    if let Some(mut limits) = file.section("limits", "[limits]") {
        stale_after = limits.duration("stale_after");
        absence = limits.duration("absence");
        grace = limits.duration("grace");
        runs = limits.integer("runs", 1, 10_000);
        let mut most_of = |key| limits.integer(key, 1, 10_000).map(|most| most.value);
        most = MostRuns {
            person: most_of("runs_per_person"),
            room: most_of("runs_per_room"),
            all: most_of("runs_in_all"),
        };
        keep_event_days = limits.integer("keep_event_days", 2, 3_650);
        request_bytes = limits.bytes("request_bytes");
        elevation = limits.duration("elevation");
        limits.finish();
    }
    let (mut approval_wait, mut approval_remind) = (None, None);
    if let Some(mut approvals) = file.section("approvals", "[approvals]") {
        approval_wait = approvals.duration("wait");
        approval_remind = approvals.duration("remind");
        approvals.finish();
    }
    let audit = file.section("audit", "[audit]").map(doors::audit).unwrap_or_default();
    let audit_key = over(environment, "QUARTERDECK_AUDIT_KEY", audit.key);
    let retention = file.section("retention", "[retention]").and_then(|it| retention::retention(it, folder));
    let web_url = file.section("web", "[web]").and_then(doors::web);
    let web_url =
        over(environment, "QUARTERDECK_WEB_URL", web_url).and_then(|url| doors::pages(&url, problems));
    let secrets = file.section("secrets", "[secrets]").map(doors::secrets).unwrap_or_default();
    let local = file.section("local", "[local]").and_then(|local| doors::local(local, folder));
    let git = file.section("ops", "[ops]").and_then(|ops| doors::git(ops, folder));
    file.finish();

    let prefix = checked(prefix, "!", problems, prefix_fault);
    let bot = checked(bot, "quarterdeck", problems, localpart_fault);
    let alias_prefix = checked(alias_prefix, "ops-", problems, localpart_fault);
    let space_alias = checked(space_alias, "space", problems, localpart_fault);
    let instance = checked(instance, "main", problems, |name| {
        (!crate::catalogue::names::is_name(name))
            .then_some(("no name of an instance", "Write a word such as \"main\"."))
    });
    let listen = checked(listen, "127.0.0.1:9250", problems, |address| {
        address
            .parse::<std::net::SocketAddr>()
            .is_err()
            .then_some(("no address with a port", "Write one such as \"127.0.0.1:9250\" or \"[::1]:9250\"."))
    });
    let url = homeserver_url(&url?, problems);
    let server_name = server_name(&name?, problems);
    let (url, server_name) = (url?, server_name?);
    let bot_id = format!("@{bot}:{server_name}");
    if UserId::parse(&bot_id).is_err() {
        problems.add(
            &Place::file(source.path),
            format!("{bot_id} is no MXID"),
            "Write a shorter bot = \"...\" of lower-case letters in [homeserver].",
        );
        return None;
    }

    // Where systemd puts what LoadCredential= names; without it, as for `check`, where the unit would find it.
    let credentials = environment("CREDENTIALS_DIRECTORY");
    let credentials = PathBuf::from(credentials.as_deref().unwrap_or("/run/credentials/quarterdeck.service"));
    let audit_key = match (audit_key, audit.credential) {
        (None, Some(name)) => credentials.join(name),
        (key, _) => folder.join(key.map_or_else(|| "../audit.key".to_owned(), |key| key.value)),
    };

    Some(Settings {
        prefix,
        instance,
        state: folder.join(state.map_or_else(|| "/var/lib/quarterdeck".to_owned(), |state| state.value)),
        listen,
        homeserver_url: url,
        audit_origin: audit.origin.unwrap_or_else(|| format!("{server_name}/quarterdeck")),
        server_name,
        registration: folder.join(
            registration.map_or_else(|| PathBuf::from("../registration.yaml"), |path| path.value.into()),
        ),
        bot,
        alias_prefix,
        database_url: database_url.map(|url| url.value),
        owner_database_url: owner_database_url.map(|url| url.value),
        space_name: space_name.map_or_else(|| "Operations".to_owned(), |name| name.value),
        space_alias,
        administrators,
        time_zone: time_zone.unwrap_or(TimeZone::UTC),
        stale_after: SignedDuration::from_secs(stale_after.unwrap_or(300)),
        absence: SignedDuration::from_secs(absence.unwrap_or(60)),
        keep_events: SignedDuration::from_hours(24 * keep_event_days.map_or(30, |days| days.value)),
        grace: SignedDuration::from_secs(grace.unwrap_or(30)),
        approval_wait: SignedDuration::from_secs(approval_wait.unwrap_or(30 * 60)),
        approval_remind: SignedDuration::from_secs(approval_remind.unwrap_or(10 * 60)),
        runs: runs.and_then(|runs| usize::try_from(runs.value).ok()).unwrap_or(32),
        most,
        request_bytes: request_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(16 << 20),
        elevation: SignedDuration::from_secs(elevation.unwrap_or(3600)),
        audit_key,
        audit_post_every: SignedDuration::from_secs(audit.post_every.unwrap_or(3600)),
        audit_witnesses: audit.witnesses,
        retention,
        secrets_identity: match (secrets.identity, secrets.credential) {
            (Some(file), _) => Some(folder.join(file)),
            (None, name) => name.map(|name| credentials.join(name)),
        },
        secrets_recipients: secrets.recipients,
        credentials,
        web_url,
        local,
        git,
    })
}

fn over(
    environment: Environment<'_>,
    variable: &str,
    file: Option<Located<String>>,
) -> Option<Located<String>> {
    match environment(variable).filter(|value| !value.is_empty()) {
        Some(value) => Some(Located { value, place: Place::file(format!("${variable}")) }),
        None => file,
    }
}

/// A text that the file must have, unless the environment has it.
fn required(
    environment: Environment<'_>,
    variable: &str,
    section: &mut Section<'_>,
    key: &'static str,
    example: &str,
) -> Option<Located<String>> {
    let given = over(environment, variable, None);
    if given.is_some() {
        let _ = section.text(key);
        return given;
    }
    section.required_text(key, example)
}

/// The value, or its default; where `fault` finds something it is told.
fn checked(
    text: Option<Located<String>>,
    default: &str,
    problems: &Problems,
    fault: impl Fn(&str) -> Option<(&'static str, &'static str)>,
) -> String {
    let Some(text) = text else { return default.to_owned() };
    if let Some((what, mend)) = fault(&text.value) {
        problems.add(&text.place, format!("\"{}\" is {what}", text.value), mend);
    }
    text.value
}

/// What a command may begin with: signs that clients, Markdown and quotations leave alone.
fn prefix_fault(prefix: &str) -> Option<(&'static str, &'static str)> {
    const GOOD: &str = "!.,;:?$%&+=^~";
    let good = (1..=3).contains(&prefix.chars().count()) && prefix.chars().all(|c| GOOD.contains(c));
    (!good).then_some((
        "no good prefix",
        "Write one to three of these signs: ! . , ; : ? $ % & + = ^ ~ (clients keep / for themselves).",
    ))
}

fn localpart_fault(text: &str) -> Option<(&'static str, &'static str)> {
    let good = !text.is_empty()
        && text.len() <= 60
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._=-/".contains(c));
    (!good).then_some(("no part of a Matrix id", "Write lower-case letters, digits and . _ = - / alone."))
}

fn homeserver_url(text: &Located<String>, problems: &Problems) -> Option<Url> {
    match Url::parse(&text.value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
        _ => {
            problems.add(
                &text.place,
                format!("url = \"{}\" is no address of a homeserver", text.value),
                "Write one such as \"http://127.0.0.1:8008\" or \"https://matrix.example.org\".",
            );
            None
        }
    }
}

fn time_zone(name: &Located<String>, problems: &Problems) -> Option<TimeZone> {
    let zone = TimeZone::get(&name.value).ok();
    if zone.is_none() {
        problems.add(
            &name.place,
            format!("time_zone = \"{}\" is no time zone that this host knows", name.value),
            "Write an IANA name such as \"Europe/Zurich\" or \"UTC\"; the zones come from the package tzdata.",
        );
    }
    zone
}

fn server_name(text: &Located<String>, problems: &Problems) -> Option<OwnedServerName> {
    if let Ok(name) = ServerName::parse(&text.value) {
        return Some(name);
    }
    problems.add(
        &text.place,
        format!("name = \"{}\" is no server name", text.value),
        "Write what stands after the colon of its users' MXIDs: \"example.org\".",
    );
    None
}

/// A whole MXID.
pub(super) fn mxid(user: &Located<String>, problems: &Problems) -> Option<OwnedUserId> {
    if let Ok(user) = UserId::parse(&user.value) {
        return Some(user);
    }
    problems.add(
        &user.place,
        format!("\"{}\" is no MXID", user.value),
        "Write the whole of it: \"@alice:example.org\".",
    );
    None
}

/// This file is kept whole in the database whenever it comes into force; a password has no place in it.
fn no_password(url: &Located<String>, variable: &str, problems: &Problems) {
    if Url::parse(&url.value).is_ok_and(|url| url.password().is_some()) {
        problems.add(
            &url.place,
            "the database URL holds a password, and this file is kept in the log",
            format!("Take the line out and set {variable} in the environment of the service."),
        );
    }
}
