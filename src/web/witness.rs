//! The HTTP face of a witness: `add-checkpoint` of C2SP tlog-witness, with its status codes.
//!
//! It is a server of its own, `quarterdeck witness`, and has nothing of a house: no database, no inbox, no rules.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use crate::{
    audit::witness::{Ask, Refusal, Witness},
    model::Clock,
};

/// A request is an old size, 63 hashes and a checkpoint.
const LARGEST: usize = 64 << 10;

#[derive(Clone)]
struct Face {
    witness: Arc<Witness>,
    clock: Arc<dyn Clock>,
}

/// The routes: `POST /add-checkpoint`, and `GET /SHA-256 OF A LOG'S NAME/checkpoint` for whoever wants to know what was seen.
pub fn router(witness: Arc<Witness>, clock: Arc<dyn Clock>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{digest}/checkpoint", get(checkpoint))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(Face { witness, clock })
}

async fn add_checkpoint(State(face): State<Face>, body: Bytes) -> Response {
    // It waits for the disk.
    let added =
        tokio::task::spawn_blocking(move || face.witness.add(&Ask::read(&body)?, face.clock.now())).await;
    match added {
        Ok(Ok(line)) => line.into_response(),
        Ok(Err(refusal)) => refused(&refusal),
        Err(error) => {
            tracing::error!(%error, "the witness failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "the witness failed\n").into_response()
        }
    }
}

async fn checkpoint(State(face): State<Face>, Path(digest): Path<String>) -> Response {
    let shown = tokio::task::spawn_blocking(move || face.witness.shown(&digest)).await;
    match shown {
        Ok(Ok(Some(note))) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response(),
        Ok(Ok(None)) => (StatusCode::NOT_FOUND, "nothing was cosigned here of such a log\n").into_response(),
        Ok(Err(refusal)) => refused(&refusal),
        Err(error) => {
            tracing::error!(%error, "the witness failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "the witness failed\n").into_response()
        }
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
        Refusal::UnknownLog(_) => StatusCode::NOT_FOUND,
        Refusal::Unsigned(_) => StatusCode::FORBIDDEN,
        Refusal::Elsewhere(_) => StatusCode::CONFLICT,
        Refusal::Fork(_) | Refusal::Inconsistent(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    match refusal {
        // A signed checkpoint that cannot be true: what witnesses are there for.
        Refusal::Fork(_) | Refusal::Inconsistent(_) | Refusal::Store(_) => {
            tracing::error!(%refusal, "a checkpoint was not cosigned");
        }
        _ => tracing::info!(%refusal, "a checkpoint was not cosigned"),
    }
    match refusal {
        Refusal::Elsewhere(size) => {
            (status, [(header::CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n")).into_response()
        }
        Refusal::Store(_) => (status, "what was seen cannot be stored or read\n").into_response(),
        _ => (status, format!("{refusal}\n")).into_response(),
    }
}
