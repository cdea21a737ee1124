//! Outcomes, commands, people and waiting times of the last days: of the rooms whose record the reader may read, and of nothing
//! else. Each chart is drawn here, with its numbers in a table beside it.

use std::collections::BTreeMap;

use askama::Template;
use axum::{Router, extract::State, http::StatusCode, response::Response, routing::get};

use super::{
    Pages,
    html::{Frame, Stop, page},
    visitor::Visitor,
};
use crate::{
    model::{SignedDuration, Timestamp},
    storage::{Count, Waited},
};

/// How many days are looked at, today included.
const DAYS: i64 = 30;
/// How large a chart is drawn, in its own units: it is scaled to the page.
const WIDTH: i64 = 720;
const HEIGHT: i64 = 160;

pub(super) fn routes() -> Router<Pages> {
    Router::new().route("/charts", get(charts))
}

struct Bar {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
}

/// A chart, and the same as a table.
struct Chart {
    title: &'static str,
    about: &'static str,
    bars: Vec<Bar>,
    /// What stands below the first and the last bar.
    ends: Option<(String, String)>,
    most: String,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

#[derive(Template)]
#[template(path = "charts.html")]
struct Shown<'a> {
    frame: Frame<'a>,
    days: i64,
    counted: i64,
    is_whole: bool,
    all: Vec<Chart>,
}

async fn charts(State(pages): State<Pages>, visitor: Visitor) -> Result<Response, Stop> {
    let who = &visitor.session.user;
    let _place = pages.asking.acquire().await;
    let sight = pages.decides.sight(who).await?;
    let rooms: Vec<_> = sight.rooms().values().flatten().cloned().collect();
    let only = sight.rooms().values().next().filter(|_| sight.rooms().len() == 1);
    let about = only.and_then(|ids| ids.first()).map(|room| &**room);
    let query = format!("on the pages: charts of the last {DAYS} days");
    pages.decides.reads(who, about, &query).await?;
    let days = days(pages.storage.now());
    let since = days.first().and_then(|day| format!("{day}T00:00:00Z").parse().ok());
    let since = since.unwrap_or(Timestamp::UNIX_EPOCH);
    let is_whole = pages.storage.catch_up().await?;
    let counts = pages.storage.counts(&rooms, since).await?;
    let waited = pages.storage.waited(&rooms, since).await?;
    let top = |what, title, about, name| by_name(&counts, what, title, about, name);
    let all = vec![
        outcomes(&days, &counts),
        waits(&days, &waited),
        top(
            "command",
            "Commands",
            "How often each was asked for; the twelve that were most often.",
            "Command",
        ),
        top(
            "person",
            "People",
            "How often each asked for something; the twelve who did most often.",
            "Person",
        ),
    ];
    let frame = Frame::of(&visitor, "charts");
    let counted = crate::storage::COUNTED;
    Ok(page(StatusCode::OK, &Shown { frame, days: DAYS, counted, is_whole, all }))
}

/// The days that are looked at, the oldest first.
fn days(now: Timestamp) -> Vec<String> {
    let day = |back: i64| now - SignedDuration::from_hours(24 * back);
    (0..DAYS).rev().map(|back| day(back).strftime("%F").to_string()).collect()
}

/// Bars beside one another, each as high as its number.
fn standing(numbers: &[i64]) -> Vec<Bar> {
    let most = numbers.iter().copied().max().unwrap_or_default().max(1);
    let step = WIDTH / i64::try_from(numbers.len()).unwrap_or(1).max(1);
    let bars = numbers.iter().zip(0..).map(|(number, place)| {
        // What is there at all is seen.
        let height = (number.saturating_mul(HEIGHT) / most).max(i64::from(*number > 0) * 2);
        Bar { x: place * step + 2, y: HEIGHT - height, width: step - 4, height }
    });
    bars.collect()
}

/// Bars below one another, each as long as its number.
fn lying(numbers: &[i64]) -> Vec<Bar> {
    let most = numbers.iter().copied().max().unwrap_or_default().max(1);
    let bars = numbers.iter().zip(0..).map(|(number, place)| {
        let width = (number.saturating_mul(WIDTH) / most).max(2);
        Bar { x: 0, y: place * 14, width, height: 10 }
    });
    bars.collect()
}

fn ends(days: &[String]) -> Option<(String, String)> {
    Some((days.first()?.clone(), days.last()?.clone()))
}

fn outcomes(days: &[String], counts: &[Count]) -> Chart {
    const NAMED: [&str; 4] = ["succeeded", "failed", "refused", "denied"];
    let mut by_day: BTreeMap<&str, [i64; 5]> = days.iter().map(|day| (day.as_str(), [0; 5])).collect();
    for count in counts.iter().filter(|count| count.what == "outcome") {
        let place = NAMED.iter().position(|name| *name == count.which).unwrap_or(4);
        by_day.entry(&count.day).or_default()[place] += count.count;
    }
    let totals: Vec<i64> = by_day.values().map(|counts| counts.iter().sum()).collect();
    let rows = by_day.iter().rev().filter(|(_, counts)| counts.iter().any(|count| *count > 0));
    let rows = rows.map(|(day, counts)| {
        [(*day).to_owned()].into_iter().chain(counts.iter().map(ToString::to_string)).collect()
    });
    Chart {
        title: "Requests and what became of them",
        about: "How many were asked for on each day.",
        bars: standing(&totals),
        ends: ends(days),
        most: totals.iter().max().map(ToString::to_string).unwrap_or_default(),
        head: vec!["Day", "Succeeded", "Failed", "Refused", "Denied", "Other"],
        rows: rows.collect(),
    }
}

fn waits(days: &[String], waited: &[Waited]) -> Chart {
    let of = |day: &String| waited.iter().find(|it| it.day == *day);
    let medians: Vec<i64> = days.iter().map(|day| of(day).map_or(0, |it| it.median_ms)).collect();
    let rows = waited
        .iter()
        .rev()
        .map(|it| vec![it.day.clone(), it.count.to_string(), seconds(it.median_ms), seconds(it.longest_ms)]);
    Chart {
        title: "How long what ran had waited",
        about: "From its arrival to its start, approvals included: the median of each day.",
        bars: standing(&medians),
        ends: ends(days),
        most: medians.iter().max().map(|most| seconds(*most)).unwrap_or_default(),
        head: vec!["Day", "Ran", "Median", "Longest"],
        rows: rows.collect(),
    }
}

fn by_name(
    counts: &[Count],
    what: &str,
    title: &'static str,
    about: &'static str,
    name: &'static str,
) -> Chart {
    let of: Vec<&Count> = counts.iter().filter(|count| count.what == what).collect();
    let numbers: Vec<i64> = of.iter().map(|count| count.count).collect();
    Chart {
        title,
        about,
        bars: lying(&numbers),
        ends: None,
        most: numbers.iter().max().map(ToString::to_string).unwrap_or_default(),
        head: vec![name, "Requests"],
        rows: of.iter().map(|count| vec![count.which.clone(), count.count.to_string()]).collect(),
    }
}

/// `0.12 s`, `42 s`, `3 min`.
fn seconds(milliseconds: i64) -> String {
    match milliseconds {
        ..10_000 => format!("{}.{:02} s", milliseconds / 1_000, milliseconds % 1_000 / 10),
        10_000..120_000 => format!("{} s", milliseconds / 1_000),
        _ => format!("{} min", milliseconds / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_its_bar_and_what_is_there_is_seen() {
        let bars = standing(&[0, 1, 1_000_000]);
        assert_eq!(bars.iter().map(|bar| bar.height).collect::<Vec<_>>(), [0, 2, HEIGHT]);
        assert!(bars.iter().all(|bar| bar.x + bar.width <= WIDTH && bar.y + bar.height == HEIGHT));
        assert_eq!(standing(&[]).len(), 0);
        let days = days("2026-03-01T00:00:01Z".parse().unwrap());
        assert_eq!((days.len(), &*days[0], &*days[29]), (30, "2026-01-31", "2026-03-01"));
    }

    #[test]
    fn a_waiting_time_reads_as_one() {
        assert_eq!([120, 42_000, 185_000].map(seconds), ["0.12 s", "42 s", "3 min"]);
    }
}
