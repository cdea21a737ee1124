//! How to check the record without us: the key, the address of the tree, and the commands.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    Pages,
    html::{Frame, Moment, Stop, page},
    visitor::Visitor,
};

pub(super) fn routes() -> Router<Pages> {
    Router::new().route("/checking", get(checking)).route("/checking/key", get(key))
}

#[derive(Template)]
#[template(path = "checking.html")]
struct Checking<'a> {
    frame: Frame<'a>,
    prefix: &'a str,
    key: &'a str,
    /// The address before `/log`.
    base: &'a str,
    /// What was signed last: how many entries, and when.
    signed: Option<(u64, Moment)>,
}

async fn checking(State(pages): State<Pages>, visitor: Visitor) -> Result<Response, Stop> {
    let _place = pages.asking.acquire().await;
    let last = pages.storage.last_checkpoint().await?;
    let signed = last.map(|last| (last.size, Moment(last.at)));
    let frame = Frame::of(&visitor, "checking");
    let (prefix, key, base) = (&*pages.prefix, &*pages.log_key, &*pages.base);
    Ok(page(StatusCode::OK, &Checking { frame, prefix, key, base, signed }))
}

/// The public key, as a file: compare it with what a witness, or an old download, has.
async fn key(State(pages): State<Pages>, _: Visitor) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"quarterdeck-log.pub\""),
    ];
    (headers, format!("{}\n", pages.log_key)).into_response()
}
