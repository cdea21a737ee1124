//! `quarterdeck migrate` and `quarterdeck audit`, as somebody types them.

use std::process::{Command, Output};

use quarterdeck::model::Entry;

use super::support::Store;
use crate::harness::Database;

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
