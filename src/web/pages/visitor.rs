//! Who looks: the session of a cookie, and what a form must prove before anything is done by it.

use std::collections::BTreeMap;

use axum::{
    Form,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, request::Parts},
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use sha2::{Digest as _, Sha256};

use super::{Pages, html::Stop};
use crate::{
    model::{Random as _, Secret, SystemRandom},
    storage::{Session, token},
};

/// The field of each form that shows that it stands in a page of ours.
pub(super) const PROOF: &str = "csrf";

/// Somebody with a session.
pub(super) struct Visitor {
    /// Their session.
    pub session: Session,
    /// What forms in their pages prove.
    pub csrf: Secret,
    /// The key of what stands in addresses that this session alone may use.
    pub key: Secret,
}

impl Visitor {
    /// The visitor whose cookie this is. `used`: whether that counts as using the session.
    pub async fn of(pages: &Pages, jar: &CookieJar, used: bool) -> Result<Self, Stop> {
        let nobody = || Stop::Nobody { prefix: pages.prefix.to_string() };
        let cookie = jar.get(name_of(SESSION, pages.secure)).ok_or_else(nobody)?;
        let _place = pages.asking.acquire().await;
        let session = pages.storage.session(cookie.value(), used).await?.ok_or_else(nobody)?;
        let (csrf, key) = (derived("form", cookie.value()), derived("address", cookie.value()));
        Ok(Self { session, csrf, key })
    }
}

impl FromRequestParts<Pages> for Visitor {
    type Rejection = Stop;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Stop> {
        Self::of(pages, &CookieJar::from_headers(&parts.headers), true).await
    }
}

/// A form that somebody with a session sent from a page of ours. There is no other way to the fields of one.
pub(super) struct Posted {
    /// Who.
    pub visitor: Visitor,
    /// Its fields.
    pub fields: BTreeMap<String, String>,
}

impl FromRequest<Pages> for Posted {
    type Rejection = Stop;

    async fn from_request(request: Request, pages: &Pages) -> Result<Self, Stop> {
        let headers = request.headers().clone();
        let fields = fields(request, pages).await?;
        let visitor = Visitor::of(pages, &CookieJar::from_headers(&headers), true).await?;
        proved(&headers, &fields, &visitor.csrf)?;
        Ok(Self { visitor, fields })
    }
}

/// A form that somebody without a session sent: it proves that it stands in the page that this browser was shown.
pub(super) struct PostedByAnybody {
    /// Its fields.
    pub fields: BTreeMap<String, String>,
    /// The cookies that came with it.
    pub jar: CookieJar,
    /// What the browser says of itself.
    pub browser: String,
}

impl FromRequest<Pages> for PostedByAnybody {
    type Rejection = Stop;

    async fn from_request(request: Request, pages: &Pages) -> Result<Self, Stop> {
        let headers = request.headers().clone();
        let fields = fields(request, pages).await?;
        let jar = CookieJar::from_headers(&headers);
        let shown = jar.get(name_of(SHOWN, pages.secure)).ok_or(Stop::Foreign)?;
        proved(&headers, &fields, &derived("form", shown.value()))?;
        let browser = headers.get("user-agent").and_then(|value| value.to_str().ok());
        let browser = browser.unwrap_or("a browser that says nothing of itself").to_owned();
        Ok(Self { fields, jar, browser })
    }
}

async fn fields(request: Request, pages: &Pages) -> Result<BTreeMap<String, String>, Stop> {
    let form = Form::<BTreeMap<String, String>>::from_request(request, pages).await;
    form.map(|Form(fields)| fields).map_err(|_| Stop::Foreign)
}

/// Whether a form stands in a page of ours: it has what only that page was given, and where the browser says whence it comes,
/// it says so.
fn proved(headers: &HeaderMap, fields: &BTreeMap<String, String>, wanted: &Secret) -> Result<(), Stop> {
    let from_here = headers.get("sec-fetch-site").is_none_or(|from| from == "same-origin");
    let given = fields.get(PROOF).is_some_and(|given| wanted.matches(given));
    if from_here && given { Ok(()) } else { Err(Stop::Foreign) }
}

/// Something made of a cookie's token that tells nothing of it.
fn derived(purpose: &str, of: &str) -> Secret {
    let digest = Sha256::new().chain_update(purpose).chain_update([0]).chain_update(of).finalize();
    token(&digest.into())
}

/// The cookie of a session.
const SESSION: [&str; 2] = ["quarterdeck-session", "__Host-quarterdeck-session"];
/// The cookie of a browser that was shown the page of a link.
const SHOWN: [&str; 2] = ["quarterdeck-shown", "__Host-quarterdeck-shown"];

/// By https with the prefix that has browsers take it from nobody but this very host (RFC 6265bis, 4.1.3.2).
const fn name_of(names: [&'static str; 2], secure: bool) -> &'static str {
    if secure { names[1] } else { names[0] }
}

/// Strict: no page of somebody else's has our pages opened as somebody who is logged in. The link to log in is opened from a
/// client, and its page needs no cookie; its form, which sets one, is a page of ours.
fn cookie(names: [&'static str; 2], secure: bool, value: String) -> Cookie<'static> {
    Cookie::build((name_of(names, secure), value))
        .path("/")
        .http_only(true)
        .secure(secure)
        .same_site(SameSite::Strict)
        .build()
}

/// The cookie that begins a session. It goes with the browser's own session; the server's may end before.
pub(super) fn session_cookie(pages: &Pages, token: &Secret) -> Cookie<'static> {
    cookie(SESSION, pages.secure, token.expose().to_owned())
}

/// What takes a session's cookie away.
pub(super) fn no_session_cookie(pages: &Pages) -> Cookie<'static> {
    gone(cookie(SESSION, pages.secure, String::new()))
}

/// What takes away the cookie of who was shown a link.
pub(super) fn no_shown_cookie(pages: &Pages) -> Cookie<'static> {
    gone(cookie(SHOWN, pages.secure, String::new()))
}

fn gone(mut cookie: Cookie<'static>) -> Cookie<'static> {
    cookie.set_max_age(Some(std::time::Duration::ZERO.try_into().unwrap_or_default()));
    cookie
}

/// Marks a browser that is shown the page of a link; gives the cookie, and what the page's form proves.
pub(super) fn shown(pages: &Pages) -> (Cookie<'static>, Secret) {
    let mut bytes = [0; 32];
    SystemRandom.fill(&mut bytes);
    let drawn = token(&bytes);
    let proof = derived("form", drawn.expose());
    (cookie(SHOWN, pages.secure, drawn.expose().to_owned()), proof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_https_a_cookie_is_this_hosts_alone_and_no_script_reads_it() {
        let written = |secure| cookie(SESSION, secure, "t".to_owned()).to_string();
        assert_eq!(written(true), "__Host-quarterdeck-session=t; HttpOnly; SameSite=Strict; Secure; Path=/");
        assert_eq!(written(false), "quarterdeck-session=t; HttpOnly; SameSite=Strict; Path=/");
    }

    #[test]
    fn a_form_proves_nothing_from_another_site_or_for_another_session() {
        let wanted = derived("form", "mine");
        let fields = |proof: &str| BTreeMap::from([(PROOF.to_owned(), proof.to_owned())]);
        let from = |site: Option<&str>| {
            let named =
                site.map(|site| (http::HeaderName::from_static("sec-fetch-site"), site.parse().unwrap()));
            named.into_iter().collect::<HeaderMap>()
        };
        let good = fields(wanted.expose());
        for site in [None, Some("same-origin")] {
            assert!(proved(&from(site), &good, &wanted).is_ok());
        }
        for site in ["cross-site", "same-site", "none"] {
            assert!(proved(&from(Some(site)), &good, &wanted).is_err(), "{site}");
        }
        for bad in [derived("form", "another's").expose(), derived("address", "mine").expose(), ""] {
            assert!(proved(&from(None), &fields(bad), &wanted).is_err());
        }
        assert!(proved(&from(None), &BTreeMap::new(), &wanted).is_err());
    }
}
