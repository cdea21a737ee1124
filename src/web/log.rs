//! The log's checkpoint and tree, as C2SP tlog-tiles has them under a prefix: here `/log`.
//!
//! The hashes are for everybody: an entry's hash tells nothing of it, because each holds a random identifier. The entries
//! themselves are not served (`tile/entries`), because who may read one is decided by the rules.

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::Face;
use crate::{audit::tree::Tile, storage::Error};

/// The routes: `/log/checkpoint`, `/log/tile/LEVEL/NUMBER` with `.p/WIDTH` for a partial one.
pub(super) fn routes() -> Router<Face> {
    Router::new().route("/log/checkpoint", get(checkpoint)).route("/log/tile/{*path}", get(tile))
}

async fn checkpoint(State(face): State<Face>) -> Result<Response, Away> {
    let _place = face.asking.acquire().await;
    let Some(last) = face.storage.last_checkpoint().await? else {
        return Ok((StatusCode::NOT_FOUND, "nothing is signed yet\n").into_response());
    };
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, last.note).into_response())
}

async fn tile(State(face): State<Face>, Path(path): Path<String>) -> Result<Response, Away> {
    let missing = || (StatusCode::NOT_FOUND, "no such tile in the tree that is signed\n").into_response();
    let Some((tile, width)) = Tile::from_path(&path) else { return Ok(missing()) };
    let _place = face.asking.acquire().await;
    let signed = face.storage.last_checkpoint().await?.map_or(0, |last| last.size);
    if tile.width(signed) < width {
        return Ok(missing());
    }
    let hashes = face.storage.tile(tile.level, tile.index, width).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        // What stands there never changes.
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, hashes).into_response())
}

/// The database did not answer.
struct Away(Error);

impl From<Error> for Away {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Away {
    fn into_response(self) -> Response {
        tracing::warn!(error = %self.0, "the log could not be shown");
        (StatusCode::SERVICE_UNAVAILABLE, "the log cannot be read just now\n").into_response()
    }
}
