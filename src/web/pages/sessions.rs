//! One's own sessions, each of which can be ended.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use uuid::Uuid;

use super::{
    Pages,
    html::{Frame, Moment, Stop, page},
    visitor::{Posted, Visitor},
};

pub(super) fn routes() -> Router<Pages> {
    Router::new().route("/sessions", get(list)).route("/sessions/end", post(end))
}

struct Row {
    id: Uuid,
    begun: Moment,
    seen: Moment,
    ends: Moment,
    browser: String,
    this: bool,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct List<'a> {
    frame: Frame<'a>,
    rows: Vec<Row>,
}

async fn list(State(pages): State<Pages>, visitor: Visitor) -> Result<Response, Stop> {
    let _place = pages.asking.acquire().await;
    let sessions = pages.storage.sessions_of(&visitor.session.user).await?;
    let rows = sessions.into_iter().map(|session| Row {
        id: session.id,
        begun: Moment(session.begun_at),
        seen: Moment(session.seen_at),
        ends: Moment(session.ends_at),
        this: session.id == visitor.session.id,
        browser: session.browser,
    });
    Ok(page(StatusCode::OK, &List { frame: Frame::of(&visitor, "sessions"), rows: rows.collect() }))
}

/// Ends one of one's own: that of somebody else is not there.
async fn end(State(pages): State<Pages>, posted: Posted) -> Result<Response, Stop> {
    let session = posted.fields.get("session").and_then(|id| id.parse::<Uuid>().ok()).ok_or(Stop::Nowhere)?;
    let by = &posted.visitor.session;
    let _place = pages.asking.acquire().await;
    if !pages.storage.end_session(&by.user, session, "revoked").await? {
        return Err(Stop::Nowhere);
    }
    Ok(Redirect::to("/sessions").into_response())
}
