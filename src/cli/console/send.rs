//! Sending one line, and waiting for what comes of it.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::Context as _;
use matrix_sdk::{
    deserialized_responses::TimelineEvent,
    room::{MessagesOptions, RelationsOptions},
};
use ruma::{
    OwnedEventId, OwnedUserId, UInt,
    events::{AnySyncTimelineEvent, room::message::RoomMessageEventContent},
    serde::Raw,
};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{
    Options,
    answer::{Answer, Ended, answer, told_alone},
    line,
    session::{Session, sync},
};
use crate::model::State;

/// The exit statuses that `--help` tells.
const ENDED_BADLY: u8 = 1;
const NO_OUTCOME: u8 = 3;
const NOT_SENT: u8 = 4;

/// How long is waited for what goes to the one who asked alone, once the outcome is known.
const ALONE: Duration = Duration::from_secs(30);

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
            if answer.alone && answer.state.is_terminal() {
                let told = told(session, &answer, &speakers, &mut since);
                if tokio::time::timeout(ALONE, told).await.is_err() {
                    println!(
                        "What it printed did not come within {ALONE:?}: it goes to the room with you alone."
                    );
                }
            }
            if let Some(outcome) = ended.with(&answer) {
                return Ok(outcome);
            }
        }
    }
}

/// Prints what a request printed for the one who asked alone, when it comes; goes into the room that was opened for it.
async fn told(session: &Session, of: &Answer, speakers: &[OwnedUserId], since: &mut String) {
    // What came with or before the answer itself is looked for as well.
    let rooms = session.client.joined_rooms().into_iter();
    for room in rooms.filter(|room| room.room_id() != session.room.room_id()) {
        let said = room.messages(MessagesOptions::backward()).await;
        let chunk = said.map(|said| said.chunk).unwrap_or_default();
        if print_alone(chunk.iter().map(TimelineEvent::raw), of, speakers) {
            return;
        }
    }
    let mut invited = session.client.invited_rooms();
    loop {
        for room in invited {
            let inviter = room.invite_details().await.ok().and_then(|invite| invite.inviter);
            let theirs = inviter.is_some_and(|inviter| speakers.iter().any(|it| it == inviter.user_id()));
            if theirs && room.join().await.is_ok() {
                let said = room.messages(MessagesOptions::backward()).await;
                let chunk = said.map(|said| said.chunk).unwrap_or_default();
                if print_alone(chunk.iter().map(TimelineEvent::raw), of, speakers) {
                    return;
                }
            }
        }
        let settings = sync().timeout(Duration::from_secs(30)).token(since.clone());
        match session.client.sync_once(settings).await {
            Ok(response) => {
                *since = response.next_batch;
                for update in response.rooms.joined.values() {
                    if print_alone(update.timeline.events.iter().map(TimelineEvent::raw), of, speakers) {
                        return;
                    }
                }
            }
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
        invited = session.client.invited_rooms();
    }
}

/// Prints the first of these events that tells of the request, if one does.
fn print_alone<'a>(
    mut events: impl Iterator<Item = &'a Raw<AnySyncTimelineEvent>>,
    of: &Answer,
    speakers: &[OwnedUserId],
) -> bool {
    events.any(|event| {
        let event: Value = event.deserialize_as().unwrap_or_default();
        let told = told_alone(&event, of.number, speakers);
        told.inspect(|body| println!("{}", line::safe(body))).is_some()
    })
}

/// What stands in the event's thread, the oldest first.
async fn related(session: &Session, event: &OwnedEventId) -> anyhow::Result<Vec<Value>> {
    let options = RelationsOptions { limit: Some(UInt::from(50_u32)), ..RelationsOptions::default() };
    let found = session.room.relations(event.clone(), options).await?;
    Ok(found.chunk.iter().rev().filter_map(|event| event.raw().deserialize_as().ok()).collect())
}
