//! Where versions of the ops folder come from: the folder itself, or a repository.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::in_force::InForce;
use crate::{
    catalogue::{Endpoint, Listing, Listings, Mistake, Ops, Settings, is_git_reference},
    executor::{Found, GitError, Mirror, clean_commit},
    model::Digest,
    storage::{self, Loaded, Loading, Storage},
};

/// What a version is read from.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// A folder.
    Folder(&'a std::path::Path),
    /// A version that is in force, of which nothing but what endpoints offer is to be another.
    Kept(&'a Ops),
}

/// Reads a version with what endpoints are known to offer, and everything in it that `quarterdeck check` would refuse.
pub type Reader = Arc<dyn Fn(Origin<'_>, &Listings) -> Result<InForce, Vec<Mistake>> + Send + Sync>;

/// What the endpoints of a folder have said that they offer.
pub fn listed(ops: &Ops) -> Listings {
    let said = |(key, endpoint): (&String, &Endpoint)| Some((key.clone(), endpoint.listing.clone()?));
    ops.endpoints.iter().filter_map(said).collect()
}

/// What endpoints had said that they offer, by the files of a version as they were kept.
pub fn recorded(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Listings {
    let listing = |(path, bytes): (String, Vec<u8>)| {
        let key = path.strip_prefix("endpoints/")?.strip_suffix(".json")?.to_owned();
        Some((key, serde_json::from_slice::<Listing>(&bytes).ok()?))
    };
    files.into_iter().filter_map(listing).collect()
}

/// Where versions come from. One is loaded at a time.
pub struct Versions {
    folder: PathBuf,
    read: Reader,
    mirror: Option<Mirror>,
    /// The settings that this server was started with.
    running: Settings,
    /// What endpoints offered last: it counts until they say something else, also while they are away.
    listings: Mutex<Listings>,
    turn: tokio::sync::Mutex<()>,
}

/// A version that was read whole and found right.
#[derive(Debug)]
pub struct Version {
    /// It.
    pub in_force: InForce,
    /// The names of the settings that differ and count after a restart only.
    pub need_a_restart: Vec<&'static str>,
    /// The endpoints without whose listings it was read, because it is not right with them.
    pub without: Vec<String>,
    /// The digest of what people wrote of it.
    declared: Digest,
    /// The branch, tag or commit that was asked for, where it was fetched.
    pub reference: Option<String>,
    /// Whose signature its commit bears, where signatures are asked for.
    pub signer: Option<String>,
}

/// Why a version does not come into force. What was in force stays.
#[derive(Debug, thiserror::Error)]
pub enum NotLoaded {
    /// `check` would refuse it.
    #[error("{}", told(.0))]
    Mistakes(Vec<Mistake>),
    /// It could not be fetched, or its signature is not good.
    #[error(transparent)]
    Git(#[from] GitError),
    /// It would give rooms to another homeserver or under other names than those that this server speaks for.
    #[error("{} differ, and every room hangs on that: restart the server instead", .0.join(" and "))]
    Uprooted(Vec<&'static str>),
    /// A version was asked for, and there is no repository.
    #[error(
        "there is no repository to take `{0}` from: name one as `git` under [ops] in quarterdeck.toml, or leave it out"
    )]
    NoRepository(String),
    /// No name of a branch, a tag or a commit.
    #[error(
        "`{0}` names no branch, tag or commit: write one of the repository's, such as `main` or a whole commit"
    )]
    NoReference(String),
    /// It is not what was asked for or approved.
    #[error("the folder is not what it was: it has the digest {found} now, and {wanted} was asked for")]
    Another {
        /// The version that was asked for.
        wanted: String,
        /// The one that is there.
        found: String,
    },
    /// Something was changed on this host, where versions come from a repository alone.
    #[error(
        "what is on this host is not what was last admitted: a new version comes from {remote} by `reload` alone"
    )]
    NotAdmitted {
        /// The repository.
        remote: String,
    },
    /// The log names a version that cannot be had.
    #[error("the database could not be asked what is in force: {0}")]
    Storage(#[from] storage::Error),
}

fn told(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Version {
    /// As `storage` wants to know it.
    pub fn loading(&self) -> Loading<'_> {
        Loading {
            ops: &self.in_force.ops,
            rules: self.in_force.rules.digest(),
            reference: self.reference.as_deref(),
            signer: self.signer.as_deref(),
            by: None,
            over: None,
        }
    }

    /// The same, to come in the place of that version alone.
    pub fn loading_over(&self, folder: Digest) -> Loading<'_> {
        Loading { over: Some(folder), ..self.loading() }
    }

    /// What names exactly this version: its commit where it was fetched, else the folder's digest.
    fn name(&self) -> String {
        let fetched = self.reference.is_some();
        let commit = self.in_force.ops.commit.clone().filter(|_| fetched);
        commit.unwrap_or_else(|| self.declared.to_string())
    }

    /// Whether the log names this one.
    pub fn is(&self, loaded: &Loaded) -> bool {
        self.in_force.ops.digest == loaded.folder && self.in_force.rules.digest() == loaded.rules
    }
}

impl Versions {
    /// Versions for a server that was started with these settings.
    pub fn new(folder: PathBuf, read: Reader, running: Settings) -> Self {
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let mirror = running.git.clone().map(|source| Mirror::new(source, &running.state));
        Self {
            folder,
            read,
            mirror,
            running,
            listings: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Goes on from what these listings say.
    pub fn know(&self, listings: Listings) {
        *self.listings.lock().unwrap_or_else(PoisonError::into_inner) = listings;
    }

    /// Goes on from what endpoints offered in the version that the log names last.
    pub async fn remember(&self, storage: &Storage) -> Result<(), storage::Error> {
        let last = storage.version_at(storage.now()).await?;
        self.know(recorded(last.into_iter().flat_map(|last| last.files)));
        Ok(())
    }

    /// Leave to load a version; held until it is in force, or is not.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// What to begin with: the folder; or, where versions come from a repository, the one that was last admitted.
    pub async fn at_start(&self, storage: &Storage) -> Result<Version, NotLoaded> {
        self.remember(storage).await?;
        match (&self.mirror, storage.last_loaded().await?) {
            (Some(_), Some(last)) if last.reference.is_some() => self.again(&last).await,
            _ => {
                let version = self.of_folder().await?;
                self.know(listed(&version.in_force.ops));
                Ok(version)
            }
        }
    }

    fn known(&self) -> Listings {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The version in force with other listings; it comes from where that one did.
    pub async fn relisted(
        &self,
        current: &Arc<InForce>,
        fresh: Listings,
        last: Option<Loaded>,
    ) -> Result<Version, NotLoaded> {
        let (read, current) = (Arc::clone(&self.read), Arc::clone(current));
        let read = tokio::task::spawn_blocking(move || read(Origin::Kept(&current.ops), &fresh)).await;
        let in_force = whole(read)?;
        Ok(Version {
            declared: in_force.ops.digest_without(&listed(&in_force.ops)),
            in_force,
            need_a_restart: Vec::new(),
            without: Vec::new(),
            reference: last.and_then(|last| last.reference),
            signer: None,
        })
    }

    /// What a version's name stands for now: what the rules are asked about, and what is approved. Nothing is loaded.
    pub async fn name(&self, reference: Option<&str>) -> Result<String, NotLoaded> {
        match (&self.mirror, reference) {
            (Some(mirror), reference) => Ok(find(mirror, reference).await?.commit),
            (None, Some(reference)) => Err(NotLoaded::NoRepository(reference.to_owned())),
            (None, None) => Ok(self.of_folder().await?.name()),
        }
    }

    /// Reads the version that was asked for as `reference` and was found to be `wanted`.
    pub async fn load(&self, reference: Option<&str>, wanted: &str) -> Result<Version, NotLoaded> {
        let version = match &self.mirror {
            Some(mirror) => {
                // It was found when it was asked for. That may be days ago, so it is looked at again.
                let found = find(mirror, Some(wanted)).await?;
                let folder = mirror.take_out(&found.commit).await?;
                let mut version = self.read(folder).await?;
                version.in_force.ops.commit = Some(found.commit);
                version.reference = Some(reference.unwrap_or(mirror.reference()).to_owned());
                version.signer = found.signer;
                version
            }
            None => self.of_folder().await?,
        };
        let found = version.name();
        if found != wanted {
            return Err(NotLoaded::Another { wanted: wanted.to_owned(), found });
        }
        Ok(version)
    }

    /// Reads anew without anybody's asking: the folder as it is now; or, where versions come from a repository, only what
    /// was last admitted.
    pub async fn anew(&self, storage: &Storage) -> Result<Version, NotLoaded> {
        let Some(mirror) = &self.mirror else { return self.of_folder().await };
        let Some(last) = storage.last_loaded().await? else { return self.of_folder().await };
        if last.reference.is_some() {
            return self.again(&last).await;
        }
        let version = self.of_folder().await?;
        if version.is(&last) {
            return Ok(version);
        }
        Err(NotLoaded::NotAdmitted { remote: mirror.remote().to_owned() })
    }

    /// Reads the version that the log names last, and no other: another server of the same database loaded it, or this one
    /// before it died.
    pub async fn again(&self, last: &Loaded) -> Result<Version, NotLoaded> {
        let version = match (&self.mirror, &last.commit, &last.reference) {
            (Some(mirror), Some(commit), Some(reference)) => {
                let folder = match mirror.take_out(commit).await {
                    Ok(folder) => folder,
                    // This host's copy does not have it.
                    Err(_) => mirror.take_out(&mirror.find(commit).await?.commit).await?,
                };
                let mut version = self.read(folder).await?;
                version.in_force.ops.commit = Some(commit.clone());
                version.reference = Some(reference.clone());
                version
            }
            _ => self.of_folder().await?,
        };
        if version.is(last) {
            return Ok(version);
        }
        let wanted = last.folder.to_string();
        Err(NotLoaded::Another { wanted, found: version.in_force.ops.digest.to_string() })
    }

    /// The folder as it is, with its commit where it is a clean checkout.
    async fn of_folder(&self) -> Result<Version, NotLoaded> {
        let before = clean_commit(&self.folder).await;
        let mut version = self.read(self.folder.clone()).await?;
        // Somebody may have checked out another commit just now.
        if before.is_some() && before == clean_commit(&self.folder).await {
            version.in_force.ops.commit = before;
        }
        Ok(version)
    }

    async fn read(&self, folder: PathBuf) -> Result<Version, NotLoaded> {
        let known = self.known();
        let (mut in_force, without) = match self.read_with(&folder, known.clone()).await {
            Err(NotLoaded::Mistakes(mistakes)) if !known.is_empty() => {
                self.read_without(&folder, known, mistakes).await?
            }
            read => (read?, Vec::new()),
        };
        let declared = in_force.ops.digest_without(&self.known());
        in_force.ops.settings.rebase(&in_force.ops.folder, &self.folder);
        let need_a_restart = in_force.ops.settings.keep_what_is_read_once(&self.running);
        let roots = ["[homeserver] name", "[homeserver] bot", "[homeserver] alias_prefix"];
        let uprooted: Vec<_> = need_a_restart.iter().copied().filter(|name| roots.contains(name)).collect();
        if !uprooted.is_empty() {
            return Err(NotLoaded::Uprooted(uprooted));
        }
        Ok(Version { in_force, need_a_restart, without, declared, reference: None, signer: None })
    }

    async fn read_with(&self, folder: &std::path::Path, listings: Listings) -> Result<InForce, NotLoaded> {
        let (read, folder) = (Arc::clone(&self.read), folder.to_owned());
        // It takes milliseconds for a small folder, and has no end for a large one with many tests.
        whole(tokio::task::spawn_blocking(move || read(Origin::Folder(&folder), &listings)).await)
    }

    /// What people wrote comes into force whatever endpoints say that they offer: where it is right by itself, those listings
    /// are left out with which it is not, until their endpoints are asked again. Gives their names.
    async fn read_without(
        &self,
        folder: &std::path::Path,
        known: Listings,
        mistakes: Vec<Mistake>,
    ) -> Result<(InForce, Vec<String>), NotLoaded> {
        // Rules may need what the others list, so each is left out by itself first; then all, and those that can be are kept.
        let each = known.keys().map(|left| {
            let rest = known.iter().filter(|(key, _)| *key != left);
            rest.map(|(key, listing)| (key.clone(), listing.clone())).collect()
        });
        let mut right = None;
        for kept in each.chain([Listings::new()]).collect::<Vec<Listings>>() {
            if let Ok(read) = self.read_with(folder, kept.clone()).await {
                right = Some((read, kept));
                break;
            }
        }
        let Some((mut right, mut kept)) = right else { return Err(NotLoaded::Mistakes(mistakes)) };
        let more_to_keep = if kept.is_empty() { known.clone() } else { Listings::new() };
        for (key, listing) in more_to_keep {
            let more: Listings = kept.clone().into_iter().chain([(key, listing)]).collect();
            if let Ok(read) = self.read_with(folder, more.clone()).await {
                (right, kept) = (read, more);
            }
        }
        let without: Vec<_> = known.into_keys().filter(|key| !kept.contains_key(key)).collect();
        tracing::error!(
            endpoints = without.join(", "),
            mistakes = told(&mistakes),
            "the folder is not right with what these endpoints offered last, and is read without"
        );
        Ok((right, without))
    }
}

fn whole(read: Result<Result<InForce, Vec<Mistake>>, tokio::task::JoinError>) -> Result<InForce, NotLoaded> {
    match read {
        Ok(read) => read.map_err(NotLoaded::Mistakes),
        Err(error) => Err(GitError { doing: "read the ops folder", said: error.to_string() }.into()),
    }
}

async fn find(mirror: &Mirror, reference: Option<&str>) -> Result<Found, NotLoaded> {
    let reference = reference.unwrap_or(mirror.reference());
    if !is_git_reference(reference) {
        return Err(NotLoaded::NoReference(reference.to_owned()));
    }
    Ok(mirror.find(reference).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue, policy::Rules};

    fn listing(namespace: &str) -> Listing {
        let url = "http://127.0.0.1:9/_chatops";
        Listing::read(url, format!(r#"{{"namespace":"{namespace}","methods":{{}}}}"#).as_bytes()).unwrap()
    }

    /// Versions of the example, of which these listings are known, and where this says what would be a mistake.
    fn versions(known: &[(&str, &str)], wrong: fn(&Listings) -> bool) -> Versions {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/example/ops");
        let read: Reader = Arc::new(move |origin, listings| {
            let Origin::Folder(folder) = origin else { panic!("a folder") };
            if wrong(listings) {
                let (file, mend) = ("endpoints/x.json".to_owned(), String::new());
                return Err(vec![Mistake { file, line: None, what: "wrong".to_owned(), mend }]);
            }
            let ops = catalogue::load_listed(folder, listings, &|_| None)?;
            let rules = Rules::compile(&ops)?;
            Ok(InForce { ops, rules })
        });
        let running = catalogue::load(&folder, &|_| None).unwrap().settings;
        let versions = Versions::new(folder, read, running);
        versions.know(known.iter().map(|(key, namespace)| ((*key).to_owned(), listing(namespace))).collect());
        versions
    }

    #[tokio::test]
    async fn what_people_wrote_is_read_without_the_listings_with_which_it_is_not_right() {
        let says = |what: &'static str| move |it: &Listing| it.namespace == what;
        let known = [("a", "good"), ("b", "bad"), ("c", "good"), ("d", "bad")];
        let read = versions(&known, |all| all.values().any(|it| it.namespace == "bad"));
        assert_eq!(read.of_folder().await.unwrap().without, ["b", "d"]);
        assert_eq!(read.known().values().filter(|it| says("bad")(it)).count(), 2, "they are asked again");

        // Where rules need what another lists, that stays.
        let read = versions(&known[..3], |all| {
            !all.contains_key("c") || all.values().any(|it| it.namespace == "bad")
        });
        assert_eq!(read.of_folder().await.unwrap().without, ["b"]);
    }

    #[tokio::test]
    async fn a_folder_that_is_wrong_by_itself_is_told_as_it_is() {
        let read = versions(&[("a", "good")], |_| true);
        let error = read.of_folder().await.unwrap_err();
        assert!(matches!(&error, NotLoaded::Mistakes(mistakes) if mistakes[0].what == "wrong"), "{error}");
    }

    #[tokio::test]
    async fn the_name_of_a_version_is_that_of_what_people_wrote_whatever_endpoints_say() {
        let (one, other) = (versions(&[], |_| false), versions(&[("a", "good")], |_| false));
        assert_eq!(one.name(None).await.unwrap(), other.name(None).await.unwrap());
    }
}
