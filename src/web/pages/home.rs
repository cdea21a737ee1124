//! Where somebody begins: what they may read.

use askama::Template;
use axum::{Router, extract::State, http::StatusCode, response::Response, routing::get};

use super::{
    Pages,
    html::{Frame, Stop, page},
    trail::searched,
    visitor::Visitor,
};

pub(super) fn routes() -> Router<Pages> {
    Router::new().route("/", get(home))
}

struct Row {
    key: String,
    name: String,
    purpose: String,
    /// What its record is searched for by.
    query: String,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    frame: Frame<'a>,
    rooms: Vec<Row>,
}

async fn home(State(pages): State<Pages>, visitor: Visitor) -> Result<Response, Stop> {
    let _place = pages.asking.acquire().await;
    let sight = pages.decides.sight(&visitor.session.user).await?;
    let declared = |key: &String| sight.ops().rooms.get(key);
    let rooms = sight.rooms().keys().filter_map(|key| {
        let room = declared(key)?;
        let query = searched("room", key);
        Some(Row { key: key.clone(), name: room.name.clone(), purpose: room.purpose.clone(), query })
    });
    let rooms = rooms.collect();
    Ok(page(StatusCode::OK, &Home { frame: Frame::of(&visitor, "home"), rooms }))
}
