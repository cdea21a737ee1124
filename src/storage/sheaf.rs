//! What a commit carries: entries, contents and messages, gathered first and written in one statement.

use jiff_sqlx::Timestamp as SqlTime;
use ruma::{OwnedRoomId, RoomId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ContentKind, Error, OutboxDraft, OutboxRow, Storage, error::Doing as _};
use crate::model::{
    Archived, Commitment, DirectOpened, Entry, EntryId, Event, KeyChanged, LoginAsked, Recovered,
    RequestNumber, Salt, ScheduleEnded, ScheduleSet, SessionBegun, SessionEnded, SignedDuration, Timestamp,
};

/// For how long a message that was just written, or found due, is its holder's to send.
pub(super) const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// Writes a sheaf in one statement, if `go` has a row. The beginning of the statement is the caller's: it defines
/// `go`, may use `$1` (the time), and has the arguments from `$24` on.
macro_rules! write_sheaf {
    ($beginning:literal, $columns:expr $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            crate::storage::sheaf::Written,
            $beginning
                + r#"
            , told AS (
                INSERT INTO entries (id, at, kind, request, room_id, who, body)
                SELECT e.id, $1, e.kind, e.request, e.room_id, e.who, e.body
                FROM UNNEST($2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[])
                    WITH ORDINALITY AS e (id, kind, request, room_id, who, body, place)
                WHERE EXISTS (SELECT FROM go)
                ORDER BY e.place
            ), kept AS (
                INSERT INTO contents (commitment, request, kind, salt, bytes, written_at)
                SELECT c.*, $1 FROM UNNEST($8::bytea[], $9::bigint[], $10::text[], $11::bytea[], $12::bytea[]) AS c
                WHERE EXISTS (SELECT FROM go)
            ), spoken AS (
                INSERT INTO outbox (step, lane, request, room_id, kind, content, file_name, file_type, file_bytes,
                                    written_at, leased_by, leased_until)
                SELECT m.step, m.lane, m.request, m.room_id, m.kind, m.content, m.file_name, m.file_type,
                       m.file_bytes, $1, lease.holder, CASE WHEN lease.holder IS NOT NULL THEN $13::timestamptz END
                FROM UNNEST($14::text[], $15::text[], $16::bigint[], $17::text[], $18::text[], $19::bytea[],
                            $20::text[], $21::text[], $22::bytea[])
                    WITH ORDINALITY AS m (step, lane, request, room_id, kind, content, file_name, file_type,
                                          file_bytes, place),
                -- Ours to send at once, unless an earlier message of its lane waits in other hands.
                LATERAL (SELECT CASE WHEN NOT EXISTS (
                    SELECT FROM outbox o
                    WHERE o.lane = m.lane AND o.state = 'waiting' AND o.leased_by IS DISTINCT FROM $23
                ) THEN $23::uuid END AS holder) AS lease
                WHERE EXISTS (SELECT FROM go)
                ORDER BY m.place
                -- What has been said is not said again.
                ON CONFLICT (step) DO NOTHING
                RETURNING id, step, leased_by
            )
            SELECT s.id AS "id?", s.step AS "step?", s.leased_by IS NOT NULL AS "leased!",
                   EXISTS (SELECT FROM go) AS "went!"
            FROM (SELECT 1) AS always LEFT JOIN spoken s ON true
            "#,
            $columns.now as _,
            &$columns.entry_ids,
            &$columns.entry_kinds,
            &$columns.entry_requests as _,
            &$columns.entry_rooms as _,
            &$columns.entry_whos as _,
            &$columns.entry_bodies,
            &$columns.commitments,
            &$columns.content_requests,
            &$columns.content_kinds,
            &$columns.salts,
            &$columns.content_bytes,
            $columns.lease_until as _,
            &$columns.steps,
            &$columns.lanes,
            &$columns.message_requests as _,
            &$columns.message_rooms,
            &$columns.message_kinds,
            &$columns.message_contents,
            &$columns.file_names as _,
            &$columns.file_types as _,
            &$columns.file_bytes as _,
            $columns.boot,
            $($argument,)*
        )
    };
}
pub(super) use write_sheaf;

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

    /// The step keys of its messages.
    pub fn steps(self) -> Vec<String> {
        self.messages.into_iter().map(|draft| draft.step).collect()
    }

    /// As the columns of one statement.
    pub fn columns(&self, storage: &Storage, now: Timestamp) -> Result<SheafColumns, Error> {
        if !self.entries.is_empty() {
            storage.inner.bell.entries_come();
        }
        let entries = self.entries.iter().map(|told| Columns::of(storage, now, told));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let (contents, messages) = (&self.contents, &self.messages);
        let file = |draft: &OutboxDraft| draft.file.clone();
        Ok(SheafColumns {
            now: now.into(),
            entry_ids: entries.iter().map(|e| e.id).collect(),
            entry_kinds: entries.iter().map(|e| e.kind.to_owned()).collect(),
            entry_requests: entries.iter().map(|e| e.request).collect(),
            entry_rooms: entries.iter().map(|e| e.room.clone()).collect(),
            entry_whos: entries.iter().map(|e| e.who.clone()).collect(),
            entry_bodies: entries.into_iter().map(|e| e.body).collect(),
            commitments: contents.iter().map(|c| c.commitment.0.as_bytes().to_vec()).collect(),
            content_requests: contents.iter().map(|c| c.request.0).collect(),
            content_kinds: contents.iter().map(|c| c.kind.name().to_owned()).collect(),
            salts: contents.iter().map(|c| c.salt.0.to_vec()).collect(),
            content_bytes: contents.iter().map(|c| c.bytes.clone()).collect(),
            lease_until: (now + LEASE).into(),
            steps: messages.iter().map(|m| m.step.clone()).collect(),
            lanes: messages.iter().map(OutboxDraft::lane).collect(),
            message_requests: messages.iter().map(|m| m.request.map(|number| number.0)).collect(),
            message_rooms: messages.iter().map(|m| m.to.to_string()).collect(),
            message_kinds: messages.iter().map(|m| m.kind.clone()).collect(),
            message_contents: messages.iter().map(|m| m.content.to_string().into_bytes()).collect(),
            file_names: messages.iter().map(|m| file(m).map(|f| f.name)).collect(),
            file_types: messages.iter().map(|m| file(m).map(|f| f.media_type)).collect(),
            file_bytes: messages.iter().map(|m| file(m).map(|f| f.bytes)).collect(),
            boot: storage.boot().0,
        })
    }

    /// The messages that this process may send at once, of what was written.
    pub fn ours(&self, now: Timestamp, written: Vec<Written>) -> Vec<OutboxRow> {
        let mut ours: Vec<_> = written
            .into_iter()
            .filter_map(|row| row.leased.then_some(row.id.zip(row.step))?)
            .filter_map(|(id, step)| {
                let draft = self.messages.iter().find(|draft| draft.step == step)?.clone();
                Some(OutboxRow { id, lane: draft.lane(), draft, written_at: now, failures: 0 })
            })
            .collect();
        ours.sort_by_key(|row| row.id);
        ours
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
        let columns = self.columns(storage, now)?;
        let written = write_sheaf!(
            r#"
            WITH concluded AS (
                -- The raw event goes with the row: what counts of it stands in entries and contents.
                UPDATE inbox SET state = 'done', raw = NULL, done_at = $1
                WHERE id = $24 AND state = 'pending'
                RETURNING id
            ), go AS (
                SELECT WHERE $24::bigint IS NULL OR EXISTS (SELECT FROM concluded)
            )
            "#,
            columns,
            row
        )
        .fetch_all(connection)
        .await
        .doing("writing entries, contents and messages")?;
        if let Some(id) = row
            && !written.iter().any(|row| row.went)
        {
            let reason = format!("row {id} is held by this work and yet no longer pending");
            return Err(Error::Unreadable { what: "the inbox", reason });
        }
        Ok(self.ours(now, written))
    }
}

/// What a sheaf's statement gives: a row for each message, or one without any.
pub(super) struct Written {
    pub id: Option<i64>,
    pub step: Option<String>,
    pub leased: bool,
    /// Whether anything was written.
    pub went: bool,
}

/// A sheaf as the parameters of its statement.
pub(super) struct SheafColumns {
    pub now: SqlTime,
    pub entry_ids: Vec<Uuid>,
    pub entry_kinds: Vec<String>,
    pub entry_requests: Vec<Option<i64>>,
    pub entry_rooms: Vec<Option<String>>,
    pub entry_whos: Vec<Option<String>>,
    pub entry_bodies: Vec<String>,
    pub commitments: Vec<Vec<u8>>,
    pub content_requests: Vec<i64>,
    pub content_kinds: Vec<String>,
    pub salts: Vec<Vec<u8>>,
    pub content_bytes: Vec<Vec<u8>>,
    pub lease_until: SqlTime,
    pub steps: Vec<String>,
    pub lanes: Vec<String>,
    pub message_requests: Vec<Option<i64>>,
    pub message_rooms: Vec<String>,
    pub message_kinds: Vec<String>,
    pub message_contents: Vec<Vec<u8>>,
    pub file_names: Vec<Option<String>>,
    pub file_types: Vec<Option<String>>,
    pub file_bytes: Vec<Option<Vec<u8>>>,
    pub boot: Uuid,
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
        | Event::CommandDenied { by, .. }
        | Event::RunCancelRequested { by }
        | Event::ApprovalGiven { by, .. }
        | Event::ApprovalWithdrawn { by, .. }
        | Event::ApprovalRefused { by, .. }
        | Event::ApprovalVoid { by, .. }
        | Event::ConfirmationGiven { by, .. }
        | Event::MessageEdited { by, .. }
        | Event::MessageRedacted { by, .. }
        | Event::MemberChanged { by, .. }
        | Event::ContentErased { by, .. }
        | Event::InvitationDeclined { by }
        | Event::RulesLoaded { by: Some(by), .. }
        | Event::ElevationGiven { user: by, .. }
        | Event::ElevationEnded { user: by, .. }
        | Event::EmergencyUsed { by, .. }
        | Event::ScheduleSet(ScheduleSet { by, .. })
        | Event::ScheduleEnded(ScheduleEnded { by: Some(by), .. })
        | Event::DirectOpened(DirectOpened { user: by, .. })
        | Event::LoginAsked(LoginAsked { by, .. })
        | Event::SessionBegun(SessionBegun { by, .. })
        | Event::SessionEnded(SessionEnded { by, .. }) => Some(by.to_string()),
        Event::OutsideNoted { by, .. }
        | Event::AuditRead { by, .. }
        | Event::ContentArchived(Archived { by, .. })
        | Event::LogKeyChanged(KeyChanged { by, .. })
        | Event::LogRecovered(Recovered { by, .. }) => Some(by.clone()),
        Event::RoomAdopted { by, .. } => by.clone(),
        Event::CommandPermitted { .. }
        | Event::CommandRefused { .. }
        | Event::CommandUnprocessable { .. }
        | Event::ApprovalRequested { .. }
        | Event::ConfirmationRequested { .. }
        | Event::CommandExpired { .. }
        | Event::CommandInterrupted { .. }
        | Event::RunQueued { .. }
        | Event::RunStarted { .. }
        | Event::RunFinished { .. }
        | Event::RunFinishedLate { .. }
        | Event::RoomChanged { .. }
        | Event::RoomFailed { .. }
        | Event::LocalRefused { .. }
        | Event::RulesLoaded { by: None, .. }
        | Event::ScheduleEnded(ScheduleEnded { by: None, .. })
        | Event::ScheduleMissed(_)
        | Event::AnswerParked { .. }
        | Event::AnswerPrivate { .. }
        | Event::ServerStarted { .. }
        | Event::ServerStopped { .. }
        | Event::LogHeartbeat {} => None,
    }
}
