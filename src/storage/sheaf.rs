//! What a commit carries: entries, contents and messages, gathered first and written in one statement.

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedRoomId, RoomId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ContentKind, Error, OutboxDraft, OutboxRow, Storage, error::Doing as _};
use crate::model::{Commitment, Entry, EntryId, Event, RequestNumber, Salt, SignedDuration, Timestamp};

/// For how long a message that was just written, or found due, is its holder's to send.
pub(super) const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// Entries, contents and messages that will be written together.
#[derive(Debug, Default)]
pub(super) struct Sheaf {
    entries: Vec<(Option<RequestNumber>, Option<OwnedRoomId>, Event)>,
    contents: Vec<KeptContent>,
    messages: Vec<OutboxDraft>,
}

#[derive(Debug)]
struct KeptContent {
    commitment: Commitment,
    request: RequestNumber,
    kind: ContentKind,
    salt: Salt,
    bytes: Vec<u8>,
}

impl Sheaf {
    /// Gathers an entry.
    pub fn append(&mut self, request: Option<RequestNumber>, room: Option<&RoomId>, event: Event) {
        self.entries.push((request, room.map(ToOwned::to_owned), event));
    }

    /// Gathers a content, under a fresh salt.
    pub fn content(
        &mut self,
        storage: &Storage,
        request: RequestNumber,
        kind: ContentKind,
        bytes: &[u8],
    ) -> Commitment {
        let salt = Salt::draw(&*storage.inner.random);
        let commitment = Commitment::new(&salt, bytes);
        self.contents.push(KeptContent { commitment, request, kind, salt, bytes: bytes.to_owned() });
        commitment
    }

    /// Gathers a message.
    pub fn send(&mut self, draft: OutboxDraft) {
        self.messages.push(draft);
    }

    /// Writes everything, and concludes a row of the inbox with it where one is given. Gives the
    /// messages that this process may send at once.
    pub async fn write(
        self,
        storage: &Storage,
        connection: &mut PgConnection,
        now: Timestamp,
        row: Option<i64>,
    ) -> Result<Vec<OutboxRow>, Error> {
        let entries = self.entries.iter().map(|told| Columns::of(storage, now, told));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let (contents, messages) = (&self.contents, &self.messages);
        let json = |draft: &OutboxDraft| draft.content.to_string().into_bytes();
        let file = |draft: &OutboxDraft| draft.file.clone();
        let written = sqlx::query!(
            r#"
            WITH told AS (
                INSERT INTO entries (id, at, kind, request, room_id, who, body)
                SELECT e.id, $1, e.kind, e.request, e.room_id, e.who, e.body
                FROM UNNEST($2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[])
                    WITH ORDINALITY AS e (id, kind, request, room_id, who, body, place)
                ORDER BY e.place
            ), kept AS (
                INSERT INTO contents (commitment, request, kind, salt, bytes, written_at)
                SELECT c.*, $1 FROM UNNEST($8::bytea[], $9::bigint[], $10::text[], $11::bytea[], $12::bytea[]) AS c
            ), concluded AS (
                -- The raw event goes with the row: what counts of it stands in entries and contents.
                UPDATE inbox SET state = 'done', raw = NULL, done_at = $1
                WHERE id = $13 AND state = 'pending'
                RETURNING id
            ), spoken AS (
                INSERT INTO outbox (step, lane, request, room_id, kind, content, file_name, file_type, file_bytes,
                                    written_at, leased_by, leased_until)
                SELECT m.step, m.lane, m.request, m.room_id, m.kind, m.content, m.file_name, m.file_type,
                       m.file_bytes, $1, lease.holder, CASE WHEN lease.holder IS NOT NULL THEN $14::timestamptz END
                FROM UNNEST($15::text[], $16::text[], $17::bigint[], $18::text[], $19::text[], $20::bytea[],
                            $21::text[], $22::text[], $23::bytea[])
                    WITH ORDINALITY AS m (step, lane, request, room_id, kind, content, file_name, file_type,
                                          file_bytes, place),
                -- Ours to send at once, unless an earlier message of its lane waits in other hands.
                LATERAL (SELECT CASE WHEN NOT EXISTS (
                    SELECT FROM outbox o
                    WHERE o.lane = m.lane AND o.state = 'waiting' AND o.leased_by IS DISTINCT FROM $24
                ) THEN $24::uuid END AS holder) AS lease
                ORDER BY m.place
                -- What has been said is not said again.
                ON CONFLICT (step) DO NOTHING
                RETURNING id, step, leased_by
            )
            SELECT s.id AS "id?", s.step AS "step?", s.leased_by IS NOT NULL AS "leased!",
                   EXISTS (SELECT FROM concluded) AS "concluded!"
            FROM (SELECT 1) AS always LEFT JOIN spoken s ON true
            "#,
            SqlTime::from(now) as _,
            &entries.iter().map(|e| e.id).collect::<Vec<_>>(),
            &entries.iter().map(|e| e.kind.to_owned()).collect::<Vec<_>>(),
            &entries.iter().map(|e| e.request).collect::<Vec<_>>() as _,
            &entries.iter().map(|e| e.room.clone()).collect::<Vec<_>>() as _,
            &entries.iter().map(|e| e.who.clone()).collect::<Vec<_>>() as _,
            &entries.iter().map(|e| e.body.clone()).collect::<Vec<_>>(),
            &contents.iter().map(|c| c.commitment.0.as_bytes().to_vec()).collect::<Vec<_>>(),
            &contents.iter().map(|c| c.request.0).collect::<Vec<_>>(),
            &contents.iter().map(|c| c.kind.name().to_owned()).collect::<Vec<_>>(),
            &contents.iter().map(|c| c.salt.0.to_vec()).collect::<Vec<_>>(),
            &contents.iter().map(|c| c.bytes.clone()).collect::<Vec<_>>(),
            row,
            SqlTime::from(now + LEASE) as _,
            &messages.iter().map(|m| m.step.clone()).collect::<Vec<_>>(),
            &messages.iter().map(OutboxDraft::lane).collect::<Vec<_>>(),
            &messages.iter().map(|m| m.request.map(|number| number.0)).collect::<Vec<_>>() as _,
            &messages.iter().map(|m| m.room.to_string()).collect::<Vec<_>>(),
            &messages.iter().map(|m| m.kind.clone()).collect::<Vec<_>>(),
            &messages.iter().map(json).collect::<Vec<_>>(),
            &messages.iter().map(|m| file(m).map(|f| f.name)).collect::<Vec<_>>() as _,
            &messages.iter().map(|m| file(m).map(|f| f.media_type)).collect::<Vec<_>>() as _,
            &messages.iter().map(|m| file(m).map(|f| f.bytes)).collect::<Vec<_>>() as _,
            storage.boot().0,
        )
        .fetch_all(connection)
        .await
        .doing("writing entries, contents and messages")?;

        if let Some(id) = row
            && !written.iter().any(|row| row.concluded)
        {
            let reason = format!("row {id} is held by this work and yet no longer pending");
            return Err(Error::Unreadable { what: "the inbox", reason });
        }
        let mut ours: Vec<_> = written
            .into_iter()
            .filter_map(|row| row.leased.then_some(row.id.zip(row.step))?)
            .filter_map(|(id, step)| {
                let draft = self.messages.iter().find(|draft| draft.step == step)?.clone();
                Some(OutboxRow { id, lane: draft.lane(), draft, written_at: now, failures: 0 })
            })
            .collect();
        ours.sort_by_key(|row| row.id);
        Ok(ours)
    }
}

/// An entry as columns.
struct Columns {
    id: Uuid,
    kind: &'static str,
    request: Option<i64>,
    room: Option<String>,
    who: Option<String>,
    body: String,
}

impl Columns {
    fn of(
        storage: &Storage,
        now: Timestamp,
        (request, room, event): &(Option<RequestNumber>, Option<OwnedRoomId>, Event),
    ) -> Result<Self, Error> {
        let id = storage.inner.random.uuid();
        let entry =
            Entry { id: EntryId(id), at: now, request: *request, room: room.clone(), event: event.clone() };
        let unreadable = |reason: String| Error::Unreadable { what: "an entry to be written", reason };
        let body = entry.to_canonical_json().map_err(|error| unreadable(error.to_string()))?;
        Ok(Self {
            id,
            kind: event.kind(),
            request: request.map(|number| number.0),
            room: room.as_ref().map(ToString::to_string),
            who: who(event),
            body: String::from_utf8(body).map_err(|error| unreadable(error.to_string()))?,
        })
    }
}

/// Whose doing an event is, where it names somebody.
fn who(event: &Event) -> Option<String> {
    match event {
        Event::CommandReceived { sender, .. } => Some(sender.to_string()),
        Event::CommandCancelled { by }
        | Event::MessageEdited { by, .. }
        | Event::MessageRedacted { by, .. }
        | Event::MemberChanged { by, .. }
        | Event::InvitationDeclined { by } => Some(by.to_string()),
        Event::AuditRead { by, .. } => Some(by.clone()),
        Event::CommandPermitted { .. }
        | Event::CommandRefused { .. }
        | Event::CommandUnprocessable { .. }
        | Event::RunQueued { .. }
        | Event::RunStarted { .. }
        | Event::RunFinished { .. }
        | Event::RunFinishedLate { .. }
        | Event::RoomChanged { .. }
        | Event::RoomFailed { .. }
        | Event::RulesLoaded { .. }
        | Event::AnswerParked { .. }
        | Event::ServerStarted { .. }
        | Event::ServerStopped { .. } => None,
    }
}
