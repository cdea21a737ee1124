//! A copy of the repository that versions of the ops folder come from, and the versions taken out of it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::git::{self, GitError};
use crate::catalogue::GitSource;

/// The copy, in the server's own state.
#[derive(Debug, Clone)]
pub struct Mirror {
    source: GitSource,
    repository: PathBuf,
    versions: PathBuf,
}

/// A commit, found and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The commit.
    pub commit: String,
    /// Who signed it, where signatures are asked for.
    pub signer: Option<String>,
}

impl Mirror {
    /// A copy of `source` under the folder `state`. Nothing is made until something is fetched.
    pub fn new(source: GitSource, state: &Path) -> Self {
        Self { source, repository: state.join("ops.git"), versions: state.join("ops.versions") }
    }

    /// Where it is fetched from.
    pub fn remote(&self) -> &str {
        &self.source.remote
    }

    /// What is fetched where nobody says otherwise.
    pub fn reference(&self) -> &str {
        &self.source.reference
    }

    /// Fetches, and finds the commit that a branch, a tag or a commit's name stands for now. It must be in the remote
    /// repository still, and bear an allowed signature where that is asked for.
    pub async fn find(&self, reference: &str) -> Result<Found, GitError> {
        const DOING: &str = "find that version";
        self.fetch().await?;
        let commit = self.resolve(reference).await?;
        let holds = ["for-each-ref", "--count=1", "--contains", commit.as_str(), "refs/remote"];
        if self.git(DOING, &holds).await?.trim().is_empty() {
            let said = format!("no branch and no tag of {} holds {commit}", self.source.remote);
            return Err(GitError { doing: DOING, said });
        }
        let signer = self.verify(&commit).await?;
        Ok(Found { commit, signer })
    }

    async fn fetch(&self) -> Result<(), GitError> {
        const DOING: &str = "fetch from the repository of the ops folder";
        if !self.repository.join("HEAD").exists() {
            let failed = |error: io::Error| GitError { doing: DOING, said: error.to_string() };
            fs::create_dir_all(&self.repository).map_err(failed)?;
            self.git(DOING, &["init", "--quiet", "--bare", "."]).await?;
        }
        let fetch =
            ["fetch", "--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"];
        let wanted = ["+refs/heads/*:refs/remote/heads/*", "+refs/tags/*:refs/remote/tags/*"];
        let all: Vec<_> =
            fetch.into_iter().chain(["--", self.source.remote.as_str()]).chain(wanted).collect();
        self.git(DOING, &all).await.map(drop)
    }

    /// The commit that a name stands for: a branch before a tag, a tag before a commit's own name.
    async fn resolve(&self, reference: &str) -> Result<String, GitError> {
        const DOING: &str = "find that version";
        let hexadecimal = reference.len() >= 7 && reference.chars().all(|c| c.is_ascii_hexdigit());
        let mut names =
            vec![format!("refs/remote/heads/{reference}"), format!("refs/remote/tags/{reference}")];
        names.extend(hexadecimal.then(|| reference.to_owned()));
        for name in names {
            let asked =
                ["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")];
            if let Ok(found) = self.git(DOING, &asked).await
                && git::is_commit(found.trim())
            {
                return Ok(found.trim().to_owned());
            }
        }
        let said = format!("{} has no branch, tag or commit `{reference}`", self.source.remote);
        Err(GitError { doing: DOING, said })
    }

    /// Whose signature a commit bears. An error where one is asked for and it bears none that is allowed.
    async fn verify(&self, commit: &str) -> Result<Option<String>, GitError> {
        const DOING: &str = "verify the signature of that version";
        let Some(signers) = &self.source.allowed_signers else { return Ok(None) };
        if !signers.is_file() {
            let said = format!("there is no file {} (`allowed_signers` in [ops])", signers.display());
            return Err(GitError { doing: DOING, said });
        }
        let file = format!("gpg.ssh.allowedSignersFile={}", signers.display());
        let shown = self.git(DOING, &["-c", &file, "log", "-1", "--format=%G?%n%GS", commit]).await?;
        let mut lines = shown.lines();
        match (lines.next(), lines.next()) {
            (Some("G"), Some(signer)) if !signer.is_empty() => Ok(Some(signer.to_owned())),
            (Some("N"), _) => Err(GitError { doing: DOING, said: format!("{commit} bears no signature") }),
            _ => {
                let said = format!("{commit} bears no signature of anybody in {}", signers.display());
                Err(GitError { doing: DOING, said })
            }
        }
    }

    /// The folder that holds a commit's version, taken out of the repository where it is not there yet: whole or not
    /// at all.
    pub async fn take_out(&self, commit: &str) -> Result<PathBuf, GitError> {
        const DOING: &str = "take that version out of the repository";
        let failed = |error: io::Error| GitError { doing: DOING, said: error.to_string() };
        if !git::is_commit(commit) {
            return Err(GitError { doing: DOING, said: format!("{commit} is no commit") });
        }
        let folder = self.versions.join(commit);
        if folder.is_dir() {
            return Ok(folder);
        }
        let half = self.versions.join(format!("{commit}.half"));
        let index = self.versions.join(format!("{commit}.index"));
        let _ = fs::remove_dir_all(&half);
        let _ = fs::remove_file(&index);
        fs::create_dir_all(&half).map_err(failed)?;
        let tree = match &self.source.folder {
            Some(inner) => format!("{commit}:{inner}"),
            None => commit.to_owned(),
        };
        // An index of its own: what is taken out at the same time has another.
        let own = [("GIT_INDEX_FILE", index.as_os_str()), ("GIT_WORK_TREE", half.as_os_str())];
        git::run_in(DOING, &self.repository, &["read-tree", &tree], &own).await?;
        git::run_in(DOING, &self.repository, &["checkout-index", "--all", "--quiet"], &own).await?;
        let _ = fs::remove_file(&index);
        match fs::rename(&half, &folder) {
            Err(_) if folder.is_dir() => Ok(folder),
            other => other.map(|()| folder).map_err(failed),
        }
    }

    async fn git(&self, doing: &'static str, arguments: &[&str]) -> Result<String, GitError> {
        git::run(doing, &self.repository, arguments).await
    }
}
