//! Messages go out in order, once, and not before the homeserver can take them (MATRIX.md, 23 to 29).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    routing::{get, put},
};
use http::StatusCode;
use quarterdeck::{
    matrix::{
        Homeserver, Outbox,
        render::{self, Loudness, Placement, STEP},
    },
    model::{Message, Secret, SignedDuration, Span, StateMark, SystemClock},
    storage::{File, Filter, OutboxDraft, OutboxRow},
};
use ruma::{EventId, OwnedRoomId, RoomId, api::client::room::create_room::v3 as create_room, room_id};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    harness::state::Homeserver as Server,
    rooms_yard::{Yard, control},
};

const MESSAGE: &str = "m.room.message";

fn said(step: &str, place: &Placement) -> Value {
    let message = Message::plain().line([Span::text(step)]);
    render::message(&message, place, &[], Loudness::Notice, step)
}

fn draft(room: &RoomId, step: &str) -> OutboxDraft {
    OutboxDraft {
        step: step.to_owned(),
        to: room.to_owned().into(),
        request: None,
        kind: MESSAGE.to_owned(),
        content: said(step, &Placement::Timeline),
        file: None,
    }
}

impl Yard {
    async fn plain_room(&self) -> OwnedRoomId {
        self.homeserver.create_room(create_room::Request::new()).await.unwrap()
    }

    async fn write(&self, drafts: Vec<OutboxDraft>) -> Vec<OutboxRow> {
        let count = drafts.len();
        let rows = self.storage.say(drafts).await.unwrap();
        assert_eq!(rows.len(), count);
        rows
    }

    /// The step keys of what stands in a room, oldest first.
    async fn steps(&self, room: &RoomId) -> Vec<String> {
        let since = self.storage.now() - SignedDuration::from_hours(1);
        let mut found = Vec::new();
        for kind in [MESSAGE, "m.reaction"] {
            found.extend(self.homeserver.said_since(room, kind, since).await.unwrap());
        }
        found.iter().rev().filter_map(|event| event.content[STEP].as_str().map(ToOwned::to_owned)).collect()
    }

    async fn parked(&self) -> usize {
        let filter = Filter { kind: Some("answer.parked".to_owned()), ..Filter::default() };
        self.storage.entries(&filter, None, 100).await.unwrap().entries.len()
    }
}

async fn until_sent(outbox: &Outbox) {
    let all = async {
        while outbox.waiting() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), all).await.expect("the outbox is emptied");
}

#[tokio::test]
async fn the_messages_of_a_lane_arrive_in_their_order_and_once() {
    let yard = Yard::new().await;
    let room = yard.plain_room().await;
    let outbox = Outbox::new(yard.homeserver.clone(), yard.storage.clone(), "");
    let steps: Vec<_> = (0..20).map(|number| format!("step/{number:02}")).collect();
    let rows = yard.write(steps.iter().map(|step| draft(&room, step)).collect()).await;
    outbox.hand(rows.clone());
    outbox.hand(rows.clone());
    until_sent(&outbox).await;
    assert_eq!(yard.steps(&room).await, steps);
    // As a process would that died after sending and before noting it.
    outbox.hand(rows);
    until_sent(&outbox).await;
    assert_eq!(yard.steps(&room).await, steps);
}

#[tokio::test]
async fn what_an_earlier_life_left_is_found_and_sent() {
    let yard = Yard::new().await;
    let room = yard.plain_room().await;
    yard.write(vec![draft(&room, "left")]).await;
    // The same instance starts again: its earlier life is over.
    let storage = yard.next_life().await;
    let outbox = Outbox::new(yard.homeserver.clone(), storage, "");
    let found = async {
        while yard.steps(&room).await.is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), found).await.unwrap();
    until_sent(&outbox).await;
    assert_eq!(yard.steps(&room).await, ["left"]);
}

#[tokio::test]
async fn a_message_that_is_too_old_for_transaction_ids_is_looked_for_before_it_is_sent_again() {
    let yard = Yard::new().await;
    let room = yard.plain_room().await;
    let send = async |kind: &str, content: &Value, id: &str| {
        yard.homeserver.send_event(&room, kind, content, id.into()).await.unwrap()
    };
    let command = send(MESSAGE, &json!({ "msgtype": "m.text", "body": "!x" }), "command").await;
    let thread = Placement::Thread { root: command.clone(), reply_to: command.clone() };
    let mut drafts =
        vec![draft(&room, "timeline"), draft(&room, "reply"), draft(&room, "thread"), draft(&room, "mark")];
    drafts[1].content = said("reply", &Placement::Reply { to: command.clone() });
    drafts[2].content = said("thread", &thread);
    drafts[3].kind = "m.reaction".to_owned();
    drafts[3].content = render::reaction(&command, StateMark::Running, "mark");
    let mut rows = yard.write(drafts).await;
    // Each was sent, under an id that the homeserver has forgotten, by a life that did not note it.
    for row in &mut rows {
        send(&row.draft.kind, &row.draft.content, &format!("forgotten/{}", row.draft.step)).await;
        row.written_at -= SignedDuration::from_hours(30);
    }
    let before = yard.steps(&room).await;
    let outbox = Outbox::new(yard.homeserver.clone(), yard.storage.clone(), "");
    outbox.hand(rows);
    until_sent(&outbox).await;
    assert_eq!(yard.steps(&room).await, before);
    assert!(yard.storage.event_of_step("thread").await.unwrap().is_some());
    assert_eq!(yard.parked().await, 0);
}

#[tokio::test]
async fn the_same_reaction_a_second_time_is_no_failure() {
    let yard = Yard::new().await;
    let room = yard.plain_room().await;
    let command = json!({ "msgtype": "m.text", "body": "!x" });
    let command = yard.homeserver.send_event(&room, MESSAGE, &command, "c".into()).await.unwrap();
    let content = render::reaction(&command, StateMark::Running, "mark");
    yard.homeserver.send_event(&room, "m.reaction", &content, "forgotten".into()).await.unwrap();
    let row = OutboxDraft { kind: "m.reaction".to_owned(), content, ..draft(&room, "mark") };
    let outbox = Outbox::new(yard.homeserver.clone(), yard.storage.clone(), "");
    outbox.hand(yard.write(vec![row]).await);
    until_sent(&outbox).await;
    assert_eq!(yard.parked().await, 0);
    assert_eq!(yard.steps(&room).await, ["mark"]);
}

#[tokio::test]
async fn what_the_homeserver_refuses_for_good_is_parked_recorded_and_passed() {
    let yard = Yard::new().await;
    let room = yard.plain_room().await;
    let mut large = draft(&room, "large");
    large.content["body"] = "x".repeat(70_000).into();
    let outside = draft(room_id!("!NotARoomOfOurs00000000000000000000000000000"), "outside");
    let outbox = Outbox::new(yard.homeserver.clone(), yard.storage.clone(), "");
    outbox.hand(yard.write(vec![outside, large, draft(&room, "next")]).await);
    until_sent(&outbox).await;
    assert_eq!(yard.steps(&room).await, ["next"]);
    assert_eq!(yard.parked().await, 2);
}

#[tokio::test]
async fn a_whole_output_is_uploaded_and_stands_in_the_thread() {
    let yard = Yard::new().await;
    let room = yard.plain_room().await;
    let place = Placement::Timeline;
    let bytes = b"all of it\n".repeat(100);
    let mut row = draft(&room, "output");
    row.content = render::file("deploy-482.txt", "text/plain", bytes.len() as u64, &place, "output");
    row.file = Some(File { name: "deploy-482.txt".to_owned(), media_type: "text/plain".to_owned(), bytes });
    let outbox = Outbox::new(yard.homeserver.clone(), yard.storage.clone(), "");
    outbox.hand(yard.write(vec![row]).await);
    until_sent(&outbox).await;
    let event = yard.storage.event_of_step("output").await.unwrap().unwrap();
    let event = yard.homeserver.event(&room, &event).await.unwrap().unwrap();
    assert_eq!(event["content"]["msgtype"], "m.file");
    assert_eq!(event["content"]["info"]["size"], 1000);
    assert!(event["content"]["url"].as_str().unwrap().starts_with("mxc://"), "{event}");
}

#[tokio::test]
async fn the_longest_answer_is_taken_by_the_homeserver() {
    let yard = Yard::new().await;
    let room = yard.plain_room().await;
    let message = Message::marked(StateMark::Failed).verbatim("<é\"\x01\u{202e}\n".repeat(50_000));
    let mut row = draft(&room, "long");
    row.content = render::message(&message, &Placement::Timeline, &[], Loudness::Notice, "long");
    let outbox = Outbox::new(yard.homeserver.clone(), yard.storage.clone(), "");
    outbox.hand(yard.write(vec![row]).await);
    until_sent(&outbox).await;
    assert_eq!(yard.steps(&room).await, ["long"]);
}

#[tokio::test]
async fn a_homeserver_that_was_killed_gets_its_messages_within_a_moment_of_its_return_and_none_twice() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let server: Server = serde_json::from_slice(&control(&["homeserver", "up", at])).unwrap();
    let yard = Yard::on(server).await;
    let room = yard.plain_room().await;
    let transaction = "the-same".into();
    let content = said("before", &Placement::Timeline);
    let before = yard.homeserver.send_event(&room, MESSAGE, &content, transaction).await.unwrap();

    control(&["homeserver", "kill", at]);
    let outbox = Outbox::new(yard.homeserver.clone(), yard.storage.clone(), "");
    let steps: Vec<_> = (0..5).map(|number| format!("step/{number}")).collect();
    outbox.hand(yard.write(steps.iter().map(|step| draft(&room, step)).collect()).await);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(outbox.waiting(), 5);
    control(&["homeserver", "start", at]);
    let back = Instant::now();
    until_sent(&outbox).await;
    assert!(back.elapsed() < Duration::from_secs(3), "{:?}", back.elapsed());
    assert_eq!(yard.steps(&room).await, [vec!["before".to_owned()], steps].concat());

    // Its memory of transaction ids outlives it, because the bot has a device.
    let again = yard.homeserver.send_event(&room, MESSAGE, &content, transaction).await.unwrap();
    assert_eq!(again, before);
    control(&["homeserver", "down", at]);
}

/// A homeserver that answers as it is told, and counts what it was sent.
async fn stub(
    answer: impl Fn(usize) -> (StatusCode, Value) + Clone + Send + Sync + 'static,
) -> (Homeserver, Arc<AtomicUsize>) {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let router = Router::new()
        .route(
            "/_matrix/client/v3/rooms/{room}/send/{kind}/{id}",
            put(move || {
                let (status, body) = answer(counted.fetch_add(1, Ordering::SeqCst));
                async move { (status, Json(body)) }
            }),
        )
        .route("/_matrix/client/v3/account/whoami", get(|| async { Json(json!({ "user_id": "@bot:x" })) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    let bot = "@bot:x".try_into().unwrap();
    (Homeserver::new(&url, bot, Secret::new("token"), Arc::new(SystemClock)).unwrap(), tries)
}

fn taken() -> (StatusCode, Value) {
    (StatusCode::OK, json!({ "event_id": "$sent" }))
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_and_the_message_is_sent_once() {
    let yard = Yard::new().await;
    let (homeserver, tries) = stub(|number| {
        let body = json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "slower", "retry_after_ms": 600 });
        if number == 0 { (StatusCode::TOO_MANY_REQUESTS, body) } else { taken() }
    })
    .await;
    let outbox = Outbox::new(homeserver, yard.storage.clone(), "");
    let began = Instant::now();
    outbox.hand(yard.write(vec![draft(room_id!("!a"), "a")]).await);
    until_sent(&outbox).await;
    assert!(began.elapsed() >= Duration::from_millis(600), "{:?}", began.elapsed());
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    let event = yard.storage.event_of_step("a").await.unwrap();
    assert_eq!(event.as_deref(), Some(<&EventId>::try_from("$sent").unwrap()));
}

#[tokio::test]
async fn a_failure_of_the_homeserver_is_tried_again_and_parks_nothing() {
    let yard = Yard::new().await;
    let (homeserver, tries) = stub(|number| match number {
        0 => (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({ "errcode": "M_UNKNOWN", "error": "Internal server error" }),
        ),
        1 => (StatusCode::BAD_GATEWAY, json!("a proxy's own words")),
        2 => (
            StatusCode::UNAUTHORIZED,
            json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "Invalid access token" }),
        ),
        _ => taken(),
    })
    .await;
    let outbox = Outbox::new(homeserver, yard.storage.clone(), "");
    outbox.hand(yard.write(vec![draft(room_id!("!a"), "a")]).await);
    until_sent(&outbox).await;
    assert_eq!(tries.load(Ordering::SeqCst), 4);
    assert_eq!(yard.parked().await, 0);
}
