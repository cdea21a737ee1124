//! The kind `http`: one request to a service, and the wait for what it began.
//!
//! A request is sent once. It goes to declared hosts alone, at an address that was looked at before it is connected to;
//! it follows no redirect to elsewhere, and carries secrets in headers only. Where the answer is lost after the request
//! was sent, that is what the ending says: it may have had its effect.
//!
//! Known gap: a run that is cancelled leaves the job that it began to the service, and says so.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Executor, Left, Ran, Sink, kind::Kind, redact::Redactor, whole::Kept};
use crate::{
    catalogue::{Command, HttpRun, RunKind},
    command::{HttpRequest, http_request},
    model::{AttemptId, Ending, Invocation, Outcome, OutputSummary, RequestNumber, Secret, SignedDuration},
};

pub(super) mod addresses;
mod answer;
mod poll;

use answer::Answer;

/// A request to send. Private to the executor, which makes it from a warrant.
pub(super) struct Request {
    attempt: AttemptId,
    number: RequestNumber,
    run: HttpRun,
    built: Result<HttpRequest, String>,
    timeout: SignedDuration,
}

impl Request {
    /// The request that a warrant allows. `None` if its command is of another kind.
    pub(super) fn of(
        attempt: AttemptId,
        number: RequestNumber,
        command: &Command,
        invocation: &Invocation,
    ) -> Option<Self> {
        let RunKind::Http(run) = &command.run.kind else { return None };
        let built = http_request(run, invocation);
        Some(Self { attempt, number, run: (**run).clone(), built, timeout: command.run.timeout })
    }
}

#[cfg(test)]
impl Request {
    /// The same for another attempt.
    pub(super) fn with_attempt(self, attempt: AttemptId) -> Self {
        Self { attempt, ..self }
    }
}

impl Kind for Request {
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
        let took_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        Ran {
            number: self.number,
            attempt: self.attempt,
            outcome: Outcome { ending, took_ms, output },
            kept: kept.map(|kept| kept.bytes).unwrap_or_default(),
            whole: None,
            left: Left::default(),
        }
    }
}

impl Request {
    /// All that can fail before anything is sent.
    fn prepare<'a>(&'a self, executor: &Executor, sink: &'a dyn Sink) -> Result<Exchange<'a>, String> {
        let request = self.built.as_ref().map_err(Clone::clone)?;
        let known = executor.secrets();
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            headers.insert(header(name)?, HeaderValue::from_str(value).map_err(|_| not_sent(name))?);
        }
        let mut secrets: Vec<(&str, Secret)> = Vec::new();
        for (name, credential) in &self.run.credentials {
            let secret = known.resolve(&credential.secret).map_err(|missing| missing.to_string())?;
            let mut value = HeaderValue::from_str(&format!("{}{}", credential.before, secret.expose()))
                .map_err(|_| format!("the secret {} cannot be sent in a header: it holds a line break, a control character or letters beyond ASCII", credential.secret))?;
            value.set_sensitive(true);
            headers.insert(header(name)?, value);
            secrets.push((&credential.secret, secret));
        }
        let redactor = Redactor::new(secrets.iter().map(|(name, secret)| (*name, secret)))?;
        let client = client(self.run.private)?;
        // An attempt is spent by its first start: the folder stays until the outcome is recorded.
        executor.spool_of(self.attempt).create()?.spend();
        let shown = Shown::new(redactor, self.run.answer_limit, sink);
        Ok(Exchange { run: &self.run, request, client, headers, shown, state: None })
    }
}

/// A client for one request: it uses no proxy, follows nothing, repeats nothing, and looks at addresses.
pub(super) fn client(private: bool) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .http1_only()
        .pool_max_idle_per_host(0)
        .referer(false)
        .user_agent(concat!("Quarterdeck/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(addresses::Checked { private })
        .build()
        .map_err(|error| format!("no HTTP client can be made: {error}"))
}

fn header(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| not_sent(name))
}

fn not_sent(name: &str) -> String {
    format!("the header {name} cannot be sent")
}

/// What is shown of the answers: masked, and no more than the limit.
pub(super) struct Shown<'a> {
    redactor: Redactor,
    kept: Vec<u8>,
    printed: u64,
    truncated: bool,
    limit: usize,
    sink: &'a dyn Sink,
}

impl<'a> Shown<'a> {
    pub(super) const fn new(redactor: Redactor, limit: usize, sink: &'a dyn Sink) -> Self {
        Self { redactor, kept: Vec::new(), printed: 0, truncated: false, limit, sink }
    }

    /// Shows a line.
    pub(super) fn line(&mut self, text: &str) {
        let masked = self.redactor.push(text.as_bytes());
        self.keep(&masked);
        let masked = self.redactor.push(b"\n");
        self.keep(&masked);
    }

    fn keep(&mut self, masked: &[u8]) {
        if masked.is_empty() {
            return;
        }
        self.printed += masked.len() as u64;
        let room = self.limit.saturating_sub(self.kept.len());
        self.truncated |= masked.len() > room;
        let masked = &masked[..masked.len().min(room)];
        self.sink.output(masked);
        self.kept.extend_from_slice(masked);
    }

    /// All that was shown.
    pub(super) fn finish(mut self) -> Kept {
        let rest = self.redactor.finish();
        self.keep(&rest);
        Kept { printed: self.printed, truncated: self.truncated, ..Kept::little(self.kept) }
    }
}

/// One request, its answer, and what follows.
struct Exchange<'a> {
    run: &'a HttpRun,
    request: &'a HttpRequest,
    client: reqwest::Client,
    headers: HeaderMap,
    shown: Shown<'a>,
    /// The state of its job that was shown last.
    state: Option<String>,
}

/// Why a request got no whole answer.
pub(super) enum Lost {
    /// It was not sent.
    Unsent(String),
    /// It was sent.
    Sent(String),
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
            self.shown.line(
                "The request may have been sent: what it began goes on where it runs, or has had its effect.",
            );
        }
        ending
    }

    async fn exchange(&mut self, sent: &AtomicBool) -> Ending {
        let answer = match self.ask(sent).await {
            Ok(answer) => answer,
            Err(Lost::Unsent(reason)) => return Ending::NotStarted { reason },
            Err(Lost::Sent(reason)) if self.only_reads() => return Ending::Failed { reason },
            Err(Lost::Sent(reason)) => return unknown(&reason),
        };
        let answer = match answer {
            Answer::Behind(reason) if !self.only_reads() => return unknown(&reason),
            Answer::Refused(reason) | Answer::Behind(reason) | Answer::Long(reason) => {
                return Ending::Failed { reason };
            }
            Answer::Whole(whole) => whole,
        };
        let last = match &self.run.poll {
            None => answer,
            Some(poll) => match self.follow(poll, answer).await {
                Ok(last) => last,
                Err(ending) => return ending,
            },
        };
        match last.part(self.run.answer.as_deref()) {
            Ok(text) => {
                self.shown.line(&text);
                Ending::Exited { status: 0 }
            }
            Err(reason) => {
                self.shown.line(&last.text());
                Ending::Failed { reason }
            }
        }
    }

    fn only_reads(&self) -> bool {
        self.request.method == "GET"
    }

    /// Sends the request, once; where it only reads, it goes along with redirects within its hosts.
    async fn ask(&mut self, sent: &AtomicBool) -> Result<Answer, Lost> {
        const REDIRECTS: usize = 5;
        let mut url = self.request.url.clone();
        for _ in 0..=REDIRECTS {
            let method = &self.request.method;
            let mut request = self.client.request(
                method.parse().map_err(|_| Lost::Unsent(format!("{method} is no method")))?,
                url.clone(),
            );
            request = request.headers(self.headers.clone());
            if let Some(body) = &self.request.body {
                request = request.body(body.to_string());
            }
            let response = self.send(request, &url, sent).await?;
            let status = response.status();
            if self.only_reads() && status.is_redirection() && !self.run.expect.contains(&status.as_u16()) {
                let target = answer::location(&response, &url);
                if let Some(target) = &target
                    && self.may_reach(target)
                {
                    url = target.clone();
                    continue;
                }
                if let Some(target) = target {
                    self.shown.line(&format!("It points to {target}"));
                }
                return Ok(Answer::Refused(format!(
                    "{} answered {status} and points elsewhere, where this command does not go",
                    named(&url)
                )));
            }
            return self.read(response, &url, &self.run.expect).await;
        }
        Ok(Answer::Refused(format!("{} redirects again and again", named(&url))))
    }

    /// Whether requests of this command may go to an address: its scheme, and one of its hosts.
    fn may_reach(&self, url: &Url) -> bool {
        url.scheme() == self.request.url.scheme()
            && self.run.hosts.contains(&named(url))
            && url.username().is_empty()
            && url.password().is_none()
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        url: &Url,
        sent: &AtomicBool,
    ) -> Result<reqwest::Response, Lost> {
        addresses::check(url, self.run.private).map_err(Lost::Unsent)?;
        let earlier = sent.swap(true, Ordering::Relaxed);
        request.send().await.map_err(|error| {
            if (error.is_connect() || error.is_builder()) && !earlier {
                sent.store(false, Ordering::Relaxed);
                Lost::Unsent(format!("{} cannot be reached: {}", named(url), causes(error)))
            } else {
                Lost::Sent(format!("{} gave no answer: {}", named(url), causes(error)))
            }
        })
    }

    /// Reads an answer, as far as it may be read.
    async fn read(
        &mut self,
        response: reqwest::Response,
        url: &Url,
        expect: &BTreeSet<u16>,
    ) -> Result<Answer, Lost> {
        let answer = answer::read(response, url, self.run.answer_limit, expect).await?;
        if let (Answer::Refused(_) | Answer::Behind(_) | Answer::Long(_), Some(text)) = (&answer.0, answer.1)
        {
            self.shown.line(&text);
        }
        Ok(answer.0)
    }
}

fn unknown(reason: &str) -> Ending {
    Ending::Unknown {
        reason: format!("{reason}. The request was sent and is not sent again: it may have had its effect"),
    }
}

/// Whether a status is the word of a gateway that got no answer, or none in time, from where it passed the request on to
/// (RFC 9110, sections 15.6.3 and 15.6.5).
pub(super) fn is_a_gateways(status: StatusCode) -> bool {
    [StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT].contains(&status)
}

/// Host and port of an address, for people.
pub(super) fn named(url: &Url) -> String {
    crate::catalogue::http::authority(url)
}

/// An error with what caused it, without the address, which may hold what is nobody's business.
pub(super) fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}
