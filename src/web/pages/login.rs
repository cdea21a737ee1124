//! Logging in with a link, and out.
//!
//! Clients and homeservers fetch links to show what is behind them: so the link's page changes nothing, and its button does.

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use axum_extra::extract::cookie::CookieJar;
use serde::Deserialize;

use super::{
    Pages,
    html::{Frame, Stop, page},
    visitor::{Posted, PostedByAnybody, Visitor, no_session_cookie, no_shown_cookie, session_cookie, shown},
};

pub(super) fn routes() -> Router<Pages> {
    Router::new().route("/login", get(show).post(log_in)).route("/logout", post(log_out))
}

/// What a link has behind the `?`.
#[derive(Deserialize)]
struct Link {
    link: Option<String>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct Shown<'a> {
    frame: Frame<'a>,
    /// Who would be logged in.
    user: &'a str,
    link: &'a str,
}

#[derive(Template)]
#[template(path = "link.html")]
struct Spent<'a> {
    frame: Frame<'a>,
    prefix: &'a str,
}

/// The page of a link. Whoever opens it has used nothing up.
async fn show(State(pages): State<Pages>, Query(Link { link }): Query<Link>) -> Result<Response, Stop> {
    let Some(link) = link else { return Err(Stop::Nobody { prefix: pages.prefix.to_string() }) };
    let place = pages.asking.acquire().await;
    let user = pages.storage.login_of(&link).await?;
    drop(place);
    let Some(user) = user else { return Ok(spent(&pages)) };
    let (cookie, proof) = shown(&pages);
    let frame = Frame { csrf: proof.expose(), ..Frame::for_anybody() };
    let shown = page(StatusCode::OK, &Shown { frame, user: user.as_str(), link: &link });
    Ok((CookieJar::new().add(cookie), shown).into_response())
}

fn spent(pages: &Pages) -> Response {
    page(StatusCode::GONE, &Spent { frame: Frame::for_anybody(), prefix: &pages.prefix })
}

/// Its button. A session begins under a token that was never seen before; what stood in the cookie is not gone on with.
async fn log_in(State(pages): State<Pages>, posted: PostedByAnybody) -> Result<Response, Stop> {
    let link = posted.fields.get("link").map(String::as_str).unwrap_or_default();
    let before = match Visitor::of(&pages, &posted.jar, false).await {
        Ok(visitor) => Some(visitor.session.id),
        Err(Stop::Nobody { .. }) => None,
        Err(stop) => return Err(stop),
    };
    let place = pages.asking.acquire().await;
    let begun = pages.storage.begin_session(link, &posted.browser, before).await?;
    drop(place);
    let Some((_, token)) = begun else { return Ok(spent(&pages)) };
    let jar = CookieJar::new().add(session_cookie(&pages, &token)).add(no_shown_cookie(&pages));
    Ok((jar, Redirect::to("/")).into_response())
}

async fn log_out(State(pages): State<Pages>, posted: Posted) -> Result<Response, Stop> {
    let session = &posted.visitor.session;
    pages.storage.end_session(&session.user, session.id, "logout").await?;
    let jar = CookieJar::new().add(no_session_cookie(&pages));
    Ok((jar, Redirect::to("/login")).into_response())
}
