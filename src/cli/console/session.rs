//! Signing in, and finding the room.

use anyhow::Context as _;
use matrix_sdk::{
    Client, Room, RoomState, SessionMeta, SessionTokens, authentication::matrix::MatrixSession,
    config::SyncSettings, store::RoomLoadSettings,
};
use ruma::{
    OwnedDeviceId, OwnedUserId, UInt,
    api::client::{filter::FilterDefinition, sync::sync_events::v3::Filter},
};
use serde::Deserialize;

use super::{Options, Proof};

/// A signed-in user in a room.
pub struct Session {
    /// The client.
    pub client: Client,
    /// The room, joined.
    pub room: Room,
    /// Where the next sync begins.
    pub next_batch: String,
    /// Whether the device was made here, and is signed out at the end.
    ours: bool,
}

impl Session {
    /// Signs in and goes into the room, by an invitation or an open door.
    pub async fn open(options: &Options) -> anyhow::Result<Self> {
        let address = &options.homeserver;
        let client = Client::builder()
            .homeserver_url(address.as_str())
            .build()
            .await
            .with_context(|| format!("looking for a homeserver at {address}"))?;
        let ours = sign_in(&client, options).await?;
        let session = Self::enter(client.clone(), options, ours).await;
        if session.is_err() && ours {
            // The first error is the one to tell.
            let _ = client.matrix_auth().logout().await;
        }
        session
    }

    async fn enter(client: Client, options: &Options, ours: bool) -> anyhow::Result<Self> {
        client.sync_once(sync()).await.context("reading the rooms of this user")?;
        let wanted = &options.room;
        let room = client.join_room_by_id_or_alias(wanted, &[]).await.with_context(|| {
            format!("going into {wanted}: is it spelt right, and is this user invited or a member of a team of that room?")
        })?;
        if room.state() != RoomState::Joined || room.creators().is_none() {
            client.sync_once(sync()).await.context("reading the room")?;
        }
        let encrypted =
            room.latest_encryption_state().await.context("asking whether the room is encrypted")?;
        anyhow::ensure!(
            !encrypted.is_encrypted(),
            "{wanted} is encrypted, and this console reads only rooms that are not: use another client"
        );
        let next_batch = client.sync_once(sync()).await.context("reading the room")?.next_batch;
        Ok(Self { client, room, next_batch, ours })
    }

    /// Signs the device out, if it was made here.
    pub async fn close(self) {
        if self.ours
            && let Err(error) = self.client.matrix_auth().logout().await
        {
            eprintln!("quarterdeck: signing out: {error}");
        }
    }
}

/// How the rooms are read: few events, and of the members only those who speak.
pub fn sync() -> SyncSettings {
    let mut filter = FilterDefinition::with_lazy_loading();
    filter.room.timeline.limit = Some(UInt::from(50_u32));
    SyncSettings::new().filter(Filter::from(filter)).timeout(std::time::Duration::ZERO)
}

/// Signs in; true if a device was made.
async fn sign_in(client: &Client, options: &Options) -> anyhow::Result<bool> {
    match options.proof()? {
        Proof::Password { user, password } => {
            client
                .matrix_auth()
                .login_username(&user, password.expose())
                .initial_device_display_name("quarterdeck console")
                .await
                .with_context(|| format!("signing in as {user} at {}", options.homeserver))?;
            Ok(true)
        }
        Proof::Token(token) => {
            #[derive(Deserialize)]
            struct WhoAmI {
                user_id: OwnedUserId,
                #[serde(default)]
                device_id: Option<OwnedDeviceId>,
            }
            let url = options.homeserver.join("/_matrix/client/v3/account/whoami")?;
            let who: WhoAmI = reqwest::Client::new()
                .get(url)
                .bearer_auth(token.expose())
                .send()
                .await
                .and_then(reqwest::Response::error_for_status)
                .context("asking the homeserver whose token this is")?
                .json()
                .await
                .context("reading whose token this is")?;
            let session = MatrixSession {
                meta: SessionMeta {
                    user_id: who.user_id,
                    device_id: who.device_id.unwrap_or_else(|| "console".into()),
                },
                tokens: SessionTokens { access_token: token.expose().to_owned(), refresh_token: None },
            };
            client
                .matrix_auth()
                .restore_session(session, RoomLoadSettings::default())
                .await
                .context("using the token")?;
            Ok(false)
        }
    }
}
