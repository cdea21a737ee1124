//! `quarterdeck.toml`.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, tz::TimeZone};
use ruma::{OwnedServerName, OwnedUserId};
use url::Url;

use crate::model::Recipient;

/// The settings of the server, with their defaults filled in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `prefix`: what a command begins with. Default `!`.
    pub prefix: String,
    /// `instance`: this server's name among several that share a database. Default `main`.
    pub instance: String,
    /// `state`: the folder of spooled output. Default `/var/lib/quarterdeck`.
    pub state: PathBuf,
    /// `listen`: address and port for the homeserver, health and metrics. Default `127.0.0.1:9250`.
    pub listen: String,
    /// `[homeserver] url`: the client-server API.
    pub homeserver_url: Url,
    /// `[homeserver] name`: the part after the colon of its users' MXIDs.
    pub server_name: OwnedServerName,
    /// `[homeserver] registration`: registration.yaml, relative to the ops folder. Default `../registration.yaml`.
    pub registration: PathBuf,
    /// `[homeserver] bot`: the localpart of Quarterdeck's user. Default `quarterdeck`.
    pub bot: String,
    /// `[homeserver] alias_prefix`: what the localparts of the rooms' aliases begin with. Default `ops-`.
    pub alias_prefix: String,
    /// `[database] url`: the runtime role's URL. May be left out and given by `QUARTERDECK_DATABASE_URL`.
    pub database_url: Option<String>,
    /// `[database] owner_url`: the owner role's, for `migrate`. May be given by `QUARTERDECK_OWNER_DATABASE_URL`.
    pub owner_database_url: Option<String>,
    /// `[space] name`: the name of the space that holds the rooms.
    pub space_name: String,
    /// `[space] alias`: the localpart of its alias after the prefix. Default `space`.
    pub space_alias: String,
    /// `administrators`: who may invite Quarterdeck into rooms of their own.
    pub administrators: Vec<OwnedUserId>,
    /// `time_zone`: the IANA zone of `weekday`, `hour` and `minute` in rules, such as `Europe/Zurich`. Default `UTC`.
    pub time_zone: TimeZone,
    /// `[limits] stale_after`: older commands are refused. Default 5 minutes.
    pub stale_after: SignedDuration,
    /// `[limits] absence`: after a longer one, each room is told of it. Default 1 minute.
    pub absence: SignedDuration,
    /// `[limits] keep_event_days`: how long events that are done with are known, so that a repeated one is passed over;
    /// those that carried a command are known for ever. Default 30 days.
    pub keep_events: SignedDuration,
    /// `[limits] grace`: how long running commands may take to finish at a stop. Default 30 s.
    pub grace: SignedDuration,
    /// `[approvals] wait`: how long a request waits for approvals or its confirmation. Default 30 minutes.
    pub approval_wait: SignedDuration,
    /// `[approvals] remind`: how long before the end of that time people are reminded. Default 10 minutes.
    pub approval_remind: SignedDuration,
    /// `[limits] runs`: how many processes may run at once. Default 32.
    pub runs: usize,
    /// `[limits] runs_per_person`, `runs_per_room`, `runs_in_all`: how many commands may run, or wait to, for one person,
    /// in one room, and over all instances. No limit by default.
    pub most: MostRuns,
    /// `[limits] request_bytes`: the largest body accepted over HTTP. Default 16 MiB.
    pub request_bytes: usize,
    /// `[limits] elevation`: how long anybody may be in a team for a while. Default 1 hour.
    pub elevation: SignedDuration,
    /// `[audit] origin`: the log's name in what it signs; it keeps it for life. Default: the homeserver's name and
    /// `/quarterdeck`.
    pub audit_origin: String,
    /// `[audit] key` or `credential`: the file of the key that signs the log, relative to the ops folder. Default
    /// `../audit.key`.
    pub audit_key: PathBuf,
    /// `[audit] post_every`: how often a checkpoint is posted to the log room, at most. Default an hour.
    pub audit_post_every: SignedDuration,
    /// `[retention]`: when contents go to files. Never by default.
    pub retention: Option<Retention>,
    /// `[[audit.witness]]`: who is shown the log's checkpoints. Nobody by default.
    pub audit_witnesses: Vec<WitnessSetting>,
    /// `[secrets] identity` or `credential`: the file of the age identity that decrypts `secrets/*.age`. None by default.
    pub secrets_identity: Option<PathBuf>,
    /// Where systemd's credentials are: `$CREDENTIALS_DIRECTORY`, or where the unit has them.
    pub credentials: PathBuf,
    /// `[secrets] recipients`: whom `quarterdeck secret set` encrypts to.
    pub secrets_recipients: Vec<Recipient>,
    /// `[web] url`: the address at which people reach the pages. None are served without one.
    pub web_url: Option<Url>,
    /// `[local]`: the door for people on this host. Closed by default.
    pub local: Option<LocalDoor>,
    /// `[ops]`: where versions of the folder are fetched from. By default the folder itself is read.
    pub git: Option<GitSource>,
}

/// How many commands may run, or wait to, at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MostRuns {
    /// Of one person.
    pub person: Option<i64>,
    /// In one room.
    pub room: Option<i64>,
    /// Over all instances.
    pub all: Option<i64>,
}

impl MostRuns {
    /// Whether there is any limit.
    pub const fn is_any(&self) -> bool {
        self.person.is_some() || self.room.is_some() || self.all.is_some()
    }
}

/// `[retention]`: when the contents of requests that have ended go out of the database and into files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// `folder`: where the files are, relative to the ops folder.
    pub folder: PathBuf,
    /// `[[retention.rule]]`, and `after` as the last: the first that fits a request counts.
    pub rules: Vec<RetentionRule>,
}

/// `[[retention.rule]]`: which requests it is about, and how long after their end their contents go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionRule {
    /// `commands`: those of these; of all by default.
    pub commands: Vec<String>,
    /// `rooms`: those of these, by their keys; of all by default.
    pub rooms: Vec<String>,
    /// `after`: so long after they ended; never where there is nothing.
    pub after: Option<SignedDuration>,
}

/// `[[audit.witness]]`: a witness of the log, as C2SP tlog-witness has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessSetting {
    /// `url`: the address before `/add-checkpoint`. Without one the witness answers in the log room, by `!cosign`.
    pub url: Option<String>,
    /// `key`: its public key, as `quarterdeck witness` prints it.
    pub key: String,
}

/// `[local]`: a socket of this host, for `quarterdeck run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalDoor {
    /// `socket`: its path, relative to the ops folder.
    pub socket: PathBuf,
    /// `group`: the operating system's group whose members may connect. Default: the server's own user alone.
    pub group: Option<String>,
}

/// `[ops]`: the repository that versions of the ops folder are fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    /// `git`: its address, or its path on this host.
    pub remote: String,
    /// `ref`: what is fetched where nobody says otherwise. Default `main`.
    pub reference: String,
    /// `folder`: where in the repository the ops folder is. Default: its root.
    pub folder: Option<String>,
    /// `allowed_signers`: whose signatures a commit must bear, as ssh-keygen(1) has it. Relative to the ops folder.
    pub allowed_signers: Option<PathBuf>,
}

impl Settings {
    /// Has paths that are relative to the folder `from` be relative to `to`: a version that was taken out of a repository
    /// lies elsewhere than the folder that the server was started with.
    pub fn rebase(&mut self, from: &Path, to: &Path) {
        let local = self.local.as_mut().map(|local| &mut local.socket);
        let archive = self.retention.as_mut().map(|retention| &mut retention.folder);
        let signers = self.git.as_mut().and_then(|git| git.allowed_signers.as_mut());
        for path in [&mut self.state, &mut self.registration, &mut self.audit_key]
            .into_iter()
            .chain(local)
            .chain(archive)
            .chain(signers)
        {
            if let Ok(inner) = path.strip_prefix(from) {
                *path = to.join(inner);
            }
        }
    }

    /// Takes over from the running server what is read once, at its start; gives the names of what differs.
    pub fn keep_what_is_read_once(&mut self, running: &Self) -> Vec<&'static str> {
        let mut differ = Vec::new();
        macro_rules! keep {
            ($($name:literal: $field:ident),* $(,)?) => {$(
                if self.$field != running.$field {
                    differ.push($name);
                    self.$field.clone_from(&running.$field);
                }
            )*};
        }
        keep! {
            "instance": instance, "state": state, "listen": listen,
            "[homeserver] url": homeserver_url, "[homeserver] name": server_name,
            "[homeserver] registration": registration, "[homeserver] bot": bot,
            "[homeserver] alias_prefix": alias_prefix,
            "[database] url": database_url, "[database] owner_url": owner_database_url,
            "[limits] absence": absence, "[limits] grace": grace, "[limits] runs": runs,
            "[limits] request_bytes": request_bytes,
            "[audit] origin": audit_origin, "[audit] key": audit_key, "[[audit.witness]]": audit_witnesses,
            "[local]": local, "[ops]": git, "[web] url": web_url,
        }
        differ
    }

    /// The whole MXID of Quarterdeck's user.
    ///
    /// # Panics
    ///
    /// Never: `load` refuses a localpart that does not make an MXID.
    pub fn bot_user(&self) -> OwnedUserId {
        format!("@{}:{}", self.bot, self.server_name).try_into().expect("validated when loaded")
    }
}
