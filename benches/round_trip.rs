//! Measures, at the client, the time from sending a command to the arrival of its answer: in a room
//! of Quarterdeck's and in a room of the bare echo's, command by command in turn.
//!
//! Usage: `round_trip HOMESERVER TOKEN ECHO_ROOM OPS_ROOM COMMAND COUNT`. `deploy/bench` prepares all that.

use std::{
    collections::HashMap,
    env,
    error::Error,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::Notify;

type Fault = Box<dyn Error + Send + Sync>;

/// A filter by which a burst arrives whole: a homeserver leaves out all but the last ten messages of a room otherwise.
const WHOLE: &str = "%7B%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A1000%7D%7D%7D";

/// One logged-in client with a sync loop that notes when each answer arrived.
struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    /// The command's event id, and when the first answer to it was seen.
    arrived: Mutex<HashMap<String, Instant>>,
    news: Notify,
}

impl Client {
    async fn get(&self, path: &str) -> Result<Value, Fault> {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Follows `/sync` for ever.
    async fn follow(self: Arc<Self>, mut since: String) -> Result<(), Fault> {
        loop {
            let sync = self.get(&format!("/sync?timeout=30000&since={since}&filter={WHOLE}")).await?;
            let now = Instant::now();
            sync["next_batch"].as_str().unwrap_or_default().clone_into(&mut since);
            let rooms = sync["rooms"]["join"].as_object().cloned().unwrap_or_default();
            let mut arrived = self.arrived.lock().unwrap();
            for event in rooms.values().filter_map(|room| room["timeline"]["events"].as_array()).flatten() {
                let to = &event["content"]["m.relates_to"]["m.in_reply_to"]["event_id"];
                if let (Some("m.notice"), Some(to)) = (event["content"]["msgtype"].as_str(), to.as_str()) {
                    arrived.entry(to.to_owned()).or_insert(now);
                }
            }
            drop(arrived);
            self.news.notify_waiters();
        }
    }

    /// Sends a command and waits for its answer.
    async fn ask(&self, room: &str, line: &str, id: &str) -> Result<Duration, Fault> {
        let started = Instant::now();
        let request = self
            .http
            .put(format!("{}/rooms/{room}/send/m.room.message/{id}", self.base))
            .bearer_auth(&self.token)
            .json(&json!({"msgtype": "m.text", "body": line}));
        let sent: Value = request.send().await?.error_for_status()?.json().await?;
        let event = sent["event_id"].as_str().ok_or("no event id")?.to_owned();
        let answered = async {
            loop {
                let news = self.news.notified();
                if let Some(at) = self.arrived.lock().unwrap().get(&event) {
                    return *at;
                }
                news.await;
            }
        };
        let at = tokio::time::timeout(Duration::from_mins(1), answered)
            .await
            .map_err(|_| format!("no answer to {line} in {room} within 60 s"))?;
        Ok(at.duration_since(started))
    }
}

/// The value below which the share `q` of the sorted times lies, in milliseconds.
fn quantile(times: &mut [Duration], q: f64) -> f64 {
    times.sort();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few hundred times"
    )]
    let index = ((times.len() - 1) as f64 * q).round() as usize;
    times[index].as_secs_f64() * 1000.0
}

fn report(name: &str, echo: &mut [Duration], ours: &mut [Duration]) {
    for q in [0.5, 0.95] {
        let (floor, time) = (quantile(echo, q), quantile(ours, q));
        println!(
            "{name:<14} p{:<3} echo {floor:7.1} ms  quarterdeck {time:7.1} ms  ratio {:.3}",
            (q * 100.0).round(),
            time / floor
        );
    }
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let [_, homeserver, token, echo_room, ops_room, command, count] = &env::args().collect::<Vec<_>>()[..]
    else {
        return Err("usage: round_trip HOMESERVER TOKEN ECHO_ROOM OPS_ROOM COMMAND COUNT".into());
    };
    let count: usize = count.parse()?;
    let client = Arc::new(Client {
        http: reqwest::Client::builder().no_proxy().build()?,
        base: format!("{homeserver}/_matrix/client/v3"),
        token: token.clone(),
        arrived: Mutex::default(),
        news: Notify::new(),
    });
    let since = client.get("/sync?timeout=0").await?["next_batch"].as_str().ok_or("no sync")?.to_owned();
    let follower = tokio::spawn(Arc::clone(&client).follow(since));

    for warm in 0..10 {
        client.ask(echo_room, command, &format!("we{warm}")).await?;
        client.ask(ops_room, command, &format!("wo{warm}")).await?;
    }

    let (mut echo, mut ours) = (Vec::new(), Vec::new());
    for index in 0..count {
        echo.push(client.ask(echo_room, command, &format!("e{index}")).await?);
        ours.push(client.ask(ops_room, command, &format!("o{index}")).await?);
    }
    report("one by one", &mut echo, &mut ours);

    let (mut echo, mut ours) = (Vec::new(), Vec::new());
    for round in 0..count.div_ceil(20) {
        for (room, times, side) in [(echo_room, &mut echo, 'e'), (ops_room, &mut ours, 'o')] {
            let asked = (0..20).map(|index| {
                let (client, room, command) = (Arc::clone(&client), room.clone(), command.clone());
                let id = format!("c{side}{round}-{index}");
                tokio::spawn(async move { client.ask(&room, &command, &id).await })
            });
            for answer in asked.collect::<Vec<_>>() {
                times.push(answer.await??);
            }
        }
    }
    report("20 at a time", &mut echo, &mut ours);
    follower.abort();
    Ok(())
}
