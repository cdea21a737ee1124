//! What a command of the kind `http` declares: one request, and what is done with its answer.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use url::Url;

use super::template::{Piece, pieces};

/// A request that a command sends.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HttpRun {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Where it goes.
    pub url: UrlTemplate,
    /// Its query, each value a template; one that names an absent optional argument is left out.
    pub query: BTreeMap<String, String>,
    /// Its headers by lower-case name, each value a template, left out likewise.
    pub headers: BTreeMap<String, String>,
    /// The headers that carry secrets, by lower-case name.
    pub credentials: BTreeMap<String, HeaderSecret>,
    /// Its body: a JSON value whose texts are templates. One that is a single placeholder has that argument's type.
    pub json: Option<serde_json::Value>,
    /// The statuses that mean success; empty for all from 200 to 299.
    pub expect: BTreeSet<u16>,
    /// The part of the answer that is shown, as a JSON pointer (RFC 6901); the whole of it by default.
    pub answer: Option<String>,
    /// The hosts, each with its port where that is not the scheme's own, that it may go to.
    pub hosts: BTreeSet<String>,
    /// Whether these hosts may have private addresses, and may be spoken to without TLS.
    pub private: bool,
    /// How long an answer may be, in bytes.
    pub answer_limit: usize,
    /// How the end of a long job is waited for.
    pub poll: Option<Poll>,
}

/// A header that carries a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderSecret {
    /// What stands before it: `Bearer `.
    pub before: String,
    /// The secret's name.
    pub secret: String,
}

/// How the end of a job that a request began is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Poll {
    /// Where the job's state is asked for: `location`, the header of that name, or a JSON pointer into the answer.
    pub at: String,
    /// How often, in seconds.
    pub every_s: u64,
    /// The JSON pointer of the state. Without it, the job goes on while the answer's status is 202.
    pub field: Option<String>,
    /// The states that mean success.
    pub done: BTreeSet<String>,
    /// The states that mean failure.
    pub failed: BTreeSet<String>,
}

/// An address with placeholders, taken apart before any of them is filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UrlTemplate {
    /// `https` or `http`.
    pub scheme: String,
    /// Host and port: a template, or as [`authority`] writes it.
    pub authority: String,
    /// The segments of the path, a template each.
    pub segments: Vec<String>,
}

impl UrlTemplate {
    /// Takes an address apart.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and the mend.
    pub fn read(text: &str) -> Result<Self, (String, &'static str)> {
        const EXAMPLE: &str = "Write url = \"https://ci.example.org/api/projects/{app}/deploys\".";
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| ["https", "http"].contains(scheme))
            .ok_or_else(|| ("the url begins with neither https:// nor http://".to_owned(), EXAMPLE))?;
        if rest.contains(['?', '#']) {
            return Err((
                "the url has a query or a fragment".to_owned(),
                "Write each value in query = { name = \"{value}\" }, where it stays one value.",
            ));
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            return Err((
                "the url holds a user or a password".to_owned(),
                "Write credentials = { Authorization = \"Basic SECRET\" }, with a secret's name.",
            ));
        }
        let authority = if host.contains(['{', '}']) {
            host.to_owned()
        } else {
            fixed_authority(scheme, host)
                .ok_or_else(|| (format!("\"{host}\" in the url is no host"), EXAMPLE))?
        };
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        for (index, segment) in segments.iter().enumerate() {
            if segment.is_empty() && index + 1 < segments.len() {
                return Err(("the url has two slashes without anything between".to_owned(), "Remove one."));
            }
            for piece in pieces(segment).unwrap_or_default() {
                if let Piece::Text(text) = piece
                    && let Some(c) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !PLAIN.contains(*c))
                {
                    return Err((
                        format!("the url holds {c:?}, which cannot stand in a path"),
                        "Write it percent-encoded: %20 for a space.",
                    ));
                }
            }
            if is_dots(segment) {
                return Err((format!("the url goes by way of \"{segment}\""), "Write the path itself."));
            }
        }
        Ok(Self { scheme: scheme.to_owned(), authority, segments })
    }
}

/// What may stand in a segment beside letters and digits (RFC 3986, `pchar`).
const PLAIN: &str = "-._~!$&'()*+,;=:@%";

/// Whether a segment means "here" or "one up" to who reads it (WHATWG URL, dot segments).
pub fn is_dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

/// Host and port of an address, the scheme's own port left out.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A host, with or without a port, as [`authority`] writes it. `None` if it is more or less than that.
pub fn fixed_authority(scheme: &str, host: &str) -> Option<String> {
    if host.contains(['/', '\\', '?', '#', '@']) {
        return None;
    }
    let url = Url::parse(&format!("{scheme}://{host}/")).ok()?;
    Some(authority(&url)).filter(|it| !it.is_empty())
}
