//! A bare echo application service: takes a transaction, sends a notice, keeps nothing.
//!
//! It is the floor that `deploy/bench` measures Quarterdeck beside: whatever an appservice does, it
//! cannot answer sooner than this one. Usage: `echo HOMESERVER PORT AS_TOKEN BOT_MXID`.

use std::{env, error::Error, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    routing::{any, put},
};
use serde_json::{Value, json};

struct Echo {
    http: reqwest::Client,
    homeserver: String,
    token: String,
    bot: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [_, homeserver, port, token, bot] = &env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: echo HOMESERVER PORT AS_TOKEN BOT_MXID".into());
    };
    let echo = Arc::new(Echo {
        http: reqwest::Client::builder().no_proxy().build()?,
        homeserver: homeserver.clone(),
        token: token.clone(),
        bot: bot.clone(),
    });
    let router = Router::new()
        .route("/_matrix/app/v1/transactions/{id}", put(transaction))
        .fallback(any(|| async { Json(json!({})) }))
        .with_state(echo);
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    axum::serve(listener, router).await?;
    Ok(())
}

async fn transaction(State(echo): State<Arc<Echo>>, Json(transaction): Json<Value>) -> Json<Value> {
    for event in transaction["events"].as_array().cloned().unwrap_or_default() {
        tokio::spawn(answer(Arc::clone(&echo), event));
    }
    Json(json!({}))
}

/// Joins where it is invited, and answers each `!` message with a notice in its thread.
async fn answer(echo: Arc<Echo>, event: Value) {
    let (Some(room), Some(id)) = (event["room_id"].as_str(), event["event_id"].as_str()) else { return };
    let base = format!("{}/_matrix/client/v3", echo.homeserver);
    let request = if event["type"] == "m.room.member"
        && event["state_key"] == echo.bot.as_str()
        && event["content"]["membership"] == "invite"
    {
        echo.http.post(format!("{base}/join/{room}")).json(&json!({}))
    } else if event["content"]["body"].as_str().is_some_and(|body| body.starts_with('!')) {
        echo.http.put(format!("{base}/rooms/{room}/send/m.room.message/{}", &id[1..])).json(&json!({
            "msgtype": "m.notice",
            "body": "pong",
            "m.mentions": {},
            "m.relates_to": {
                "rel_type": "m.thread", "event_id": id,
                "is_falling_back": true, "m.in_reply_to": {"event_id": id},
            },
        }))
    } else {
        return;
    };
    if let Err(error) = request.bearer_auth(&echo.token).send().await {
        eprintln!("echo: {error}");
    }
}
