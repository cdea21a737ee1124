//! What a run printed, whole, as a file, and the files that it left: part by part, so that none is ever held in memory, for those
//! who may read it.

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::Response,
    routing::get,
};
use futures_util::stream;

use super::{
    Pages,
    html::Stop,
    story::{may_read, visible},
    visitor::Visitor,
};
use crate::{
    model::{Commitment, Event, RequestNumber},
    storage::{Content, ContentKind, Error, Recorded},
};

pub(super) fn routes() -> Router<Pages> {
    Router::new()
        .route("/requests/{number}/output", get(whole))
        .route("/requests/{number}/files/{place}", get(file))
}

/// What is kept of an output.
pub(super) struct Kept<'a> {
    /// All of it, or its two ends.
    pub bytes: &'a [u8],
    /// What lists its parts, and how long they are together, where `bytes` is not all that is kept.
    pub whole: Option<(Commitment, u64)>,
}

impl<'a> Kept<'a> {
    /// What its run printed, as it was kept. `None` where that is nothing, or was erased, or is not among these contents.
    pub fn of(entries: &[Recorded], contents: &'a [Content]) -> Option<Self> {
        let (kept, whole) = entries.iter().rev().find_map(|recorded| match &recorded.entry.event {
            Event::RunFinished { kept: Some(kept), parts, .. } => Some((*kept, parts.whole)),
            _ => None,
        })?;
        let found = |name: Commitment, kind: ContentKind| {
            contents.iter().find(|content| content.commitment == name && content.kind == kind)
        };
        let listed = |name| {
            let list = found(name, ContentKind::Whole)?;
            let list: crate::storage::Parts = serde_json::from_slice(&list.bytes).ok()?;
            Some((name, list.length))
        };
        Some(Self { bytes: &found(kept, ContentKind::Output)?.bytes, whole: whole.and_then(listed) })
    }

    /// How long all of it is, in bytes.
    pub fn length(&self) -> u64 {
        self.whole.map_or(self.bytes.len() as u64, |(_, length)| length)
    }
}

/// What names the files that it left, in their order.
pub(super) fn left(entries: &[Recorded]) -> &[Commitment] {
    let finished = entries.iter().rev().find_map(|recorded| match &recorded.entry.event {
        Event::RunFinished { parts, .. } => Some(&*parts.files),
        _ => None,
    });
    finished.unwrap_or_default()
}

/// Goes on where this reader may read what it printed; that it was asked for is recorded in any case.
async fn readable(
    pages: &Pages,
    visitor: &Visitor,
    number: RequestNumber,
    query: String,
) -> Result<(), Stop> {
    let sight = pages.decides.sight(&visitor.session.user).await?;
    let request = visible(pages, &*sight, number).await?;
    let request = request.filter(|request| may_read(&*sight, request));
    let room = request.as_ref().map(|request| &*request.room);
    pages.decides.reads(&visitor.session.user, room, &query).await?;
    request.map(drop).ok_or(Stop::Nowhere)
}

async fn file(
    State(pages): State<Pages>,
    visitor: Visitor,
    Path((number, nth)): Path<(String, String)>,
) -> Result<Response, Stop> {
    let number: RequestNumber = number.parse().map_err(|_| Stop::Nowhere)?;
    let nth: usize = nth.parse().map_err(|_| Stop::Nowhere)?;
    let place = pages.asking.acquire().await;
    let query = format!("on the pages: file {nth} that request {number} left");
    readable(&pages, &visitor, number, query).await?;
    let (entries, _) = pages.storage.story(number).await?;
    let name = nth.checked_sub(1).and_then(|index| left(&entries).get(index)).ok_or(Stop::Nowhere)?;
    let list = pages.storage.whole(*name).await?.ok_or(Stop::Nowhere)?;
    let file = list.file.ok_or(Stop::Nowhere)?;
    drop(place);
    // Its name is the program's: what is no plain name stands in a header as signs of it.
    let plain = |sign: char| if sign.is_ascii_alphanumeric() || "._-".contains(sign) { sign } else { '_' };
    let name: String = file.name.chars().map(plain).collect();
    let body = parts(pages, list.parts);
    Ok(as_file(body, list.length, "application/octet-stream", &format!("{number}-{name}")))
}

async fn whole(
    State(pages): State<Pages>,
    visitor: Visitor,
    Path(number): Path<String>,
) -> Result<Response, Stop> {
    let number: RequestNumber = number.parse().map_err(|_| Stop::Nowhere)?;
    let place = pages.asking.acquire().await;
    let query = format!("on the pages: all that request {number} printed");
    readable(&pages, &visitor, number, query).await?;
    let (entries, contents) = pages.storage.story(number).await?;
    let kept = Kept::of(&entries, &contents).ok_or(Stop::Nowhere)?;
    let length = kept.length();
    let listed = match kept.whole {
        Some((name, _)) => Some(pages.storage.whole(name).await?.ok_or(Stop::Nowhere)?.parts),
        None => None,
    };
    drop(place);
    let body = match listed {
        Some(listed) => parts(pages, listed),
        None => Body::from(kept.bytes.to_vec()),
    };
    Ok(as_file(body, length, "text/plain; charset=utf-8", &format!("request-{number}.txt")))
}

/// What these parts are together.
fn parts(pages: Pages, parts: Vec<Commitment>) -> Body {
    Body::from_stream(stream::try_unfold((pages, parts.into_iter()), async |(pages, mut parts)| {
        let Some(name) = parts.next() else { return Ok::<_, Error>(None) };
        // However slowly it is taken, the database is asked for no more than pages ask it.
        let place = pages.asking.acquire().await;
        let part = pages.storage.part(name).await?;
        drop(place);
        // Erased while it was read: what comes is shorter than was said, and its reader sees that.
        let part =
            part.ok_or(Error::Unreadable { what: "a part of an output", reason: "it was erased".into() })?;
        Ok(Some((part, (pages, parts))))
    }))
}

/// To be saved, and never to be shown as something.
fn as_file(body: Body, length: u64, media_type: &'static str, name: &str) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let name = format!("attachment; filename=\"{name}\"");
    headers.extend(HeaderValue::try_from(name).map(|name| (header::CONTENT_DISPOSITION, name)));
    response
}
