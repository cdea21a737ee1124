//! Searching the log, as storage promises it.

use quarterdeck::{
    audit::search::{Short, find},
    model::{Event, RequestNumber},
    storage::{Cursor, Error, Found, Search, Storage},
};
use sqlx::Executor as _;

use super::support::{Store, alice, bob, room};

async fn numbers(storage: &Storage, search: &Search) -> Vec<i64> {
    assert!(storage.catch_up().await.unwrap());
    let found = storage.search(search, None, 100).await.unwrap();
    found.iter().filter_map(|found| Some(found.request?.0)).collect()
}

#[tokio::test]
async fn a_search_sees_what_was_committed_before_it_and_what_became_of_it_since() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, number) = store.opened(&storage).await;
    let of = |outcome: &str| Search { outcome: Some(outcome.to_owned()), ..Search::default() };
    assert!(numbers(&storage, &of("waiting")).await.is_empty(), "it is not committed yet");
    work.done().await.unwrap();
    // No sequencer runs here: nothing of it is a leaf.
    assert_eq!(numbers(&storage, &of("waiting")).await, [number.0]);

    let warrant = store.running(&storage, "look", "teapot").await;
    let running = warrant.number();
    assert_eq!(numbers(&storage, &of("running")).await, [running.0]);
    assert_eq!(numbers(&storage, &of("waiting")).await, [number.0]);
    for (search, wanted) in [
        (Search { command: Some("look".into()), ..Search::default() }, vec![running.0]),
        (Search { argument: Some(("app".into(), "teapot".into())), ..Search::default() }, vec![running.0]),
        (Search { argument: Some(("app".into(), "kettle".into())), ..Search::default() }, vec![]),
        (Search { words: Some("teapot".into()), ..Search::default() }, vec![running.0]),
        (Search { words: Some("deploy -teapot".into()), ..Search::default() }, vec![number.0]),
        (Search { rule: Some("all".into()), ..Search::default() }, vec![running.0]),
        (Search { rule: Some("none".into()), ..Search::default() }, vec![]),
        (Search { by: Some(alice().to_string()), ..Search::default() }, vec![running.0, number.0]),
        (Search { by: Some(bob().to_string()), ..Search::default() }, vec![]),
        (Search { team: Some([alice(), bob()].into()), ..Search::default() }, vec![running.0, number.0]),
        (Search { team: Some([bob()].into()), ..Search::default() }, vec![]),
        (Search { server: Some("example.org".into()), ..Search::default() }, vec![running.0, number.0]),
        (Search { server: Some("example".into()), ..Search::default() }, vec![]),
        (Search { kind: Some("run.started".into()), ..Search::default() }, vec![running.0]),
        (Search { kind: Some("command".into()), ..Search::default() }, vec![running.0, number.0]),
        (Search { request: Some(number), ..Search::default() }, vec![number.0]),
        (Search { rooms: Some([room()].into()), ..Search::default() }, vec![running.0, number.0]),
        (Search { rooms: Some([].into()), ..Search::default() }, vec![]),
        (Search { until: Some(storage.now()), ..Search::default() }, vec![]),
    ] {
        assert_eq!(numbers(&storage, &search).await, wanted, "{search:?}");
    }
    drop(warrant);
}

#[tokio::test]
async fn pages_go_on_where_the_last_ended_whatever_came_since() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    for count in 0..23 {
        // Many at one time, so that their places must tell them apart.
        if count % 7 == 0 {
            store.clock.pass(1);
        }
        storage
            .record(None, Some(&room()), Event::AuditRead { by: "x at y".into(), query: count.to_string() })
            .await
            .unwrap();
    }
    let here = Search { rooms: Some([room()].into()), ..Search::default() };
    let (mut seen, mut behind): (Vec<Found>, Option<Cursor>) = (Vec::new(), None);
    loop {
        assert!(storage.catch_up().await.unwrap());
        let page = storage.search(&here, behind, 5).await.unwrap();
        let Some(last) = page.last() else { break };
        // As it goes through a line that somebody types.
        behind = Some(last.cursor.to_string().parse().unwrap());
        seen.extend(page);
        storage
            .record(None, Some(&room()), Event::AuditRead { by: "x at y".into(), query: "later".into() })
            .await
            .unwrap();
    }
    assert_eq!(seen.len(), 23);
    assert!(seen.windows(2).all(|two| two[0].cursor > two[1].cursor), "{seen:?}");
    let entries = storage.entries_of(&seen).await.unwrap();
    let queries: Vec<_> = entries
        .iter()
        .map(|of| match &of[0].entry.event {
            Event::AuditRead { query, .. } => query.parse::<i64>().unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(queries, (0..23).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn what_nobody_could_index_hinders_no_search() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, _) = store.opened(&storage).await;
    work.done().await.unwrap();
    // Bytes that are no text, one long word, and more words than an index takes.
    let pool = store.database.superuser();
    for bytes in [
        vec![0xff, 0x00, 0xfe],
        vec![b'a'; 60_000],
        (0..400_000).flat_map(|n| format!("w{n} ").into_bytes()).collect(),
    ] {
        sqlx::query(
            "INSERT INTO contents (commitment, request, kind, salt, bytes, written_at)
             SELECT sha256(s.salt || $1), r.number, 'output', s.salt, $1, now()
             FROM (SELECT sha256(gen_random_uuid()::text::bytea) AS salt) s, requests r",
        )
        .bind(&bytes)
        .execute(&pool)
        .await
        .unwrap();
    }
    pool.close().await;
    assert_eq!(
        numbers(&storage, &Search { words: Some("deploy".into()), ..Search::default() }).await.len(),
        1
    );
    // Of a long output the beginning is searched.
    assert_eq!(numbers(&storage, &Search { words: Some("w17".into()), ..Search::default() }).await.len(), 1);
}

#[tokio::test]
async fn the_runtime_role_cannot_make_something_be_found_or_not() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, number) = store.opened(&storage).await;
    work.done().await.unwrap();
    let url = store.database.runtime_url();
    let pool = sqlx::PgPool::connect(url.expose()).await.unwrap();
    for sql in [
        "DELETE FROM trail",
        "UPDATE trail SET tags = '{}'",
        "INSERT INTO trail (place, at, tags, said, printed) VALUES (1, now(), '{}', '', '')",
        "UPDATE trail_head SET leaf = 1000000",
        "SELECT trail_of_requests(ARRAY[1])",
    ] {
        let error = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.expect_err(sql);
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "42501", "{sql}: {error}");
    }
    pool.close().await;
    assert!(storage.catch_up().await.unwrap());
    let found = storage.search(&Search::default(), None, 10).await.unwrap();
    assert!(found.iter().any(|found| found.request == Some(RequestNumber(number.0))), "{found:?}");
}

#[tokio::test]
async fn what_becomes_a_leaf_while_a_search_begins_is_found() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, number) = store.opened(&storage).await;
    work.done().await.unwrap();
    let pool = store.database.superuser();
    // The sequencer, in the middle of its commit; the search waits for what it may read of that.
    let mut sequencer = pool.begin().await.unwrap();
    sequencer.execute("LOCK TABLE pending IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // Connections of their own: one waits in each.
    let (searching, watching) = (store.database.superuser(), store.database.superuser());
    let search = tokio::spawn(async move {
        sqlx::query_scalar::<_, i64>("SELECT extend_trail(1000)").fetch_one(&searching).await.unwrap()
    });
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%extend_trail%'";
    let begun = std::time::Instant::now();
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&watching).await.unwrap() == 0 {
        assert!(begun.elapsed().as_secs() < 20, "the search does not wait");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    for sql in [
        "INSERT INTO leaves (log, index, entry_id, hash)
         SELECT 1, h.size + row_number() OVER (ORDER BY p.place) - 1, e.id, sha256('')
         FROM pending p JOIN entries e USING (place), head h",
        "DELETE FROM pending",
        "UPDATE head SET size = (SELECT count(*) FROM leaves)",
    ] {
        sequencer.execute(sql).await.unwrap();
    }
    sequencer.commit().await.unwrap();
    assert_eq!(search.await.unwrap(), 0);
    let found = storage.search(&Search::default(), None, 10).await.unwrap();
    assert!(found.iter().any(|found| found.request == Some(number)), "{found:?}");
}

#[tokio::test]
async fn what_a_reader_may_not_find_is_not_told_of_by_where_a_page_ends_either() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let mut numbers = Vec::new();
    for _ in 0..40 {
        store.clock.pass(1);
        let (work, number) = store.opened(&storage).await;
        work.done().await.unwrap();
        numbers.push(number);
    }
    numbers.reverse();
    let pool = store.database.superuser();
    sqlx::query(
        "INSERT INTO contents (commitment, request, kind, salt, bytes, written_at)
         SELECT sha256(s.salt || 'sesame'::bytea), r.number, 'output', s.salt, 'sesame', now()
         FROM requests r, LATERAL (SELECT sha256((r.number::text || gen_random_uuid())::bytea) AS salt) s",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let sesame = Search { words: Some("sesame".into()), ..Search::default() };
    let may_read = |found: &Found| found.request.is_some_and(|number| number.0 % 10 == 0);
    let told: Vec<_> = numbers.iter().copied().filter(|number| number.0 % 10 == 0).collect();
    assert_eq!(told.len(), 4);
    let (mut seen, mut behind) = (Vec::new(), None);
    loop {
        let page = find(&storage, &sesame, behind, 1, &may_read).await.unwrap();
        assert_eq!(page.short, None);
        seen.extend(page.found.iter().filter_map(|(found, _)| found.request));
        let Some(older) = page.older else { break };
        assert_eq!(Some(older), page.found.last().map(|(found, _)| found.cursor));
        behind = Some(older);
    }
    assert_eq!(seen, told);
}

#[tokio::test]
async fn a_search_that_takes_too_long_is_stopped_and_says_so() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, number) = store.opened(&storage).await;
    work.done().await.unwrap();
    assert!(storage.catch_up().await.unwrap());
    let pool = store.database.superuser();
    // Its sequencer does not run: what waits would be looked at each time.
    pool.execute("ALTER TABLE pending DISABLE TRIGGER ALL; DELETE FROM pending").await.unwrap();
    let mut busy = pool.begin().await.unwrap();
    busy.execute("LOCK TABLE trail IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let error = storage.search(&Search::default(), None, 10).await.unwrap_err();
    assert!(matches!(error, Error::TooLong) && !error.is_away(), "{error}");
    let finds = find(&storage, &Search::default(), None, 10, &|_| true).await.unwrap();
    assert!(finds.found.is_empty() && finds.short == Some(Short::TooLong), "{finds:?}");
    busy.rollback().await.unwrap();
    let finds = find(&storage, &Search::default(), None, 10, &|_| true).await.unwrap();
    assert!(finds.short.is_none() && finds.found.iter().any(|(found, _)| found.request == Some(number)));
}
