//! What can go wrong between Quarterdeck and its homeserver, sorted by what it asks for next.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use jiff::Timestamp;
use ruma::OwnedServerName;
use serde::Deserialize;

/// How long to wait where a homeserver limits without saying how long.
const UNSAID: Duration = Duration::from_secs(1);

/// The greatest wait that is believed of a homeserver.
const LONGEST: Duration = Duration::from_mins(15);

/// Why a request to the homeserver did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be reached, or was unable to answer. Waiting mends it.
    #[error("{doing}: the homeserver is away ({reason})")]
    Away {
        /// What was tried.
        doing: String,
        /// What happened instead of an answer.
        reason: String,
        /// Whether something there answered, though not as a homeserver in health does.
        reached: bool,
    },
    /// It is there, and waits for another homeserver that has a say in this and does not answer.
    #[error("{doing}: {server} does not answer our homeserver")]
    Unanswered {
        /// What was tried.
        doing: String,
        /// The other homeserver.
        server: OwnedServerName,
    },
    /// It asks us to be slower.
    #[error("{doing}: the homeserver limits the rate and asks to wait {} ms", after.as_millis())]
    RateLimited {
        /// What was tried.
        doing: String,
        /// How long it asks us to wait.
        after: Duration,
    },
    /// It does not accept our token. Nothing works until somebody mends the registration.
    #[error(
        "{doing}: the homeserver does not accept the as_token ({words}). Compare registration.yaml with the copy \
         named in its app_service_config_files, then restart the homeserver"
    )]
    Token {
        /// What was tried.
        doing: String,
        /// The homeserver's own words.
        words: String,
    },
    /// It answered no, and would answer no again.
    #[error("{doing}: the homeserver refuses: {words} ({errcode}, HTTP {status})")]
    Permanent {
        /// What was tried.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// The Matrix error code, `M_FORBIDDEN` and the like; `M_UNKNOWN` where there was none.
        errcode: String,
        /// The homeserver's own words.
        words: String,
    },
    /// It could not be asked: the request itself cannot be written down.
    #[error("{doing}: not sent, the request cannot be written: {reason}")]
    Unwritable {
        /// What was tried.
        doing: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The body of a Matrix error.
#[derive(Debug, Default, Deserialize)]
struct Body {
    errcode: Option<String>,
    error: Option<String>,
    retry_after_ms: Option<f64>,
}

impl Body {
    fn wait(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.retry_after_ms? / 1000.0).ok()
    }
}

impl Error {
    /// Sorts an answer that is not a success.
    pub(super) fn from_answer(
        doing: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Self {
        let doing = doing.to_owned();
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let after = retry_after(headers, now).or_else(|| body.wait()).unwrap_or(UNSAID).min(LONGEST);
            return Self::RateLimited { doing, after };
        }
        let words = body.error.unwrap_or_else(|| "it gives no reason".to_owned());
        let errcode = match body.errcode {
            // Too large is too large, whoever on the way says so.
            None if status == StatusCode::PAYLOAD_TOO_LARGE => "M_TOO_LARGE".to_owned(),
            Some(errcode) if !status.is_server_error() && errcode != "M_RESOURCE_LIMIT_EXCEEDED" => errcode,
            // A homeserver always gives a code: without one it was a proxy before it, which knows nothing of us.
            _ => {
                return Self::Away {
                    doing,
                    reason: format!("HTTP {}: {words}", status.as_u16()),
                    reached: true,
                };
            }
        };
        if matches!(errcode.as_str(), "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN") {
            return Self::Token { doing, words };
        }
        Self::Permanent { doing, status: status.as_u16(), errcode, words }
    }

    /// The Matrix error code of a refusal.
    pub fn errcode(&self) -> Option<&str> {
        match self {
            Self::Permanent { errcode, .. } => Some(errcode),
            _ => None,
        }
    }

    /// Whether this is a refusal with the given Matrix error code.
    pub fn is(&self, code: &str) -> bool {
        self.errcode() == Some(code)
    }

    /// Whether waiting cannot mend it.
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent { .. } | Self::Unwritable { .. })
    }
}

/// Reads `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// Something that is not there is no error for whoever asked whether it is there.
pub trait NotFound<T> {
    /// `None` where the homeserver says `M_NOT_FOUND`.
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> NotFound<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is("M_NOT_FOUND") => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Error {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Error::from_answer(
            "sending",
            StatusCode::from_u16(status).unwrap(),
            &headers.collect(),
            body.as_bytes(),
            "2026-01-01T00:00:00Z".parse().unwrap(),
        )
    }

    fn wait(error: &Error) -> Duration {
        match error {
            Error::RateLimited { after, .. } => *after,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_rate_limit_is_waited_for_as_long_as_the_homeserver_asks() {
        let body = r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too Many Requests","retry_after_ms":1500}"#;
        assert_eq!(wait(&sorted(429, &[], body)), Duration::from_millis(1500));
        assert_eq!(wait(&sorted(429, &[("retry-after", "7")], body)), Duration::from_secs(7));
        let date = [("retry-after", "Thu, 01 Jan 2026 00:00:30 GMT")];
        assert_eq!(wait(&sorted(429, &date, "<html>")), Duration::from_secs(30));
        assert_eq!(wait(&sorted(429, &[], "<html>")), UNSAID);
        assert_eq!(wait(&sorted(429, &[("retry-after", "999999999")], "")), LONGEST);
        assert_eq!(wait(&sorted(429, &[], r#"{"retry_after_ms":1e300}"#)), UNSAID);
        assert_eq!(wait(&sorted(429, &[], r#"{"retry_after_ms":-5}"#)), UNSAID);
    }

    #[test]
    fn only_a_refusal_of_this_very_request_is_permanent() {
        assert!(sorted(403, &[], r#"{"errcode":"M_FORBIDDEN","error":"not in room"}"#).is("M_FORBIDDEN"));
        assert!(sorted(413, &[], "<html>").is_permanent());
        assert!(!sorted(502, &[], "<html>").is_permanent());
        assert!(!sorted(404, &[], "<html>a proxy's own page").is_permanent());
        assert!(
            !sorted(500, &[], r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#).is_permanent()
        );
        let token =
            sorted(401, &[], r#"{"errcode":"M_UNKNOWN_TOKEN","error":"Invalid access token passed."}"#);
        assert!(matches!(token, Error::Token { .. }), "{token}");
    }
}
