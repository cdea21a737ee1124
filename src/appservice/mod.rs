//! The HTTP face to the homeserver: transactions, queries and ping become inbox rows.
//!
//! `cli` serves [`router`] and hands it what it needs: where transactions are stored, and whom to wake
//! afterwards. It refuses to understand an event: what arrives is stored byte for byte, in one commit, and
//! acknowledged only then. Whoever has no `hs_token` is not even read.

mod failure;
mod queries;
mod registration;
mod token;
mod transaction;

use std::{pin::Pin, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{any, get, post, put},
};
pub use registration::{Registration, RegistrationError};
use ruma::{OwnedServerName, OwnedUserId};
pub use transaction::{MALFORMED, SOURCE, arrival};

use crate::{
    model::Secret,
    storage::{self, Storage, Stored, Transaction},
};

/// The part of the path that all requests of a homeserver begin with.
const PREFIX: &str = "/_matrix/app/v1";

/// Where transactions are stored: durably, before it returns.
pub type Store = Arc<
    dyn Fn(Transaction) -> Pin<Box<dyn Future<Output = Result<Stored, storage::Error>> + Send>> + Send + Sync,
>;

/// What the HTTP face needs.
#[derive(Clone)]
pub struct Appservice {
    /// The token that the homeserver proves itself with.
    pub hs_token: Secret,
    /// The homeserver.
    pub homeserver: OwnedServerName,
    /// Quarterdeck's own user.
    pub bot: OwnedUserId,
    /// The largest body that is accepted, in bytes.
    pub largest: usize,
    /// Where transactions are stored.
    pub store: Store,
    /// Whether an alias is one of our rooms', and the room exists.
    pub has_alias: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Appservice {
    /// Stores into the database, one commit a transaction.
    pub fn store_in(storage: Storage) -> Store {
        Arc::new(move |transaction| {
            let storage = storage.clone();
            Box::pin(async move { storage.store_transaction(&transaction).await })
        })
    }
}

/// The routes of the application service API. It has no fallback of its own outside `/_matrix/`, so that it can be
/// merged with others.
pub fn router(state: Appservice) -> Router {
    let limit = DefaultBodyLimit::max(state.largest);
    let state = Arc::new(state);
    let inner = Router::new()
        .route("/transactions/{transaction}", put(transaction::handle))
        .route("/ping", post(queries::ping))
        .route("/users/{user}", get(queries::user))
        .route("/rooms/{alias}", get(queries::alias))
        .method_not_allowed_fallback(queries::wrong_method)
        .layer(limit)
        .route_layer(middleware::from_fn_with_state(Arc::clone(&state), token::check))
        .fallback(queries::unknown)
        .with_state(state);
    Router::new().nest(PREFIX, inner).route("/_matrix/{*rest}", any(queries::unknown))
}

#[cfg(test)]
mod tests;
