//! `policies/tests/*.toml`.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use ruma::OwnedUserId;
use toml::de::DeValue;

use super::{Source, section::Section, settings::mxid};
use crate::catalogue::{
    RuleTest, RuleTestAction, RuleTestAnswer,
    problems::{Located, Place, Problems},
};

/// When a case that names no time is asked: noon of a Wednesday.
const NOON: &str = "2026-01-07T12:00:00";

const ACTIONS: &[(&str, RuleTestAction)] = &[
    ("run", RuleTestAction::Run),
    ("approve", RuleTestAction::Approve),
    ("deny", RuleTestAction::Deny),
    ("cancel", RuleTestAction::Cancel),
    ("reload", RuleTestAction::Reload),
    ("read_audit", RuleTestAction::ReadAudit),
    ("read_output", RuleTestAction::ReadOutput),
];

/// What an answer may be; what belongs to it is read from its own keys.
#[derive(Clone, Copy)]
enum Kind {
    Permitted,
    Refused,
    Waits,
}

/// Reads a file of cases.
pub(in crate::catalogue) fn rule_tests(
    source: &Source<'_>,
    zone: &TimeZone,
    problems: &Problems,
) -> Vec<RuleTest> {
    let table = source.parse(problems);
    let mut file = Section::whole(source, &table, problems);
    let sections = file.sections("test", "[[test]]");
    if sections.is_empty() && !file.has("test") {
        file.wrong(
            &Place::file(source.path),
            "a file without a test",
            "Write one: [[test]] with name, who, room, what and answer.",
        );
    }
    file.finish();
    sections.into_iter().filter_map(|section| rule_test(section, zone, problems)).collect()
}

fn rule_test(mut test: Section<'_>, zone: &TimeZone, problems: &Problems) -> Option<RuleTest> {
    let place = test.place.clone();
    let name = test.required_line("name", "name = \"The web team deploys to staging\"");
    let who = one_or_more(&mut test, "who");
    if who.is_empty() && !test.has("who") {
        test.wrong(&place, "who is missing in [[test]]", "Add who = \"@alice:example.org\"");
    }
    let who: Vec<_> = who.iter().filter_map(|who| mxid(who, problems)).collect();
    let power_level = test.integer("power_level", i64::MIN, i64::MAX).map_or(0, |level| level.value);
    let elevated = plain(test.texts("elevated"));
    let room = test.required_text("room", "room = \"deploy\": a file of rooms/, without .toml");
    let action = test.word("action", ACTIONS).unwrap_or(RuleTestAction::Run);
    let what = one_or_more(&mut test, "what");
    let needs_what = !matches!(action, RuleTestAction::Reload | RuleTestAction::ReadAudit);
    if needs_what && what.is_empty() {
        test.wrong(
            &place,
            "what is missing in [[test]]",
            "Add what = \"deploy web staging\": a command's line",
        );
    } else if !needs_what && !what.is_empty() {
        test.wrong(&place, "this action is about no command", "Take `what` out.");
    }
    let requester = test.text("requester");
    let needs_requester = needs_what && action != RuleTestAction::Run;
    match &requester {
        None if needs_requester => test.wrong(
            &place,
            "requester is missing in [[test]]",
            "Add requester = \"@bob:example.org\": whose request it is",
        ),
        Some(given) if !needs_requester => {
            test.wrong(&given.place, "this action is about nobody's request", "Take `requester` out.");
        }
        _ => {}
    }
    let requester = requester.and_then(|requester| mxid(&requester, problems));
    let at = at(&mut test, zone);
    let approved_by: Vec<OwnedUserId> =
        test.texts("approved_by").iter().filter_map(|who| mxid(who, problems)).collect();
    let confirmed = test.boolean("confirmed").unwrap_or(false);
    let answer = answer(&mut test, &place);
    test.finish();
    let what: Vec<_> = plain(what);
    Some(RuleTest {
        file: place.file,
        line: place.line,
        name: name?.value,
        who,
        power_level,
        elevated,
        room: room?.value,
        action,
        what,
        requester,
        at: at?,
        approved_by,
        confirmed,
        answer: answer?,
    })
}

fn answer(test: &mut Section<'_>, place: &Place) -> Option<RuleTestAnswer> {
    const KINDS: &[(&str, Kind)] =
        &[("permitted", Kind::Permitted), ("refused", Kind::Refused), ("waits", Kind::Waits)];
    if !test.has("answer") {
        test.wrong(
            place,
            "answer is missing in [[test]]",
            "Add answer = \"permitted\", \"refused\" or \"waits\"",
        );
    }
    let kind = test.word("answer", KINDS);
    let (has_by, has_waits) = (test.has("by"), test.has("waits_for"));
    let (by, waits_for) = (plain(test.texts("by")), plain(test.texts("waits_for")));
    let kind = kind?;
    match kind {
        Kind::Refused if !has_by => test.wrong(
            place,
            "by is missing in [[test]]",
            "Add by = [\"the-rule\"]; by = [] where no rule permits it",
        ),
        Kind::Waits if waits_for.is_empty() => test.wrong(
            place,
            "waits_for is missing in [[test]]",
            "Add waits_for = [\"leads\"]: teams, or \"confirmation\"",
        ),
        Kind::Waits if has_by => test.wrong(place, "by does not go with \"waits\"", "Write waits_for alone."),
        Kind::Permitted | Kind::Refused if has_waits => {
            test.wrong(place, "waits_for goes with answer = \"waits\" alone", "Take it out.");
        }
        _ => {}
    }
    Some(match kind {
        Kind::Permitted => RuleTestAnswer::Permitted { by },
        Kind::Refused => RuleTestAnswer::Refused { by },
        Kind::Waits => RuleTestAnswer::Waits { waits_for },
    })
}

fn plain(texts: Vec<Located<String>>) -> Vec<String> {
    texts.into_iter().map(|text| text.value).collect()
}

/// A text, or several.
fn one_or_more(test: &mut Section<'_>, key: &'static str) -> Vec<Located<String>> {
    match test.raw(key) {
        Some((DeValue::String(_), _)) => test.text(key).into_iter().collect(),
        _ => test.texts(key),
    }
}

/// A time, as a date of TOML's or in quotes; without an offset it is one of the rules' zone.
fn at(test: &mut Section<'_>, zone: &TimeZone) -> Option<Timestamp> {
    let (text, place) = match test.raw("at") {
        None => (NOON.to_owned(), None),
        Some((DeValue::String(text), place)) => (text.to_string(), Some(place)),
        Some((DeValue::Datetime(date), place)) => (date.to_string(), Some(place)),
        Some((_, place)) => (String::new(), Some(place)),
    };
    let in_zone = || zone.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    let read = text.parse::<Timestamp>().ok().or_else(in_zone);
    if let (None, Some(place)) = (read, place) {
        test.wrong(
            &place,
            format!("at = \"{text}\" is no time"),
            "Write at = 2026-11-24T10:00:00, in the rules' time zone, or with its offset: 2026-11-24T10:00:00Z",
        );
    }
    read
}
