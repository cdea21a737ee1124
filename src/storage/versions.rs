//! The versions of the ops folder that were in force, kept whole.

use std::collections::{BTreeMap, BTreeSet};

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedUserId, UserId};
use sqlx::PgConnection;

use super::{Arrival, Error, Storage, Work, error::Doing as _, inbox::enqueue, sheaf::Sheaf};
use crate::{
    catalogue::{self, Ops},
    model::{Digest, Event, Timestamp},
    policy::Permit,
};

/// The source of the row that tells of people who were taken out of a team, and its lane.
pub const STRUCK: &str = "struck";

const DOING: &str = "keeping a version of the ops folder";

/// A version that is about to come into force.
#[derive(Debug, Clone, Copy)]
pub struct Loading<'a> {
    /// The folder.
    pub ops: &'a Ops,
    /// The digest of its rules.
    pub rules: Digest,
    /// The branch, tag or commit that was asked for, where it was fetched.
    pub reference: Option<&'a str>,
    /// Whose signature the commit bears.
    pub signer: Option<&'a str>,
    /// Who has it loaded, where a person does from a room.
    pub by: Option<&'a UserId>,
    /// The version in whose place alone it may come, where it was made from that.
    pub over: Option<Digest>,
}

/// The version that the log names last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The digest of the whole folder.
    pub folder: Digest,
    /// The digest of the rules.
    pub rules: Digest,
    /// The git commit.
    pub commit: Option<String>,
    /// The branch, tag or commit that was asked for, where it was fetched.
    pub reference: Option<String>,
}

impl Storage {
    /// Keeps this version, and records `rules.loaded` if another one was in force before. Says whether
    /// it did.
    pub async fn keep_version(&self, loading: Loading<'_>) -> Result<bool, Error> {
        let now = self.now();
        let mut tx = self.begin(DOING).await?;
        let mut sheaf = Sheaf::default();
        let changed = keep(&mut tx, &mut sheaf, now, loading).await?;
        sheaf.write(self, &mut tx, now, None).await?;
        tx.commit().await.doing(DOING)?;
        if changed {
            self.inner.bell.ring();
        }
        Ok(changed)
    }

    /// The version that the log names last.
    pub async fn last_loaded(&self) -> Result<Option<Loaded>, Error> {
        let mut connection = self.pool().acquire().await.doing(DOING)?;
        last_loaded(&mut connection).await
    }
}

impl Work {
    /// As [`Storage::keep_version`], in this work's commit, for the one whom the rules permitted it: the version may come into
    /// force once that is confirmed.
    pub async fn keep_version(&mut self, permit: &Permit, loading: Loading<'_>) -> Result<bool, Error> {
        let loading = Loading { by: Some(permit.principal()), ..loading };
        let (mut sheaf, now) = (std::mem::take(&mut self.sheaf), self.now);
        let kept = keep(self.tx()?, &mut sheaf, now, loading).await;
        self.sheaf = sheaf;
        kept
    }
}

async fn last_loaded(connection: &mut PgConnection) -> Result<Option<Loaded>, Error> {
    let body = sqlx::query_scalar!(
        "SELECT body FROM entries WHERE kind = 'rules.loaded' ORDER BY place DESC LIMIT 1"
    )
    .fetch_optional(connection)
    .await
    .doing("reading which version is in force")?;
    let entry = body.map(|body| serde_json::from_str::<crate::model::Entry>(&body)).transpose();
    let entry = entry.map_err(|error| Error::Unreadable { what: "an entry", reason: error.to_string() })?;
    Ok(entry.and_then(|entry| match entry.event {
        Event::RulesLoaded { folder, rules, commit, reference, .. } => {
            Some(Loaded { folder, rules, commit, reference })
        }
        _ => None,
    }))
}

async fn keep(
    connection: &mut PgConnection,
    sheaf: &mut Sheaf,
    now: Timestamp,
    Loading { ops, rules, reference, signer, by, over }: Loading<'_>,
) -> Result<bool, Error> {
    // One after the other: which version is the last must be the same for the log and for whoever follows it.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('quarterdeck rules.loaded'))")
        .execute(&mut *connection)
        .await
        .doing(DOING)?;
    let last = last_loaded(connection).await?;
    if over.is_some_and(|over| last.as_ref().is_none_or(|last| last.folder != over)) {
        return Ok(false);
    }
    let new = sqlx::query!(
        "INSERT INTO ops_versions (folder, commit_id, first_kept) VALUES ($1, $2, $3)
         ON CONFLICT (folder) DO NOTHING",
        ops.digest.as_bytes(),
        ops.commit,
        SqlTime::from(now) as _,
    )
    .execute(&mut *connection)
    .await
    .doing(DOING)?
    .rows_affected();
    if new == 1 {
        sqlx::query!(
            "INSERT INTO ops_files (folder, path, bytes)
             SELECT $1, f.path, f.bytes FROM UNNEST($2::text[], $3::bytea[]) AS f (path, bytes)",
            ops.digest.as_bytes(),
            &ops.files.keys().cloned().collect::<Vec<_>>(),
            &ops.files.values().cloned().collect::<Vec<_>>(),
        )
        .execute(&mut *connection)
        .await
        .doing(DOING)?;
    }
    let same = last
        .as_ref()
        .is_some_and(|last| (last.folder, last.rules, &last.commit) == (ops.digest, rules, &ops.commit));
    if same {
        return Ok(false);
    }
    sheaf.append(
        None,
        None,
        Event::RulesLoaded {
            folder: ops.digest,
            rules,
            commit: ops.commit.clone(),
            reference: reference.map(str::to_owned),
            signer: signer.map(str::to_owned),
            by: by.map(ToOwned::to_owned),
        },
    );
    if let Some(last) = last {
        strike(connection, sheaf, now, last.folder, ops).await?;
    }
    Ok(true)
}

/// Whoever is not in a team any more in which the version before had them loses what they were given for a while, in this
/// very commit, and what waits of theirs, by a row of the inbox that is written with it.
async fn strike(
    connection: &mut PgConnection,
    sheaf: &mut Sheaf,
    now: Timestamp,
    before: Digest,
    ops: &Ops,
) -> Result<(), Error> {
    let files = sqlx::query!(
        "SELECT path, bytes FROM ops_files WHERE folder = $1 AND path LIKE 'teams/%'",
        before.as_bytes()
    )
    .fetch_all(&mut *connection)
    .await
    .doing(DOING)?;
    let were: BTreeMap<String, BTreeSet<OwnedUserId>> = files
        .into_iter()
        .filter_map(|file| {
            let key = file.path.strip_prefix("teams/")?.strip_suffix(".toml")?.to_owned();
            Some((key, catalogue::members_in(&String::from_utf8_lossy(&file.bytes))))
        })
        .collect();
    let struck: BTreeSet<OwnedUserId> = were
        .into_iter()
        .flat_map(|(key, users)| {
            let now_in = ops.teams.get(&key);
            users.into_iter().filter(move |user| now_in.is_none_or(|team| !team.users.contains(user)))
        })
        .collect();
    let users: Vec<String> = struck.iter().map(ToString::to_string).collect();
    if users.is_empty() {
        return Ok(());
    }
    super::elevations::end_of_struck(connection, sheaf, now, &users).await?;
    super::schedules::end_of_struck(connection, sheaf, now, &users).await?;
    let raw = serde_json::to_vec(&struck).unwrap_or_default();
    let external_id = format!("{}/{}", ops.digest, now);
    let arrival =
        Arrival { source: STRUCK.to_owned(), external_id, lane: STRUCK.to_owned(), claimed_at: None, raw };
    enqueue(connection, &arrival, now).await
}
