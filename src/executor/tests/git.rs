//! The system's git, with real repositories.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::super::{Mirror, clean_commit};
use crate::catalogue::GitSource;

/// A repository in which a test writes.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Self {
        let new = Self(tempfile::tempdir().unwrap());
        new.git(&["init", "--quiet", "--initial-branch=main", "."]);
        new
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn commit(&self, file: &str, text: &str, options: &[&str]) -> String {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&[options, &["commit", "--quiet", "-m", "x"]].concat());
        self.git(&["rev-parse", "HEAD"])
    }

    fn source(&self, allowed_signers: Option<PathBuf>) -> GitSource {
        let remote = self.path().display().to_string();
        GitSource { remote, reference: "main".to_owned(), folder: Some("ops".to_owned()), allowed_signers }
    }
}

#[tokio::test]
async fn a_clean_checkout_has_a_commit_and_a_changed_one_has_none() {
    let repository = Repository::new();
    let commit = repository.commit("ops/quarterdeck.toml", "a", &[]);
    repository.commit("ops/.gitignore", "*.toml~\nteams\n", &[]);
    let commit = [commit, repository.git(&["rev-parse", "HEAD"])][1].clone();
    let ops = repository.path().join("ops");
    assert_eq!(clean_commit(&ops).await, Some(commit.clone()));
    // What is beside the folder, or is not read, makes no difference.
    fs::write(repository.path().join("README"), "changed").unwrap();
    fs::write(ops.join("quarterdeck.toml~"), "an editor's").unwrap();
    assert_eq!(clean_commit(&ops).await, Some(commit.clone()));
    // A file that git ignores and Quarterdeck reads does.
    fs::create_dir(ops.join("teams")).unwrap();
    fs::write(ops.join("teams/web.toml"), "x").unwrap();
    assert_eq!(clean_commit(&ops).await, None);
    fs::remove_dir_all(ops.join("teams")).unwrap();
    fs::write(ops.join("quarterdeck.toml"), "b").unwrap();
    assert_eq!(clean_commit(&ops).await, None);
    assert_eq!(clean_commit(tempfile::tempdir().unwrap().path()).await, None);
}

#[tokio::test]
async fn a_version_is_fetched_by_branch_tag_or_commit_and_taken_out_whole() {
    let repository = Repository::new();
    let first = repository.commit("ops/quarterdeck.toml", "first", &[]);
    repository.git(&["tag", "v1"]);
    let second = repository.commit("ops/rooms/a.toml", "second", &[]);
    let state = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(repository.source(None), state.path());
    for (name, commit) in [("main", &second), ("v1", &first), (&first[..10], &first), (&second, &second)] {
        let found = mirror.find(name).await.unwrap();
        assert_eq!((&found.commit, found.signer), (commit, None), "{name}");
    }
    let folder = mirror.take_out(&second).await.unwrap();
    assert_eq!(fs::read_to_string(folder.join("rooms/a.toml")).unwrap(), "second");
    let folder = mirror.take_out(&first).await.unwrap();
    assert_eq!(fs::read_to_string(folder.join("quarterdeck.toml")).unwrap(), "first");
    assert!(!folder.join("rooms").exists());
    for unknown in ["develop", "0000000", "HEAD"] {
        assert!(mirror.find(unknown).await.unwrap_err().to_string().contains("no branch, tag or commit"));
    }
    // What no branch and no tag holds any more is not a version of the repository.
    repository.git(&["reset", "--quiet", "--hard", "v1"]);
    let gone = mirror.find(&second).await.unwrap_err().to_string();
    assert!(gone.contains("no branch and no tag"), "{gone}");
}

#[tokio::test]
async fn a_link_in_the_repository_leads_nowhere() {
    let repository = Repository::new();
    std::os::unix::fs::symlink("/etc/passwd", repository.path().join("link")).unwrap();
    let commit = repository.commit("ops/quarterdeck.toml", "x", &[]);
    fs::rename(repository.path().join("link"), repository.path().join("ops/link.toml")).unwrap();
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "-m", "a link"]);
    let state = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(repository.source(None), state.path());
    let found = mirror.find("main").await.unwrap();
    assert_ne!(found.commit, commit);
    let link = mirror.take_out(&found.commit).await.unwrap().join("link.toml");
    assert!(!link.is_symlink());
    assert_eq!(fs::read_to_string(link).unwrap(), "/etc/passwd");
}

#[tokio::test]
async fn only_a_commit_that_an_allowed_signer_signed_is_a_version() {
    let keys = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let path = keys.path().join(name);
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
        assert!(made.unwrap().success());
        path
    };
    let (alice, mallory) = (key("alice"), key("mallory"));
    let signers = keys.path().join("signers");
    let public = fs::read_to_string(alice.with_extension("pub")).unwrap();
    fs::write(&signers, format!("alice@example.org namespaces=\"git\" {public}")).unwrap();
    let signed = |key: &Path| {
        [
            "gpg.format=ssh".to_owned(),
            format!("user.signingkey={}", key.display()),
            "commit.gpgsign=true".to_owned(),
        ]
        .into_iter()
        .flat_map(|setting| ["-c".to_owned(), setting])
        .collect::<Vec<_>>()
    };
    let repository = Repository::new();
    let state = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(repository.source(Some(signers.clone())), state.path());

    repository.commit("ops/quarterdeck.toml", "unsigned", &[]);
    assert!(mirror.find("main").await.unwrap_err().to_string().contains("bears no signature"));
    let options = signed(&mallory);
    repository.commit(
        "ops/quarterdeck.toml",
        "mallory's",
        &options.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert!(mirror.find("main").await.unwrap_err().to_string().contains("no signature of anybody in"));
    let options = signed(&alice);
    repository.commit(
        "ops/quarterdeck.toml",
        "alice's",
        &options.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert_eq!(mirror.find("main").await.unwrap().signer.as_deref(), Some("alice@example.org"));
    fs::remove_file(signers).unwrap();
    assert!(mirror.find("main").await.is_err());
}
