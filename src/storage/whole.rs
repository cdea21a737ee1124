//! Outputs that are too long for one row, and files that runs left: each part is a content of its own, and one more lists them.
//!
//! They are written before the outcome is, and count from its commit on, whose entry names the list. Each has the name that
//! it had where it is written once more after a crash, so that nothing is kept twice.

use jiff_sqlx::Timestamp as SqlTime;
use serde::{Deserialize, Serialize};

use super::{ContentKind, Error, Storage, error::Doing as _};
use crate::model::{Commitment, Digest, RequestNumber, Salt, Timestamp};

const DOING: &str = "keeping a long output";

/// A file that a run left in its out folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// Its name, as it was sent.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// The digest of all of it.
    pub digest: Digest,
}

/// The list of the parts of a long output, or of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// How long all of them are together, in bytes.
    pub length: u64,
    /// What names them, in their order.
    pub parts: Vec<Commitment>,
    /// The file that they are, where they are one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<KeptFile>,
}

impl Storage {
    /// A fresh salt.
    pub fn salt(&self) -> Salt {
        Salt::draw(&*self.inner.random)
    }

    /// Keeps a part of a long output; gives what names it. A second time changes nothing.
    pub async fn keep_part(
        &self,
        request: RequestNumber,
        salt: &Salt,
        number: u64,
        bytes: &[u8],
    ) -> Result<Commitment, Error> {
        self.keep_content(request, ContentKind::Part, &salt.of_part(number), bytes).await
    }

    /// Keeps the list of the parts; gives what an outcome names.
    pub async fn keep_whole(
        &self,
        request: RequestNumber,
        salt: &Salt,
        parts: &Parts,
    ) -> Result<Commitment, Error> {
        let bytes = serde_json::to_vec(parts).map_err(unreadable)?;
        self.keep_content(request, ContentKind::Whole, &salt.of_part(u64::MAX), &bytes).await
    }

    async fn keep_content(
        &self,
        request: RequestNumber,
        kind: ContentKind,
        salt: &Salt,
        bytes: &[u8],
    ) -> Result<Commitment, Error> {
        let commitment = Commitment::new(salt, bytes);
        sqlx::query!(
            "INSERT INTO contents (commitment, request, kind, salt, bytes, written_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             -- Written before, by a life that did not get as far as the outcome.
             ON CONFLICT (commitment) DO NOTHING",
            commitment.0.as_bytes(),
            request.0,
            kind.name(),
            &salt.0[..],
            bytes,
            SqlTime::from(self.now()) as _,
        )
        .execute(self.pool())
        .await
        .doing(DOING)?;
        Ok(commitment)
    }

    /// Requests that have ended, and whose parts, written since then, no outcome names.
    pub async fn stray_parts(&self, since: Timestamp) -> Result<Vec<RequestNumber>, Error> {
        let rows = sqlx::query_scalar!(
            "SELECT written.request FROM (SELECT DISTINCT request FROM contents WHERE kind = 'part' AND written_at >= $1) written
             WHERE are_stray(written.request)",
            SqlTime::from(since) as _
        )
        .fetch_all(self.pool())
        .await
        .doing("looking for parts that nothing names")?;
        Ok(rows.into_iter().map(RequestNumber).collect())
    }

    /// Takes away the parts of a request that has ended without its outcome naming any.
    pub async fn sweep_parts(&self, request: RequestNumber) -> Result<(), Error> {
        sqlx::query_scalar!("SELECT sweep_parts($1)", request.0)
            .fetch_one(self.pool())
            .await
            .doing("taking away parts that nothing names")?;
        Ok(())
    }

    /// The list of a long output's parts. `None` where it was erased.
    pub async fn whole(&self, name: Commitment) -> Result<Option<Parts>, Error> {
        let bytes = self.content_of(name, ContentKind::Whole).await?;
        bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(unreadable)).transpose()
    }

    /// A part of a long output. `None` where it was erased.
    pub async fn part(&self, name: Commitment) -> Result<Option<Vec<u8>>, Error> {
        self.content_of(name, ContentKind::Part).await
    }

    async fn content_of(&self, name: Commitment, kind: ContentKind) -> Result<Option<Vec<u8>>, Error> {
        const DOING: &str = "reading a long output";
        let row = sqlx::query!(
            "SELECT salt, bytes FROM contents WHERE commitment = $1 AND kind = $2",
            name.0.as_bytes(),
            kind.name()
        )
        .fetch_optional(self.pool())
        .await
        .doing(DOING)?;
        let Some(row) = row else { return Ok(None) };
        let salt = row.salt.try_into().map(Salt).map_err(|_| unreadable("its salt is none"))?;
        if Commitment::new(&salt, &row.bytes) != name {
            return Err(unreadable(format!(
                "{} is not what its entry names: run `quarterdeck audit verify`",
                name.0
            )));
        }
        Ok(Some(row.bytes))
    }
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Unreadable { what: "a long output", reason: error.to_string() }
}
