use std::sync::Mutex;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;

const EVENT: &str = r#"{"type":"m.room.message","event_id":"$a","room_id":"!r","sender":"@a:b.c","origin_server_ts":1767225600000,  "content":{"body":"\u0000 é"}}"#;

/// The HTTP face with a store that remembers.
struct Face {
    router: Router,
    stored: Arc<Mutex<Vec<Transaction>>>,
}

fn face(database: bool) -> Face {
    let stored = Arc::new(Mutex::new(Vec::new()));
    let rows = Arc::clone(&stored);
    let store: Store = Arc::new(move |transaction: Transaction| {
        let rows = Arc::clone(&rows);
        Box::pin(async move {
            if !database {
                return Err(storage::Error::Away { doing: "storing", source: sqlx::Error::PoolTimedOut });
            }
            let new = transaction.arrivals.len();
            rows.lock().unwrap().push(transaction);
            Ok(Stored { new, duplicates: 0 })
        })
    });
    let router = router(Appservice {
        hs_token: Secret::new("hs"),
        homeserver: "b.c".try_into().unwrap(),
        bot: "@quarterdeck:b.c".try_into().unwrap(),
        largest: 10_000,
        store,
        has_alias: Arc::new(|alias| alias == "#ops-deploy:b.c"),
    });
    Face { router, stored }
}

impl Face {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: impl Into<Body>,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn put(&self, body: impl Into<Body>) -> (StatusCode, Value) {
        self.ask(Method::PUT, "/_matrix/app/v1/transactions/1", Some("Bearer hs"), body).await
    }

    fn arrivals(&self) -> Vec<storage::Arrival> {
        self.stored.lock().unwrap().iter().flat_map(|transaction| transaction.arrivals.clone()).collect()
    }
}

#[tokio::test]
async fn an_event_is_stored_byte_for_byte_before_it_is_acknowledged() {
    let face = face(true);
    let (status, body) = face.put(format!(r#"{{ "events" : [ {EVENT} ] }}"#)).await;
    assert_eq!((status, body), (StatusCode::OK, serde_json::json!({})));
    let arrivals = face.arrivals();
    assert_eq!(arrivals.len(), 1);
    assert_eq!(arrivals[0].raw, EVENT.as_bytes());
    assert_eq!(arrivals[0].external_id, "$a");
    assert_eq!(arrivals[0].lane, "!r");
    assert_eq!(arrivals[0].claimed_at.unwrap().to_string(), "2026-01-01T00:00:00Z");
}

#[tokio::test]
async fn a_homeserver_keeps_what_could_not_be_stored() {
    let face = face(false);
    let (status, _) = face.put(format!(r#"{{"events":[{EVENT}]}}"#)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn one_malformed_event_never_blocks_the_others() {
    for strange in [
        "7",
        "null",
        r#"{"event_id":"$b"}"#,
        r#"{"type":"t","event_id":"b","room_id":"!r","sender":"@a:b.c"}"#,
        r#"{"type":"t","event_id":"$b","room_id":"!r","sender":"nobody"}"#,
        r#"{"type":"t","event_id":"$b\u0000","room_id":"!r","sender":"@a:b.c"}"#,
        r#"["$b","!r","@a:b.c","t"]"#,
        r#"{"type":7,"event_id":"$b","room_id":"!r","sender":"@a:b.c"}"#,
    ] {
        let face = face(true);
        let (status, _) = face.put(format!(r#"{{"events":[{strange},{EVENT}]}}"#)).await;
        assert_eq!(status, StatusCode::OK, "{strange}");
        let arrivals = face.arrivals();
        assert_eq!(arrivals.len(), 2, "{strange}");
        assert_eq!(
            (arrivals[0].source.as_str(), arrivals[0].lane.as_str()),
            (MALFORMED, MALFORMED),
            "{strange}"
        );
        assert_eq!(arrivals[0].raw, strange.as_bytes());
        assert_eq!(arrivals[1].external_id, "$a", "{strange}");
    }
}

#[tokio::test]
async fn a_time_that_no_calendar_has_is_not_handed_on() {
    // 5000 before our era: the database would refuse it, and with it every event of the transaction, for ever.
    let strange = EVENT.replace("1767225600000", "-220000000000000");
    let face = face(true);
    face.put(format!(r#"{{"events":[{strange}]}}"#)).await;
    assert_eq!(face.arrivals()[0].external_id, "$a");
    assert_eq!(face.arrivals()[0].claimed_at, None);
}

#[tokio::test]
async fn a_body_that_is_no_transaction_is_kept_and_not_sent_for_ever() {
    for body in ["", "{", "[]", r#"{"events":7}"#] {
        let face = face(true);
        assert_eq!(face.put(body).await.0, StatusCode::OK, "{body}");
        assert_eq!(face.arrivals()[0].source, MALFORMED, "{body}");
    }
    let face = face(true);
    assert_eq!(face.put(&b"{\"events\":[\"\xff\"]}"[..]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_transaction_without_events_is_acknowledged() {
    let face = face(true);
    assert_eq!(face.put("{}").await.0, StatusCode::OK);
    assert_eq!(face.put(r#"{"events":[]}"#).await.0, StatusCode::OK);
    assert!(face.arrivals().is_empty());
}

#[tokio::test]
async fn what_encryption_will_need_is_kept_beside_the_events() {
    let face = face(true);
    let beside =
        r#""de.sorunome.msc2409.to_device":[{"type":"x"}],"org.matrix.msc3202.device_lists":"strange""#;
    face.put(format!(r#"{{"events":[{EVENT}],{beside}}}"#)).await;
    let kept = face.stored.lock().unwrap()[0].to_device.clone().unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&kept).unwrap()["de.sorunome.msc2409.to_device"][0]["type"],
        "x"
    );
    assert_eq!(face.arrivals()[0].external_id, "$a");
}

#[tokio::test]
async fn only_the_homeserver_is_heard() {
    let face = face(true);
    for path in ["/_matrix/app/v1/transactions/1", "/_matrix/app/v1/transactions/1?access_token=hs"] {
        for (token, status, errcode) in [
            (None, StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN"),
            (Some("Basic hs"), StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN"),
            (Some("Bearer wrong"), StatusCode::FORBIDDEN, "M_FORBIDDEN"),
            (Some("Bearer "), StatusCode::FORBIDDEN, "M_FORBIDDEN"),
        ] {
            let (got, body) = face.ask(Method::PUT, path, token, format!(r#"{{"events":[{EVENT}]}}"#)).await;
            assert_eq!((got, body["errcode"].as_str()), (status, Some(errcode)), "{path} {token:?}");
        }
    }
    for path in ["/_matrix/app/v1/users/@quarterdeck:b.c", "/_matrix/app/v1/rooms/%23ops-deploy:b.c"] {
        assert_eq!(face.ask(Method::GET, path, None, "").await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert!(face.arrivals().is_empty());
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_with_a_matrix_error() {
    let face = face(true);
    let (status, body) = face.put(vec![b' '; 10_001]).await;
    assert_eq!((status, body["errcode"].as_str()), (StatusCode::PAYLOAD_TOO_LARGE, Some("M_TOO_LARGE")));
}

#[tokio::test]
async fn questions_are_answered_for_what_is_ours_and_exists() {
    let face = face(true);
    for (method, path, status) in [
        (Method::GET, "/_matrix/app/v1/users/@quarterdeck:b.c", 200),
        (Method::GET, "/_matrix/app/v1/users/%40quarterdeck%3Ab.c", 200),
        (Method::GET, "/_matrix/app/v1/users/@quarterdeck_x:b.c", 404),
        (Method::GET, "/_matrix/app/v1/rooms/%23ops-deploy:b.c", 200),
        (Method::GET, "/_matrix/app/v1/rooms/%23ops-other:b.c", 404),
        (Method::POST, "/_matrix/app/v1/ping", 200),
    ] {
        assert_eq!(face.ask(method, path, Some("Bearer hs"), "{}").await.0, status, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_unrecognised() {
    let face = face(true);
    for (method, path, status) in [
        (Method::GET, "/_matrix/app/v1/thirdparty/protocol/irc", 404),
        (Method::GET, "/_matrix/app/v2/x", 404),
        (Method::PUT, "/transactions/1", 404),
        (Method::DELETE, "/_matrix/app/v1/ping", 405),
    ] {
        let (got, body) = face.ask(method, path, Some("Bearer hs"), "").await;
        assert_eq!(got, status, "{path}");
        if path.starts_with("/_matrix") {
            assert_eq!(body["errcode"], "M_UNRECOGNIZED", "{path}");
        }
    }
}
