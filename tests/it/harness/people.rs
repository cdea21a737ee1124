//! People: ordinary users of a homeserver, by its ordinary client API.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use quarterdeck::model::{Random as _, SystemRandom};
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;
use url::Url;

use super::{server::client, state::Homeserver};

/// How long anything in a room may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A user, signed in.
pub struct Person {
    /// The whole MXID.
    pub id: String,
    homeserver: Url,
    token: String,
    /// Given with every request: whom an application service speaks as.
    query: Vec<(&'static str, String)>,
    http: reqwest::Client,
    transactions: AtomicU64,
    /// Where the next sync begins. Held while syncing.
    since: AsyncMutex<Option<String>>,
    /// Every event of every timeline, in order, with its room.
    seen: Mutex<Vec<Value>>,
}

/// What Quarterdeck answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The whole event.
    pub event: Value,
    /// Its plain body.
    pub body: String,
    /// The state that it tells of.
    pub state: String,
    /// The request's number.
    pub number: i64,
}

impl Answer {
    /// A field of the content.
    pub fn content(&self, key: &str) -> &Value {
        &self.event["content"][key]
    }
}

impl Person {
    /// Registers a user whose localpart begins with `name`, with a part of its own: many tests share a homeserver.
    pub async fn register(homeserver: &Homeserver, name: &str) -> Self {
        let part = &SystemRandom.uuid().simple().to_string()[..8];
        Self::register_as(homeserver, &format!("{name}_{part}")).await
    }

    /// Registers a user of exactly this localpart.
    pub async fn register_as(homeserver: &Homeserver, localpart: &str) -> Self {
        Self::enrol(homeserver, localpart, false).await
    }

    /// Registers an administrator of the homeserver.
    pub async fn administrator(homeserver: &Homeserver) -> Self {
        let part = &SystemRandom.uuid().simple().to_string()[..8];
        Self::enrol(homeserver, &format!("administrator_{part}"), true).await
    }

    async fn enrol(homeserver: &Homeserver, localpart: &str, admin: bool) -> Self {
        let name = &localpart[..localpart.rfind('_').unwrap()];
        let http = client();
        let url = Url::parse(&homeserver.url).unwrap();
        let path = url.join("/_synapse/admin/v1/register").unwrap();
        let nonce: Value = http.get(path.clone()).send().await.unwrap().json().await.unwrap();
        let nonce = nonce["nonce"].as_str().unwrap();
        let message =
            format!("{nonce}\0{localpart}\0pass of {name}\0{}", if admin { "admin" } else { "notadmin" });
        let body = json!({
            "nonce": nonce, "username": localpart, "password": format!("pass of {name}"), "admin": admin,
            "mac": hmac_sha1(homeserver.shared_secret.as_bytes(), message.as_bytes()),
        });
        let answer: Value = http.post(path).json(&body).send().await.unwrap().json().await.unwrap();
        let token =
            answer["access_token"].as_str().unwrap_or_else(|| panic!("registering {localpart}: {answer}"));
        Self::with(answer["user_id"].as_str().unwrap(), &url, token, vec![])
    }

    /// A user of an application service's namespace, which is not Quarterdeck's: it may set its events' times.
    pub async fn puppet(homeserver: &Homeserver, token: &str, localpart: &str) -> Self {
        let id = format!("@{localpart}:{}", homeserver.name);
        let url = Url::parse(&homeserver.url).unwrap();
        let person = Self::with(&id, &url, token, vec![("user_id", id.clone())]);
        let body =
            json!({ "type": "m.login.application_service", "username": localpart, "inhibit_login": true });
        let request = person.http.post(person.url(&["_matrix", "client", "v3", "register"], &[]));
        // It may be registered already.
        request.bearer_auth(token).json(&body).send().await.unwrap();
        person
    }

    /// Whoever has this token.
    pub fn of_token(id: &str, homeserver: &Homeserver, token: &str) -> Self {
        Self::with(id, &Url::parse(&homeserver.url).unwrap(), token, vec![])
    }

    fn with(id: &str, url: &Url, token: &str, query: Vec<(&'static str, String)>) -> Self {
        Self {
            id: id.to_owned(),
            homeserver: url.clone(),
            token: token.to_owned(),
            query,
            http: client(),
            transactions: AtomicU64::new(0),
            since: AsyncMutex::default(),
            seen: Mutex::default(),
        }
    }

    /// The localpart.
    pub fn localpart(&self) -> &str {
        self.id[1..].split(':').next().unwrap()
    }

    /// The access token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The password, as [`Self::register`] made it.
    pub fn password(&self) -> String {
        let name = self.localpart();
        format!("pass of {}", &name[..name.rfind('_').unwrap()])
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.homeserver.clone();
        url.path_segments_mut().unwrap().clear().extend(path);
        {
            let mut pairs = url.query_pairs_mut();
            pairs.extend_pairs(self.query.iter().map(|(key, value)| (*key, value)));
            pairs.extend_pairs(query);
        }
        url
    }

    /// Calls the homeserver; its answer with the status.
    pub async fn call(
        &self,
        method: &str,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> (u16, Value) {
        let path = [&["_matrix", "client", "v3"], path].concat();
        let mut request = self
            .http
            .request(method.parse().unwrap(), self.url(&path, query))
            .bearer_auth(&self.token)
            .timeout(Duration::from_secs(90));
        if let Some(body) = body {
            request = request.json(body);
        }
        match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                (status, response.json().await.unwrap_or(Value::Null))
            }
            // Away: as a client sees it.
            Err(error) => (0, json!({ "error": error.to_string() })),
        }
    }

    /// Calls the homeserver, which must agree.
    pub async fn must(&self, method: &str, path: &[&str], body: &Value) -> Value {
        let (status, answer) = self.call(method, path, &[], (method != "GET").then_some(body)).await;
        assert_eq!(status, 200, "{} {method} {path:?} {body}: {answer}", self.id);
        answer
    }

    /// Goes into a room by its alias; gives its id.
    pub async fn join(&self, alias: &str) -> String {
        let answer = self.must("POST", &["join", alias], &json!({})).await;
        answer["room_id"].as_str().unwrap().to_owned()
    }

    /// Deletes a room, as an administrator of a Synapse can.
    pub async fn delete_room(&self, room: &str) {
        let url = self.url(&["_synapse", "admin", "v1", "rooms", room], &[]);
        let body = json!({ "block": false, "purge": true });
        let answer = self.http.delete(url).bearer_auth(&self.token).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    /// Tries to go into a room; gives the status.
    pub async fn try_join(&self, alias: &str) -> u16 {
        self.call("POST", &["join", alias], &[], Some(&json!({}))).await.0
    }

    /// Leaves a room.
    pub async fn leave(&self, room: &str) {
        self.must("POST", &["rooms", room, "leave"], &json!({})).await;
    }

    /// Says something; gives the event's id.
    pub async fn say(&self, room: &str, text: &str) -> String {
        self.send(room, &json!({ "msgtype": "m.text", "body": text })).await
    }

    /// Sends a message with this content.
    pub async fn send(&self, room: &str, content: &Value) -> String {
        self.send_event(room, "m.room.message", content, &[]).await
    }

    /// Sends an event of any kind; `query` may hold the time that it claims, for those who may set it.
    pub async fn send_event(
        &self,
        room: &str,
        kind: &str,
        content: &Value,
        query: &[(&str, &str)],
    ) -> String {
        let transaction = self.transactions.fetch_add(1, Ordering::Relaxed).to_string();
        let begun = Instant::now();
        loop {
            let path = ["rooms", room, "send", kind, &transaction];
            let (status, answer) = self.call("PUT", &path, query, Some(content)).await;
            match status {
                200 => return answer["event_id"].as_str().unwrap().to_owned(),
                // As every client does.
                429 if begun.elapsed() < PATIENCE => {
                    let pause = answer["retry_after_ms"].as_u64().unwrap_or(200);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                _ => panic!("{} sends {content}: {status} {answer}", self.id),
            }
        }
    }

    /// Edits a message.
    pub async fn edit(&self, room: &str, event: &str, text: &str) -> String {
        self.send(
            room,
            &json!({
                "msgtype": "m.text", "body": format!("* {text}"),
                "m.new_content": { "msgtype": "m.text", "body": text },
                "m.relates_to": { "rel_type": "m.replace", "event_id": event },
            }),
        )
        .await
    }

    /// Removes an event.
    pub async fn redact(&self, room: &str, event: &str) {
        self.redacts(room, event).await;
    }

    /// Removes an event; gives the event that does it.
    pub async fn redacts(&self, room: &str, event: &str) -> String {
        let transaction = self.transactions.fetch_add(1, Ordering::Relaxed).to_string();
        let done = self.must("PUT", &["rooms", room, "redact", event, &transaction], &json!({})).await;
        done["event_id"].as_str().unwrap().to_owned()
    }

    /// Puts a reaction on an event.
    pub async fn react(&self, room: &str, event: &str, key: &str) -> String {
        let content =
            json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": event, "key": key } });
        self.send_event(room, "m.reaction", &content, &[]).await
    }

    /// State of a room.
    pub async fn state(&self, room: &str, kind: &str, key: &str) -> Value {
        self.must("GET", &["rooms", room, "state", kind, key], &Value::Null).await
    }

    /// The text of an uploaded file, by `server/id`.
    pub async fn download(&self, address: &str) -> String {
        let (server, id) = address.split_once('/').unwrap();
        let url = self.url(&["_matrix", "client", "v1", "media", "download", server, id], &[]);
        let response = self.http.get(url).bearer_auth(&self.token).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    }

    /// Makes a room of one's own.
    pub async fn create_room(&self, body: &Value) -> String {
        let answer = self.must("POST", &["createRoom"], body).await;
        answer["room_id"].as_str().unwrap().to_owned()
    }

    /// Everything seen so far.
    pub fn seen(&self) -> Vec<Value> {
        self.seen.lock().unwrap().clone()
    }

    /// One sync, which waits at most `wait` for something new.
    pub async fn sync(&self, wait: Duration) {
        let mut since = self.since.lock().await;
        let wait = wait.as_millis().to_string();
        let filter = r#"{"room":{"timeline":{"limit":100}},"presence":{"types":[]}}"#;
        let mut query = vec![("filter", filter)];
        if let Some(since) = since.as_deref() {
            query.extend([("since", since), ("timeout", wait.as_str())]);
        }
        let (status, answer) = self.call("GET", &["sync"], &query, None).await;
        if status != 200 {
            // The homeserver is away; whoever waits has a limit of its own.
            drop(since);
            tokio::time::sleep(Duration::from_millis(20)).await;
            return;
        }
        let no_rooms = serde_json::Map::new();
        for (room, update) in answer["rooms"]["join"].as_object().unwrap_or(&no_rooms) {
            let timeline = &update["timeline"];
            let mut events = timeline["events"].as_array().cloned().unwrap_or_default();
            if let Some(since) = since.as_deref().filter(|_| timeline["limited"] == true) {
                let mut missed = self.between(room, since, timeline["prev_batch"].as_str().unwrap()).await;
                missed.append(&mut events);
                events = missed;
            }
            let mut seen = self.seen.lock().unwrap();
            for mut event in events {
                event["room_id"] = room.as_str().into();
                if !seen.iter().any(|it| it["event_id"] == event["event_id"]) {
                    seen.push(event);
                }
            }
        }
        *since = answer["next_batch"].as_str().map(str::to_owned);
    }

    /// The events of a room in the gap between two syncs, the oldest first.
    async fn between(&self, room: &str, since: &str, until: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut from = until.to_owned();
        loop {
            let query = [("dir", "b"), ("limit", "100"), ("from", from.as_str()), ("to", since)];
            let (status, answer) = self.call("GET", &["rooms", room, "messages"], &query, None).await;
            assert_eq!(status, 200, "{answer}");
            let chunk = answer["chunk"].as_array().unwrap();
            found.extend(chunk.iter().cloned());
            match answer["end"].as_str() {
                Some(end) if !chunk.is_empty() => end.clone_into(&mut from),
                _ => break,
            }
        }
        found.reverse();
        found
    }

    /// Waits until something that was seen gives a value.
    pub async fn until<T>(&self, what: &str, find: impl Fn(&[Value]) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = find(&self.seen.lock().unwrap()) {
                return found;
            }
            if begun.elapsed() > PATIENCE {
                let seen = self.seen.lock().unwrap();
                let shown: Vec<_> = seen.iter().rev().take(12).rev().map(Value::to_string).collect();
                panic!("{} waited for {what} and saw, last:\n{}", self.id, shown.join("\n"));
            }
            self.sync(Duration::from_secs(5)).await;
        }
    }

    /// Waits until an event is seen: all that stands before it in the room is seen then as well.
    pub async fn until_seen(&self, event: &str) {
        self.until(&format!("the event {event}"), |seen| {
            seen.iter().any(|it| it["event_id"] == event).then_some(())
        })
        .await;
    }

    /// Waits until somebody is in a room.
    pub async fn until_joined(&self, room: &str, user: &str) {
        self.until(&format!("{user} in {room}"), |seen| {
            let joined = |event: &&Value| {
                event["room_id"] == room
                    && event["state_key"] == user
                    && event["content"]["membership"] == "join"
            };
            seen.iter().find(joined).map(|_| ())
        })
        .await;
    }

    /// What `by` said in answer to an event, so far.
    pub fn answers(&self, by: &str, event: &str) -> Vec<Value> {
        answers(&self.seen.lock().unwrap(), by, event).cloned().collect()
    }

    /// The final answers of `by` to an event, so far.
    pub fn outcomes(&self, by: &str, event: &str) -> Vec<Answer> {
        answers(&self.seen.lock().unwrap(), by, event).filter_map(outcome).collect()
    }

    /// Waits for the final answer of `by` to an event.
    pub async fn outcome(&self, by: &str, event: &str) -> Answer {
        self.until(&format!("the outcome of {event}"), |seen| answers(seen, by, event).find_map(outcome))
            .await
    }

    /// Waits for any answer of `by` to an event that fits.
    pub async fn answer_that(&self, by: &str, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.until(&format!("an answer to {event}"), |seen| {
            answers(seen, by, event).find(|answer| fits(answer)).cloned()
        })
        .await
    }
}

/// The messages of `by` that relate to an event.
fn answers<'a>(seen: &'a [Value], by: &'a str, event: &'a str) -> impl Iterator<Item = &'a Value> {
    seen.iter().filter(move |it| {
        let relation = &it["content"]["m.relates_to"];
        it["sender"] == by
            && it["type"] == "m.room.message"
            && (relation["event_id"] == event || relation["m.in_reply_to"]["event_id"] == event)
    })
}

/// An answer that ends a request.
fn outcome(event: &Value) -> Option<Answer> {
    let request = &event["content"]["org.quarterdeck.request"];
    let state = request["state"].as_str()?;
    let state: quarterdeck::model::State = state.parse().unwrap();
    state.is_terminal().then(|| Answer {
        body: event["content"]["body"].as_str().unwrap_or_default().to_owned(),
        state: state.name().to_owned(),
        number: request["number"].as_i64().unwrap(),
        event: event.clone(),
    })
}

/// HMAC-SHA1, as Synapse's registration by shared secret wants it.
fn hmac_sha1(key: &[u8], message: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mac = hmac::sign(&key, message);
    mac.as_ref().iter().fold(String::new(), |text, byte| text + &*format!("{byte:02x}"))
}
