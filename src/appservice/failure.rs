//! What the homeserver is told when something fails: a Matrix error.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::json;

/// A Matrix error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    status: StatusCode,
    errcode: &'static str,
    words: &'static str,
}

impl Failure {
    const fn new(status: StatusCode, errcode: &'static str, words: &'static str) -> Self {
        Self { status, errcode, words }
    }

    pub(super) const MISSING_TOKEN: Self = Self::new(
        StatusCode::UNAUTHORIZED,
        "M_MISSING_TOKEN",
        "Send the hs_token in the header `Authorization: Bearer`; in the query it is not accepted.",
    );
    pub(super) const WRONG_TOKEN: Self = Self::new(
        StatusCode::FORBIDDEN,
        "M_FORBIDDEN",
        "This is not the hs_token of registration.yaml. Compare it with the homeserver's copy.",
    );
    pub(super) const TOO_LARGE: Self = Self::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "M_TOO_LARGE",
        "The body is larger than `request_bytes` in the `[limits]` of quarterdeck.toml allows.",
    );
    pub(super) const UNREADABLE: Self =
        Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", "The body could not be received whole.");
    pub(super) const DATABASE_AWAY: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "M_UNKNOWN",
        "The database is away, so nothing can be kept. Keep it, and send it again.",
    );
    pub(super) const NOT_FOUND: Self =
        Self::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", "Quarterdeck has nothing by that name.");
    pub(super) const UNRECOGNIZED: Self =
        Self::new(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "There is nothing at this path.");
    pub(super) const WRONG_METHOD: Self =
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", "This path does not know this method.");
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "errcode": self.errcode, "error": self.words }))).into_response()
    }
}
