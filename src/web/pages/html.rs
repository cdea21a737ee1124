//! A page as an answer: its headers, and what is said where there is none.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};

use super::{assets::Files, visitor::Visitor};
use crate::{
    model::{Block, Message, Span, Timestamp},
    storage::Error,
};

/// Nothing but what this server sends: no script in a page, no frame around it, no form that goes elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What each answer of the pages says to browsers, and to what stands between.
pub(super) async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What is read here is for this reader at this moment.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// What stands around each page.
pub(super) struct Frame<'a> {
    pub files: Files,
    /// Where it belongs, for the mark in the navigation.
    pub here: &'static str,
    /// Who looks, where that is known.
    pub who: Option<&'a str>,
    /// What its forms prove.
    pub csrf: &'a str,
}

impl<'a> Frame<'a> {
    /// Around a page for somebody.
    pub fn of(visitor: &'a Visitor, here: &'static str) -> Self {
        Self {
            files: Files::get(),
            here,
            who: Some(visitor.session.user.as_str()),
            csrf: visitor.csrf.expose(),
        }
    }

    /// Around a page for anybody.
    pub fn for_anybody() -> Self {
        Self { files: Files::get(), here: "", who: None, csrf: "" }
    }
}

/// A time, for people and for machines.
pub(super) struct Moment(pub Timestamp);

impl Moment {
    /// As RFC 3339 has it.
    pub fn iso(&self) -> String {
        self.0.strftime("%FT%TZ").to_string()
    }

    /// In words, UTC.
    pub fn words(&self) -> String {
        self.0.strftime("%F %T").to_string()
    }
}

/// A page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "This page could not be written. Tell the operators.\n")
                .into_response()
        }
    }
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nobody is logged in.
    Nobody {
        /// What a command begins with.
        prefix: String,
    },
    /// It is not there; or not for this reader, which is the same.
    Nowhere,
    /// What was asked for cannot be read, and why.
    Unreadable(Message),
    /// A form that did not come from a page of ours.
    Foreign,
    /// The database is away.
    Away(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Away(error)
    }
}

#[derive(Template)]
#[template(path = "stop.html")]
struct Stopped<'a> {
    frame: Frame<'a>,
    title: &'static str,
    lines: Vec<Vec<Span>>,
    again: bool,
}

impl IntoResponse for Stop {
    fn into_response(self) -> Response {
        let text = |text: &str| vec![vec![Span::text(text)]];
        let (status, title, lines, again) = match self {
            Self::Nobody { prefix } => (
                StatusCode::UNAUTHORIZED,
                "Log in",
                vec![vec![
                    Span::text("Type "),
                    Span::code(format!("{prefix}login")),
                    Span::text(
                        " in an ops room. A link comes to you alone, in a room with Quarterdeck; it works once, for five minutes. There are no passwords here.",
                    ),
                ]],
                true,
            ),
            Self::Nowhere => (
                StatusCode::NOT_FOUND,
                "Nothing here",
                text("There is nothing at this address, or nothing that you may see."),
                false,
            ),
            Self::Unreadable(message) => {
                (StatusCode::BAD_REQUEST, "This cannot be read", lines_of(&message), false)
            }
            Self::Foreign => (
                StatusCode::FORBIDDEN,
                "Not done",
                text(
                    "This did not come from a page of Quarterdeck, or from one that is too old. Open the page again and press its button.",
                ),
                false,
            ),
            Self::Away(error) => {
                tracing::warn!(%error, "a page could not be shown");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Not now",
                    text("The record cannot be read just now. Nothing is lost: try again in a moment."),
                    true,
                )
            }
        };
        page(status, &Stopped { frame: Frame::for_anybody(), title, lines, again })
    }
}

/// The lines of a message, whatever blocks they stand in.
fn lines_of(message: &Message) -> Vec<Vec<Span>> {
    let lines = message.blocks.iter().flat_map(|block| match block {
        Block::Line(spans) => vec![spans.clone()],
        Block::List(items) => items.clone(),
        Block::Verbatim(text) => vec![vec![Span::code(text.clone())]],
        Block::Table { head, rows } => vec![vec![Span::code(crate::model::table(head, rows))]],
        Block::Link { text, url } => vec![vec![Span::text(format!("{text}: {url}"))]],
    });
    lines.collect()
}
