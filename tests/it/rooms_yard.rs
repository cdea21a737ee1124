//! What the tests of rooms and messages stand on: a bot of their own on a homeserver, a database, an ops folder.
//!
//! No server runs here. The people are users of the application service's namespace, each with a name that no other
//! test has, so that nothing has to be leased.

use std::{fs, process::Command, sync::Arc};

use quarterdeck::{
    catalogue::{self, Ops},
    matrix::Homeserver,
    model::{Random as _, Secret, SystemClock, SystemRandom},
    storage::{self, Storage},
};
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Database, State,
    state::{Appservice, Homeserver as Server},
};

/// A homeserver with a bot of our own, and a database.
pub struct Yard {
    pub homeserver: Homeserver,
    pub storage: Storage,
    database: Database,
    pub server: Server,
    appservice: Appservice,
    tag: String,
    folder: TempDir,
}

/// Somebody on a homeserver.
pub struct Person {
    pub id: OwnedUserId,
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Yard {
    /// On the first of the shared homeservers.
    pub async fn new() -> Self {
        Self::on(State::read().homeservers.remove(0)).await
    }

    /// On this homeserver.
    pub async fn on(server: Server) -> Self {
        let appservice = server.appservices.last().unwrap().clone();
        let tag = SystemRandom.uuid().simple().to_string()[..10].to_owned();
        let database = Database::create().await;
        storage::migrate(&database.owner_url(), Some(&database.runtime_role())).await.unwrap();
        let storage = connect(&database).await;
        let bot = format!("@{}_{tag}:{}", appservice.id, server.name).try_into().unwrap();
        let token = Secret::new(appservice.as_token.clone());
        let url = server.url.parse().unwrap();
        let homeserver = Homeserver::new(&url, bot, token, Arc::new(SystemClock)).unwrap();
        homeserver.ensure_bot("Quarterdeck").await.unwrap();
        Self { homeserver, storage, database, server, appservice, tag, folder: tempfile::tempdir().unwrap() }
    }

    /// A new life of the same instance on the same database; the one before ends without a word.
    pub async fn next_life(&self) -> Storage {
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::query(kill).execute(&self.database.superuser()).await.unwrap();
        connect(&self.database).await
    }

    /// Somebody new on this homeserver.
    pub async fn person(&self, name: &str) -> Person {
        person(&self.server, &self.appservice, &format!("{name}_{}", self.tag)).await
    }

    /// Somebody new on the other shared homeserver.
    pub async fn person_elsewhere(&self, name: &str) -> Person {
        let server = State::read().homeservers.remove(1);
        let appservice = server.appservices.last().unwrap().clone();
        person(&server, &appservice, &format!("{name}_{}", self.tag)).await
    }

    /// Quarterdeck's own user.
    pub fn as_bot(&self) -> Person {
        Person {
            id: self.homeserver.bot().to_owned(),
            url: self.server.url.clone(),
            token: self.appservice.as_token.clone(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// What aliases of this test begin with.
    pub fn alias_prefix(&self) -> String {
        format!("{}_{}_", self.appservice.id, self.tag)
    }

    /// The whole alias of a room.
    pub fn alias(&self, name: &str) -> OwnedRoomAliasId {
        format!("#{}{name}:{}", self.alias_prefix(), self.server.name).try_into().unwrap()
    }

    /// An ops folder with these rooms (key and further lines) and one team of these people.
    pub fn ops(&self, rooms: &[(&str, &str)], people: &[&Person]) -> Ops {
        let root = self.folder.path().join(SystemRandom.uuid().simple().to_string());
        for folder in ["rooms", "teams"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let settings = format!(
            "[homeserver]\nurl = '{}'\nname = '{}'\nbot = '{}'\nalias_prefix = '{}'\n[space]\nname = 'Operations'\n",
            self.server.url,
            self.server.name,
            self.homeserver.bot().localpart(),
            self.alias_prefix(),
        );
        fs::write(root.join("quarterdeck.toml"), settings).unwrap();
        for (key, more) in rooms {
            let room = format!(
                "name = 'Room {key}'\nalias = '{key}'\npurpose = 'To try {key}'\nteams = ['crew']\ncommands = []\n{more}\n"
            );
            fs::write(root.join("rooms").join(format!("{key}.toml")), room).unwrap();
        }
        let mut servers: Vec<_> = people.iter().map(|person| person.id.server_name().to_string()).collect();
        servers.push(self.server.name.clone());
        servers.sort();
        servers.dedup();
        let users: Vec<_> = people.iter().map(|person| person.id.to_string()).collect();
        let team =
            format!("summary = 'The crew'\nhomeservers = {servers:?}\nusers = {users:?}\nleads = []\n");
        fs::write(root.join("teams/crew.toml"), team).unwrap();
        catalogue::load(&root, &|_| None).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
    }

    /// The id of the room that is bound under a key.
    pub async fn room(&self, key: &str) -> OwnedRoomId {
        let rooms = self.storage.bound_rooms().await.unwrap();
        rooms.into_iter().find(|(bound, _)| bound == key).unwrap_or_else(|| panic!("{key} is not bound")).1
    }

    /// The content of a state event, as Quarterdeck sees it.
    pub async fn state(&self, room: &RoomId, kind: &str, key: &str) -> Value {
        self.homeserver.state_event(room, kind, key).await.unwrap().unwrap_or(Value::Null)
    }

    /// Somebody's membership.
    pub async fn membership(&self, room: &RoomId, user: &UserId) -> Value {
        self.state(room, "m.room.member", user.as_str()).await["membership"].clone()
    }
}

/// A new life of the one instance on this database.
pub async fn connect(database: &Database) -> Storage {
    let url = database.runtime_url();
    let storage = Storage::connect(&url, "main", Arc::new(SystemClock), Arc::new(SystemRandom)).unwrap();
    storage.register_boot().await.unwrap();
    storage
}

async fn person(server: &Server, appservice: &Appservice, name: &str) -> Person {
    let localpart = format!("{}_{name}", appservice.id);
    let person = Person {
        id: format!("@{localpart}:{}", server.name).try_into().unwrap(),
        url: server.url.clone(),
        token: appservice.as_token.clone(),
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    };
    let body = json!({ "type": "m.login.application_service", "username": localpart, "inhibit_login": true });
    let request =
        person.http.post(format!("{}/_matrix/client/v3/register", person.url)).bearer_auth(&person.token);
    let response = request.body(body.to_string()).send().await.unwrap();
    assert!(response.status().is_success(), "{}", response.text().await.unwrap());
    person
}

impl Person {
    /// Makes a request of the client-server API as this person.
    pub async fn call(&self, method: &str, path: &str, body: Value) -> Result<Value, Value> {
        let url = url::Url::parse_with_params(
            &format!("{}/_matrix/client/v3/{path}", self.url),
            [("user_id", self.id.as_str())],
        );
        let request = self.http.request(method.parse().unwrap(), url.unwrap()).bearer_auth(&self.token);
        let response = request.body(body.to_string()).send().await.unwrap();
        let status = response.status();
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        if status.is_success() { Ok(body) } else { Err(body) }
    }

    /// Enters a room.
    pub async fn join(&self, room: &RoomId) -> Result<Value, Value> {
        let via = self.id.server_name();
        self.call("POST", &format!("join/{room}?via={via}&via=localhost"), json!({})).await
    }

    /// Enters a room by its alias, also on another homeserver.
    pub async fn join_by_alias(&self, alias: &OwnedRoomAliasId) -> Result<Value, Value> {
        self.call("POST", &format!("join/{}", alias.as_str().replace('#', "%23")), json!({})).await
    }

    /// Leaves a room.
    pub async fn leave(&self, room: &RoomId) {
        self.call("POST", &format!("rooms/{room}/leave"), json!({})).await.unwrap();
    }
}

/// Starts and stops parts of a test's own; gives what the command says of them.
pub fn control(arguments: &[&str]) -> Vec<u8> {
    let control = State::read().control;
    let output = Command::new(&control[0]).args(&control[1..]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
