//! Sending one line, and waiting for what comes of it.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::Context as _;
use matrix_sdk::room::RelationsOptions;
use ruma::{OwnedEventId, UInt, events::room::message::RoomMessageEventContent};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{
    Options,
    answer::{Ended, answer},
    line,
    session::{Session, sync},
};
use crate::model::State;

/// The exit statuses that `--help` tells.
const ENDED_BADLY: u8 = 1;
const NO_OUTCOME: u8 = 3;
const NOT_SENT: u8 = 4;

/// Sends the line; with `--wait` the exit status is its outcome.
pub async fn run(options: &Options, line: &str) -> ExitCode {
    let (session, event) = match send(options, line).await {
        Ok(sent) => sent,
        Err(error) => {
            eprintln!("quarterdeck: not sent: {error:#}");
            return ExitCode::from(NOT_SENT);
        }
    };
    if !options.wait {
        println!("{event}");
        session.close().await;
        return ExitCode::SUCCESS;
    }
    let waited = timeout_at(Instant::now() + options.timeout, outcome(&session, &event)).await;
    session.close().await;
    let missing = match waited {
        Ok(Ok(State::Succeeded)) => return ExitCode::SUCCESS,
        Ok(Ok(_)) => return ExitCode::from(ENDED_BADLY),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("nothing came within {:?}", options.timeout),
    };
    eprintln!(
        "quarterdeck: {event} was sent, and its outcome is not known: {missing}. Look at `!audit` before you repeat it"
    );
    ExitCode::from(NO_OUTCOME)
}

async fn send(options: &Options, line: &str) -> anyhow::Result<(Session, OwnedEventId)> {
    let session = Session::open(options).await?;
    let sent = session.room.send(RoomMessageEventContent::text_plain(line)).await;
    match sent {
        Ok(sent) => Ok((session, sent.response.event_id)),
        Err(error) => {
            session.close().await;
            Err(error).with_context(|| format!("sending to {}", options.room))
        }
    }
}

/// Prints the answers as they come, until every request that was asked for has its final one.
async fn outcome(session: &Session, event: &OwnedEventId) -> anyhow::Result<State> {
    let speakers =
        session.room.creators().context("who made this room is not known, so nobody can be believed")?;
    let mut since = session.next_batch.clone();
    let (mut last, mut ended) = (BTreeMap::new(), Ended::default());
    loop {
        let settings = sync().timeout(Duration::from_secs(30)).token(since.clone());
        let Ok(response) = session.client.sync_once(settings).await else {
            // The homeserver is away for a moment: whoever waits goes on waiting until the time is up.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        since = response.next_batch;
        let Some(update) = response.rooms.joined.get(session.room.room_id()) else { continue };
        let mut events: Vec<Value> =
            update.timeline.events.iter().filter_map(|event| event.raw().deserialize_as().ok()).collect();
        if update.timeline.limited {
            // The room said more than one answer holds, and ours may be in the gap.
            events.extend(related(session, event).await.context("reading the thread")?);
        }
        for answer in events.iter().filter_map(|it| answer(it, event, &speakers)) {
            if last.insert(answer.number, answer.state) != Some(answer.state) {
                println!("{}", line::safe(&answer.body));
            }
            if let Some(outcome) = ended.with(&answer) {
                return Ok(outcome);
            }
        }
    }
}

/// What stands in the event's thread, the oldest first.
async fn related(session: &Session, event: &OwnedEventId) -> anyhow::Result<Vec<Value>> {
    let options = RelationsOptions { limit: Some(UInt::from(50_u32)), ..RelationsOptions::default() };
    let found = session.room.relations(event.clone(), options).await?;
    Ok(found.chunk.iter().rev().filter_map(|event| event.raw().deserialize_as().ok()).collect())
}
