//! Links to the pages, and the sessions that begin with them.
//!
//! Of a token only its SHA-256 comes to the database, and it is found by that: how long a comparison takes tells nothing of
//! the token, and who reads the tables has none. What begins and ends is recorded in the same commit.

use std::fmt::Write as _;

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedUserId, UserId};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Error, Storage, Work, error::Doing as _, sheaf::Sheaf};
use crate::{
    model::{Event, LoginAsked, Secret, SessionBegun, SessionEnded, SignedDuration, Timestamp},
    policy::Permit,
};

/// How long a link can be used.
pub const LINK: SignedDuration = SignedDuration::from_mins(5);
/// How long a session lasts at most.
pub const SESSION: SignedDuration = SignedDuration::from_hours(12);
/// How long it lasts without being used.
pub const IDLE: SignedDuration = SignedDuration::from_hours(1);
/// How often its use is noted at most.
const NOTED: SignedDuration = SignedDuration::from_mins(1);
/// How long the rows of what has ended are kept. The entries stay.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// What is kept of what a browser says of itself, in characters.
const BROWSER: usize = 200;
/// How long a token is, in hexadecimal digits.
const DIGITS: usize = 64;

/// A session that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub id: Uuid,
    /// Whose.
    pub user: OwnedUserId,
    /// When it began.
    pub begun_at: Timestamp,
    /// When it was last used, to the minute.
    pub seen_at: Timestamp,
    /// When it ends at the latest.
    pub ends_at: Timestamp,
    /// What its browser said of itself.
    pub browser: String,
}

/// Bytes as a token: lower-case hexadecimal digits.
pub fn token(bytes: &[u8; 32]) -> Secret {
    let mut text = String::with_capacity(DIGITS);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    Secret::new(text)
}

/// What is kept of a token; nothing of what is none.
fn hash(token: &str) -> Option<Vec<u8>> {
    let good = token.len() == DIGITS && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| Sha256::digest(token.as_bytes()).to_vec())
}

const LOOKING: &str = "looking up who looks at the pages";
const BEGINNING: &str = "beginning a session";
const ENDING: &str = "ending a session";

impl Work {
    /// Keeps a link to the pages for whom the permit is; an earlier one of theirs counts no longer. Gives until when.
    pub async fn ask_login(
        &mut self,
        _: &Permit,
        by: &UserId,
        link: Uuid,
        token: &Secret,
    ) -> Result<Timestamp, Error> {
        let (now, until) = (self.now, self.now + LINK);
        let hash = hash(token.expose())
            .ok_or_else(|| Error::Unreadable { what: "a token", reason: "it is none".to_owned() })?;
        let tx = self.tx()?;
        sqlx::query!("DELETE FROM logins WHERE user_id = $1 AND used_at IS NULL", by.as_str())
            .execute(&mut *tx)
            .await
            .doing("keeping a link")?;
        sqlx::query!(
            "INSERT INTO logins (id, hash, user_id, asked_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
            link,
            hash,
            by.as_str(),
            SqlTime::from(now) as _,
            SqlTime::from(until) as _,
        )
        .execute(&mut *tx)
        .await
        .doing("keeping a link")?;
        Ok(until)
    }
}

impl Storage {
    /// For whom a link is that can be used now. It can be used afterwards as before.
    pub async fn login_of(&self, token: &str) -> Result<Option<OwnedUserId>, Error> {
        let Some(hash) = hash(token) else { return Ok(None) };
        let user = sqlx::query_scalar!(
            "SELECT user_id FROM logins WHERE hash = $1 AND used_at IS NULL AND expires_at > $2",
            hash,
            SqlTime::from(self.now()) as _,
        )
        .fetch_optional(self.pool())
        .await
        .doing(LOOKING)?;
        user.map(read_user).transpose()
    }

    /// Uses a link up: a session begins, under a token that is drawn now; `before`, a session in the same browser, ends.
    /// Nothing, where the link was used, or its time is over.
    pub async fn begin_session(
        &self,
        link: &str,
        browser: &str,
        before: Option<Uuid>,
    ) -> Result<Option<(OwnedUserId, Secret)>, Error> {
        let Some(link) = hash(link) else { return Ok(None) };
        let now = self.now();
        let mut tx = self.begin(BEGINNING).await?;
        let used = sqlx::query!(
            "UPDATE logins SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2
             RETURNING id, user_id",
            link,
            SqlTime::from(now) as _,
        )
        .fetch_optional(&mut *tx)
        .await
        .doing(BEGINNING)?;
        let Some(used) = used else { return Ok(None) };
        let user = read_user(used.user_id)?;
        let mut bytes = [0; 32];
        self.inner.random.fill(&mut bytes);
        let (secret, id, until) = (token(&bytes), self.inner.random.uuid(), now + SESSION);
        let browser: String =
            browser.chars().filter(|character| !character.is_control()).take(BROWSER).collect();
        sqlx::query!(
            "INSERT INTO sessions (id, hash, user_id, begun_at, seen_at, ends_at, browser)
             VALUES ($1, $2, $3, $4, $4, $5, $6)",
            id,
            hash(secret.expose()).unwrap_or_default(),
            user.as_str(),
            SqlTime::from(now) as _,
            SqlTime::from(until) as _,
            browser,
        )
        .execute(&mut *tx)
        .await
        .doing(BEGINNING)?;
        let mut sheaf = Sheaf::default();
        if let Some(before) = before {
            let ended = sqlx::query_scalar!(
                "UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL RETURNING user_id",
                before,
                SqlTime::from(now) as _,
            )
            .fetch_optional(&mut *tx)
            .await
            .doing(BEGINNING)?;
            if let Some(by) = ended {
                sheaf.append(None, None, ended_event(read_user(by)?, before, "replaced"));
            }
        }
        let begun = SessionBegun { by: user.clone(), session: id, link: used.id, until };
        sheaf.append(None, None, Event::SessionBegun(begun));
        sheaf.write(self, &mut tx, now, None).await?;
        tx.commit().await.doing(BEGINNING)?;
        Ok(Some((user, secret)))
    }

    /// The session of a cookie's token, if it goes on. `used`: whether that counts as using it.
    pub async fn session(&self, token: &str, used: bool) -> Result<Option<Session>, Error> {
        let Some(hash) = hash(token) else { return Ok(None) };
        let now = self.now();
        let row = sqlx::query!(
            r#"SELECT id, user_id, begun_at AS "begun_at: SqlTime", seen_at AS "seen_at: SqlTime",
                      ends_at AS "ends_at: SqlTime", browser
               FROM sessions WHERE hash = $1 AND ended_at IS NULL AND ends_at > $2 AND seen_at > $3"#,
            hash,
            SqlTime::from(now) as _,
            SqlTime::from(now - IDLE) as _,
        )
        .fetch_optional(self.pool())
        .await
        .doing(LOOKING)?;
        let Some(row) = row else { return Ok(None) };
        let session = Session {
            id: row.id,
            user: read_user(row.user_id)?,
            begun_at: row.begun_at.into(),
            seen_at: row.seen_at.into(),
            ends_at: row.ends_at.into(),
            browser: row.browser,
        };
        if used && now.duration_since(session.seen_at) >= NOTED {
            sqlx::query!(
                "UPDATE sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2",
                session.id,
                SqlTime::from(now) as _,
            )
            .execute(self.pool())
            .await
            .doing(LOOKING)?;
        }
        Ok(Some(session))
    }

    /// Somebody's sessions that go on, the newest first.
    pub async fn sessions_of(&self, user: &UserId) -> Result<Vec<Session>, Error> {
        let now = self.now();
        let rows = sqlx::query!(
            r#"SELECT id, begun_at AS "begun_at: SqlTime", seen_at AS "seen_at: SqlTime",
                      ends_at AS "ends_at: SqlTime", browser
               FROM sessions
               WHERE user_id = $1 AND ended_at IS NULL AND ends_at > $2 AND seen_at > $3
               ORDER BY begun_at DESC LIMIT 200"#,
            user.as_str(),
            SqlTime::from(now) as _,
            SqlTime::from(now - IDLE) as _,
        )
        .fetch_all(self.pool())
        .await
        .doing(LOOKING)?;
        let sessions = rows.into_iter().map(|row| Session {
            id: row.id,
            user: user.to_owned(),
            begun_at: row.begun_at.into(),
            seen_at: row.seen_at.into(),
            ends_at: row.ends_at.into(),
            browser: row.browser,
        });
        Ok(sessions.collect())
    }

    /// Ends a session of this person. Gives whether there was one: that of somebody else is not there.
    pub async fn end_session(&self, user: &UserId, session: Uuid, why: &str) -> Result<bool, Error> {
        let now = self.now();
        let mut tx = self.begin(ENDING).await?;
        let ended = sqlx::query!(
            "UPDATE sessions SET ended_at = $3 WHERE id = $1 AND user_id = $2 AND ended_at IS NULL",
            session,
            user.as_str(),
            SqlTime::from(now) as _,
        )
        .execute(&mut *tx)
        .await
        .doing(ENDING)?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        let mut sheaf = Sheaf::default();
        sheaf.append(None, None, ended_event(user.to_owned(), session, why));
        sheaf.write(self, &mut tx, now, None).await?;
        tx.commit().await.doing(ENDING)?;
        Ok(true)
    }

    /// Ends the sessions whose time has come, which nobody can use any more, and removes what ended long ago.
    pub async fn end_old_sessions(&self) -> Result<(), Error> {
        let now = self.now();
        let mut tx = self.begin(ENDING).await?;
        let ended = sqlx::query!(
            r#"UPDATE sessions SET ended_at = $1
               WHERE ended_at IS NULL AND (ends_at <= $1 OR seen_at <= $2)
               RETURNING id, user_id, ends_at <= $1 AS "over!""#,
            SqlTime::from(now) as _,
            SqlTime::from(now - IDLE) as _,
        )
        .fetch_all(&mut *tx)
        .await
        .doing(ENDING)?;
        let mut sheaf = Sheaf::default();
        for row in &ended {
            let why = if row.over { "over" } else { "idle" };
            sheaf.append(None, None, ended_event(read_user(row.user_id.clone())?, row.id, why));
        }
        if !ended.is_empty() {
            sheaf.write(self, &mut tx, now, None).await?;
        }
        let before = SqlTime::from(now - KEPT);
        sqlx::query!("DELETE FROM sessions WHERE ended_at < $1", before as _)
            .execute(&mut *tx)
            .await
            .doing(ENDING)?;
        sqlx::query!("DELETE FROM logins WHERE expires_at < $1", before as _)
            .execute(&mut *tx)
            .await
            .doing(ENDING)?;
        tx.commit().await.doing(ENDING)
    }
}

fn ended_event(by: OwnedUserId, session: Uuid, why: &str) -> Event {
    Event::SessionEnded(SessionEnded { by, session, why: why.to_owned() })
}

/// What is recorded of a link that was asked for.
pub fn asked_event(by: &UserId, link: Uuid, until: Timestamp) -> Event {
    Event::LoginAsked(LoginAsked { by: by.to_owned(), link, until })
}

fn read_user(text: String) -> Result<OwnedUserId, Error> {
    OwnedUserId::try_from(text)
        .map_err(|error| Error::Unreadable { what: "whose session it is", reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_by_its_hash_and_nothing_else_is_one() {
        let secret = token(&[0xab; 32]);
        let kept = hash(secret.expose()).unwrap();
        assert_eq!(kept.len(), 32);
        assert_ne!(kept, vec![0xab; 32]);
        assert_ne!(kept, hash(token(&[0xac; 32]).expose()).unwrap());
        for text in ["", "abc", &"g".repeat(64), &"a".repeat(65), &format!("{}\0", "a".repeat(63))] {
            assert_eq!(hash(text), None, "{text}");
        }
    }
}
