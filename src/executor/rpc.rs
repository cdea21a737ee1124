//! The kind `chatops_rpc`: a call of a method of an endpoint, and the question what an endpoint offers.
//!
//! The connection is made by the rules of the kind `http`: to the endpoint's own host alone, at an address that was
//! looked at, without proxy and redirects, and once. Where the answer is lost after the call was sent, the ending says
//! so: it may have had its effect.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::{
    HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    Executor, Ran, Sink,
    http::{Lost, Shown, addresses, causes, client, is_a_gateways, named},
    kind::Kind,
    redact::Redactor,
};
use crate::{
    catalogue::{Effect, Endpoint, Listing, RpcRun, RunKind},
    command::{RpcCall, rpc_call},
    model::{AttemptId, Ending, Outcome, OutputSummary, RequestNumber, Secret, SignedDuration, SystemRandom},
    storage::Warrant,
};

mod answer;
mod sign;

use answer::Answered;
use sign::{Signed, Signer};

/// How long an endpoint may take to say what it offers.
const LISTING: Duration = Duration::from_secs(15);
/// How long a listing may be, in bytes.
const LONGEST_LISTING: usize = 1 << 20;

/// A call to make. Private to the executor, which makes it from a warrant.
pub(super) struct Call {
    attempt: AttemptId,
    number: RequestNumber,
    run: RpcRun,
    built: Result<(RpcCall, String), String>,
    reads: bool,
    timeout: SignedDuration,
}

impl Call {
    /// The call that a warrant allows. `None` if its command is of another kind.
    pub(super) fn of(warrant: &Warrant) -> Option<Self> {
        let command = warrant.command();
        let RunKind::ChatopsRpc(run) = &command.run.kind else { return None };
        let built = rpc_call(run, warrant.invocation()).map(|call| {
            let user = run.users.get(warrant.by()).map_or(warrant.by().as_str(), String::as_str);
            let body = call.body(user, warrant.by(), warrant.room());
            (call, body)
        });
        Some(Self {
            attempt: warrant.attempt(),
            number: warrant.number(),
            run: (**run).clone(),
            built,
            reads: command.effect == Effect::Read,
            timeout: command.run.timeout,
        })
    }
}

impl Kind for Call {
    fn attempt(&self) -> AttemptId {
        self.attempt
    }

    async fn run(self, executor: &Executor, cancel: &CancellationToken, sink: &dyn Sink) -> Ran {
        let begun = Instant::now();
        let (ending, shown) = match self.prepare(executor, sink) {
            Ok(mut exchange) => {
                let ending = exchange.until(self.timeout, cancel).await;
                (ending, Some(exchange.shown))
            }
            Err(reason) => (Ending::NotStarted { reason }, None),
        };
        let kept = shown.map(Shown::finish);
        let output = kept.as_ref().map_or_else(OutputSummary::empty, |kept| kept.summary(None));
        Ran {
            number: self.number,
            attempt: self.attempt,
            outcome: Outcome {
                ending,
                took_ms: i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX),
                output,
            },
            kept: kept.map(|kept| kept.bytes).unwrap_or_default(),
            whole: None,
            left: super::Left::default(),
        }
    }
}

impl Call {
    /// All that can fail before anything is sent.
    fn prepare<'a>(&'a self, executor: &Executor, sink: &'a dyn Sink) -> Result<Exchange<'a>, String> {
        let (call, body) = self.built.as_ref().map_err(Clone::clone)?;
        let secret = executor.secrets().resolve(&self.run.key).map_err(|missing| missing.to_string())?;
        let door = Door::open(&call.url, self.run.private)?;
        let request = door.request(executor, &Method::POST, body, &self.run.key, &secret, &self.run.keyid)?;
        let redactor = Redactor::new([(self.run.key.as_str(), &secret)])?;
        // An attempt is spent by its first start: the folder stays until the outcome is recorded.
        executor.spool_of(self.attempt).create()?.spend();
        let shown = Shown::new(redactor, self.run.answer_limit, sink);
        Ok(Exchange { call: self, door, request: Some(request), shown })
    }
}

/// The way to an endpoint.
struct Door {
    url: Url,
    private: bool,
    client: reqwest::Client,
}

impl Door {
    fn open(url: &str, private: bool) -> Result<Self, String> {
        let url: Url = url.parse().map_err(|error| format!("its url cannot be read: {error}"))?;
        Ok(Self { url, private, client: client(private)? })
    }

    /// A signed request.
    fn request(
        &self,
        executor: &Executor,
        method: &Method,
        body: &str,
        name: &str,
        secret: &Secret,
        keyid: &str,
    ) -> Result<reqwest::RequestBuilder, String> {
        let signer = Signer::read(name, secret, keyid)?;
        let Signed { nonce, timestamp, signature } =
            signer.sign(self.url.as_str(), body, executor.clock.now(), &SystemRandom)?;
        let mut signature =
            HeaderValue::from_str(&signature).map_err(|_| "the signature cannot be sent".to_owned())?;
        signature.set_sensitive(true);
        let mut request = self
            .client
            .request(method.clone(), self.url.clone())
            .header("chatops-nonce", nonce)
            .header("chatops-timestamp", timestamp)
            .header("chatops-signature", signature)
            .header(ACCEPT, "application/json");
        if *method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_owned());
        }
        Ok(request)
    }

    /// Sends it, once, and reads what comes back as far as it may be read.
    async fn ask(
        &self,
        request: reqwest::RequestBuilder,
        limit: usize,
        sent: &AtomicBool,
    ) -> Result<(StatusCode, Vec<u8>), Lost> {
        addresses::check(&self.url, self.private).map_err(Lost::Unsent)?;
        sent.store(true, Ordering::Relaxed);
        let mut response = request.send().await.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                sent.store(false, Ordering::Relaxed);
                Lost::Unsent(format!("{} cannot be reached: {}", named(&self.url), causes(error)))
            } else {
                Lost::Sent(format!("{} gave no answer: {}", named(&self.url), causes(error)))
            }
        })?;
        let status = response.status();
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(None) => return Ok((status, body)),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Err(error) => {
                    let cause = causes(error);
                    let from = named(&self.url);
                    return Err(Lost::Sent(format!(
                        "{from} answered {status}, and then its answer broke off: {cause}"
                    )));
                }
            }
            if body.len() > limit {
                let from = named(&self.url);
                return Err(Lost::Sent(format!("{from} answered {status} with more than {limit} bytes")));
            }
        }
    }
}

/// One call and its answer.
struct Exchange<'a> {
    call: &'a Call,
    door: Door,
    request: Option<reqwest::RequestBuilder>,
    shown: Shown<'a>,
}

impl Exchange<'_> {
    /// The whole of it, unless the time is over or somebody wants its end.
    async fn until(&mut self, timeout: SignedDuration, cancel: &CancellationToken) -> Ending {
        let sent = AtomicBool::new(false);
        let limit = Duration::try_from(timeout).unwrap_or(Duration::ZERO);
        let ending = tokio::select! {
            biased;
            () = cancel.cancelled() => Ending::Cancelled,
            ending = self.exchange(&sent) => return ending,
            () = tokio::time::sleep(limit) => Ending::TimedOut { limit_s: timeout.as_secs() },
        };
        if sent.load(Ordering::Relaxed) {
            self.shown
                .line("The call may have been sent: what it began goes on there, or has had its effect.");
        }
        ending
    }

    async fn exchange(&mut self, sent: &AtomicBool) -> Ending {
        let Some(request) = self.request.take() else {
            return Ending::NotStarted { reason: "it was sent already".to_owned() };
        };
        let (status, body) = match self.door.ask(request, self.call.run.answer_limit, sent).await {
            Ok(answer) => answer,
            Err(Lost::Unsent(reason)) => return Ending::NotStarted { reason },
            Err(Lost::Sent(reason)) if self.call.reads => return Ending::Failed { reason },
            Err(Lost::Sent(reason)) => return unknown(&reason),
        };
        let from = named(&self.door.url);
        match answer::read(status, &body) {
            Answered::Result(lines) => {
                for line in lines {
                    self.shown.line(&line);
                }
                Ending::Exited { status: 0 }
            }
            Answered::Error { code, message } => {
                self.shown.line(&message);
                let code = code.map_or_else(String::new, |code| format!(" ({code})"));
                Ending::Failed { reason: format!("{from} says that it failed{code}") }
            }
            Answered::Nonsense { text, what } => {
                self.shown.line(self.call.run.error_response.as_deref().unwrap_or(&text));
                if is_a_gateways(status) && !self.call.reads {
                    return unknown(&format!("{from} answered {status}"));
                }
                Ending::Failed { reason: format!("{from} answered {status}, {what}") }
            }
        }
    }
}

fn unknown(reason: &str) -> Ending {
    Ending::Unknown {
        reason: format!("{reason}. The call was sent and is not sent again: it may have had its effect"),
    }
}

impl Executor {
    /// Asks an endpoint what it offers: it reads only, and nothing comes of it until it is in force as a version.
    ///
    /// # Errors
    ///
    /// Why it did not say, in words that hold nothing of its answer but names.
    pub async fn listing(&self, endpoint: &Endpoint) -> Result<Listing, String> {
        let secret = self.secrets().resolve(&endpoint.secret).map_err(|missing| missing.to_string())?;
        let door = Door::open(&endpoint.url, endpoint.private)?;
        let request = door.request(self, &Method::GET, "", &endpoint.secret, &secret, &endpoint.keyid)?;
        let sent = AtomicBool::new(false);
        let answer = tokio::time::timeout(LISTING, door.ask(request, LONGEST_LISTING, &sent)).await;
        let from = named(&door.url);
        let (status, body) = match answer {
            Err(_) => return Err(format!("{from} did not answer within {} s", LISTING.as_secs())),
            Ok(Err(Lost::Unsent(reason) | Lost::Sent(reason))) => return Err(reason),
            Ok(Ok(answer)) => answer,
        };
        if status != StatusCode::OK {
            let why = if status == StatusCode::FORBIDDEN {
                ": does it know our public key, and itself by this url?"
            } else {
                ""
            };
            return Err(format!("{from} answered {status}{why}"));
        }
        Listing::read(&endpoint.url, &body)
            .map_err(|what| format!("{from} answered with a listing that is {what}"))
    }
}
