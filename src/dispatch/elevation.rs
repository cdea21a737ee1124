//! Membership of a team for a while, and its end.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use ruma::UserId;

use super::{
    answers,
    dispatcher::House,
    pipeline::{Asked, No},
};
use crate::{
    catalogue::{self, Settings},
    model::{Invocation, Message, Span, StateMark, Value},
    policy::Permit,
    storage::{Error, Over, Work},
};

/// How often it is looked whether one is over. What is decided looks at the time itself.
const LOOK: Duration = Duration::from_secs(1);

/// What is asked for.
struct Wanted<'a> {
    team: &'a str,
    seconds: i64,
    reason: &'a str,
}

impl<'a> Wanted<'a> {
    fn of(invocation: &'a Invocation) -> Option<Self> {
        let argument = |name: &str| invocation.arguments.get(name);
        match (argument("team"), argument("duration"), argument("reason")) {
            (Some(Value::Text(team)), Some(Value::Duration(seconds)), Some(Value::Text(reason))) => {
                Some(Self { team, seconds: *seconds, reason })
            }
            _ => None,
        }
    }

    /// Why it cannot be had, whatever the rules say.
    fn fault(&self, asked: &Asked<'_>) -> Option<Message> {
        let ops = &asked.in_force.ops;
        let no = || Message::marked(StateMark::Refused).line([Span::strong("Not given.")]);
        if !ops.teams.contains_key(self.team) {
            let near = catalogue::nearest(self.team, ops.teams.keys().map(String::as_str));
            let mut line = vec![Span::text("There is no team "), Span::code(self.team), Span::text(".")];
            if let Some(near) = near {
                line.extend([Span::text(" Did you mean "), Span::code(near), Span::text("?")]);
            }
            return Some(no().line(line));
        }
        if ops.teams[self.team].users.contains(asked.sender) {
            return Some(no().line([
                Span::text("You are in the team "),
                Span::strong(self.team),
                Span::text(" already."),
            ]));
        }
        let most = most(&ops.settings);
        (self.seconds > most).then(|| {
            no().line([Span::text(format!(
                "{:#} is too long: {:#} is the most that can be asked for.",
                SignedDuration::from_secs(self.seconds),
                SignedDuration::from_secs(most)
            ))])
        })
    }
}

const fn most(settings: &Settings) -> i64 {
    settings.elevation.as_secs()
}

/// What need not even be asked of the rules: a team that is not there, a time that is too long.
pub fn fault(asked: &Asked<'_>, invocation: &Invocation) -> Option<No> {
    let fault = Wanted::of(invocation)?.fault(asked)?;
    Some(No::plain("unreadable", Some(fault)))
}

/// Gives what was permitted.
pub async fn give(
    asked: &Asked<'_>,
    work: &mut Work,
    permit: &Permit,
    invocation: &Invocation,
) -> Result<Message, Error> {
    let Some(wanted) = Wanted::of(invocation) else { return Ok(Message::plain()) };
    // The folder may have changed while it waited for approval.
    if let Some(fault) = wanted.fault(asked) {
        return Ok(fault);
    }
    let until = work.now() + SignedDuration::from_secs(wanted.seconds);
    work.elevate(permit, asked.number, &asked.address.room, wanted.team, until, wanted.reason).await?;
    Ok(Message::marked(StateMark::Succeeded).line([
        Span::strong(asked.sender.as_str()),
        Span::text(" is in the team "),
        Span::strong(wanted.team),
        Span::text(format!(" until {}: ", clock(until))),
        Span::emphasis(wanted.reason),
        Span::text(" · "),
        Span::code(asked.number.to_string()),
    ]))
}

/// A time of the day, as people read it.
fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%H:%M:%S UTC").to_string()
}

/// Ends each when its time is over, for as long as the server runs.
pub async fn keep_ending(house: &House) {
    loop {
        match house.storage.end_elevations(&said_of_the_end).await {
            Ok(messages) => house.outbox.hand(messages),
            Err(error) => {
                tracing::warn!(%error, "the ends of elevations wait to be recorded; none counts beyond its time");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn said_of_the_end(over: &Over) -> crate::storage::OutboxDraft {
    let message = Message::plain().line([
        Span::strong(over.user.as_str()),
        Span::text(" is no longer in the team "),
        Span::strong(over.team.clone()),
        Span::text(": the time is over · "),
        Span::code(over.request.to_string()),
    ]);
    answers::in_room(over.room.clone(), format!("elevation/{}/over", over.request), &message)
}

impl Asked<'_> {
    /// The message, which says so where it was decided while the sender is in a team for a while.
    pub fn says_elevation(&self, message: Message) -> Message {
        says_elevation(message, self.standing.elevated.iter().map(String::as_str))
    }
}

/// As [`Asked::says_elevation`], for an answer that is made later.
pub fn says_elevation<'a>(message: Message, teams: impl Iterator<Item = &'a str>) -> Message {
    says(message, Span::text("its sender"), &teams.collect::<Vec<_>>())
}

/// The message, which says so where it was decided while this person is in a team for a while.
pub fn says_elevation_of(who: &UserId, message: Message, teams: &BTreeSet<String>) -> Message {
    says(message, Span::strong(who.as_str()), &teams.iter().map(String::as_str).collect::<Vec<_>>())
}

fn says(message: Message, who: Span, teams: &[&str]) -> Message {
    if teams.is_empty() || message.blocks.is_empty() {
        return message;
    }
    message.line([
        Span::text("Decided while "),
        who,
        Span::text(" is in "),
        Span::strong(teams.join(", ")),
        Span::text(" for a while"),
    ])
}
