//! The record as a table: what is searched for stands in the address, in the language of the room and the command line.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use ruma::UserId;
use url::form_urlencoded;

use super::{
    Pages, Sight,
    html::{Frame, Moment, Stop, page},
    visitor::Visitor,
};
use crate::{
    audit::{
        self,
        search::{self, Given, Within},
    },
    catalogue::OUTCOMES,
    model::{Message, Span, State as Stands},
    storage::{Found, Recorded},
};

/// How many rows a page has.
const ROWS: usize = 50;
/// How many fields are at hand.
const AT_HAND: usize = 5;
/// How long what is searched for may be, in bytes of the address; and each part of it, in characters, as in a room.
const LONGEST: (usize, usize) = (4_000, 200);

pub(super) fn routes() -> Router<Pages> {
    Router::new().route("/trail", get(trail))
}

/// A field of the form.
struct Field {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    value: String,
    /// What can be chosen, and whether it is; anything, where there is nothing to choose from.
    choices: Vec<(String, bool)>,
}

struct Row {
    at: Moment,
    number: Option<String>,
    who: String,
    what: Vec<Span>,
    mark: &'static str,
    outcome: String,
    room: String,
    rules: Vec<String>,
}

#[derive(Template)]
#[template(path = "trail.html")]
struct Trail<'a> {
    frame: Frame<'a>,
    fields: Vec<Field>,
    /// Those that are rarely needed, and whether any is.
    more: Vec<Field>,
    more_given: bool,
    is_narrow: bool,
    rows: Vec<Row>,
    hint: Option<String>,
    /// Why there may be more, apart from what is older.
    short: Option<&'static str>,
    /// Behind the `?` of the page with older ones.
    older: Option<String>,
    is_first: bool,
}

async fn trail(
    State(pages): State<Pages>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Response, Stop> {
    let given = given(&query.unwrap_or_default())?;
    let who: &UserId = &visitor.session.user;
    let _place = pages.asking.acquire().await;
    let sight = pages.decides.sight(who).await?;
    let now = pages.storage.now();
    let within = Within { line: "audit", ops: sight.ops(), rooms: sight.rooms(), now };
    let (mut search, before) =
        given.read(within).map_err(|mistake| Stop::Unreadable(mistake.message(&pages.prefix)))?;
    let hint = within.hint(&search);
    // Where no room is named, all that they may read: nothing that is of no room, or of another.
    let all = || sight.rooms().values().flatten().cloned().collect();
    let rooms = search.rooms.get_or_insert_with(all);
    let mut of = sight.rooms().values().filter(|ids| ids.iter().any(|id| rooms.contains(id)));
    let about = of.next().filter(|_| of.next().is_none()).and_then(|ids| ids.first()).cloned();
    let query = match given.recorded().as_str() {
        "" => "on the pages: the last".to_owned(),
        narrow => format!("on the pages:{narrow}"),
    };
    // Each page is an entry, as in a room: whoever begins in the middle has read as well.
    pages.decides.reads(who, about.as_deref(), &query).await?;
    let may_read = |found: &Found| may_read(&*sight, found);
    let finds = search::find(&pages.storage, &search, before, ROWS, &may_read).await?;
    let rows = finds.found.iter().map(|(found, entries)| row(&*sight, found, entries)).collect();
    let short = finds.short.map(search::Short::words);
    let older = finds.older.map(|cursor| address(&given.behind(cursor)));
    let mut fields = fields(&given, &*sight);
    let more = fields.split_off(AT_HAND);
    let more_given = more.iter().any(|field| !field.value.is_empty());
    let (is_narrow, is_first) = (given.is_narrow(), before.is_none());
    let frame = Frame::of(&visitor, "trail");
    Ok(page(
        StatusCode::OK,
        &Trail { frame, fields, more, more_given, is_narrow, rows, hint, short, older, is_first },
    ))
}

/// What stands in the address, each once, and nothing that is empty: a form sends all its fields.
fn given(query: &str) -> Result<Given, Stop> {
    let unreadable = |words: &str| Stop::Unreadable(Message::plain().line([Span::text(words)]));
    if query.len() > LONGEST.0 {
        return Err(unreadable("What is searched for is too long."));
    }
    let mut given = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        if value.chars().count() > LONGEST.1 || value.contains(char::is_control) {
            return Err(unreadable(
                "A part of what is searched for is longer than 200 characters, or has signs that cannot be seen.",
            ));
        }
        if given.insert(name.into_owned(), value.to_owned()).is_some() {
            return Err(unreadable("The same thing is searched for twice: give each once."));
        }
    }
    Ok(Given(given))
}

/// The address' part that searches for one thing.
pub(super) fn searched(name: &str, value: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}

fn address(given: &Given) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(&given.0).finish()
}

/// Whether something that was found by what it printed alone may be found by this reader.
fn may_read(sight: &dyn Sight, found: &Found) -> bool {
    let (Some(room), Some(command), Some(who)) = (&found.room, &found.command, &found.who) else {
        return false;
    };
    UserId::parse(who.as_str())
        .is_ok_and(|who| sight.may_read_output(room, command, &who, found.subject.as_deref()))
}

fn row(sight: &dyn Sight, found: &Found, entries: &[Recorded]) -> Row {
    let state = found.state.as_deref().and_then(|state| state.parse::<Stands>().ok());
    let what = match (&found.command, found.request) {
        (Some(command), Some(_)) => {
            let subject = found.subject.as_ref().map(|subject| format!(" {subject}")).unwrap_or_default();
            let dry = if audit::is_dry(entries) { "dry " } else { "" };
            vec![Span::code(format!("{dry}{command}{subject}"))]
        }
        (None, Some(_)) => vec![Span::text("could not be understood")],
        _ => audit::summary(found, entries),
    };
    let key =
        sight.rooms().iter().find(|(_, ids)| found.room.as_ref().is_some_and(|room| ids.contains(room)));
    Row {
        at: Moment(found.cursor.at),
        number: found.request.map(|number| number.to_string()),
        who: found.who.clone().unwrap_or_default(),
        what,
        mark: state.map_or("", |state| audit::mark(state).symbol()),
        outcome: state.map_or_else(String::new, |state| audit::shown(state).to_owned()),
        room: key.map(|(key, _)| key.clone()).unwrap_or_default(),
        rules: audit::rules_of(entries),
    }
}

fn fields(given: &Given, sight: &dyn Sight) -> Vec<Field> {
    let value = |name: &str| given.0.get(name).cloned().unwrap_or_default();
    let field = |name, label, hint, choices: Vec<String>| {
        let value = value(name);
        let known = choices.is_empty() || choices.contains(&value);
        // What was asked for is shown as it was, even where it cannot be chosen.
        let strange = (!known && !value.is_empty()).then(|| value.clone());
        let choices = choices.into_iter().chain(strange);
        let choices = choices.map(|choice| (choice.clone(), choice == value)).collect();
        Field { name, label, hint, value, choices }
    };
    let rooms = sight.rooms().keys().cloned().collect();
    let outcomes = OUTCOMES.iter().map(ToString::to_string).collect();
    let commands = sight.ops().commands.keys().cloned().collect();
    vec![
        field("room", "Room", "", rooms),
        field("by", "Person", "@alice:example.org", Vec::new()),
        field("command", "Command", "", commands),
        field("system", "System", "web@production", Vec::new()),
        field("outcome", "Outcome", "", outcomes),
        field("argument", "Argument", "env=staging", Vec::new()),
        field("rule", "Rule", "two-person-rule", Vec::new()),
        field("team", "Team", "web", Vec::new()),
        field("server", "Homeserver", "example.org", Vec::new()),
        field("kind", "Kind of entry", "approval", Vec::new()),
        field("since", "Since", "7d, 2026-11-23", Vec::new()),
        field("until", "Before", "1d", Vec::new()),
        field("text", "Words, typed or printed", "", Vec::new()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_for_is_each_once_short_and_visible() {
        let of = |query: &str| given(query).ok().map(|given| given.0.into_iter().collect::<Vec<_>>());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            of("by=&command=deploy&text=a+b"),
            Some(vec![pair("command", "deploy"), pair("text", "a b")])
        );
        assert_eq!(of(""), Some(vec![]));
        assert_eq!(of("by=a&by=b"), None);
        assert_eq!(of(&format!("text={}", "a".repeat(201))), None);
        assert_eq!(of(&format!("by={}", "&x=".repeat(2_000))), None);
        assert_eq!(of("text=a%00b"), None);
    }

    #[test]
    fn an_address_says_again_what_was_given() {
        let asked = "command=deploy&text=%22a+b%22+%26+c";
        assert_eq!(address(&given(asked).unwrap()), asked);
    }
}
