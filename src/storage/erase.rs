//! Erasing contents: in the commit of the entry that says so, by a function of the database owner's.

use super::{Error, To, Work, error::Doing as _, sheaf::Sheaf};
use crate::{
    model::{AttemptId, Commitment, Event, RequestNumber},
    policy::Permit,
};

use super::{Storage, requests::digest};

/// What came of erasing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erasure {
    /// It is done, with this work's commit.
    Done(Erased),
    /// The request has no final state yet: more would be written.
    NotOver,
    /// Something of it still waits to be sent.
    NotSaid,
    /// It set something that is still done again and again.
    Scheduled,
}

/// What was erased.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erased {
    /// How many contents.
    pub contents: usize,
    /// The steps of messages that told of it, each with where it was sent.
    pub said: Vec<(String, To)>,
    /// The last attempt to run it: what may be left of it beside the database.
    pub attempt: Option<AttemptId>,
    /// The requests by which the same was asked for once more: they have contents of their own.
    pub repeats: Vec<RequestNumber>,
}

const DOING: &str = "erasing contents";

impl Work {
    /// Erases all contents of a request, and what readings of it from the server's host kept of the answer. What is
    /// recorded of each (`content.erased`) stands in the log before anything goes, in this work's commit. The permit is
    /// that of the request `asked`.
    pub async fn erase(
        &mut self,
        permit: &Permit,
        of: RequestNumber,
        asked: RequestNumber,
        reason: Commitment,
    ) -> Result<Erasure, Error> {
        let by = permit.principal().to_owned();
        // Those whose answers told what is to go. All are held, in one order: whoever erases one of them waits.
        let readers =
            sqlx::query_scalar!("SELECT request FROM told_of WHERE of = $1 AND request <> $1", of.0)
                .fetch_all(self.tx()?)
                .await
                .doing(DOING)?;
        let held: Vec<i64> = readers.iter().copied().chain([of.0]).collect();
        let held = sqlx::query!(
            r#"SELECT number, ended_at IS NOT NULL AS "over!", attempt FROM requests WHERE number = ANY ($1)
               ORDER BY number FOR NO KEY UPDATE"#,
            &held
        )
        .fetch_all(self.tx()?)
        .await
        .doing(DOING)?;
        let Some(this) = held.iter().find(|row| row.number == of.0).filter(|row| row.over) else {
            return Ok(Erasure::NotOver);
        };
        let scheduled = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM schedules WHERE request = $1 AND ended_at IS NULL) AS "is!""#,
            of.0
        )
        .fetch_one(self.tx()?)
        .await
        .doing(DOING)?;
        if scheduled {
            return Ok(Erasure::Scheduled);
        }
        let readers: Vec<i64> =
            held.iter().filter(|row| row.over && row.number != of.0).map(|row| row.number).collect();
        let all: Vec<i64> = readers.iter().copied().chain([of.0]).collect();
        let said = sqlx::query!(
            "SELECT step, room_id, state FROM outbox
             WHERE request = ANY ($1) AND kind = 'm.room.message' AND state <> 'parked' ORDER BY id",
            &all
        )
        .fetch_all(self.tx()?)
        .await
        .doing(DOING)?;
        if said.iter().any(|row| row.state == "waiting") {
            return Ok(Erasure::NotSaid);
        }
        let rows = sqlx::query!(
            "SELECT request, commitment FROM contents
             WHERE request = $1 OR (request = ANY ($2) AND kind = 'output') ORDER BY written_at",
            of.0,
            &readers
        )
        .fetch_all(self.tx()?)
        .await
        .doing(DOING)?;
        let repeats = sqlx::query_scalar!(
            "SELECT number FROM requests WHERE door = $1 AND door LIKE 'again %' ORDER BY number",
            format!("again {of}")
        )
        .fetch_all(self.tx()?)
        .await
        .doing(DOING)?;
        let mut erased = Erased {
            attempt: this.attempt.map(AttemptId),
            repeats: repeats.into_iter().map(RequestNumber).collect(),
            ..Erased::default()
        };
        for number in all {
            let contents = rows.iter().filter(|row| row.request == number);
            let contents = contents
                .map(|row| Ok(Commitment(digest(row.commitment.clone())?)))
                .collect::<Result<Vec<_>, Error>>()?;
            if !contents.is_empty() {
                erased.contents += contents.len();
                let number = RequestNumber(number);
                self.erase_these(number, Event::ContentErased { by: by.clone(), asked, contents, reason })
                    .await?;
            }
        }
        for row in said {
            let to = row.room_id.parse().map_err(|error: ruma::IdParseError| Error::Unreadable {
                what: "a message's address",
                reason: error.to_string(),
            })?;
            erased.said.push((row.step, to));
        }
        Ok(Erasure::Done(erased))
    }

    /// Writes the entry, and takes away what it names.
    async fn erase_these(&mut self, of: RequestNumber, event: Event) -> Result<(), Error> {
        let wanted = if let Event::ContentErased { contents, .. } = &event { contents.len() } else { 0 };
        let (storage, now, room) = (self.storage.clone(), self.now, self.room_of(of).await?);
        let mut sheaf = Sheaf::default();
        sheaf.append(Some(of), room.as_deref(), event);
        sheaf.write(&storage, self.tx()?, now, None).await?;
        let went = sqlx::query_scalar!(
            r#"
            SELECT erase_contents((SELECT id FROM entries WHERE request = $1 AND kind = 'content.erased'
                                   ORDER BY place DESC LIMIT 1)) AS "went!"
            "#,
            of.0
        )
        .fetch_one(self.tx()?)
        .await
        .doing(DOING)?;
        if usize::try_from(went).ok() != Some(wanted) {
            let reason = format!("{wanted} contents of request {of} were to go, and {went} were there");
            return Err(Error::Unreadable { what: "what is to be erased", reason });
        }
        Ok(())
    }
}

impl Storage {
    /// Keeps that the answer to a request tells what was typed in others, or printed by them: before it is given, so that no
    /// answer is given of which that is not known.
    pub async fn tells_of(&self, number: RequestNumber, of: &[RequestNumber]) -> Result<(), Error> {
        let of: Vec<i64> = of.iter().map(|number| number.0).collect();
        if of.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "INSERT INTO told_of (request, of) SELECT $1, o FROM UNNEST($2::bigint[]) AS o ON CONFLICT DO NOTHING",
            number.0,
            &of
        )
        .execute(self.pool())
        .await
        .doing("keeping which requests an answer tells of")?;
        Ok(())
    }

    /// A content that an entry names, that is not there, and of which no entry says that it was erased or archived: the
    /// request and the name.
    pub async fn content_gone(&self) -> Result<Option<(i64, String)>, Error> {
        let row = sqlx::query!(
            r#"
            SELECT named.of AS "request!", named.name AS "name!"
            FROM entries e
            -- Each body is read once.
            CROSS JOIN LATERAL (SELECT e.body::jsonb AS json OFFSET 0) AS body
            CROSS JOIN LATERAL (
                SELECT e.request AS of, body.json ->> field AS name
                FROM unnest(ARRAY['text', 'invocation', 'inputs', 'reason', 'kept', 'whole']) AS field
                WHERE e.kind NOT IN ('content.erased', 'content.archived')
                UNION ALL
                -- What an erasure was for is a content of the request that asked for it.
                SELECT (body.json ->> 'asked')::bigint, body.json ->> 'reason' WHERE e.kind = 'content.erased'
                UNION ALL
                SELECT e.request, file #>> '{}' FROM jsonb_path_query(body.json, '$.files[*]') AS file
                WHERE e.kind = 'run.finished'
                UNION ALL
                -- The parts of a long output, and of a file, are named by what lists them.
                SELECT e.request, part FROM contents list
                CROSS JOIN LATERAL jsonb_array_elements_text(convert_from(list.bytes, 'UTF8')::jsonb -> 'parts') AS part
                WHERE e.kind = 'run.finished' AND list.kind = 'whole' AND list.request = e.request
                  AND (encode(list.commitment, 'hex') = body.json ->> 'whole'
                       OR body.json -> 'files' ? encode(list.commitment, 'hex'))
            ) named
            -- These name contents; other fields of the same names are words.
            WHERE e.request IS NOT NULL AND named.name ~ '^[0-9a-f]{64}$'
              AND e.kind ~ '^(command|approval|confirmation|run|message|elevation|emergency|content)\.'
              AND NOT EXISTS (SELECT FROM contents c WHERE c.commitment = decode(named.name, 'hex'))
              -- Compared as pairs: where much is archived, looking each up among all takes for ever.
              AND NOT EXISTS (
                  SELECT FROM entries erased
                  CROSS JOIN LATERAL jsonb_array_elements_text(erased.body::jsonb -> 'contents') AS content
                  WHERE erased.kind IN ('content.erased', 'content.archived')
                    AND erased.request = named.of AND content = named.name)
            ORDER BY e.place LIMIT 1
            "#
        )
        .fetch_optional(self.searches())
        .await
        .doing("looking for contents that are gone")?;
        Ok(row.map(|row| (row.request, row.name)))
    }
}
