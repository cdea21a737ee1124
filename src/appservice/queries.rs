//! The homeserver's questions.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use super::{Appservice, failure::Failure};

/// `POST /ping`: the homeserver reaches us.
pub(super) async fn ping() -> Json<Value> {
    tracing::debug!("pinged by the homeserver");
    Json(json!({}))
}

/// `GET /users/{userId}`: there is one user of ours.
pub(super) async fn user(
    State(state): State<Arc<Appservice>>,
    Path(user): Path<String>,
) -> Result<Json<Value>, Failure> {
    if state.bot == user { Ok(Json(json!({}))) } else { Err(Failure::NOT_FOUND) }
}

/// `GET /rooms/{roomAlias}`: the rooms that exist have their aliases; none is made because somebody asks.
pub(super) async fn alias(
    State(state): State<Arc<Appservice>>,
    Path(alias): Path<String>,
) -> Result<Json<Value>, Failure> {
    if (state.has_alias)(&alias) { Ok(Json(json!({}))) } else { Err(Failure::NOT_FOUND) }
}

/// Any other path.
pub(super) async fn unknown() -> Failure {
    Failure::UNRECOGNIZED
}

/// A path of ours with a method that it does not have.
pub(super) async fn wrong_method() -> Failure {
    Failure::WRONG_METHOD
}
