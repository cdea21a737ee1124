//! The `[run]` of a command whose executor is `http`.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderName, HeaderValue};
use toml::de::DeValue;

use super::{References, command::Templates, section::Section, section::integer};
use crate::catalogue::{
    http::{HeaderSecret, HttpRun, Poll, UrlTemplate, fixed_authority},
    problems::{Located, Place},
    template::{Piece, names, pieces},
};

/// What the connection itself decides, and nobody else.
const OURS: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// An answer longer than this would not fit into memory beside others.
const LONGEST_ANSWER: u64 = 16 << 20;

/// Reads what is sent, where to, and what is done with the answer.
pub(super) fn http(
    file: &mut Section<'_>,
    templates: &Templates<'_>,
    references: &mut References,
) -> Option<HttpRun> {
    if !file.has("method") {
        let _ = file.required_text("method", "method = \"POST\"");
    }
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"].map(|method| (method, method));
    let method = file.word("method", &methods);
    let private = file.boolean("private").unwrap_or(false);
    let url = url(file, templates);
    let scheme = url.as_ref().map_or("https", |(url, _)| url.scheme.as_str());
    let hosts = hosts(file, scheme, url.as_ref());
    if let Some((url, place)) = &url
        && url.scheme == "http"
        && !private
    {
        file.wrong(
            place,
            "the url is http://, which everybody on the way can read",
            "Write https://, or private = true where that way is your own.",
        );
    }
    let query = file.text_table("query");
    for value in query.values() {
        templates.check(value, "the query", false);
    }
    let headers = headers(file, templates);
    let credentials = credentials(file, &headers, references);
    let json = json(file, templates);
    if let (Some("GET"), Some((_, place))) = (method, &json) {
        file.wrong(place, "a GET has no body", "Remove json, or write another method.");
    }
    let expect = expect(file);
    let answer = pointer(file, "answer");
    let answer_limit = file.bytes("answer_limit").unwrap_or(1 << 20);
    if answer_limit > LONGEST_ANSWER {
        let place = file.raw("answer_limit").map_or_else(|| file.place.clone(), |(_, place)| place);
        file.wrong(&place, "answer_limit is more than 16 MiB", "Write at most \"16 MiB\".");
    }
    let poll = file.section("poll", "[run.poll]").map(read_poll);
    Some(HttpRun {
        method: method?.to_owned(),
        url: url?.0,
        query: plain(query),
        headers: plain(headers),
        credentials,
        json: json.map(|(json, _)| json),
        expect,
        answer,
        hosts,
        private,
        answer_limit: usize::try_from(answer_limit).ok()?,
        poll: match poll {
            None => None,
            Some(poll) => Some(poll?),
        },
    })
}

fn plain(table: BTreeMap<String, Located<String>>) -> BTreeMap<String, String> {
    table.into_iter().map(|(name, value)| (name, value.value)).collect()
}

fn url(file: &mut Section<'_>, templates: &Templates<'_>) -> Option<(UrlTemplate, Place)> {
    let text = file.required_text("url", "url = \"https://ci.example.org/api/deploys\"")?;
    templates.check(&text, "the url", true);
    match UrlTemplate::read(&text.value) {
        Ok(url) => Some((url, text.place)),
        Err((what, mend)) => {
            file.wrong(&text.place, what, mend);
            None
        }
    }
}

/// The hosts that it may speak to: that of its address, and those that are listed.
fn hosts(file: &mut Section<'_>, scheme: &str, url: Option<&(UrlTemplate, Place)>) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    for host in file.texts("hosts") {
        match fixed_authority(scheme, &host.value) {
            Some(authority) => {
                hosts.insert(authority);
            }
            None => file.wrong(
                &host.place,
                format!("\"{}\" is no host", host.value),
                "Write the whole name, and a port where it is not the usual one: \"ci.example.org:8443\".",
            ),
        }
    }
    if let Some((url, place)) = url {
        if names(&url.authority).is_empty() {
            hosts.insert(url.authority.clone());
        } else if hosts.is_empty() {
            file.wrong(
                place,
                "the url's host is an argument, and no hosts are declared",
                "Add hosts = [\"ci.example.org\", ...]: it goes to none but these.",
            );
        }
    }
    hosts
}

/// The headers by lower-case name.
fn headers(file: &mut Section<'_>, templates: &Templates<'_>) -> BTreeMap<String, Located<String>> {
    let mut headers = BTreeMap::new();
    for (name, value) in file.text_table("headers") {
        templates.check(&value, "the header", false);
        let fixed = pieces(&value.value).unwrap_or_default();
        let bad = |piece: &Piece| matches!(piece, Piece::Text(text) if HeaderValue::from_str(text).is_err());
        if fixed.iter().any(bad) {
            file.wrong(
                &value.place,
                format!("the header {name} holds line breaks or letters beyond ASCII"),
                "Write it in plain ASCII, in one line.",
            );
        }
        if let Some(name) = header_name(file, &name, &value.place, headers.contains_key(&name.to_lowercase()))
        {
            headers.insert(name, value);
        }
    }
    headers
}

fn header_name(file: &Section<'_>, name: &str, place: &Place, twice: bool) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        file.wrong(place, format!("\"{name}\" is no name of a header"), "Write letters, digits and - alone.");
    } else if OURS.contains(&lower.as_str()) {
        file.wrong(
            place,
            format!("the header {name} is not yours to set"),
            "Remove it: the connection decides it.",
        );
    } else if twice {
        file.wrong(place, format!("the header {name} is given twice"), "Remove one of them.");
    } else {
        return Some(lower);
    }
    None
}

/// The headers that carry secrets: what stands before the last space is sent as it is.
fn credentials(
    file: &mut Section<'_>,
    headers: &BTreeMap<String, Located<String>>,
    references: &mut References,
) -> BTreeMap<String, HeaderSecret> {
    let mut credentials = BTreeMap::new();
    for (name, value) in file.text_table("credentials") {
        let (before, secret) = match value.value.rsplit_once(' ') {
            Some((before, secret)) => (format!("{before} "), secret.to_owned()),
            None => (String::new(), value.value.clone()),
        };
        if HeaderValue::from_str(&before).is_err() {
            file.wrong(
                &value.place,
                format!("what stands before the secret in {name} cannot be sent"),
                "Write it in plain ASCII: \"Bearer NAME\".",
            );
        }
        references.secrets.push(Located { value: secret.clone(), place: value.place.clone() });
        let lower = name.to_lowercase();
        let twice = headers.contains_key(&lower) || credentials.contains_key(&lower);
        if let Some(name) = header_name(file, &name, &value.place, twice) {
            credentials.insert(name, HeaderSecret { before, secret });
        }
    }
    credentials
}

fn json(file: &mut Section<'_>, templates: &Templates<'_>) -> Option<(serde_json::Value, Place)> {
    let (value, place) = file.raw("json")?;
    Some((read_json(file, value, &place, templates)?, place))
}

/// A value of TOML as one of JSON, its texts checked as templates.
fn read_json(
    file: &Section<'_>,
    value: &DeValue<'_>,
    place: &Place,
    templates: &Templates<'_>,
) -> Option<serde_json::Value> {
    match value {
        DeValue::String(text) => {
            templates.check(&Located { value: text.to_string(), place: place.clone() }, "the json", false);
            Some(text.to_string().into())
        }
        DeValue::Boolean(yes) => Some((*yes).into()),
        DeValue::Integer(_) => integer(value).map(Into::into),
        DeValue::Float(number) => {
            number.as_str().parse::<f64>().ok().filter(|it| it.is_finite()).map(Into::into)
        }
        DeValue::Datetime(_) => None,
        DeValue::Array(items) => items
            .iter()
            .map(|item| read_json(file, item.get_ref(), &file.place_at(item.span().start), templates))
            .collect::<Option<Vec<_>>>()
            .map(Into::into),
        DeValue::Table(table) => {
            let mut object = serde_json::Map::new();
            for (key, item) in table {
                let place = file.place_at(key.span().start);
                object.insert(key.get_ref().to_string(), read_json(file, item.get_ref(), &place, templates)?);
            }
            Some(object.into())
        }
    }
    .or_else(|| {
        if !matches!(value, DeValue::Array(_) | DeValue::Table(_)) {
            file.wrong(
                place,
                "JSON has no such value",
                "Write a text in quotes, a number, true or false, a list or a table.",
            );
        }
        None
    })
}

fn expect(file: &mut Section<'_>) -> BTreeSet<u16> {
    let Some((value, place)) = file.raw("expect") else { return BTreeSet::new() };
    let read = |item: &DeValue<'_>| {
        integer(item)
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| (200..600).contains(status))
    };
    let statuses: Option<BTreeSet<u16>> = match value {
        DeValue::Array(items) if !items.is_empty() => items.iter().map(|item| read(item.get_ref())).collect(),
        _ => None,
    };
    if statuses.is_none() {
        file.wrong(
            &place,
            "expect is no list of statuses",
            "Write expect = [200, 201]: numbers from 200 to 599.",
        );
    }
    statuses.unwrap_or_default()
}

/// A JSON pointer (RFC 6901).
fn pointer(file: &mut Section<'_>, key: &'static str) -> Option<String> {
    let text = file.text(key)?;
    if !text.value.starts_with('/') {
        file.wrong(
            &text.place,
            format!("{key} = \"{}\" is no JSON pointer", text.value),
            format!("Write {key} = \"/build/status\": a slash before each name or index."),
        );
    }
    Some(text.value)
}

fn read_poll(mut file: Section<'_>) -> Option<Poll> {
    let at = file
        .required_text("at", "at = \"location\", or the JSON pointer of the job's address: at = \"/url\"");
    if let Some(at) = at.as_ref().filter(|at| at.value != "location" && !at.value.starts_with('/')) {
        file.wrong(
            &at.place,
            format!("at = \"{}\" is not known", at.value),
            "Write at = \"location\", or a JSON pointer.",
        );
    }
    let every = file.duration("every").unwrap_or(5);
    let field = pointer(&mut file, "field");
    let (done, failed) = (file.texts("done"), file.texts("failed"));
    if field.is_some() && done.is_empty() {
        file.wrong(
            &file.place,
            "done is missing in [run.poll]",
            "Add done = [\"success\"]: the states that mean that it is done.",
        );
    }
    if let (None, Some(state)) = (&field, done.first().or(failed.first())) {
        file.wrong(
            &state.place,
            "states are named, and no field that holds them",
            "Add field = \"/status\".",
        );
    }
    if let Some(both) = failed.iter().find(|state| done.iter().any(|it| it.value == state.value)) {
        file.wrong(
            &both.place,
            format!("\"{}\" means both success and failure", both.value),
            "Remove one of them.",
        );
    }
    file.finish();
    let values = |states: Vec<Located<String>>| states.into_iter().map(|state| state.value).collect();
    Some(Poll {
        at: at?.value,
        every_s: u64::try_from(every).ok()?,
        field,
        done: values(done),
        failed: values(failed),
    })
}
