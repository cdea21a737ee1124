//! registration.yaml: by which the homeserver knows Quarterdeck, and each proves itself to the other.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use regex::Regex;
use serde::Deserialize;
use url::Url;

use crate::{
    catalogue::Settings,
    model::{Digest, Random, Secret},
};

/// The id under which the homeserver knows Quarterdeck.
const ID: &str = "quarterdeck";

/// A registration, read and found in order.
#[derive(Debug, Clone, Deserialize)]
pub struct Registration {
    /// The id of the application service.
    pub id: String,
    /// Where the homeserver sends events to.
    pub url: Option<String>,
    /// The token that Quarterdeck proves itself with.
    pub as_token: Secret,
    /// The token that the homeserver proves itself with.
    pub hs_token: Secret,
    /// The localpart of Quarterdeck's user.
    pub sender_localpart: String,
    /// What belongs to Quarterdeck.
    pub namespaces: Namespaces,
    /// Whether the homeserver limits its rate. Absent means yes.
    #[serde(default)]
    pub rate_limited: Option<bool>,
}

/// What belongs to Quarterdeck.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Namespaces {
    /// Its users.
    #[serde(default)]
    pub users: Vec<Namespace>,
    /// The aliases of its rooms.
    #[serde(default)]
    pub aliases: Vec<Namespace>,
}

/// A part of a namespace.
#[derive(Debug, Clone, Deserialize)]
pub struct Namespace {
    /// Whether nobody else may have a name in it.
    pub exclusive: bool,
    /// Which names are in it.
    pub regex: String,
}

/// What is wrong with a registration.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// It cannot be read.
    #[error("cannot read {}: {source}. `quarterdeck registration --ops FOLDER` writes one", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no registration.
    #[error("{} is no registration: {reason}. Compare it with the example registration.yaml of the project", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// It does not fit the settings.
    #[error("{} does not fit quarterdeck.toml:\n{}", path.display(), .reasons.iter().map(|reason| format!("- {reason}")).collect::<Vec<_>>().join("\n"))]
    Misfit {
        /// The file.
        path: PathBuf,
        /// Each thing that is wrong, with its mend.
        reasons: Vec<String>,
    },
    /// There is one already.
    #[error(
        "{} exists, and holds the tokens that the homeserver may be using: it is not overwritten. With --force it is, and \
         then the homeserver needs the new one and a restart",
        path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Registration {
    /// Reads a registration and checks that it fits the settings.
    pub fn read(path: &Path, settings: &Settings) -> Result<Self, RegistrationError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| RegistrationError::Read { path: path.to_owned(), source })?;
        let registration = Self::parse(path, &text)?;
        let reasons = registration.misfits(settings);
        if reasons.is_empty() {
            Ok(registration)
        } else {
            Err(RegistrationError::Misfit { path: path.to_owned(), reasons })
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, RegistrationError> {
        serde_saphyr::from_str(text)
            // The whole error would show the lines around the mistake, and those hold tokens.
            .map_err(|error| RegistrationError::Format { path: path.to_owned(), reason: briefly(&error) })
    }

    /// What does not fit the settings, each with its mend.
    fn misfits(&self, settings: &Settings) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.sender_localpart != settings.bot {
            reasons.push(format!(
                "sender_localpart is `{}`, but `bot` in the [homeserver] of quarterdeck.toml is `{}`: make them the same",
                self.sender_localpart, settings.bot
            ));
        }
        for (name, token) in [("as_token", &self.as_token), ("hs_token", &self.hs_token)] {
            if token.expose().len() < 16 {
                reasons.push(format!(
                    "{name} has fewer than 16 characters, so it can be guessed: draw new tokens"
                ));
            }
        }
        if self.as_token.matches(self.hs_token.expose()) {
            reasons.push("as_token and hs_token are the same: draw two".to_owned());
        }
        match self.url.as_deref().map(Url::parse) {
            None => reasons.push(
                "url is not set, so the homeserver would send nothing: set it to where Quarterdeck listens"
                    .to_owned(),
            ),
            Some(Err(error)) => reasons.push(format!("url is no URL: {error}")),
            Some(Ok(url)) if !matches!(url.scheme(), "http" | "https") => {
                reasons.push(format!("url begins with {}: it must be http or https", url.scheme()));
            }
            Some(Ok(_)) => {}
        }
        let bot = settings.bot_user();
        if !covers(&self.namespaces.users, bot.as_str()) {
            reasons.push(format!("no exclusive user namespace covers {bot}: add one"));
        }
        let alias = format!("#{}x:{}", settings.alias_prefix, settings.server_name);
        if !covers(&self.namespaces.aliases, &alias) {
            reasons.push(format!(
                "no exclusive alias namespace covers {alias} and the like, so others could take the rooms' aliases: add one"
            ));
        }
        reasons
    }

    /// Writes a registration with fresh tokens. One that exists is kept, unless `force`.
    pub fn write(
        path: &Path,
        settings: &Settings,
        url: &str,
        random: &dyn Random,
        force: bool,
    ) -> Result<(), RegistrationError> {
        let failed = |source| RegistrationError::Write { path: path.to_owned(), source };
        let text = text(settings, url, &draw(random), &draw(random));
        let exists = || RegistrationError::Exists { path: path.to_owned() };
        if !force {
            let mut file = match private(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists()),
                file => file.map_err(failed)?,
            };
            return file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed);
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let written = private(&beside)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&beside, path));
        written.map_err(failed)
    }
}

/// A new file that nobody but its owner can read.
fn private(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn covers(namespaces: &[Namespace], name: &str) -> bool {
    namespaces.iter().any(|namespace| {
        // The homeserver matches from the beginning.
        namespace.exclusive
            && Regex::new(&format!("^(?:{})", namespace.regex)).is_ok_and(|regex| regex.is_match(name))
    })
}

/// A token of 256 random bits.
fn draw(random: &dyn Random) -> String {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    Digest::from_bytes(bytes).to_string()
}

/// The first line of an error, without the excerpt that follows it.
fn briefly(error: &serde_saphyr::Error) -> String {
    error.without_snippet().to_string().lines().next().unwrap_or("it is not YAML").to_owned()
}

/// Escapes for a regular expression, but for hyphens, which mean nothing outside of brackets.
fn escape(text: &str) -> String {
    regex::escape(text).replace("\\-", "-")
}

fn text(settings: &Settings, url: &str, as_token: &str, hs_token: &str) -> String {
    let server = escape(settings.server_name.as_str());
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        "# By this file {homeserver} knows Quarterdeck. It holds two secrets: whoever reads them can speak as
# Quarterdeck. Its fields are explained in the registration.yaml of the project.
id: {id}
url: {url}
as_token: {as_token}
hs_token: {hs_token}
sender_localpart: {bot}
rate_limited: false
namespaces:
  users:
    - exclusive: true
      regex: {users}
  aliases:
    - exclusive: true
      regex: {aliases}
  rooms: []
",
        homeserver = settings.server_name,
        id = ID,
        url = quoted(url),
        // A token of digits alone would be read as a number.
        as_token = quoted(as_token),
        hs_token = quoted(hs_token),
        bot = quoted(&settings.bot),
        users = quoted(&format!("@{}(_.*)?:{server}", escape(&settings.bot))),
        aliases = quoted(&format!("#{}.*:{server}", escape(&settings.alias_prefix))),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::model::SystemRandom;

    fn settings() -> Settings {
        Settings {
            prefix: "!".into(),
            instance: "main".into(),
            state: "/var/lib/quarterdeck".into(),
            listen: "127.0.0.1:9250".into(),
            homeserver_url: "http://127.0.0.1:8008".parse().unwrap(),
            server_name: "example.org".try_into().unwrap(),
            registration: "registration.yaml".into(),
            bot: "quarterdeck".into(),
            alias_prefix: "ops-".into(),
            database_url: None,
            owner_database_url: None,
            space_name: "Ops".into(),
            space_alias: "space".into(),
            administrators: vec![],
            time_zone: jiff::tz::TimeZone::UTC,
            stale_after: jiff::SignedDuration::from_mins(5),
            absence: jiff::SignedDuration::from_mins(1),
            keep_events: jiff::SignedDuration::from_hours(720),
            grace: jiff::SignedDuration::from_secs(30),
            approval_wait: jiff::SignedDuration::from_mins(30),
            approval_remind: jiff::SignedDuration::from_mins(10),
            runs: 32,
            most: crate::catalogue::MostRuns::default(),
            request_bytes: 1 << 24,
            elevation: jiff::SignedDuration::from_hours(1),
            audit_origin: "example.org/quarterdeck".into(),
            audit_key: "/nowhere/audit.key".into(),
            audit_post_every: jiff::SignedDuration::from_hours(1),
            audit_witnesses: Vec::new(),
            retention: None,
            secrets_identity: None,
            secrets_recipients: Vec::new(),
            credentials: std::path::PathBuf::new(),
            web_url: None,
            local: None,
            git: None,
        }
    }

    fn misfits(change: impl Fn(String) -> String) -> Vec<String> {
        let text = change(text(&settings(), "http://127.0.0.1:9250", &"a".repeat(64), &"b".repeat(64)));
        Registration::parse(Path::new("r.yaml"), &text).unwrap().misfits(&settings())
    }

    #[test]
    fn what_is_written_reads_back_and_fits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registration.yaml");
        Registration::write(&path, &settings(), "http://127.0.0.1:9250", &SystemRandom, false).unwrap();
        let registration = Registration::read(&path, &settings()).unwrap();
        assert_eq!(registration.rate_limited, Some(false));
        assert_eq!(registration.as_token.expose().len(), 64);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_registration_that_exists_is_overwritten_only_when_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registration.yaml");
        let write = |force| Registration::write(&path, &settings(), "http://x", &SystemRandom, force);
        write(false).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(write(false), Err(RegistrationError::Exists { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
        write(true).unwrap();
        assert_ne!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_does_not_fit_the_settings_is_named() {
        for (change, named) in [
            (("sender_localpart: \"quarterdeck\"", "sender_localpart: other"), "sender_localpart"),
            (("exclusive: true", "exclusive: false"), "namespace"),
            (("#ops-", "#other-"), "#ops-x:example.org"),
            (("http://127", "ftp://127"), "http or https"),
            (("bbbbbbbb", "b"), "hs_token"),
        ] {
            let reasons = misfits(|text| text.replace(change.0, change.1));
            assert!(reasons.iter().any(|reason| reason.contains(named)), "{named}: {reasons:?}");
        }
        assert_eq!(misfits(|text| text), Vec::<String>::new());
        assert!(misfits(|text| text.replace('b', "a"))[0].contains("the same"));
    }

    #[test]
    fn the_error_of_a_broken_file_shows_no_token() {
        let text = "id: quarterdeck\nas_token: verysecret\nhs_token: [verysecret\n";
        let error = Registration::parse(Path::new("r.yaml"), text).unwrap_err().to_string();
        assert!(error.contains("r.yaml") && !error.contains("verysecret"), "{error}");
    }

    #[test]
    fn the_projects_own_registration_is_a_valid_example() {
        let text = include_str!("../../registration.yaml");
        let registration = Registration::parse(Path::new("registration.yaml"), text).unwrap();
        let reasons = registration.misfits(&settings());
        assert_eq!(reasons, Vec::<String>::new());
    }
}
