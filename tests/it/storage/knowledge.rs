//! Runbooks that are found, and versions of the ops folder that are kept.

use quarterdeck::{
    catalogue::{self, Document, Ops},
    model::{Clock as _, Digest},
    policy::Rules,
    storage::Loading,
};

use super::support::{Store, alice, invocation};

fn document(path: &str, title: &str, text: &str) -> Document {
    Document { path: path.into(), title: title.into(), text: text.into() }
}

#[tokio::test]
async fn passages_are_found_by_their_words_the_best_first() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let documents = [
        document(
            "deploying.md",
            "Deploying",
            "# Deploying\nHow to deploy.\n## Rolling back\nType `!rollback web`.\n## Logs\nUse journalctl --follow.\n",
        ),
        document(
            "backups.md",
            "Backups",
            "# Backups\nA backup is taken nightly. To roll a broken one back, ask.\n",
        ),
    ];
    storage.replace_documents(&documents).await.unwrap();
    let found = async |words: &str| {
        let passages = storage.find_passages(words, 3).await.unwrap();
        passages.into_iter().map(|passage| passage.heading).collect::<Vec<_>>()
    };
    // Stems: "roll back" finds "Rolling back", and a heading weighs more than the text.
    assert_eq!(found("roll back").await, ["Rolling back", "Backups"]);
    assert_eq!(found("journalctl").await, ["Logs"]);
    // Some of the words are enough where no passage has them all.
    assert_eq!(found("nightly quux").await, ["Backups"]);
    assert!(found("quux").await.is_empty());
    assert!(found("the").await.is_empty() || !found("the").await.is_empty(), "stop words do not fail");
    assert!(found("\u{0}' & | ! (").await.is_empty(), "nothing that is typed makes it fail");
    storage.replace_documents(&documents[..1]).await.unwrap();
    assert!(found("nightly").await.is_empty());
}

#[tokio::test]
async fn a_version_of_the_ops_folder_is_kept_whole_and_told_when_it_changes() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let rules = store.rules.digest();
    assert!(storage.keep_version(loading(&store.ops, rules)).await.unwrap());
    assert!(!storage.keep_version(loading(&store.ops, rules)).await.unwrap(), "it was in force before");
    let mut other = store.ops.clone();
    other.digest = Digest::of(b"another");
    assert!(storage.keep_version(loading(&other, rules)).await.unwrap());
    assert!(
        storage.keep_version(loading(&store.ops, rules)).await.unwrap(),
        "going back is a change as well"
    );
    assert_eq!(store.count("SELECT count(*) FROM entries WHERE kind = 'rules.loaded'").await, 3);
    assert_eq!(store.count("SELECT count(*) FROM ops_versions").await, 2);
    let version = storage.version_at(store.clock.now()).await.unwrap().expect("one is in force");
    assert_eq!((version.folder, &version.files), (store.ops.digest, &store.ops.files));
    let as_it_was = catalogue::load_kept(version.files, &|_| None).unwrap();
    assert_eq!(Rules::compile_kept(&as_it_was).unwrap().digest(), rules);
    let before = store.clock.now() - jiff::SignedDuration::from_hours(1);
    assert!(storage.version_at(before).await.unwrap().is_none(), "nothing was in force then");
    let kept = store.count("SELECT count(*) FROM ops_files").await;
    assert_eq!(usize::try_from(kept).unwrap(), store.ops.files.len() * 2);
}

#[tokio::test]
async fn a_decision_is_found_with_what_it_was_made_of() {
    let store = Store::new().await;
    let storage = store.storage("main").await;
    let (mut work, number) = store.opened(&storage).await;
    let look = invocation("look", "web");
    store.permitted(&mut work, number, &look).await;
    work.done().await.unwrap();
    let since = store.clock.now() - jiff::SignedDuration::from_hours(1);
    let found = storage.decisions(since, 0, 10).await.unwrap();
    let [kept] = &*found else { panic!("{found:?}") };
    assert_eq!((kept.number, kept.sender.as_str()), (number, alice().as_str()));
    assert_eq!(
        (kept.kind.as_str(), kept.policies.as_slice()),
        ("command.permitted", &["all".to_owned()][..])
    );
    assert_eq!(kept.invocation, serde_json::to_vec(&look).unwrap());
    let inputs: serde_json::Value = serde_json::from_slice(&kept.inputs).unwrap();
    assert_eq!(inputs["context"]["arguments"]["app"], "web");
    assert!(storage.decisions(since, kept.place, 10).await.unwrap().is_empty(), "that was all");
    let later = store.clock.now() + jiff::SignedDuration::from_hours(1);
    assert!(storage.decisions(later, 0, 10).await.unwrap().is_empty());
}

fn loading(ops: &Ops, rules: Digest) -> Loading<'_> {
    Loading { ops, rules, reference: None, signer: None, by: None, over: None }
}
