//! `quarterdeck migrate` and `quarterdeck audit`, as somebody types them.

use std::process::{Command, Output};

use quarterdeck::model::Entry;

use super::support::Store;
use crate::harness::{Database, World};

fn quarterdeck(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{error}");
    out.into_owned()
}

#[tokio::test]
async fn migrating_says_what_it_did_and_needs_no_ops_folder() {
    let database = Database::create().await;
    let url = database.owner_url();
    let role = database.runtime_role();
    let environment = [("QUARTERDECK_OWNER_DATABASE_URL", url.expose())];
    let first = printed(&quarterdeck(&["migrate", "--runtime-role", &role], &environment));
    assert!(first.contains("0001 instances"), "{first}");
    assert!(first.contains("entries: SELECT, INSERT\n"), "{first}");
    let again = printed(&quarterdeck(&["migrate"], &environment));
    assert!(again.starts_with("No migration was pending"), "{again}");
}

/// What a newer version leaves of a migration that this one does not know.
const NEWER: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                     VALUES (9999, 'of a newer version', true, 'x', 0)";

#[tokio::test]
async fn a_database_that_a_newer_or_another_version_migrated_is_left_as_it_is() {
    let database = Database::create().await;
    let url = database.owner_url();
    let environment = [("QUARTERDECK_OWNER_DATABASE_URL", url.expose())];
    printed(&quarterdeck(&["migrate"], &environment));
    let sql = database.superuser();
    for (change, back, words) in [
        (NEWER, "DELETE FROM _sqlx_migrations WHERE version = 9999", "migration 9999, which this version"),
        (
            "UPDATE _sqlx_migrations SET checksum = checksum || 'x'::bytea WHERE version = 7",
            "UPDATE _sqlx_migrations SET checksum = substr(checksum, 1, length(checksum) - 1) WHERE version = 7",
            "migration 7 was applied from another text",
        ),
    ] {
        sqlx::query(change).execute(&sql).await.unwrap();
        let refused = quarterdeck(&["migrate"], &environment);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(words), "{said}");
        sqlx::query(back).execute(&sql).await.unwrap();
        assert!(printed(&quarterdeck(&["migrate"], &environment)).starts_with("No migration was pending"));
    }
}

#[tokio::test]
async fn an_older_version_does_not_serve_on_a_newer_schema_and_goes_on_once_it_is_its_own() {
    let mut world = World::start().await;
    assert_eq!(world.ask("!count before").await.state, "succeeded");
    world.stop().await;
    sqlx::query(NEWER).execute(&world.sql()).await.unwrap();
    let said = world.refused_to_serve(false).await;
    assert!(said.contains("migration 9999, which this version of Quarterdeck does not know"), "{said}");
    // What was said meanwhile waits at the homeserver.
    let asked = world.alice.say(&world.room, "!count after").await;
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 9999").execute(&world.sql()).await.unwrap();
    world.serve().await;
    assert_eq!(world.alice.outcome(&world.bot(), &asked).await.state, "succeeded");
    assert_eq!((world.ops.counted("before"), world.ops.counted("after")), (1, 1));
}

#[tokio::test]
async fn the_log_is_read_and_that_is_on_the_log() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (work, number) = store.opened(&storage).await;
    work.done().await.unwrap();
    let url = store.database.runtime_url();
    let folder = store.ops.folder.to_str().unwrap();
    let read = |arguments: &[&str]| {
        let arguments = [&["audit", "--ops", folder], arguments].concat();
        printed(&quarterdeck(&arguments, &[("QUARTERDECK_DATABASE_URL", url.expose())]))
    };
    let list = read(&["list", "--room", "deploy"]);
    assert!(list.contains(&format!("`{number}` · @alice:example.org · not yet decided")), "{list}");
    let list = read(&["list", "--kind", "command", "--sender", "@alice:example.org", "--json"]);
    let entries: Vec<Entry> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].request, Some(number));
    let story = read(&["show", &number.to_string()]);
    assert!(story.contains("@alice:example.org sent `deploy web`"), "{story}");
    let readings = read(&["list", "--kind", "audit.read"]);
    for query in
        ["list --room deploy", "list --by @alice:example.org --kind command", &format!("request {number}")]
    {
        assert!(readings.contains(query), "{query} is not in:\n{readings}");
    }
}
