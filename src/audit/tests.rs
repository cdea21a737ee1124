//! The words of the log.

use ruma::{owned_event_id, owned_room_id, owned_user_id};

use super::{
    line, list,
    search::{Finds, Given},
    story,
};
use crate::{
    model::{
        AttemptId, Block, Commitment, Digest, Ending, Entry, EntryId, Event, InParts, Message, OutputSummary,
        RequestNumber, Salt, Span, State, StateMark, Timestamp,
    },
    storage::{Content, ContentKind, Cursor, Found, Recorded, Request},
};

fn recorded(place: i64, request: Option<i64>, event: Event) -> Recorded {
    Recorded {
        place,
        entry: Entry {
            id: EntryId(uuid::Uuid::nil()),
            at: "2026-11-23T12:03:04.5Z".parse().unwrap(),
            request: request.map(RequestNumber),
            room: None,
            event,
        },
        sender: request.map(|_| "@alice:example.org".to_owned()),
    }
}

/// What was found, as these entries tell of it.
fn found(of: Vec<Vec<Recorded>>) -> Finds {
    let found = of.into_iter().map(|entries| {
        let Recorded { place, entry, sender } = &entries[0];
        let found = Found {
            cursor: Cursor { at: entry.at, place: *place },
            request: entry.request,
            room: None,
            who: sender.clone(),
            command: None,
            subject: None,
            state: None,
            only_printed: false,
        };
        (found, entries)
    });
    Finds { found: found.collect(), older: None, short: None }
}

fn given(named: &[(&str, &str)]) -> Given {
    Given(named.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn spans(spans: &[Span]) -> String {
    spans
        .iter()
        .map(|span| match span {
            Span::Text(text) | Span::Strong(text) | Span::Emphasis(text) => text.clone(),
            Span::Code(text) => format!("`{text}`"),
        })
        .collect()
}

fn plain(message: &Message) -> String {
    let blocks = message.blocks.iter().map(|block| match block {
        Block::Line(line) => spans(line),
        Block::List(items) => {
            items.iter().map(|item| format!("- {}", spans(item))).collect::<Vec<_>>().join("\n")
        }
        Block::Verbatim(text) => text.clone(),
        Block::Table { head, rows } => crate::model::table(head, rows),
        Block::Link { text, url } => format!("{text}: {url}"),
    });
    blocks.collect::<Vec<_>>().join("\n")
}

fn content(kind: ContentKind, text: &str) -> Content {
    let bytes = text.as_bytes().to_vec();
    Content { commitment: Commitment::new(&Salt([1; 32]), &bytes), kind, bytes }
}

fn permitted() -> Event {
    let nothing = Commitment(Digest::of(b""));
    Event::CommandPermitted {
        command: "deploy".into(),
        subject: Some("web@staging".into()),
        dry: false,
        invocation: nothing,
        inputs: nothing,
        policies: vec!["staging-by-its-team".into()],
        rules: Digest::of(b"rules"),
        elevated: vec![],
    }
}

#[test]
fn a_line_says_when_which_request_whose_and_what() {
    assert_eq!(
        spans(&line(&recorded(1, Some(482), permitted()))),
        "2026-11-23 12:03:04 UTC · `482` · @alice:example.org · `deploy web@staging` was permitted (rule staging-by-its-team)"
    );
}

#[test]
fn a_list_shows_how_to_read_on() {
    let finds = found(vec![vec![recorded(1, Some(482), permitted())]]);
    let text = plain(&list("!", &Given::default(), &finds, None));
    assert!(text.starts_with("The last of this room, newest first. Times are UTC, 2026-11-23:"), "{text}");
    assert!(text.ends_with("`!audit 482`"), "{text}");
    let nothing = |given: &Given| plain(&list("!", given, &Finds::default(), None));
    assert_eq!(nothing(&Given::default()), "Nothing is recorded of this room yet.");
    assert_eq!(nothing(&given(&[("outcome", "failed")])), "Nothing of that is recorded in this room.");
}

#[test]
fn a_list_that_goes_on_says_the_line_that_shows_the_rest() {
    let mut finds = found(vec![vec![recorded(7, Some(482), permitted())]]);
    finds.older = Some(finds.found[0].0.cursor);
    let text =
        plain(&list("!", &given(&[("by", "@alice:example.org"), ("text", "two words")]), &finds, None));
    let line = "`!audit --before 1795435384500000.7 --by @alice:example.org --text 'two words'`";
    assert!(text.ends_with(line), "{text}");
}

#[test]
fn a_list_has_a_line_for_each_request_with_what_became_of_it() {
    let finished = Event::RunFinished {
        attempt: AttemptId(uuid::Uuid::nil()),
        ending: Ending::Exited { status: 2 },
        took_ms: 4_200,
        output: OutputSummary { bytes: 25, truncated: false, digest: Digest::of(b"") },
        kept: None,
        parts: InParts::default(),
    };
    let refused = Event::CommandRefused {
        why: "unreadable".into(),
        command: None,
        subject: None,
        dry: false,
        invocation: None,
        inputs: None,
        reason: Commitment(Digest::of(b"")),
        policies: Vec::new(),
        rules: Digest::of(b"rules"),
        elevated: vec![],
    };
    let alice = owned_user_id!("@alice:example.org");
    let left = Event::MemberChanged { user: alice.clone(), membership: "leave".into(), by: alice };
    let finds = found(vec![
        vec![recorded(5, Some(482), finished), recorded(2, Some(482), permitted())],
        vec![recorded(4, None, left)],
        vec![recorded(3, Some(483), refused)],
    ]);
    let text = plain(&list("!", &Given::default(), &finds, None));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[1..4],
        [
            "- 12:03:04 · `482` · @alice:example.org · `deploy web@staging` · failed after 4.2 s: exit status 2",
            "- 12:03:04 · @alice:example.org: leave",
            "- 12:03:04 · `483` · @alice:example.org · not run: it could not be understood",
        ]
    );
    assert_eq!(lines.len(), 5, "{text}");
}

#[test]
fn a_list_does_not_say_why_another_host_says_that_it_failed() {
    let finished = |ending| Event::RunFinished {
        attempt: AttemptId(uuid::Uuid::nil()),
        ending,
        took_ms: 0,
        output: OutputSummary { bytes: 0, truncated: false, digest: Digest::of(b"") },
        kept: None,
        parts: InParts::default(),
    };
    let reason = "cannot open /srv/customers/acme".to_owned();
    for ending in [Ending::Failed { reason: reason.clone() }, Ending::Unknown { reason: reason.clone() }] {
        let finds = found(vec![vec![recorded(1, Some(482), finished(ending))]]);
        let text = plain(&list("!", &Given::default(), &finds, None));
        assert!(!text.contains("acme") && text.contains("why is told with what it printed"), "{text}");
    }
}

#[test]
fn a_story_has_the_command_the_decision_the_outcome_and_the_output() {
    let said = content(ContentKind::Text, "deploy web staging v1.4.2");
    let output = content(ContentKind::Output, "web@staging is at v1.4.2\n");
    let entries = [
        Event::CommandReceived {
            sender: owned_user_id!("@alice:example.org"),
            event_id: Some(owned_event_id!("$e")),
            door: "matrix".into(),
            claimed_at: Timestamp::UNIX_EPOCH,
            received_at: Timestamp::UNIX_EPOCH,
            text: said.commitment,
        },
        permitted(),
        Event::RunFinished {
            attempt: AttemptId(uuid::Uuid::nil()),
            ending: Ending::Exited { status: 0 },
            took_ms: 42_000,
            output: OutputSummary { bytes: 25, truncated: false, digest: Digest::of(b"") },
            kept: Some(output.commitment),
            parts: InParts::default(),
        },
    ];
    let entries: Vec<_> =
        (1..).zip(entries).map(|(place, event)| recorded(place, Some(482), event)).collect();
    let request = Request {
        number: RequestNumber(482),
        state: State::Succeeded,
        door: "matrix".into(),
        sender: owned_user_id!("@alice:example.org"),
        room: owned_room_id!("!room:example.org"),
        event_id: None,
        thread_root: None,
        claimed_at: Timestamp::UNIX_EPOCH,
        received_at: Timestamp::UNIX_EPOCH,
        invocation: None,
        rules: Some(Digest::of(b"rules")),
        ops: Some(Digest::of(b"ops")),
        lock: None,
        attempt: None,
        started_at: None,
        waited: false,
        ended_at: None,
    };
    let message = story(&request, &entries, &[said, output]);
    assert_eq!(message.mark, Some(StateMark::Succeeded));
    let text = plain(&message);
    for part in [
        "`482` by @alice:example.org · succeeded",
        "@alice:example.org sent `deploy web staging v1.4.2`",
        "was permitted (rule staging-by-its-team)",
        "Succeeded after 42 s · printed 25 bytes",
        "Decided under rules",
        "web@staging is at v1.4.2",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}
