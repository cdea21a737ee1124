//! The files of the pages: one of styles and one script, each under a name that tells its content, so that it can be kept.

use std::sync::LazyLock;

use super::{Pages, html::Stop};
use crate::model::Digest;
use axum::{
    Router,
    extract::Path,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

const STYLES: &str = include_str!("../../../templates/quarterdeck.css");
const SCRIPT: &str = include_str!("../../../templates/live.js");

static NAMES: LazyLock<Files> = LazyLock::new(|| {
    // Leaked once: a few bytes that last as long as the process.
    let name = |text: &str, ending: &str| -> &'static str {
        let digest = Digest::of_parts([text.as_bytes()]).to_string();
        let short = &digest[..16];
        Box::leak(format!("quarterdeck-{short}.{ending}").into_boxed_str())
    };
    Files { styles: name(STYLES, "css"), script: name(SCRIPT, "js") }
});

/// The names of the files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files {
    pub styles: &'static str,
    pub script: &'static str,
}

impl Files {
    pub fn get() -> Self {
        *NAMES
    }
}

pub(super) fn routes() -> Router<Pages> {
    Router::new().route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Result<Response, Stop> {
    let (kind, text) = match name.as_str() {
        name if name == NAMES.styles => ("text/css; charset=utf-8", STYLES),
        name if name == NAMES.script => ("text/javascript; charset=utf-8", SCRIPT),
        _ => return Err(Stop::Nowhere),
    };
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, text).into_response())
}
