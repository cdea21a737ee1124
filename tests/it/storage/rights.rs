//! What is recorded cannot be changed, by whom ever.

use quarterdeck::{
    model::Secret,
    storage::{Error, migrate},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::support::Store;
use crate::harness::{Database, State};

/// The ways to rewrite history.
const REWRITING: [&str; 6] = [
    "UPDATE entries SET body = '{}'",
    "DELETE FROM entries",
    "TRUNCATE entries CASCADE",
    "UPDATE contents SET bytes = ''",
    "DELETE FROM contents",
    "TRUNCATE contents CASCADE",
];

fn superuser_url(store: &Store) -> Secret {
    let postgres = State::read().postgres;
    Secret::new(postgres.url(&postgres.superuser, store.database.name()))
}

async fn refuses_all(url: &Secret, before: &'static str) {
    let mut connection = PgConnection::connect(url.expose()).await.unwrap();
    sqlx::query(before).execute(&mut connection).await.unwrap();
    for sql in REWRITING {
        let error = sqlx::query(sql).execute(&mut connection).await.expect_err(sql);
        let code = error.as_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "42501", "{sql}: {error}");
    }
}

/// A store with a request on the record.
async fn recorded() -> Store {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, _) = store.opened(&storage).await;
    work.done().await.unwrap();
    store
}

#[tokio::test]
async fn the_runtime_role_cannot_change_or_remove_what_was_recorded() {
    let store = recorded().await;
    refuses_all(&store.database.runtime_url(), "SELECT 1").await;
}

#[tokio::test]
async fn neither_can_the_owner_nor_a_session_that_switches_triggers_off() {
    let store = recorded().await;
    refuses_all(&store.database.owner_url(), "SELECT 1").await;
    let superuser = superuser_url(&store);
    refuses_all(&superuser, "SET session_replication_role = 'replica'").await;
    assert!(store.count("SELECT count(*) FROM entries").await > 0);
}

async fn not_ready(store: &Store, url: &Secret) -> String {
    match store.at(url, "main").check_ready().await {
        Err(error @ Error::NotReady(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn it_starts_with_the_runtime_role_and_with_no_other() {
    let store = Store::new().await;
    store.unregistered("main").check_ready().await.unwrap();
    let owner = not_ready(&store, &store.database.owner_url()).await;
    assert!(owner.contains("owns it"), "{owner}");
    assert!(owner.contains("quarterdeck migrate --runtime-role"), "{owner}");
    let superuser = not_ready(&store, &superuser_url(&store)).await;
    assert!(superuser.contains("is a superuser"), "{superuser}");
}

#[tokio::test]
async fn it_does_not_start_with_a_right_too_many() {
    let store = Store::new().await;
    let pool = store.database.superuser();
    let role = store.database.runtime_role();
    for (right, what) in [
        ("UPDATE (who) ON entries", "may UPDATE it"),
        ("DELETE ON contents", "may DELETE from it"),
        ("TRUNCATE ON entries", "may TRUNCATE it"),
        ("TRIGGER ON entries", "may put triggers on it"),
    ] {
        sqlx::query(AssertSqlSafe(format!("GRANT {right} TO {role}"))).execute(&pool).await.unwrap();
        let error = not_ready(&store, &store.database.runtime_url()).await;
        assert!(error.contains(what), "{error}");
        // `migrate` mends it.
        migrate(&store.database.owner_url(), Some(&role)).await.unwrap();
    }
    let owner = store.database.owner_role();
    sqlx::query(AssertSqlSafe(format!("GRANT {owner} TO {role}"))).execute(&pool).await.unwrap();
    assert!(not_ready(&store, &store.database.runtime_url()).await.contains("owns it"));
}

#[tokio::test]
async fn it_does_not_start_on_pending_migrations() {
    let store = Store::new().await;
    let pool = store.database.superuser();
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 11").execute(&pool).await.unwrap();
    let error = not_ready(&store, &store.database.runtime_url()).await;
    assert!(error.contains("0011 runtime rights"), "{error}");
    sqlx::query("DROP TABLE _sqlx_migrations").execute(&pool).await.unwrap();
    let error = not_ready(&store, &store.database.runtime_url()).await;
    assert!(error.contains("there is no schema"), "{error}");
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let database = Database::create().await;
    let role = database.runtime_role();
    let first = migrate(&database.owner_url(), Some(&role)).await.unwrap();
    assert_eq!(first.applied.len(), first.total);
    let again = migrate(&database.owner_url(), Some(&role)).await.unwrap();
    assert!(again.applied.is_empty());
    assert_eq!(again.rights, first.rights);
    let missing = migrate(&database.owner_url(), Some("nobody_of_that_name")).await.unwrap_err();
    assert!(missing.to_string().contains("CREATE ROLE \"nobody_of_that_name\""), "{missing}");
}

#[tokio::test]
async fn a_content_is_what_its_name_says() {
    let store = recorded().await;
    let pool = store.database.superuser();
    let lie = "INSERT INTO contents (commitment, request, kind, salt, bytes, written_at)
               SELECT commitment || '', request, kind, salt, 'other', written_at FROM contents LIMIT 1";
    let error = sqlx::query(lie).execute(&pool).await.unwrap_err();
    assert!(error.to_string().contains("contents_check"), "{error}");
}
