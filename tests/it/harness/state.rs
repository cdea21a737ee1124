//! The description of the PostgreSQL and the homeservers that `deploy/test` started.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::Deserialize;

/// What runs for the tests.
#[derive(Debug, Clone, Deserialize)]
pub struct State {
    /// The cluster.
    pub postgres: Postgres,
    /// Two homeservers that federate with each other.
    pub homeservers: Vec<Homeserver>,
    /// The beginning of a command that starts and stops parts of one test's own.
    pub control: Vec<String>,
    /// The folder of all this; leases are below it.
    #[serde(rename = "state")]
    pub folder: PathBuf,
}

/// A PostgreSQL cluster.
#[derive(Debug, Clone, Deserialize)]
pub struct Postgres {
    /// The folder of its socket.
    pub socket: PathBuf,
    /// The port, which is part of the socket's name.
    pub port: u16,
    /// Its superuser, who needs no password.
    pub superuser: String,
    /// Commands by name: `start`, `stop`, `kill`.
    pub control: BTreeMap<String, Vec<String>>,
}

/// A homeserver.
#[derive(Debug, Clone, Deserialize)]
pub struct Homeserver {
    /// The part after the colon.
    pub name: String,
    /// The client-server API.
    pub url: String,
    /// By which users are registered.
    pub shared_secret: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The application services that it knows; a test leases one.
    pub appservices: Vec<Appservice>,
}

/// An application service of the pool.
#[derive(Debug, Clone, Deserialize)]
pub struct Appservice {
    /// Its id, also in its namespaces: `@qd00_.*`, `#qd00_.*`.
    pub id: String,
    /// Where the homeserver pushes to.
    pub port: u16,
    /// Its registration file.
    pub registration: PathBuf,
    /// Its user's localpart.
    pub bot: String,
    /// What the localparts of its aliases begin with.
    pub alias_prefix: String,
    /// The token it acts with.
    pub as_token: String,
    /// The token the homeserver shows.
    pub hs_token: String,
}

impl State {
    /// Reads the description that `QUARTERDECK_TEST_STATE` names.
    pub fn read() -> Self {
        let Some(path) = std::env::var_os("QUARTERDECK_TEST_STATE") else {
            panic!(
                "this test needs a PostgreSQL and a homeserver: run `deploy/test`, or `deploy/test --up` and set \
                 QUARTERDECK_TEST_STATE to the path that it prints"
            );
        };
        let path = PathBuf::from(path);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!(
                "QUARTERDECK_TEST_STATE names {}, which cannot be read ({error}): run `deploy/test --up`",
                path.display()
            )
        });
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{} is not what deploy/test writes: {error}", path.display()))
    }
}
