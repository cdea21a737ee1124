//! One request as a story: who asked, what was understood, what the rules said, who approved, what ran and what came of it,
//! and who holds the record of that. While it runs, it goes on.

use askama::Template;
use aws_lc_rs::hmac;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde::Deserialize;

use super::{
    Pages, Sight,
    html::{Frame, Moment, Stop, page},
    output::{Kept, left},
    visitor::Visitor,
};
use crate::{
    audit,
    model::{Archived, Event, RequestNumber, SignedDuration, Span, State as Stands, Timestamp},
    storage::{Content, ContentKind, Parts, Recorded, Request, token},
};

/// How much of an output a page shows: its end.
const OUTPUT: usize = 100_000;
/// How long an opened page may follow what runs, by the one reading that is recorded.
const FOLLOWS: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn routes() -> Router<Pages> {
    Router::new().route("/requests/{number}", get(open)).route("/requests/{number}/live", get(follow))
}

/// Something that is told of a request.
struct Fact {
    name: &'static str,
    what: Vec<Vec<Span>>,
}

struct Step {
    at: Moment,
    kind: &'static str,
    what: Vec<Span>,
}

#[derive(Template)]
#[template(path = "story.html")]
struct Story<'a> {
    frame: Frame<'a>,
    number: RequestNumber,
    mark: &'static str,
    state: &'static str,
    /// Where its page looks how it goes on, while it does.
    live: Option<String>,
    facts: Vec<Fact>,
    steps: Vec<Step>,
    /// What it printed, or has printed so far.
    output: Option<String>,
    /// How long all of it is, in bytes, where it is kept.
    whole: Option<u64>,
    /// The files that it left: number, name, length.
    files: Vec<(usize, String, u64)>,
    /// Whether there is an output that this reader may not read.
    withheld: bool,
}

async fn open(
    State(pages): State<Pages>,
    visitor: Visitor,
    Path(number): Path<String>,
) -> Result<Response, Stop> {
    // What is no number has no page either, and says no more than that.
    let number: RequestNumber = number.parse().map_err(|_| Stop::Nowhere)?;
    let _place = pages.asking.acquire().await;
    let sight = pages.decides.sight(&visitor.session.user).await?;
    let request = visible(&pages, &*sight, number).await?;
    let room = request.as_ref().map(|request| request.room.clone());
    let query = format!("on the pages: request {number}");
    pages.decides.reads(&visitor.session.user, room.as_deref(), &query).await?;
    let request = request.ok_or(Stop::Nowhere)?;
    let until = pages.storage.now() + FOLLOWS;
    let ticket = ticket(&visitor, number, until);
    tell(&pages, &*sight, &visitor, &request, &ticket).await
}

/// What an opened page is followed by.
#[derive(Deserialize)]
struct Follows {
    ticket: String,
}

/// The same page for one that was opened: that was one reading, and this goes on with it. Who sees what is decided anew.
async fn follow(
    State(pages): State<Pages>,
    headers: axum::http::HeaderMap,
    Path(number): Path<String>,
    Query(Follows { ticket }): Query<Follows>,
) -> Result<Response, Stop> {
    let number: RequestNumber = number.parse().map_err(|_| Stop::Nowhere)?;
    let jar = axum_extra::extract::cookie::CookieJar::from_headers(&headers);
    // A page that lies open does not use the session.
    let visitor = Visitor::of(&pages, &jar, false).await?;
    if !is_ticket(&visitor, number, &ticket, pages.storage.now()) {
        return Err(Stop::Nowhere);
    }
    let _place = pages.asking.acquire().await;
    let sight = pages.decides.sight(&visitor.session.user).await?;
    let request = visible(&pages, &*sight, number).await?.ok_or(Stop::Nowhere)?;
    tell(&pages, &*sight, &visitor, &request, &ticket).await
}

/// The request, where this reader may read the record of its room. A request of another room does not even exist.
pub(super) async fn visible(
    pages: &Pages,
    sight: &dyn Sight,
    number: RequestNumber,
) -> Result<Option<Request>, Stop> {
    let request = pages.storage.request(number).await?;
    Ok(request.filter(|request| sight.rooms().values().flatten().any(|room| *room == request.room)))
}

/// Whether this reader may read what it printed.
pub(super) fn may_read(sight: &dyn Sight, request: &Request) -> bool {
    request.invocation.as_ref().is_some_and(|invocation| {
        let subject = invocation.subject.as_deref();
        sight.may_read_output(&request.room, &invocation.command, &request.sender, subject)
    })
}

async fn tell(
    pages: &Pages,
    sight: &dyn Sight,
    visitor: &Visitor,
    request: &Request,
    ticket: &str,
) -> Result<Response, Stop> {
    let number = request.number;
    let (mut entries, mut contents) = pages.storage.story(number).await?;
    let sealed = audit::sealed(pages.storage.sealed(number).await?.as_ref());
    let may_read = may_read(sight, request);
    if !may_read {
        contents.retain(|content| !matches!(content.kind, ContentKind::Output | ContentKind::Whole));
        for recorded in &mut entries {
            recorded.entry.event.withhold_why();
        }
    }
    let printed = entries.iter().any(|it| {
        matches!(&it.entry.event, Event::RunFinished { kept, parts, .. } if kept.is_some() || !parts.files.is_empty())
    });
    let so_far = (request.state == Stands::Running && may_read).then(|| pages.decides.printed_so_far(number));
    let kept = Kept::of(&entries, &contents);
    let whole = kept.as_ref().map(Kept::length).filter(|_| so_far.is_none());
    let output = match so_far {
        Some(so_far) => so_far.map(|text| shown(text.as_bytes(), text.len() as u64)),
        None => kept.map(|kept| shown(kept.bytes, kept.length())),
    };
    let steps = audit::steps(&entries, &contents).into_iter().map(|(recorded, what)| Step {
        at: Moment(recorded.entry.at),
        kind: recorded.entry.event.kind(),
        what,
    });
    let live = (!request.state.is_terminal()).then(|| format!("/requests/{number}/live?ticket={ticket}"));
    let story = Story {
        frame: Frame::of(visitor, "trail"),
        number,
        mark: audit::mark(request.state).symbol(),
        state: audit::shown(request.state),
        live,
        facts: facts(sight, request, &entries, &contents, sealed),
        steps: steps.collect(),
        output,
        whole,
        files: if may_read { files(&entries, &contents) } else { Vec::new() },
        withheld: !may_read && (printed || request.state == Stands::Running),
    };
    Ok(page(StatusCode::OK, &story))
}

/// The files that it left.
fn files(entries: &[Recorded], contents: &[Content]) -> Vec<(usize, String, u64)> {
    let listed = (1..).zip(left(entries)).filter_map(|(nth, name)| {
        let list = contents.iter().find(|content| content.commitment == *name)?;
        let list: Parts = serde_json::from_slice(&list.bytes).ok()?;
        Some((nth, list.file?.name, list.length))
    });
    listed.collect()
}

fn facts(
    sight: &dyn Sight,
    request: &Request,
    entries: &[Recorded],
    contents: &[Content],
    sealed: Vec<Span>,
) -> Vec<Fact> {
    let room = sight.rooms().iter().find(|(_, ids)| ids.contains(&request.room)).map(|(key, _)| key.clone());
    let mut facts = vec![Fact {
        name: "Asked by",
        what: vec![vec![
            Span::strong(request.sender.as_str()),
            Span::text(" in "),
            Span::text(room.unwrap_or_default()),
        ]],
    }];
    let mut fact = |name, what: Vec<Vec<Span>>| {
        if !what.is_empty() {
            facts.push(Fact { name, what });
        }
    };
    let said = contents.iter().find(|content| content.kind == ContentKind::Text);
    fact("Said", said.map(|said| vec![Span::code(visible_text(&said.bytes))]).into_iter().collect());
    let understood = request.invocation.as_ref().map(|invocation| {
        let mut spans = vec![Span::code(invocation.to_string())];
        spans.extend(
            invocation.subject.iter().flat_map(|subject| [Span::text(" on "), Span::strong(subject)]),
        );
        spans
    });
    fact("Understood", understood.into_iter().collect());
    let rules = audit::rules_of(entries).into_iter().map(|rule| vec![Span::code(rule)]);
    let version = request.rules.map(|rules| vec![Span::text("of version "), Span::code(rules.short())]);
    fact("Rules that decided", rules.chain(version).collect());
    let by = |event: &Event| match event {
        Event::ApprovalGiven { by, .. } | Event::ConfirmationGiven { by, .. } => Some(by.to_string()),
        _ => None,
    };
    let approved = entries.iter().filter_map(|it| Some(vec![Span::strong(by(&it.entry.event)?)]));
    fact("Approved or confirmed by", approved.collect());
    let ran = entries.iter().filter_map(|it| match &it.entry.event {
        Event::RunStarted { executor, secrets, sandbox, .. } => {
            let mut spans = vec![Span::text(executor.clone())];
            spans.extend(sandbox.as_ref().map(|it| Span::text(format!(", {}", it.words()))));
            if !secrets.is_empty() {
                spans.push(Span::text(format!(", with the secrets {}", secrets.join(", "))));
            }
            Some(spans)
        }
        _ => None,
    });
    fact("Run by", ran.collect());
    fact("Held by", vec![sealed]);
    let archived = entries.iter().filter_map(|it| match &it.entry.event {
        Event::ContentArchived(Archived { file, .. }) => Some(vec![
            Span::text(format!("what was typed and printed, on {} to ", it.entry.at.strftime("%F"))),
            Span::code(file),
        ]),
        _ => None,
    });
    fact("Archived", archived.collect());
    facts
}

/// The end of an output.
fn shown(output: &[u8], length: u64) -> String {
    let end = &output[output.len().saturating_sub(OUTPUT)..];
    let text = visible_text(end);
    if (end.len() as u64) < length {
        format!("… the last {} of {length} bytes:\n{text}", end.len())
    } else {
        text
    }
}

/// Bytes as text in which nothing acts on whoever looks: signs of control are shown.
fn visible_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let sign = |character: char| match character {
        '\n' | '\t' => character,
        // The pictures of control characters (Unicode, U+2400).
        '\0'..='\u{1f}' => char::from_u32(0x2400 + character as u32).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        // What turns the direction of writing.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        character => character,
    };
    text.chars().map(sign).collect()
}

/// What stands in the address by which an opened page goes on: for this session, this request and this hour alone.
fn ticket(visitor: &Visitor, number: RequestNumber, until: Timestamp) -> String {
    let until = until.as_second();
    let tag = hmac::sign(&key(visitor), format!("{number}/{until}").as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(tag.as_ref());
    format!("{until}.{}", token(&bytes).expose())
}

fn is_ticket(visitor: &Visitor, number: RequestNumber, given: &str, now: Timestamp) -> bool {
    let until = given.split('.').next().and_then(|until| until.parse().ok());
    let Some(until) = until.and_then(|until| Timestamp::from_second(until).ok()) else { return false };
    let ours = crate::model::Secret::new(ticket(visitor, number, until));
    until > now && ours.matches(given)
}

fn key(visitor: &Visitor) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, visitor.key.expose().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_moves_nothing_on_the_page() {
        assert_eq!(visible_text(b"a\x1b[31mb\r\n\tc\x7f\0"), "a\u{241b}[31mb\u{240d}\n\tc\u{2421}\u{2400}");
        assert_eq!(visible_text("a\u{202e}b".as_bytes()), "a\u{fffd}b");
        assert_eq!(visible_text(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn of_a_long_output_the_end_is_shown_and_it_says_so() {
        let text = shown(&vec![b'x'; OUTPUT + 7], OUTPUT as u64 + 7);
        assert!(text.starts_with(&format!("… the last {OUTPUT} of {} bytes:\n", OUTPUT + 7)));
        assert_eq!(shown(b"short", 5), "short");
        let text = shown(&vec![b'x'; OUTPUT + 7], 5_000_000);
        assert!(text.starts_with(&format!("… the last {OUTPUT} of 5000000 bytes:\n")));
    }
}
