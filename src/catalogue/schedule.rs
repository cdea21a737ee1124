//! What is done again and again: when, by a cron expression, and of a command's `[schedule]` also as whom and where.

use std::sync::Arc;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, tz::TimeZone};
use ruma::OwnedUserId;

use super::Command;

/// A command's `[schedule]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// `cron`: when, with five fields.
    pub cron: String,
    /// `zone`: in which time zone. The settings' by default.
    pub zone: Option<String>,
    /// `as`: as whom. The rules decide each firing for them.
    pub who: OwnedUserId,
    /// `room`: in which room, by key.
    pub room: String,
    /// `line`: what is said there, without prefix. The command's name by default.
    pub line: String,
}

/// When something is due.
#[derive(Debug, Clone)]
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
}

impl Timetable {
    /// Reads a cron expression of five fields (minute, hour, day, month, weekday) and the IANA name of a time zone.
    ///
    /// # Errors
    ///
    /// What is wrong with which of them, in words.
    pub fn read(cron: &str, zone: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let parsed = parser.parse(cron).map_err(|error| {
            format!("\"{cron}\" is no cron expression: {error}. Write minute, hour, day, month and weekday: \"0 9 * * MON-FRI\"")
        })?;
        let zone = TimeZone::get(zone).map_err(|_| {
            format!("\"{zone}\" is no time zone that this host knows. Write an IANA name: \"Europe/Zurich\"")
        })?;
        let table = Self { cron: parsed, zone };
        if table.next(Timestamp::UNIX_EPOCH).is_none() {
            return Err(format!("\"{cron}\" never comes: there is no such day"));
        }
        Ok(table)
    }

    /// The first time after this one. A time that the change to summer leaves out is taken as the one that stands there.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_zoned(self.zone.clone());
        self.cron.find_next_occurrence(&after, false).ok().map(|next| next.timestamp())
    }

    /// The last of the times from `first`, which is one, to `until`, and how many lie before that. It counts to a thousand.
    pub fn last_until(&self, first: Timestamp, until: Timestamp) -> (Timestamp, u64) {
        let (mut last, mut before) = (first, 0);
        while before < 1_000 {
            match self.next(last).filter(|next| *next <= until) {
                Some(next) => (last, before) = (next, before + 1),
                None => break,
            }
        }
        (last, before)
    }
}

impl Schedule {
    /// Its timetable. `zone` is the settings'.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn timetable(&self, zone: &TimeZone) -> Result<Timetable, String> {
        Timetable::read(&self.cron, self.zone_or(zone))
    }

    /// The name of its time zone.
    pub fn zone_or<'a>(&'a self, zone: &'a TimeZone) -> &'a str {
        self.zone.as_deref().or_else(|| zone.iana_name()).unwrap_or("UTC")
    }
}

/// The commands that have a schedule.
pub fn scheduled(commands: &std::collections::BTreeMap<String, Arc<Command>>) -> Vec<(&str, &Schedule)> {
    commands.iter().filter_map(|(name, command)| Some((name.as_str(), command.schedule.as_ref()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn next(cron: &str, zone: &str, after: &str) -> String {
        Timetable::read(cron, zone).unwrap().next(at(after)).unwrap().to_string()
    }

    #[test]
    fn it_comes_at_the_hour_of_its_own_time_zone_in_summer_and_in_winter() {
        assert_eq!(next("0 9 * * MON-FRI", "Europe/Zurich", "2026-07-03T08:00:00Z"), "2026-07-06T07:00:00Z");
        assert_eq!(next("0 9 * * MON-FRI", "Europe/Zurich", "2026-11-23T08:00:00Z"), "2026-11-24T08:00:00Z");
        assert_eq!(next("*/5 * * * *", "UTC", "2026-11-23T08:04:59Z"), "2026-11-23T08:05:00Z");
    }

    #[test]
    fn an_hour_that_the_change_of_the_clocks_leaves_out_or_repeats_comes_once() {
        let daily = Timetable::read("30 2 * * *", "Europe/Zurich").unwrap();
        // 2026-03-29: 02:00 is followed by 03:00. 2026-10-25: 03:00 is followed by 02:00.
        for day in ["2026-03-28T23:00:00Z", "2026-10-24T22:00:00Z"] {
            let first = daily.next(at(day)).unwrap();
            let second = daily.next(first).unwrap();
            let hours = second.duration_since(first).as_hours();
            assert!((22..=26).contains(&hours), "{first} {second}");
        }
    }

    #[test]
    fn what_was_missed_is_counted_and_the_last_of_it_known() {
        let table = Timetable::read("0 * * * *", "UTC").unwrap();
        let (first, until) = (at("2026-11-23T08:00:00Z"), at("2026-11-23T11:30:00Z"));
        assert_eq!(table.last_until(first, until), (at("2026-11-23T11:00:00Z"), 3));
        assert_eq!(table.last_until(first, first), (first, 0));
    }

    #[test]
    fn what_is_no_time_is_told_with_its_mend() {
        for (cron, zone, words) in [
            ("0 25 * * *", "UTC", "no cron expression"),
            ("every day", "UTC", "no cron expression"),
            ("* * * * * *", "UTC", "no cron expression"),
            ("0 9 * * *", "Europe/Nowhere", "no time zone"),
            ("0 9 31 2 *", "UTC", "never comes"),
        ] {
            let fault = Timetable::read(cron, zone).unwrap_err();
            assert!(fault.contains(words), "{cron}: {fault}");
        }
    }
}
