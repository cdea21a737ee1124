//! The request that an invocation of an `http` command sends: values, never text that is pasted together.
//!
//! Whatever an argument holds, it stays one segment of the path, one value of the query, one header or one value in the
//! JSON. What cannot be said so is refused before anything is sent.

use std::fmt;

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use url::Url;

use super::fill::fill;
use crate::{
    catalogue::{
        HttpRun,
        http::{authority, is_dots},
        template::{Piece, pieces},
    },
    model::{Invocation, Value},
};

/// All that RFC 3986 does not leave as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request without its secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRequest {
    /// Its method.
    pub method: String,
    /// Where it goes.
    pub url: Url,
    /// Its headers by lower-case name, without those that carry secrets.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Option<Json>,
}

impl fmt::Display for HttpRequest {
    /// All of it in a line: `POST https://ci.example.org/api/deploys {"ref":"v1"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)?;
        for (name, value) in self.headers.iter().filter(|(name, _)| name != "content-type") {
            write!(f, " {name}: {value:?}")?;
        }
        self.body.as_ref().map_or(Ok(()), |body| write!(f, " {body}"))
    }
}

/// The request, with every argument in its place.
///
/// # Errors
///
/// An argument that cannot stand where it would have to, in words.
pub fn http_request(http: &HttpRun, invocation: &Invocation) -> Result<HttpRequest, String> {
    let mut headers = Vec::new();
    for (name, template) in &http.headers {
        let Some(value) = fill(template, invocation) else { continue };
        if HeaderValue::from_str(&value).is_err() {
            return Err(format!(
                "the header {name} would hold a line break, a control character or letters beyond ASCII: give its arguments a pattern"
            ));
        }
        headers.push((name.clone(), value));
    }
    let body = http.json.as_ref().and_then(|json| filled(json, invocation));
    if body.is_some() && !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    Ok(HttpRequest { method: http.method.clone(), url: url(http, invocation)?, headers, body })
}

fn url(http: &HttpRun, invocation: &Invocation) -> Result<Url, String> {
    let mut path = String::new();
    for template in &http.url.segments {
        let segment = segment(template, invocation)?;
        path.push('/');
        path.push_str(&segment);
    }
    let host = fill(&http.url.authority, invocation).ok_or("an argument of the url has no value")?;
    let host = host.to_lowercase();
    if !http.hosts.contains(&host) {
        return Err(format!("{host:?} is not among the hosts that this command declares"));
    }
    let mut url = Url::parse(&format!("{}://{host}{path}", http.url.scheme))
        .map_err(|error| format!("its url cannot be built: {error}"))?;
    // Nothing was read in another way than it was written.
    if authority(&url) != host || url.path() != path {
        return Err("an argument would change where the request goes".to_owned());
    }
    for (name, template) in &http.query {
        if let Some(value) = fill(template, invocation) {
            url.query_pairs_mut().append_pair(name, &value);
        }
    }
    Ok(url)
}

fn segment(template: &str, invocation: &Invocation) -> Result<String, String> {
    let mut text = String::new();
    let mut named = None;
    for piece in pieces(template)? {
        match piece {
            Piece::Text(fixed) => text.push_str(&fixed),
            Piece::Argument(name) => {
                let value = invocation.arguments.get(&name).ok_or("an argument of the url has no value")?;
                text.extend(utf8_percent_encode(&value.to_string(), RESERVED));
                named = Some(name);
            }
        }
    }
    match named {
        Some(name) if text.is_empty() || is_dots(&text) => {
            Err(format!("{name} would change the path of the url: it is empty, . or .."))
        }
        _ => Ok(text),
    }
}

/// A JSON value with its templates filled. `None` for what names an absent argument.
fn filled(json: &Json, invocation: &Invocation) -> Option<Json> {
    match json {
        Json::String(template) => match pieces(template).ok()?.as_slice() {
            [Piece::Argument(name)] => invocation.arguments.get(name).map(typed),
            _ => fill(template, invocation).map(Json::String),
        },
        Json::Array(items) => Some(items.iter().filter_map(|item| filled(item, invocation)).collect()),
        Json::Object(object) => Some(
            object.iter().filter_map(|(key, item)| Some((key.clone(), filled(item, invocation)?))).collect(),
        ),
        other => Some(other.clone()),
    }
}

fn typed(value: &Value) -> Json {
    match value {
        Value::Integer(number) => (*number).into(),
        Value::Boolean(yes) => (*yes).into(),
        Value::List(values) => values.iter().map(typed).collect(),
        other => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests;
