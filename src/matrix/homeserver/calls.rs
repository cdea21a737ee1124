//! The requests that the rest of the house makes, each a method.

use std::{sync::PoisonError, time::Duration};

use futures_util::Stream;
use jiff::Timestamp;
use ruma::{
    EventId, OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, ServerName,
    TransactionId, UInt, UserId,
    api::client::{
        account::whoami::v3 as whoami,
        alias::{
            create_alias::v3 as create_alias, delete_alias::v3 as delete_alias, get_alias::v3 as get_alias,
        },
        appservice::request_ping::v1 as request_ping,
        authenticated_media::get_media_config::v1 as get_media_config,
        discovery::{get_capabilities::v3 as get_capabilities, get_supported_versions as get_versions},
        media::create_content::v3 as create_content,
        membership::{
            get_member_events::v3 as get_member_events, invite_user::v3 as invite_user,
            join_room_by_id::v3 as join_room, joined_rooms::v3 as joined_rooms, leave_room::v3 as leave_room,
        },
        message::{get_message_events::v3 as get_messages, send_message_event::v3 as send_message},
        redact::redact_event::v3 as redact,
        relations::get_relating_events_with_rel_type::v1 as relations,
        room::{create_room::v3 as create_room, get_room_event::v3 as get_room_event},
        state::{
            get_state_event_for_key::v3 as get_state_event, get_state_events::v3 as get_state,
            send_state_event::v3 as send_state,
        },
    },
    api::{OutgoingRequest, auth_scheme::SendAccessToken},
    events::{
        AnyStateEvent, MessageLikeEventType, StateEventType, relation::RelationType,
        room::member::RoomMemberEvent,
    },
    serde::Raw,
};
use serde_json::{Value, json};

use super::{As, DEVICE, Error, Homeserver, NotFound, PATIENCE};
use crate::storage;

/// How long an upload may take.
const UPLOAD: Duration = Duration::from_mins(5);

/// How long an invitation may take. A homeserver goes on with it after we have gone, so nothing is lost if it takes longer.
const INVITATION: Duration = Duration::from_secs(10);

/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(5);

/// How many related events are read at once.
const PAGE: u32 = 100;

/// How many pages of related events are read before giving up.
const PAGES: usize = 20;

/// An event that was looked for.
#[derive(Debug, Clone)]
pub struct Relation {
    /// Its id.
    pub event_id: OwnedEventId,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// Its content.
    pub content: Value,
}

impl Homeserver {
    /// Sends an event. The same transaction id again gives the same event, also across restarts of either side.
    pub async fn send_event(
        &self,
        room: &RoomId,
        kind: &str,
        content: &Value,
        transaction: &TransactionId,
    ) -> Result<OwnedEventId, Error> {
        let linked = self.linked(content);
        let request = send_message::Request::new_raw(
            room.to_owned(),
            transaction.to_owned(),
            MessageLikeEventType::from(kind),
            raw("sending an event", linked.as_ref().unwrap_or(content))?.cast_unchecked(),
        );
        Ok(self.send(&format!("sending {kind} to {room}"), request).await?.event_id)
    }

    /// Redacts an event of ours. The same transaction id again redacts it once.
    pub async fn redact(
        &self,
        room: &RoomId,
        event: &EventId,
        transaction: &TransactionId,
    ) -> Result<OwnedEventId, Error> {
        let request = redact::Request::new(room.to_owned(), event.to_owned(), transaction.to_owned());
        Ok(self.send(&format!("taking {event} back in {room}"), request).await?.event_id)
    }

    /// Uploads a file. An upload has no transaction id: one whose answer is lost leaves an orphan.
    pub async fn upload(&self, name: &str, content_type: &str, bytes: Vec<u8>) -> Result<OwnedMxcUri, Error> {
        let mut request = create_content::Request::new(bytes);
        request.filename = Some(name.to_owned());
        request.content_type = Some(content_type.to_owned());
        Ok(self.call(As::Device, &format!("uploading {name}"), UPLOAD, request).await?.content_uri)
    }

    /// Uploads a file of `length` bytes that comes piece by piece.
    pub async fn upload_pieces(
        &self,
        (name, content_type): (&str, &str),
        length: u64,
        pieces: impl Stream<Item = Result<Vec<u8>, storage::Error>> + Send + 'static,
    ) -> Result<OwnedMxcUri, Error> {
        let mut request = create_content::Request::new(Vec::new());
        request.filename = Some(name.to_owned());
        request.content_type = Some(content_type.to_owned());
        let doing = format!("uploading {name}");
        let request = self.written(As::Device, &doing, request)?;
        let body = Some((length, reqwest::Body::wrap_stream(pieces)));
        let answer: create_content::Response = self.answer_to(&doing, UPLOAD, request, body).await?;
        Ok(answer.content_uri)
    }

    /// The largest upload that the homeserver takes, in bytes.
    pub async fn upload_limit(&self) -> Result<u64, Error> {
        let answer = self.send("asking for the upload limit", get_media_config::Request::new()).await?;
        Ok(answer.upload_size.into())
    }

    /// The events in the thread of `event` (newest first), or with another relation to it.
    pub async fn relations(
        &self,
        room: &RoomId,
        event: &EventId,
        kind: RelationType,
    ) -> Result<Vec<Relation>, Error> {
        let mut found = Vec::new();
        let mut from = None;
        for _ in 0..PAGES {
            let mut request = relations::Request::new(room.to_owned(), event.to_owned(), kind.clone());
            request.limit = Some(UInt::from(PAGE));
            request.from = from;
            let answer = self.send(&format!("reading what relates to {event} in {room}"), request).await?;
            found.extend(answer.chunk.iter().filter_map(relation));
            from = answer.next_batch;
            if from.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// The events of one type that we sent to a room since a time, newest first.
    pub async fn said_since(
        &self,
        room: &RoomId,
        kind: &str,
        since: Timestamp,
    ) -> Result<Vec<Relation>, Error> {
        let mut found = Vec::new();
        let mut from = None;
        for _ in 0..PAGES {
            let mut request = get_messages::Request::backward(room.to_owned()).from(from);
            request.limit = UInt::from(PAGE);
            request.filter.senders = Some(vec![self.bot().to_owned()]);
            request.filter.types = Some(vec![kind.to_owned()]);
            let answer = self.send(&format!("reading what we said in {room}"), request).await?;
            let mut oldest = Timestamp::MAX;
            for event in &answer.chunk {
                let at = event.get_field::<i64>("origin_server_ts").ok().flatten();
                oldest = at.and_then(|at| Timestamp::from_millisecond(at).ok()).unwrap_or(oldest);
                found.extend(relation(event));
            }
            from = answer.end;
            if from.is_none() || oldest < since {
                break;
            }
        }
        Ok(found)
    }

    /// The newest events of a room since a time, the oldest first, as the homeserver writes them. At most a page.
    pub async fn heard_since(&self, room: &RoomId, since: Timestamp) -> Result<Vec<String>, Error> {
        let mut request = get_messages::Request::backward(room.to_owned());
        request.limit = UInt::from(PAGE);
        let answer = self.send(&format!("reading what was said in {room}"), request).await?;
        let is_new = |at: i64| Timestamp::from_millisecond(at).is_ok_and(|at| at >= since);
        let mut heard: Vec<_> = answer
            .chunk
            .iter()
            .filter(|event| event.get_field("origin_server_ts").ok().flatten().is_some_and(is_new))
            .map(|event| event.json().get().to_owned())
            .collect();
        heard.reverse();
        Ok(heard)
    }

    /// One event of a room, whole, if we may see it.
    pub async fn event(&self, room: &RoomId, event: &EventId) -> Result<Option<Value>, Error> {
        let request = get_room_event::Request::new(room.to_owned(), event.to_owned());
        let doing = format!("reading {event} in {room}");
        let answer = self.send(&doing, request).await.optional()?;
        Ok(answer.and_then(|answer| answer.event.deserialize_as_unchecked().ok()))
    }

    /// Creates a room.
    pub async fn create_room(&self, request: create_room::Request) -> Result<OwnedRoomId, Error> {
        let doing = match &request.room_alias_name {
            Some(alias) => format!("creating the room #{alias}"),
            None => "creating a room".to_owned(),
        };
        // Creating takes many events, and joins the bot: on a slow machine that takes its time.
        Ok(self.call(As::Device, &doing, 4 * PATIENCE, request).await?.room_id)
    }

    /// The room that an alias names.
    pub async fn resolve(&self, alias: &RoomAliasId) -> Result<Option<OwnedRoomId>, Error> {
        let request = get_alias::Request::new(alias.to_owned());
        let answer = self.send(&format!("resolving {alias}"), request).await.optional()?;
        Ok(answer.map(|answer| answer.room_id))
    }

    /// Gives an alias to a room.
    pub async fn create_alias(&self, alias: &RoomAliasId, room: &RoomId) -> Result<(), Error> {
        let request = create_alias::Request::new(alias.to_owned(), room.to_owned());
        self.send(&format!("giving {alias} to {room}"), request).await.map(drop)
    }

    /// Takes an alias away from its room.
    pub async fn delete_alias(&self, alias: &RoomAliasId) -> Result<(), Error> {
        let request = delete_alias::Request::new(alias.to_owned());
        self.send(&format!("taking {alias} away from its room"), request).await.map(drop)
    }

    /// The rooms that the bot has joined.
    pub async fn joined_rooms(&self) -> Result<Vec<OwnedRoomId>, Error> {
        Ok(self.send("listing our rooms", joined_rooms::Request::new()).await?.joined_rooms)
    }

    /// Joins a room to which the bot was invited.
    pub async fn join(&self, room: &RoomId) -> Result<(), Error> {
        self.send(&format!("joining {room}"), join_room::Request::new(room.to_owned())).await.map(drop)
    }

    /// Leaves a room, or declines an invitation to it.
    pub async fn leave(&self, room: &RoomId, reason: Option<&str>) -> Result<(), Error> {
        let mut request = leave_room::Request::new(room.to_owned());
        request.reason = reason.map(ToOwned::to_owned);
        self.send(&format!("leaving {room}"), request).await.map(drop)
    }

    /// Invites somebody. Where their homeserver does not answer ours, that is [`Error::Unanswered`].
    pub async fn invite(&self, room: &RoomId, user: &UserId) -> Result<(), Error> {
        let recipient =
            invite_user::InvitationRecipient::UserId(invite_user::InviteUserId::new(user.to_owned()));
        let request = invite_user::Request::new(room.to_owned(), recipient);
        let doing = format!("inviting {user} to {room}");
        self.with_another(user, self.send_within(INVITATION, &doing, request)).await.map(drop)
    }

    /// The same into a room with them alone, which their client files as such.
    pub async fn invite_alone(&self, room: &RoomId, user: &UserId) -> Result<(), Error> {
        let content = json!({ "membership": "invite", "is_direct": true });
        let request = send_state::Request::new_raw(
            room.to_owned(),
            StateEventType::RoomMember,
            user.to_string(),
            raw("inviting", &content)?.cast_unchecked(),
        );
        let doing = format!("inviting {user} to {room}");
        self.with_another(user, self.send_within(INVITATION, &doing, request)).await.map(drop)
    }

    /// What our homeserver can do only with that of this person: if nothing came back in time and ours is there, it is the
    /// other that we wait for.
    async fn with_another<T>(
        &self,
        user: &UserId,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let server = user.server_name();
        let unanswered = || self.shared.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        match asked.await {
            Err(Error::Away { doing, reason, reached: false }) if self.probe().await.is_ok() => {
                if server == self.bot().server_name() {
                    // The room is held, perhaps by the invitation of somebody elsewhere.
                    return Err(Error::Away { doing, reason, reached: true });
                }
                unanswered().insert(server.to_owned(), self.shared.clock.now());
                Err(Error::Unanswered { doing, server: server.to_owned() })
            }
            result => {
                if result.is_ok() {
                    unanswered().remove(server);
                }
                result
            }
        }
    }

    /// When another homeserver did not answer ours, if it has not since.
    pub fn unanswered_at(&self, server: &ServerName) -> Option<Timestamp> {
        self.shared.unanswered.lock().unwrap_or_else(PoisonError::into_inner).get(server).copied()
    }

    /// All state events of a room.
    pub async fn state(&self, room: &RoomId) -> Result<Vec<Raw<AnyStateEvent>>, Error> {
        let request = get_state::Request::new(room.to_owned());
        Ok(self.send(&format!("reading the state of {room}"), request).await?.room_state)
    }

    /// The content of one state event.
    pub async fn state_event(&self, room: &RoomId, kind: &str, key: &str) -> Result<Option<Value>, Error> {
        let request =
            get_state_event::Request::new(room.to_owned(), StateEventType::from(kind), key.to_owned());
        let doing = format!("reading {kind} of {room}");
        let answer = self.send(&doing, request).await.optional()?;
        answer
            .map(|answer| serde_json::from_str(answer.event_or_content.get()))
            .transpose()
            .map_err(|error| Error::Away { doing, reason: error.to_string(), reached: true })
    }

    /// Sets a state event.
    pub async fn set_state(
        &self,
        room: &RoomId,
        kind: &str,
        key: &str,
        content: &Value,
    ) -> Result<OwnedEventId, Error> {
        let request = send_state::Request::new_raw(
            room.to_owned(),
            StateEventType::from(kind),
            key.to_owned(),
            raw("setting state", content)?.cast_unchecked(),
        );
        Ok(self.send(&format!("setting {kind} of {room}"), request).await?.event_id)
    }

    /// All membership events of a room, also of those who left.
    pub async fn members(&self, room: &RoomId) -> Result<Vec<Raw<RoomMemberEvent>>, Error> {
        let request = get_member_events::Request::new(room.to_owned());
        Ok(self.send(&format!("reading the members of {room}"), request).await?.chunk)
    }

    /// Asks the homeserver to ping the application service `id`. Also makes it deliver its backlog at once.
    pub async fn ping(&self, id: &str) -> Result<Duration, Error> {
        let request = request_ping::Request::new(id.to_owned());
        Ok(self.call(As::Service, "asking for a ping", PATIENCE, request).await?.duration)
    }

    /// The default room version, and whether version 12 is offered.
    pub async fn room_versions(&self) -> Result<(String, bool), Error> {
        let answer = self.send("asking for capabilities", get_capabilities::Request::new()).await?;
        let versions = answer.capabilities.room_versions;
        let twelve = versions.available.keys().any(|version| version.as_str() == "12");
        Ok((versions.default.to_string(), twelve))
    }

    /// The versions of the specification that the homeserver speaks. Needs no token, so it is a probe as well.
    pub async fn versions(&self) -> Result<Vec<String>, Error> {
        let doing = "asking for the versions of the specification";
        let request = get_versions::Request::new()
            .try_into_http_request::<Vec<u8>>(&self.shared.url, SendAccessToken::None, ())
            .map_err(|error| Error::Unwritable { doing: doing.to_owned(), reason: error.to_string() })?;
        let answer: get_versions::Response = self.answer(doing, PATIENCE, request).await?;
        Ok(answer.versions)
    }

    /// Whether the homeserver is there and knows us. Asked often while it is away, so it is not waited for long.
    pub async fn probe(&self) -> Result<(), Error> {
        let doing = "asking whether the homeserver is back";
        match self.call(As::Device, doing, PROBE, whoami::Request::new()).await {
            // It is back, and has forgotten our device: the next request mends that.
            Err(error) if error.is_permanent() => Ok(()),
            result => result.map(drop),
        }
    }

    /// As whom the homeserver sees us: user and device.
    pub async fn whoami(&self) -> Result<(OwnedUserId, bool), Error> {
        let request = whoami::Request::new();
        let answer = self.send("asking who we are", request).await?;
        let device = answer.device_id.is_some_and(|device| device == DEVICE);
        Ok((answer.user_id, device))
    }
}

fn relation<T>(event: &Raw<T>) -> Option<Relation> {
    Some(Relation {
        event_id: event.get_field("event_id").ok()??,
        sender: event.get_field("sender").ok()??,
        content: event.get_field("content").ok()??,
    })
}

fn raw(doing: &str, content: &Value) -> Result<Raw<Value>, Error> {
    Raw::new(content)
        .map_err(|error| Error::Unwritable { doing: doing.to_owned(), reason: error.to_string() })
}
