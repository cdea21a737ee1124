//! An answer: read to its limit, compared with what is expected, and the part of it that is shown.

use std::collections::BTreeSet;

use http::StatusCode;
use reqwest::{Response, header::LOCATION};
use serde_json::Value;
use url::Url;

use super::{Lost, causes, is_a_gateways, named};

/// What came back.
pub(super) enum Answer {
    /// What was expected, the whole of it.
    Whole(Whole),
    /// Another status than expected, or a redirect to elsewhere; why, in words.
    Refused(String),
    /// The word of a gateway that had no answer itself: what it passed on may have had its effect.
    Behind(String),
    /// More than it may be.
    Long(String),
}

/// An expected answer.
pub(super) struct Whole {
    /// Who gave it.
    pub(super) from: Url,
    /// Its status.
    pub(super) status: StatusCode,
    /// Where it points to.
    pub(super) location: Option<Url>,
    body: Vec<u8>,
}

impl Whole {
    /// The body as text, or the status where there is none.
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = text.trim_end();
        if text.is_empty() { self.status.to_string() } else { text.to_owned() }
    }

    /// The part at a JSON pointer, as people read it; the whole without one.
    pub(super) fn part(&self, pointer: Option<&str>) -> Result<String, String> {
        let Some(pointer) = pointer else { return Ok(self.text()) };
        match self.at(pointer)? {
            Value::String(text) => Ok(text),
            value => Ok(serde_json::to_string_pretty(&value).unwrap_or_default()),
        }
    }

    /// The value at a JSON pointer.
    pub(super) fn at(&self, pointer: &str) -> Result<Value, String> {
        let (from, status) = (named(&self.from), self.status);
        let json: Value = serde_json::from_slice(&self.body).map_err(|error| {
            format!(
                "{from} answered {status}, and what it said is no JSON (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        json.pointer(pointer).cloned().ok_or_else(|| {
            format!("{from} answered {status}, and there is nothing at {pointer} in what it said")
        })
    }
}

/// Where a response points to.
pub(super) fn location(response: &Response, url: &Url) -> Option<Url> {
    let text = response.headers().get(LOCATION)?.to_str().ok()?;
    url.join(text).ok()
}

/// Reads an answer, with its text where it is not what was expected.
pub(super) async fn read(
    mut response: Response,
    url: &Url,
    limit: usize,
    expect: &BTreeSet<u16>,
) -> Result<(Answer, Option<String>), Lost> {
    let (from, status) = (named(url), response.status());
    let expected = if expect.is_empty() { status.is_success() } else { expect.contains(&status.as_u16()) };
    let location = location(&response, url);
    let mut body = Vec::new();
    let broke = loop {
        match response.chunk().await {
            Ok(None) => break None,
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => break Some(causes(error)),
        }
        if body.len() > limit {
            break None;
        }
    };
    if !expected {
        body.truncate(limit);
        let words = if expect.is_empty() {
            "200 to 299".to_owned()
        } else {
            expect.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let reason = format!("{from} answered {status}, and {words} was expected");
        let answer = if is_a_gateways(status) { Answer::Behind(reason) } else { Answer::Refused(reason) };
        return Ok((answer, Some(String::from_utf8_lossy(&body).trim_end().to_owned())));
    }
    if body.len() > limit {
        body.truncate(limit);
        let reason = format!(
            "{from} answered {status} with more than {limit} bytes: nothing after them was read. Raise answer_limit if that is right"
        );
        return Ok((Answer::Long(reason), Some(String::from_utf8_lossy(&body).into_owned())));
    }
    if let Some(cause) = broke {
        return Err(Lost::Sent(format!("{from} answered {status}, and then its answer broke off: {cause}")));
    }
    Ok((Answer::Whole(Whole { from: url.clone(), status, location, body }), None))
}
