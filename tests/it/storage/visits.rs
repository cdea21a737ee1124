//! Sessions at the pages whose time has come are ended, and that is on the record.

use sqlx::Row as _;

use super::support::{Store, alice, bob};

const HOUR: i64 = 60 * 60;

/// A link for somebody, as if it had been asked for now; gives its token.
async fn link(store: &Store, user: &str, digit: char) -> String {
    let token = String::from(digit).repeat(64);
    let now = quarterdeck::model::Clock::now(&store.clock).to_string();
    sqlx::query(
        "INSERT INTO logins (id, hash, user_id, asked_at, expires_at)
         VALUES (gen_random_uuid(), sha256(convert_to($1, 'UTF8')), $2, $3::timestamptz, $3::timestamptz + interval '5 minutes')",
    )
    .bind(&token)
    .bind(user)
    .bind(now)
    .execute(&store.database.superuser())
    .await
    .unwrap();
    token
}

/// Whose sessions are recorded as ended, and why, in order.
async fn ended(store: &Store) -> Vec<(String, String)> {
    let rows = sqlx::query(
        "SELECT who, body::jsonb ->> 'why' FROM entries WHERE kind = 'session.ended' ORDER BY place",
    )
    .fetch_all(&store.database.superuser())
    .await
    .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn what_nobody_uses_any_more_and_what_is_over_is_ended_and_recorded_once() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (idle, used) = (alice(), bob());
    let first = link(&store, idle.as_str(), 'a').await;
    let second = link(&store, used.as_str(), 'b').await;
    let (_, idle_token) = storage.begin_session(&first, "browser", None).await.unwrap().unwrap();
    let (_, token) = storage.begin_session(&second, "browser", None).await.unwrap().unwrap();
    storage.end_old_sessions().await.unwrap();
    assert_eq!(ended(&store).await, []);

    // One is used all day, the other lies there.
    for _ in 0..11 {
        store.clock.pass(HOUR - 60);
        assert!(storage.session(token.expose(), true).await.unwrap().is_some());
        storage.end_old_sessions().await.unwrap();
    }
    let is_idle = (idle.to_string(), "idle".to_owned());
    assert_eq!(ended(&store).await, std::slice::from_ref(&is_idle));
    assert!(storage.session(idle_token.expose(), true).await.unwrap().is_none());

    store.clock.pass(HOUR + 660);
    storage.end_old_sessions().await.unwrap();
    storage.end_old_sessions().await.unwrap();
    let is_over = (used.to_string(), "over".to_owned());
    assert_eq!(ended(&store).await, [is_idle, is_over]);
    assert!(storage.session(token.expose(), true).await.unwrap().is_none());
    // What ended long ago goes; the record of it stays.
    let rows = "SELECT count(*) FROM sessions";
    assert_eq!(store.count(rows).await, 2);
    store.clock.pass(400 * 24 * HOUR);
    storage.end_old_sessions().await.unwrap();
    assert_eq!((store.count(rows).await, ended(&store).await.len()), (0, 2));
}
