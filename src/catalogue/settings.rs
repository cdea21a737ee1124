//! `quarterdeck.toml`.

use std::path::PathBuf;

use jiff::{SignedDuration, tz::TimeZone};
use ruma::{OwnedServerName, OwnedUserId};
use url::Url;

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
    /// `[limits] request_bytes`: the largest body accepted over HTTP. Default 16 MiB.
    pub request_bytes: usize,
}

impl Settings {
    /// The whole MXID of Quarterdeck's user.
    ///
    /// # Panics
    ///
    /// Never: `load` refuses a localpart that does not make an MXID.
    pub fn bot_user(&self) -> OwnedUserId {
        format!("@{}:{}", self.bot, self.server_name).try_into().expect("validated when loaded")
    }
}
