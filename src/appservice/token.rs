//! The homeserver proves itself with the `hs_token`, before anything else of its request is read.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header::AUTHORIZATION};

use super::{Appservice, failure::Failure};

pub(super) async fn check(State(state): State<Arc<Appservice>>, request: Request, next: Next) -> Response {
    match verdict(&state, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => {
            metrics::counter!("quarterdeck_homeserver_requests_refused_total").increment(1);
            failure.into_response()
        }
    }
}

fn verdict(state: &Appservice, headers: &HeaderMap) -> Result<(), Failure> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (given.next(), given.next()) else { return Err(Failure::MISSING_TOKEN) };
    let header = header.to_str().map_err(|_| Failure::WRONG_TOKEN)?;
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Err(Failure::MISSING_TOKEN),
    };
    if state.hs_token.matches(token) { Ok(()) } else { Err(Failure::WRONG_TOKEN) }
}
