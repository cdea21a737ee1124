//! The client of the homeserver: every request that Quarterdeck makes of it, as its own user.
//!
//! Requests are ruma's types, sent by reqwest with the application service's token, in the name of the bot
//! **and of its one device**: Synapse keeps transaction ids durably only for a device (MATRIX.md, 28).
//! It refuses to repeat anything by itself: what to do about an [`Error`] is the caller's to know.

mod bot;
mod calls;
mod error;
mod link;

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

pub use calls::Relation;
pub use error::{Error, NotFound};
pub use link::{mark, with_link};
use ruma::{
    DeviceId, OwnedServerName, OwnedUserId, UserId,
    api::{
        AppserviceUserIdentity, IncomingResponse, MatrixVersion, OutgoingRequest,
        OutgoingRequestAppserviceExt, SupportedVersions,
        auth_scheme::{AuthScheme, SendAccessToken},
        path_builder::PathBuilder,
    },
};
use url::Url;

use crate::model::{Clock, Secret, Timestamp};

/// The one device of the bot. Nothing about it is secret, and nothing about it has to be stored.
pub const DEVICE: &str = "QUARTERDECK";

/// How long an ordinary request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(20);

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// The homeserver, as Quarterdeck's user sees it. Cloning is cheap.
#[derive(Clone)]
pub struct Homeserver {
    shared: Arc<Shared>,
}

struct Shared {
    http: reqwest::Client,
    url: String,
    token: Secret,
    bot: OwnedUserId,
    versions: SupportedVersions,
    clock: Arc<dyn Clock>,
    /// When other homeservers did not answer it.
    unanswered: Mutex<HashMap<OwnedServerName, Timestamp>>,
}

/// As whom a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    /// The bot with its device.
    Device,
    /// The bot, before its device exists.
    User,
    /// The application service itself.
    Service,
}

impl Homeserver {
    /// The homeserver at `url`, spoken to as `bot` with the application service's `token`.
    ///
    /// No proxy is used: the homeserver is next door, and its token is not for anybody between.
    pub fn new(url: &Url, bot: OwnedUserId, token: Secret, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            // Shorter than homeservers keep an idle connection, so that none is used that is being closed.
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("quarterdeck/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Unwritable {
                doing: "preparing the HTTP client".to_owned(),
                reason: in_words(&error),
            })?;
        // What we use is in the specification since 1.11, and ruma then takes the paths of that version.
        let versions = SupportedVersions {
            versions: BTreeSet::from([MatrixVersion::V1_1, MatrixVersion::V1_7, MatrixVersion::V1_11]),
            features: BTreeSet::new(),
        };
        let url = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            shared: Arc::new(Shared { http, url, token, bot, versions, clock, unanswered: Mutex::default() }),
        })
    }

    /// Quarterdeck's own user.
    pub fn bot(&self) -> &UserId {
        &self.shared.bot
    }

    /// Sends any request of the client-server API as the bot.
    ///
    /// Where the homeserver does not know the bot's device (any more), it is made, and the request sent again.
    pub async fn send<R>(&self, doing: &str, request: R) -> Result<R::IncomingResponse, Error>
    where
        R: OutgoingRequest + Send,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
        for<'a> R::PathBuilder: PathBuilder<Input<'a> = Cow<'a, SupportedVersions>>,
    {
        self.send_within(PATIENCE, doing, request).await
    }

    /// The same, where it may take so long.
    async fn send_within<R>(
        &self,
        patience: Duration,
        doing: &str,
        request: R,
    ) -> Result<R::IncomingResponse, Error>
    where
        R: OutgoingRequest + Send,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
        for<'a> R::PathBuilder: PathBuilder<Input<'a> = Cow<'a, SupportedVersions>>,
    {
        match self.call(As::Device, doing, patience, request.clone()).await {
            Err(error) if error.is("M_UNKNOWN_DEVICE") => {
                self.make_bot().await?;
                self.call(As::Device, doing, patience, request).await
            }
            result => result,
        }
    }

    async fn call<R>(
        &self,
        identity: As,
        doing: &str,
        patience: Duration,
        request: R,
    ) -> Result<R::IncomingResponse, Error>
    where
        R: OutgoingRequest,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
        for<'a> R::PathBuilder: PathBuilder<Input<'a> = Cow<'a, SupportedVersions>>,
    {
        let request = self.written(identity, doing, request)?;
        self.answer(doing, patience, request).await
    }

    /// A request as it goes over the wire.
    fn written<R>(&self, identity: As, doing: &str, request: R) -> Result<http::Request<Vec<u8>>, Error>
    where
        R: OutgoingRequest,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
        for<'a> R::PathBuilder: PathBuilder<Input<'a> = Cow<'a, SupportedVersions>>,
    {
        let mut who = AppserviceUserIdentity::default();
        if identity != As::Service {
            who.user_id = Some(&self.shared.bot);
        }
        if identity == As::Device {
            who.device_id = Some(<&DeviceId>::from(DEVICE));
        }
        let token = SendAccessToken::Always(self.shared.token.expose());
        let versions = Cow::Borrowed(&self.shared.versions);
        request
            .try_into_http_request_with_identity(&self.shared.url, token, who, versions)
            .map_err(|error| Error::Unwritable { doing: doing.to_owned(), reason: error.to_string() })
    }

    /// Makes an HTTP request and reads its answer.
    async fn answer<A: IncomingResponse>(
        &self,
        doing: &str,
        patience: Duration,
        request: http::Request<Vec<u8>>,
    ) -> Result<A, Error> {
        self.answer_to(doing, patience, request, None).await
    }

    /// The same with another body, of this length.
    async fn answer_to<A: IncomingResponse>(
        &self,
        doing: &str,
        patience: Duration,
        request: http::Request<Vec<u8>>,
        body: Option<(u64, reqwest::Body)>,
    ) -> Result<A, Error> {
        let unsent =
            |error: &reqwest::Error| Error::Unwritable { doing: doing.to_owned(), reason: in_words(error) };
        let mut request = reqwest::Request::try_from(request).map_err(|error| unsent(&error))?;
        *request.timeout_mut() = Some(patience);
        if let Some((length, body)) = body {
            request.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
            *request.body_mut() = Some(body);
        }
        let (status, headers, body) = self.exchange(request).await.map_err(|error| Error::Away {
            doing: doing.to_owned(),
            reason: format!("{}: {}", self.shared.url, in_words(&error)),
            reached: false,
        })?;
        if !status.is_success() {
            let error = Error::from_answer(doing, status, &headers, &body, self.shared.clock.now());
            tracing::debug!(homeserver.status = status.as_u16(), homeserver.error = %error, "refused");
            return Err(error);
        }
        let mut response = http::Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        A::try_from_http_response(response).map_err(|_| Error::Away {
            doing: doing.to_owned(),
            reason: "its answer is not what the specification promises".to_owned(),
            reached: true,
        })
    }

    async fn exchange(
        &self,
        request: reqwest::Request,
    ) -> Result<(http::StatusCode, http::HeaderMap, bytes::Bytes), reqwest::Error> {
        let response = self.shared.http.execute(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok((status, headers, response.bytes().await?))
    }
}

impl std::fmt::Debug for Homeserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Homeserver").field("url", &self.shared.url).field("bot", &self.shared.bot).finish()
    }
}

/// An HTTP error with its causes and without its URL, which holds nothing that a reader needs.
fn in_words(error: &reqwest::Error) -> String {
    let mut words = if error.is_timeout() { "no answer in time".to_owned() } else { String::new() };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if !words.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&error.to_string());
        cause = error.source();
    }
    if words.is_empty() { "the connection failed".to_owned() } else { words }
}
