//! Searching the log: the one language of the room, the command line and the web.
//!
//! What was given is read into a [`Search`], or into a mistake of the grammar's own kind. Who may see what is the
//! caller's to say: it gives the rooms whose log its reader may read, and says of an output whether they may.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, UserId};

use crate::{
    catalogue::{OUTCOMES, Ops, duration, nearest, one_of},
    command::Mistake,
    model::{RequestNumber, SignedDuration, Timestamp, quoted},
    storage::{Cursor, Error, Found, Recorded, RoomIds, Search, Storage},
};

/// The names of what can be given.
pub const NAMES: [&str; 14] = [
    "by", "team", "server", "room", "command", "system", "argument", "outcome", "rule", "kind", "since",
    "until", "text", "before",
];
/// Those whose values are somebody's own words, which may have to be erased one day.
const OWN_WORDS: [&str; 2] = ["argument", "text"];
/// How many are looked at in one go at most, where some may have to be left out.
const STEP: i64 = 1_000;
/// How many are looked at for one page, before its reader is asked to narrow the search.
const MOST: i64 = 5_000;

/// What was given, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given(pub BTreeMap<String, String>);

/// What a search may speak of.
#[derive(Debug, Clone, Copy)]
pub struct Within<'a> {
    /// How it is asked for, for examples: `audit`.
    pub line: &'a str,
    /// The version in force: teams.
    pub ops: &'a Ops,
    /// The rooms that can be named, by key.
    pub rooms: &'a RoomIds,
    /// The time now, for `7d`.
    pub now: Timestamp,
}

impl Given {
    /// Whether anything narrows it down.
    pub fn is_narrow(&self) -> bool {
        self.0.keys().any(|name| name != "before")
    }

    /// Where the page begins.
    pub fn before(&self) -> Option<&str> {
        self.0.get("before").map(String::as_str)
    }

    /// As it is typed: ` --by @alice:example.org --since 7d`.
    pub fn line(&self) -> String {
        let named = self.0.iter().map(|(name, value)| [" --", name.as_str(), " ", &quoted(value)].concat());
        named.collect()
    }

    /// The same for the page that begins behind `cursor`.
    #[must_use]
    pub fn behind(&self, cursor: Cursor) -> Self {
        let mut given = self.clone();
        given.0.insert("before".to_owned(), cursor.to_string());
        given
    }

    /// As it is recorded: an entry is for ever, so it holds nobody's own words.
    pub fn recorded(&self) -> String {
        let words = self.0.iter().map(|(name, value)| {
            let shown = if OWN_WORDS.contains(&name.as_str()) { "…".into() } else { quoted(value) };
            [" --", name.as_str(), " ", &shown].concat()
        });
        words.collect()
    }

    /// As a search. Its rooms are the one that was named, or nothing: the caller says what that means.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with an example that works.
    pub fn read(&self, within: Within<'_>) -> Result<(Search, Option<Cursor>), Mistake> {
        if let Some(strange) = self.0.keys().find(|name| !NAMES.contains(&name.as_str())) {
            return Err(Mistake::UnknownArgument {
                command: within.line.to_owned(),
                name: format!("--{strange}"),
                suggestion: nearest(strange, NAMES).map(|near| format!("--{near}")),
                known: NAMES.iter().map(|&name| name.to_owned()).collect(),
            });
        }
        let get = |name: &str| self.0.get(name).cloned();
        let moment = |name: &str| {
            let read = |text: &str| {
                self::moment(text, within.now)
                    .ok_or_else(|| within.wrong(name, text, "a time or so long ago", None, "7d"))
            };
            self.0.get(name).map(|text| read(text)).transpose()
        };
        let before = self.0.get("before").map(|text| {
            text.parse::<Cursor>().map_err(|_| {
                within.wrong(
                    "before",
                    text,
                    "where the page before ended, as it said",
                    None,
                    "1795000000000000.4711",
                )
            })
        });
        let search = Search {
            rooms: self
                .0
                .get("room")
                .map(|key| within.room(key))
                .transpose()?
                .map(|ids| ids.into_iter().collect()),
            request: None,
            by: self.0.get("by").map(|who| within.person(who)).transpose()?,
            team: self.0.get("team").map(|team| within.team(team)).transpose()?,
            server: get("server"),
            command: get("command"),
            system: get("system"),
            argument: self.0.get("argument").map(|text| within.argument(text)).transpose()?,
            outcome: self.0.get("outcome").map(|text| within.outcome(text)).transpose()?,
            rule: get("rule"),
            kind: get("kind"),
            since: moment("since")?,
            until: moment("until")?,
            words: get("text"),
        };
        Ok((search, before.transpose()?))
    }
}

impl Within<'_> {
    fn wrong(&self, name: &str, given: &str, expected: &str, meant: Option<&str>, example: &str) -> Mistake {
        Mistake::WrongValue {
            command: self.line.to_owned(),
            argument: name.to_owned(),
            given: given.to_owned(),
            expected: expected.to_owned(),
            suggested: meant.is_some(),
            example: format!("{} --{name} {}", self.line, quoted(meant.unwrap_or(example))),
        }
    }

    fn one_of<'b>(&self, name: &str, given: &str, there: impl Iterator<Item = &'b str> + Clone) -> Mistake {
        let names: Vec<_> = there.clone().collect();
        let example = names.first().copied().unwrap_or("NAME");
        self.wrong(name, given, &one_of(&names), nearest(given, there), example)
    }

    fn room(&self, key: &str) -> Result<Vec<OwnedRoomId>, Mistake> {
        let by_id = self.rooms.values().find(|ids| ids.iter().any(|id| id.as_str() == key));
        let found = self.rooms.get(key).or(by_id).cloned();
        found.ok_or_else(|| self.one_of("room", key, self.rooms.keys().map(String::as_str)))
    }

    fn person(&self, who: &str) -> Result<String, Mistake> {
        // Entries of the command line name users of the operating system: `root at host`.
        if who.contains(" at ") || UserId::parse(who).is_ok() {
            return Ok(who.to_owned());
        }
        Err(self.wrong("by", who, "a whole MXID", None, "@alice:example.org"))
    }

    fn team(&self, key: &str) -> Result<std::collections::BTreeSet<ruma::OwnedUserId>, Mistake> {
        let found = self.ops.teams.get(key).map(|team| team.users.clone());
        found.ok_or_else(|| self.one_of("team", key, self.ops.teams.keys().map(String::as_str)))
    }

    fn argument(&self, text: &str) -> Result<(String, String), Mistake> {
        let read = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let read = read.map(|(name, value)| (name.to_owned(), value.to_owned()));
        read.ok_or_else(|| {
            self.wrong("argument", text, "an argument's name, `=` and its value", None, "env=staging")
        })
    }

    fn outcome(&self, text: &str) -> Result<String, Mistake> {
        let found = OUTCOMES.iter().find(|&&name| name == text).map(|&name| name.to_owned());
        found.ok_or_else(|| self.one_of("outcome", text, OUTCOMES.into_iter()))
    }

    /// Where nothing is found: the command that was probably meant.
    pub fn hint(&self, search: &Search) -> Option<String> {
        let name = search.command.as_deref().filter(|name| !self.ops.commands.contains_key(*name))?;
        let near = nearest(name, self.ops.commands.keys().map(String::as_str));
        let near = near.map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
        Some(format!("No command {name} is declared now.{near}"))
    }
}

/// A time as it was given (`2026-11-23T12:00:00Z`, `2026-11-23`), or so long ago (`2h`, `7d`).
pub fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    if let Ok(day) = text.parse::<jiff::civil::Date>() {
        return day.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|day| day.timestamp());
    }
    now.checked_sub(SignedDuration::from_secs(duration(text)?)).ok()
}

/// What is recorded of a request's number alone.
pub fn of_request(number: RequestNumber) -> Search {
    Search { request: Some(number), ..Search::default() }
}

/// A page of what was found, with its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finds {
    /// What was found, the newest first; each with its entries, the newest first.
    pub found: Vec<(Found, Vec<Recorded>)>,
    /// Where older ones may be.
    pub older: Option<Cursor>,
    /// Why there may be more than was found, apart from what is older.
    pub short: Option<Short>,
}

/// Why not everything was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// It would have taken too long.
    TooLong,
    /// What was recorded last is not all in what is searched.
    Behind,
}

impl Short {
    /// What is said of it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::TooLong => {
                "Not everything was looked at, because it takes too long. Narrow it, by --since and --until for example."
            }
            Self::Behind => {
                "What was recorded last cannot be searched yet: it is being taken in. Ask again in some minutes."
            }
        }
    }
}

/// A page of at most `limit` of what its reader may see; everything that was committed before is seen. `may_read` says of
/// something that was found by what it printed alone whether they may read that: where they may not, it is not found.
pub async fn find(
    storage: &Storage,
    search: &Search,
    before: Option<Cursor>,
    limit: usize,
    may_read: &(dyn Fn(&Found) -> bool + Sync),
) -> Result<Finds, Error> {
    let is_whole = storage.catch_up().await?;
    let finds = find_more(storage, search, before, limit, may_read).await?;
    let behind = (!is_whole).then_some(Short::Behind);
    Ok(Finds { short: finds.short.or(behind), ..finds })
}

/// As [`find`], for the further pages of a search: what came since it began need not be there.
pub async fn find_more(
    storage: &Storage,
    search: &Search,
    before: Option<Cursor>,
    limit: usize,
    may_read: &(dyn Fn(&Found) -> bool + Sync),
) -> Result<Finds, Error> {
    let mut step = i64::try_from(limit).unwrap_or(STEP) + 1;
    let (mut seen, mut behind, mut looked_at): (Vec<Found>, _, _) = (Vec::new(), before, 0);
    let (mut is_over, mut short) = (false, None);
    while seen.len() <= limit && !is_over && short.is_none() {
        let page = match storage.search(search, behind, step).await {
            Ok(page) => page,
            Err(Error::TooLong) => {
                short = Some(Short::TooLong);
                break;
            }
            Err(error) => return Err(error),
        };
        let count = i64::try_from(page.len()).unwrap_or(i64::MAX);
        is_over = count < step;
        behind = page.last().map(|last| last.cursor);
        looked_at += count;
        seen.extend(page.into_iter().filter(|found| !found.only_printed || may_read(found)));
        if looked_at >= MOST.max(step) && !is_over {
            short = Some(Short::TooLong);
        }
        // What was left out is made up for in ever larger steps.
        step = (step * 4).clamp(step, STEP.max(step));
    }
    let is_cut = seen.len() > limit;
    seen.truncate(limit);
    // Behind something that its reader is told of: the place of what they may not find would tell that it is there.
    let older = seen.last().filter(|_| is_cut || short.is_some()).map(|last| last.cursor);
    let entries = storage.entries_of(&seen).await?;
    let short = short.filter(|_| !is_cut);
    Ok(Finds { found: seen.into_iter().zip(entries).collect(), older, short })
}
