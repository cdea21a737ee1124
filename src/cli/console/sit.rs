//! Sitting in a room: what was said, what comes in, and what is typed.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use jiff::tz::TimeZone;
use matrix_sdk::room::MessagesOptions;
use ruma::{UInt, events::room::message::RoomMessageEventContent};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

use super::{
    Options, line,
    session::{Session, sync},
};

/// Shows the room until the input ends.
pub async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let session = Session::open(options).await?;
    let zone = TimeZone::system();
    let result = tokio::select! {
        shown = show(&session, &zone) => shown,
        typed = send_typed(&session) => typed,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    session.close().await;
    result.map(|()| ExitCode::SUCCESS)
}

/// Shows the last messages, then what comes in.
async fn show(session: &Session, zone: &TimeZone) -> anyhow::Result<()> {
    let room = &session.room;
    let mut options = MessagesOptions::backward();
    options.limit = UInt::from(30_u32);
    let past = room.messages(options).await.context("reading what was said")?;
    for event in past.chunk.iter().rev() {
        print(&event.raw().deserialize_as().unwrap_or_default(), zone);
    }
    let me = session.client.user_id().context("nobody is signed in")?;
    println!("--- {} as {me}; Ctrl-D ends", room.name().unwrap_or_else(|| room.room_id().to_string()));
    let mut since = session.next_batch.clone();
    let mut away = false;
    loop {
        let settings = sync().timeout(Duration::from_secs(30)).token(since.clone());
        match session.client.sync_once(settings).await {
            Ok(response) => {
                if std::mem::take(&mut away) {
                    println!("--- the homeserver is back");
                }
                since = response.next_batch;
                let Some(update) = response.rooms.joined.get(room.room_id()) else { continue };
                if update.timeline.limited {
                    println!("--- some messages are left out here");
                }
                for event in &update.timeline.events {
                    print(&event.raw().deserialize_as().unwrap_or_default(), zone);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    println!("--- the homeserver does not answer, trying again: {error}");
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
    }
}

fn print(event: &Value, zone: &TimeZone) {
    if let Some(lines) = line::shown(event, zone) {
        println!("{lines}");
    }
}

/// Sends each typed line.
async fn send_typed(session: &Session) -> anyhow::Result<()> {
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await.context("reading what is typed")? {
        match line.trim() {
            "" => {}
            "/quit" => break,
            line => {
                if let Err(error) = session.room.send(RoomMessageEventContent::text_plain(line)).await {
                    println!("--- not sent: {error}");
                }
            }
        }
    }
    Ok(())
}
