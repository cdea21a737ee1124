//! What a run printed, whole, as a file: part by part, so that none is ever held in memory, for those who may read it.

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
    Router::new().route("/requests/{number}/output", get(whole))
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
            Event::RunFinished { kept: Some(kept), whole, .. } => Some((*kept, *whole)),
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

async fn whole(
    State(pages): State<Pages>,
    visitor: Visitor,
    Path(number): Path<String>,
) -> Result<Response, Stop> {
    let number: RequestNumber = number.parse().map_err(|_| Stop::Nowhere)?;
    let place = pages.asking.acquire().await;
    let sight = pages.decides.sight(&visitor.session.user).await?;
    let request = visible(&pages, &*sight, number).await?;
    let request = request.filter(|request| may_read(&*sight, request));
    // Recorded where there is nothing to be had, too: that it was asked for is what the record tells.
    let room = request.as_ref().map(|request| &*request.room);
    let query = format!("on the pages: all that request {number} printed");
    pages.decides.reads(&visitor.session.user, room, &query).await?;
    request.ok_or(Stop::Nowhere)?;
    let (entries, contents) = pages.storage.story(number).await?;
    let kept = Kept::of(&entries, &contents).ok_or(Stop::Nowhere)?;
    let length = kept.length();
    let parts = match kept.whole {
        Some((name, _)) => pages.storage.whole(name).await?.ok_or(Stop::Nowhere)?.parts,
        None => Vec::new(),
    };
    drop(place);
    let body = if parts.is_empty() {
        Body::from(kept.bytes.to_vec())
    } else {
        Body::from_stream(stream::try_unfold((pages, parts.into_iter()), async |(pages, mut parts)| {
            let Some(name) = parts.next() else { return Ok::<_, Error>(None) };
            // However slowly it is taken, the database is asked for no more than pages ask it.
            let place = pages.asking.acquire().await;
            let part = pages.storage.part(name).await?;
            drop(place);
            // Erased while it was read: what comes is shorter than was said, and its reader sees that.
            let part = part
                .ok_or(Error::Unreadable { what: "a part of an output", reason: "it was erased".into() })?;
            Ok(Some((part, (pages, parts))))
        }))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let name = format!("attachment; filename=\"request-{number}.txt\"");
    headers.extend(HeaderValue::try_from(name).map(|name| (header::CONTENT_DISPOSITION, name)));
    Ok(response)
}
