//! What is done again and again: `!every`, `!schedules`, `!unschedule`, and what becomes of each time that comes.
//!
//! A time that has come becomes a row of the inbox, said by the one who set it, in its room; from there on it is read,
//! decided, recorded and run like what they type. A time that passed while nobody looked is not made up for: that is said.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use ruma::OwnedUserId;
use serde_json::json;

use super::{answers, dispatcher::House, local, pipeline::Asked};
use crate::{
    catalogue::{RunKind, Timetable, scheduled},
    command::Line,
    model::{Digest, Event, Invocation, Message, RequestNumber, ScheduleMissed, Span, StateMark, Value},
    policy::{Action, Decision, Permit},
    storage::{Arrival, Error, Firing, Scheduled, Work},
};

/// The source of its rows.
pub const SOURCE: &str = "schedule";
/// What comes later than this is not run any more.
const LATE: SignedDuration = SignedDuration::from_mins(1);
/// How many somebody may have set.
const MOST: i64 = 20;
/// When one is tried again whose times cannot be read.
const REST: SignedDuration = SignedDuration::from_hours(1);

/// Fires what is due. `declared`: the version whose files' schedules are in force.
pub async fn look(house: &Arc<House>, declared: &mut Option<Digest>) -> Result<(), Error> {
    let in_force = house.current.get();
    if *declared != Some(in_force.ops.digest) && declare(house).await? {
        *declared = Some(in_force.ops.digest);
    }
    for due in house.storage.due_schedules().await? {
        let now = house.storage.now();
        let plan = match Timetable::read(&due.cron, &due.zone) {
            Ok(table) => plan(&table, due.next, now),
            Err(reason) => {
                tracing::error!(schedule = due.key, reason, "a schedule cannot be read any more");
                Plan { fires: None, missed: 1, last: due.next, next: now + REST }
            }
        };
        let prefix = &in_force.ops.settings.prefix;
        let missed = (plan.missed > 0).then(|| {
            let count = i64::try_from(plan.missed).unwrap_or(i64::MAX);
            let event =
                Event::ScheduleMissed(ScheduleMissed { schedule: due.key.clone(), first: due.next, count });
            let step = format!("{SOURCE}/{}/missed/{}", due.key, due.next);
            (event, answers::in_room(due.room.clone(), step, &missed(prefix, &due, &plan)))
        });
        let firing = Firing { arrival: plan.fires.map(|at| arrival(prefix, &due, at)), missed };
        house.outbox.hand(house.storage.fire(&due, plan.next, firing).await?);
    }
    Ok(())
}

/// Puts in force what the files declare. Says whether all rooms are there for it.
async fn declare(house: &House) -> Result<bool, Error> {
    let in_force = house.current.get();
    let ops = &in_force.ops;
    let declared = scheduled(&ops.commands);
    let bound = house.storage.bound_rooms().await?;
    let (mut all, mut there) = (Vec::new(), true);
    for (name, schedule) in declared {
        let room = bound.iter().find(|(key, _)| *key == schedule.room).map(|(_, room)| room.clone());
        let next =
            schedule.timetable(&ops.settings.time_zone).ok().and_then(|it| it.next(house.storage.now()));
        let (Some(room), Some(next)) = (room, next) else {
            there = false;
            continue;
        };
        all.push(Scheduled {
            key: format!("file/{name}"),
            sender: schedule.who.clone(),
            room,
            line: schedule.line.clone(),
            cron: schedule.cron.clone(),
            zone: schedule.zone_or(&ops.settings.time_zone).to_owned(),
            next,
        });
    }
    house.storage.declare_schedules(&all).await?;
    Ok(there)
}

/// What becomes of something that is due.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// The time for which it is run now.
    fires: Option<Timestamp>,
    /// How many times were missed.
    missed: u64,
    /// The last of the times that have come.
    last: Timestamp,
    /// When it is due next.
    next: Timestamp,
}

/// The last of the times that have come is run, unless it is long past; those before it were missed.
fn plan(table: &Timetable, due: Timestamp, now: Timestamp) -> Plan {
    let (last, before) = table.last_until(due, now);
    let next = table.next(now).unwrap_or(Timestamp::MAX);
    if now.duration_since(last) <= LATE {
        Plan { fires: Some(last), missed: before, last, next }
    } else {
        Plan { fires: None, missed: before + 1, last, next }
    }
}

/// The row of a time that has come: as if its person said it now.
fn arrival(prefix: &str, due: &Scheduled, at: Timestamp) -> Arrival {
    let external_id = format!("{}/{at}", due.key);
    let raw = json!({
        "event_id": format!("{}{SOURCE}/{}/{}", local::EVENT, due.key, at.as_millisecond()),
        "room_id": due.room,
        "sender": due.sender,
        "origin_server_ts": at.as_millisecond(),
        "type": "m.room.message",
        "content": { "msgtype": "m.text", "body": format!("{prefix}{}", due.line) },
    });
    Arrival {
        source: SOURCE.to_owned(),
        external_id,
        lane: due.room.to_string(),
        claimed_at: Some(at),
        raw: raw.to_string().into_bytes(),
    }
}

fn missed(prefix: &str, due: &Scheduled, plan: &Plan) -> Message {
    let zone = TimeZone::get(&due.zone).unwrap_or(TimeZone::UTC);
    let time = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%F %H:%M %Z").to_string();
    let times = if plan.missed == 1 { "once".to_owned() } else { format!("{} times", plan.missed) };
    Message::marked(StateMark::Stale).line([
        Span::text(format!("Not run, {times}, and not made up for: ")),
        Span::code(format!("{prefix}{}", due.line)),
        Span::text(" by "),
        Span::strong(due.sender.as_str()),
        Span::text(format!(", due since {}. Next: {}", time(due.next), time(plan.next))),
    ])
}

/// What is said in the room when one has come: nobody there has seen it said.
pub fn said(number: RequestNumber, sender: &OwnedUserId, line: &str) -> Message {
    Message::plain().line([
        Span::text("As "),
        Span::strong(sender.as_str()),
        Span::text(" has scheduled: "),
        Span::code(line),
        Span::text(" · "),
        Span::code(number.to_string()),
    ])
}

fn no(words: impl Into<String>) -> Message {
    Message::marked(StateMark::Refused)
        .line([Span::strong("Not set."), Span::text(format!(" {}", words.into()))])
}

/// `!every WHEN HH:MM COMMAND`.
pub async fn every(
    asked: &Asked<'_>,
    work: &mut Work,
    permit: &Permit,
    invocation: &Invocation,
) -> Result<Message, Error> {
    let settings = &asked.in_force.ops.settings;
    let prefix = &settings.prefix;
    let text = |name: &str| invocation.arguments.get(name).map(Value::to_string).unwrap_or_default();
    let (when, at, line) = (text("when"), text("at"), text("line"));
    let zone = settings.time_zone.iana_name().unwrap_or("UTC");
    let Some(cron) = cron_of(&when, &at) else {
        return Ok(no(format!("{at} is no time of the day: write 09:00.")));
    };
    let table = match Timetable::read(&cron, zone) {
        Ok(table) => table,
        Err(reason) => return Ok(no(reason)),
    };
    let line = line.trim();
    let line = Line::typed(line.strip_prefix(prefix.as_str()).unwrap_or(line).to_owned());
    let parsed = match asked.read(&line, work.now()) {
        Ok(parsed) => parsed,
        Err(mistake) => return Ok(mistake.message(prefix)),
    };
    if matches!(parsed.command.run.kind, RunKind::Builtin) {
        return Ok(no("What Quarterdeck answers itself is not scheduled."));
    }
    // It is decided at each firing; what would be refused now is told now.
    if let Decision::Refused(refusal) = asked.decide(&parsed.invocation, work.now()) {
        let says = refusal.says.iter().map(|(id, says)| format!("{says} (rule {id})")).collect::<Vec<_>>();
        let says = if says.is_empty() { "No rule permits you that here.".to_owned() } else { says.join(" ") };
        return Ok(no(says));
    }
    if work.schedules_of(asked.sender).await? >= MOST {
        return Ok(no(format!("You have {MOST} already, which is the most: {prefix}schedules lists them.")));
    }
    let Some(next) = table.next(work.now()) else { return Ok(no("That never comes.")) };
    let new = Scheduled {
        key: format!("request/{}", asked.number),
        sender: asked.sender.to_owned(),
        room: asked.address.room.clone(),
        line: parsed.invocation.to_string(),
        cron,
        zone: zone.to_owned(),
        next,
    };
    work.schedule(permit, asked.number, &new).await?;
    let first = next.to_zoned(settings.time_zone.clone()).strftime("%F %H:%M %Z").to_string();
    Ok(Message::marked(StateMark::Succeeded)
        .line([
            Span::text(format!("Every {when} at {at} ({zone}), as you, and decided anew each time: ")),
            Span::code(format!("{prefix}{}", new.line)),
            Span::text(format!(" · first {first} · ")),
            Span::code(asked.number.to_string()),
        ])
        .line([Span::text("To end it: "), Span::code(format!("{prefix}unschedule {}", asked.number))]))
}

/// The cron expression of a day and a time of the day.
fn cron_of(when: &str, at: &str) -> Option<String> {
    let (hour, minute) = at.split_once(':')?;
    let (hour, minute) = (hour.parse::<u8>().ok()?, minute.parse::<u8>().ok()?);
    if hour > 23 || minute > 59 {
        return None;
    }
    let days = match when {
        "day" => "*".to_owned(),
        "weekday" => "MON-FRI".to_owned(),
        "weekend" => "SAT,SUN".to_owned(),
        day => day.get(..3)?.to_uppercase(),
    };
    Some(format!("{minute} {hour} * * {days}"))
}

/// `!schedules`: what is done again and again in this room, as far as the asker may know of it.
pub async fn list(asked: &Asked<'_>, now: Timestamp) -> Result<Message, Error> {
    let prefix = &asked.in_force.ops.settings.prefix;
    let (mut items, mut numbers) = (Vec::new(), Vec::new());
    for one in asked.house.storage.schedules_in(&asked.address.room).await? {
        let known = one.sender == asked.sender || asked.read(&Line::typed(one.line.clone()), now).is_ok();
        if !known {
            continue;
        }
        let zone = TimeZone::get(&one.zone).unwrap_or(TimeZone::UTC);
        let name = one.key.strip_prefix("request/").map_or_else(|| one.key.clone(), ToOwned::to_owned);
        numbers.extend(name.parse::<RequestNumber>());
        items.push(vec![
            Span::code(name),
            Span::text(" "),
            Span::code(format!("{prefix}{}", one.line)),
            Span::text(format!(
                " by {} · next {} · {} {}",
                one.sender,
                one.next.to_zoned(zone).strftime("%F %H:%M %Z"),
                one.cron,
                one.zone
            )),
        ]);
    }
    asked.house.storage.tells_of(asked.number, &numbers).await?;
    if items.is_empty() {
        return Ok(Message::plain().line([
            Span::text("Nothing is scheduled here. For example: "),
            Span::code(format!("{prefix}every weekday 09:00 COMMAND")),
        ]));
    }
    Ok(Message::plain()
        .list(items)
        .line([Span::text("To end one: "), Span::code(format!("{prefix}unschedule NUMBER"))]))
}

/// `!unschedule NUMBER`: ends what its asker has set, or what the rules would let them cancel.
pub async fn remove(
    asked: &Asked<'_>,
    work: &mut Work,
    permit: &Permit,
    number: RequestNumber,
) -> Result<Message, Error> {
    let key = format!("request/{number}");
    let there = asked.house.storage.schedules_in(&asked.address.room).await?;
    let nothing = || {
        Message::plain().line([
            Span::text("Nothing of the number "),
            Span::code(number.to_string()),
            Span::text(" is scheduled in this room."),
        ])
    };
    let Some(one) = there.into_iter().find(|one| one.key == key) else { return Ok(nothing()) };
    if one.sender != asked.sender {
        let may = asked.read(&Line::typed(one.line.clone()), work.now()).is_ok_and(|parsed| {
            let action = Action::Cancel { of: &parsed.invocation, requester: &one.sender };
            matches!(asked.decide_action(action, work.now()), Decision::Permitted(_))
        });
        if !may {
            return Ok(Message::marked(StateMark::Refused).line([
                Span::strong("Not ended."),
                Span::text(" It is of "),
                Span::strong(one.sender.as_str()),
                Span::text(", and no rule lets you cancel it."),
            ]));
        }
    }
    asked.house.storage.tells_of(asked.number, &[number]).await?;
    if !work.unschedule(permit, &asked.address.room, number).await? {
        return Ok(nothing());
    }
    Ok(Message::marked(StateMark::Succeeded).line([
        Span::text("Scheduled no more: "),
        Span::code(format!("{}{}", asked.in_force.ops.settings.prefix, one.line)),
        Span::text(" · "),
        Span::code(number.to_string()),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_that_has_just_come_is_run_and_one_long_past_is_missed() {
        let table = Timetable::read("0 * * * *", "UTC").unwrap();
        let due = at("2026-11-23T09:00:00Z");
        let on_time = plan(&table, due, at("2026-11-23T09:00:30Z"));
        assert_eq!((on_time.fires, on_time.missed), (Some(due), 0));
        assert_eq!(on_time.next, at("2026-11-23T10:00:00Z"));
        let late = plan(&table, due, at("2026-11-23T09:10:00Z"));
        assert_eq!((late.fires, late.missed, late.next), (None, 1, at("2026-11-23T10:00:00Z")));
        // Away since before nine, back at eleven on the dot: the one of eleven is run, the two before it are not.
        let back = plan(&table, due, at("2026-11-23T11:00:05Z"));
        assert_eq!((back.fires, back.missed), (Some(at("2026-11-23T11:00:00Z")), 2));
    }

    #[test]
    fn days_and_times_become_cron_expressions_and_what_is_no_time_does_not() {
        assert_eq!(cron_of("weekday", "09:05").as_deref(), Some("5 9 * * MON-FRI"));
        assert_eq!(cron_of("sunday", "0:00").as_deref(), Some("0 0 * * SUN"));
        assert_eq!(cron_of("day", "24:00"), None);
        assert_eq!(cron_of("day", "nine"), None);
    }
}
