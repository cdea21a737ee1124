//! `!adoption`: what is done here, beside what people noted that they did outside.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{builtin::reads, pipeline::Asked};
use crate::{
    catalogue::Effect,
    model::{Event, Message, Span},
    storage::{Error, Filter, Work},
};

/// How many weeks are looked at.
const WEEKS: i64 = 8;
/// Monday, 1970-01-05, in seconds: where weeks are counted from.
const MONDAY: i64 = 345_600;
/// A week, in seconds.
const WEEK: i64 = 604_800;
/// How many notes are read at most.
const NOTES: i64 = 10_000;

/// Answers it: by system and week, the newest first. What only looks does not count.
pub(super) async fn adoption(
    asked: &Asked<'_>,
    work: &mut Work,
    system: Option<&str>,
) -> Result<Message, Error> {
    let now = work.now();
    let since = now.checked_sub(SignedDuration::from_secs(WEEKS * WEEK)).unwrap_or(Timestamp::UNIX_EPOCH);
    let storage = &asked.house.storage;
    let mut weeks: BTreeMap<(i64, String), (i64, i64)> = BTreeMap::new();
    for done in storage.done_on_systems(since).await? {
        let reads =
            asked.in_force.ops.commands.get(&done.command).is_some_and(|it| it.effect == Effect::Read);
        if !reads {
            weeks.entry((done.week, done.system)).or_default().0 += done.count;
        }
    }
    let filter = Filter { kind: Some("outside.noted".to_owned()), since: Some(since), ..Filter::default() };
    for recorded in storage.entries(&filter, None, NOTES).await?.entries {
        if let Event::OutsideNoted { system, .. } = recorded.entry.event {
            weeks.entry((week_of(recorded.entry.at), system)).or_default().1 += 1;
        }
    }
    reads(asked, work, "what was noted as done outside".to_owned());
    let known = asked.in_sight(now);
    let lines: Vec<Vec<Span>> = weeks
        .iter()
        .rev()
        .filter(|((_, of), _)| system.is_none_or(|system| system == of))
        // Of a system that is declared no more everybody may know that there was one of that name: nobody may act upon it.
        .filter(|((_, of), _)| known.systems.contains_key(of) || !asked.in_force.ops.systems.contains_key(of))
        .map(|((week, system), counts)| {
            vec![Span::strong(system.as_str()), Span::text(format!(" · {}", of_week(*week, *counts)))]
        })
        .collect();
    if lines.is_empty() {
        return Ok(
            Message::plain().line([Span::text("Nothing was changed in the last 8 weeks, here or outside.")])
        );
    }
    let head = "Changes that were made here, of all that are known of, by week:";
    Ok(Message::plain().line([Span::text(head)]).list(lines))
}

fn week_of(at: Timestamp) -> i64 {
    (at.as_second() - MONDAY).div_euclid(WEEK)
}

/// `week of 2026-11-23 · 12 of 15 (80 %)`.
fn of_week(week: i64, (here, outside): (i64, i64)) -> String {
    let monday = Timestamp::from_second(week * WEEK + MONDAY).unwrap_or(Timestamp::UNIX_EPOCH);
    let monday = monday.to_zoned(TimeZone::UTC).strftime("%F").to_string();
    let all = here + outside;
    format!("week of {monday} · {here} of {all} ({} %)", here * 100 / all.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday() {
        let week = |text: &str| week_of(text.parse().unwrap());
        assert_eq!(week("2026-11-23T00:00:00Z"), week("2026-11-29T23:59:59Z"));
        assert_eq!(week("2026-11-22T23:59:59Z") + 1, week("2026-11-23T00:00:00Z"));
        let shown = of_week(week("2026-11-25T12:00:00Z"), (12, 3));
        assert_eq!(shown, "week of 2026-11-23 · 12 of 15 (80 %)");
    }
}
