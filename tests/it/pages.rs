//! The pages: who gets in, by what, for how long, and what they see. What a browser makes of them: `pages_browser.rs`.

use std::time::{Duration, Instant};

use reqwest::{
    StatusCode,
    header::{self, HeaderMap},
    redirect::Policy,
};
use serde_json::Value;

use crate::{
    harness::{OpsFolder, Person, Plan, World},
    seeing::{direct, read_there},
};

/// Serves the pages of a folder where it listens.
pub fn with_pages(ops: &OpsFolder) {
    let settings = ops.read("quarterdeck.toml");
    let listen = settings.split("listen = \"").nth(1).unwrap().split('"').next().unwrap();
    let web = format!("[web]\nurl = \"http://{listen}\"\n");
    ops.file("quarterdeck.toml", &settings.replace("[space]", &(web + "[space]")));
}

/// The usual world, with pages.
pub async fn world(plan: Plan) -> World {
    let mut world = World::prepared(plan).await;
    with_pages(&world.ops);
    world.serve().await;
    world.gather().await;
    world
}

/// The link that somebody gets for `!login`, whole, as it stands in the room with them alone.
pub async fn link(world: &World, who: &Person) -> String {
    let said = who.say(&world.room, "!login").await;
    let answer = who.outcome(&world.bot(), &said).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert!(!answer.body.contains("link="), "the room is not shown it: {}", answer.body);
    let room = direct(world, who).await;
    let told = read_there(who, &room, "/login?link=").await;
    let body = told["content"]["body"].as_str().unwrap();
    let link = body.split_whitespace().find(|word| word.contains("/login?link=")).unwrap();
    assert!(
        told["content"]["formatted_body"].as_str().unwrap().contains(link.split("link=").nth(1).unwrap())
    );
    link.to_owned()
}

/// What a browser keeps and sends, and no more: a cookie for each name.
pub struct Browser {
    http: reqwest::Client,
    base: String,
    pub cookies: std::collections::BTreeMap<String, String>,
}

/// What came back.
pub struct Page {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Page {
    /// What forms of the page prove.
    pub fn proof(&self) -> String {
        self.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Browser {
    pub fn new(world: &World) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { http, base: format!("http://{}", world.address()), cookies: std::collections::BTreeMap::new() }
    }

    /// One that is logged in.
    pub async fn of(world: &World, who: &Person) -> Self {
        let mut browser = Self::new(world);
        let link = link(world, who).await;
        let begun = browser.press(&link).await;
        assert_eq!(
            (begun.status, begun.header(header::LOCATION)),
            (StatusCode::SEE_OTHER, "/"),
            "{}",
            begun.text
        );
        browser
    }

    /// Opens a link to log in, and presses its button.
    pub async fn press(&mut self, link: &str) -> Page {
        let shown = self.get(link).await;
        assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
        let token = link.split("link=").nth(1).unwrap();
        self.post("/login", &[("csrf", &shown.proof()), ("link", token)]).await
    }

    /// Opens a page again and again, until it says so.
    pub async fn until(&mut self, path: &str, words: &str) -> Page {
        let begun = Instant::now();
        loop {
            let page = self.get(path).await;
            if page.text.contains(words) {
                return page;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{path} never says {words:?}: {}", page.text);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn get(&mut self, path: &str) -> Page {
        let request = self.http.get(self.url(path));
        self.send(request).await
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let request = self.http.post(self.url(path)).body(form.finish());
        self.send(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")).await
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Page {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request =
            if cookies.is_empty() { request } else { request.header(header::COOKIE, cookies.join("; ")) };
        let answer = request.header(header::USER_AGENT, "A browser <b>of a test</b>").send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        for set in headers.get_all(header::SET_COOKIE) {
            let set = set.to_str().unwrap();
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            assert!(
                set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"),
                "{set}"
            );
            if set.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Page { status, headers, text: answer.text().await.unwrap() }
    }
}

/// The entries of a kind, the oldest first.
pub async fn entries(world: &World, kind: &str) -> Vec<Value> {
    let bodies: Vec<String> = sqlx::query_scalar("SELECT body FROM entries WHERE kind = $1 ORDER BY place")
        .bind(kind)
        .fetch_all(&world.sql())
        .await
        .unwrap();
    bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

#[tokio::test]
async fn a_link_from_a_room_logs_in_once_by_its_button_and_not_by_being_opened() {
    let world = world(Plan::default()).await;
    let link = link(&world, &world.alice).await;
    let token = link.split("link=").nth(1).unwrap();

    // A preview of the link, or its homeserver's, opens it: that changes nothing, however often.
    for _ in 0..3 {
        let shown = Browser::new(&world).get(&link).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert!(shown.text.contains(&world.alice.id));
    }
    assert_eq!(entries(&world, "session.begun").await.len(), 0);

    // Only the page's own form logs in: not one of another page, nor of another browser.
    let mut browser = Browser::new(&world);
    let shown = browser.get(&link).await;
    let elsewhere = Browser::new(&world).get(&link).await.proof();
    for proof in ["", "x", &elsewhere] {
        let refused = browser.post("/login", &[("csrf", proof), ("link", token)]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
    let refused = Browser::new(&world).post("/login", &[("csrf", &shown.proof()), ("link", token)]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "without the cookie of the page");
    let begun = browser.press(&link).await;
    assert_eq!((begun.status, begun.header(header::LOCATION)), (StatusCode::SEE_OTHER, "/"));
    assert!(browser.get("/").await.text.contains("Room deploy"));

    // It is spent, for everybody and in every way.
    assert_eq!(Browser::new(&world).get(&link).await.status, StatusCode::GONE);
    let another = self::link(&world, &world.alice).await;
    let mut second = Browser::new(&world);
    let proof = second.get(&another).await.proof();
    assert_eq!(second.post("/login", &[("csrf", &proof), ("link", token)]).await.status, StatusCode::GONE);

    // What was done is on the record, and neither token is anywhere in the database.
    let asked = entries(&world, "login.asked").await;
    let begun = entries(&world, "session.begun").await;
    assert_eq!((asked.len(), begun.len()), (2, 1));
    assert_eq!((&begun[0]["by"], &begun[0]["link"]), (&asked[0]["by"], &asked[0]["link"]));
    assert_eq!(asked[0]["by"], world.alice.id.as_str());
    world.nothing_pending().await;
    let dump = dump(&world);
    let cookie = browser.cookies.values().next().unwrap();
    for secret in [token, another.split("link=").nth(1).unwrap(), cookie] {
        assert_eq!(secret.len(), 64);
        assert!(!dump.contains(secret) && !world.log_text().contains(secret), "a token is kept");
    }
}

/// The whole database as text.
fn dump(world: &World) -> String {
    let output = std::process::Command::new("pg_dump")
        .args(["--inserts", "-d", &world.superuser_url()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_link_that_is_too_old_or_not_the_last_or_none_logs_nobody_in() {
    let world = world(Plan::default()).await;
    let first = link(&world, &world.bob).await;
    let second = link(&world, &world.bob).await;
    assert_ne!(first, second);
    assert_eq!(Browser::new(&world).get(&first).await.status, StatusCode::GONE, "another was asked for");
    let mut browser = Browser::new(&world);
    let proof = browser.get(&second).await.proof();
    sqlx::query(
        "UPDATE logins SET asked_at = now() - interval '1 hour', expires_at = now() - interval '1 second'",
    )
    .execute(&world.sql())
    .await
    .unwrap();
    assert_eq!(browser.get(&second).await.status, StatusCode::GONE);
    let token = second.split("link=").nth(1).unwrap();
    let late = browser.post("/login", &[("csrf", &proof), ("link", token)]).await;
    assert!(late.status == StatusCode::GONE || late.status == StatusCode::FORBIDDEN);
    for none in ["", "x", "%00", "../../etc/passwd", &"a".repeat(64), &"a".repeat(7_000)] {
        let shown = browser.get(&format!("/login?link={none}")).await;
        assert_eq!(shown.status, StatusCode::GONE, "{none}");
    }
    assert_eq!(browser.get("/login").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(entries(&world, "session.begun").await.len(), 0);
}

#[tokio::test]
async fn a_session_ends_by_its_owner_by_time_and_by_idleness_and_its_cookie_is_nothing_then() {
    let world = world(Plan::default()).await;
    let mut first = Browser::of(&world, &world.alice).await;
    let mut second = Browser::of(&world, &world.alice).await;
    let mut bobs = Browser::of(&world, &world.bob).await;
    let shown = first.get("/sessions").await;
    assert_eq!(shown.text.matches("/sessions/end").count(), 2, "one's own, both: {}", shown.text);
    assert!(
        shown.text.contains("&#60;b&#62;of a test") && !shown.text.contains("<b>of a test"),
        "{}",
        shown.text
    );
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT id::text FROM sessions WHERE user_id = $1 ORDER BY begun_at")
            .bind(&world.alice.id)
            .fetch_all(&world.sql())
            .await
            .unwrap();

    // Without its page's proof nothing ends, and nobody ends somebody else's.
    let unproved = first.post("/sessions/end", &[("session", &ids[1])]).await;
    assert_eq!(unproved.status, StatusCode::FORBIDDEN);
    let proof = bobs.get("/sessions").await.proof();
    assert_eq!(
        first.post("/sessions/end", &[("session", &ids[1]), ("csrf", &proof)]).await.status,
        StatusCode::FORBIDDEN
    );
    let foreign = bobs.post("/sessions/end", &[("session", &ids[1]), ("csrf", &proof)]).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!(second.get("/").await.status, StatusCode::OK);

    // Revoked from another: its cookie opens nothing any more.
    let ended = first.post("/sessions/end", &[("session", &ids[1]), ("csrf", &shown.proof())]).await;
    assert_eq!(ended.status, StatusCode::SEE_OTHER);
    assert_eq!(second.get("/").await.status, StatusCode::UNAUTHORIZED);

    // Logged out, and the cookie is taken away; who kept it has nothing.
    let kept = first.cookies.clone();
    assert_eq!(first.post("/logout", &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(first.post("/logout", &[("csrf", &shown.proof())]).await.status, StatusCode::SEE_OTHER);
    assert!(first.cookies.is_empty());
    first.cookies = kept;
    assert_eq!(first.get("/").await.status, StatusCode::UNAUTHORIZED);

    // Not used for an hour; then, of another, its twelve hours.
    let age = |what: &str| {
        format!(
            "UPDATE sessions SET begun_at = begun_at - interval '13 hours', {what} WHERE ended_at IS NULL"
        )
    };
    let idle = age("seen_at = now() - interval '61 minutes'");
    sqlx::query(sqlx::AssertSqlSafe(idle)).execute(&world.sql()).await.unwrap();
    assert_eq!(bobs.get("/").await.status, StatusCode::UNAUTHORIZED);
    let mut again = Browser::of(&world, &world.bob).await;
    let over = age("ends_at = now() - interval '1 second'");
    sqlx::query(sqlx::AssertSqlSafe(over)).execute(&world.sql()).await.unwrap();
    assert_eq!(again.get("/").await.status, StatusCode::UNAUTHORIZED);

    let why: Vec<_> = entries(&world, "session.ended").await.iter().map(|it| it["why"].clone()).collect();
    assert_eq!(why, ["revoked", "logout"], "what time ends is recorded when it is looked at");
}

#[tokio::test]
async fn a_session_begins_under_a_token_of_its_own_whatever_the_browser_brings() {
    let world = world(Plan::default()).await;
    let mut browser = Browser::of(&world, &world.bob).await;
    let bobs = browser.cookies.clone();
    let link = link(&world, &world.alice).await;
    browser.press(&link).await;
    assert!(browser.get("/").await.text.contains(&world.alice.id));
    assert_ne!(browser.cookies, bobs);
    assert_eq!(entries(&world, "session.ended").await[0]["why"], "replaced");
    // What somebody put into the browser before is not gone on with.
    let mut fixed = Browser::new(&world);
    let name = browser.cookies.keys().next().unwrap().clone();
    fixed.cookies.insert(name.clone(), "a".repeat(64));
    let link = self::link(&world, &world.alice).await;
    fixed.press(&link).await;
    assert_ne!(fixed.cookies[&name], "a".repeat(64));
    assert_eq!(fixed.get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_keeps_others_out_of_the_page() {
    let world = world(Plan::default()).await;
    let link = link(&world, &world.alice).await;
    let mut browser = Browser::new(&world);
    for path in ["/", "/login", link.as_str(), "/sessions", "/assets/none.css", "/login?link=x"] {
        let page = browser.get(path).await;
        let policy = page.header(header::CONTENT_SECURITY_POLICY);
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(page.header(header::CACHE_CONTROL), "no-store", "{path}");
        assert_eq!(page.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(page.header(header::REFERRER_POLICY), "no-referrer");
        assert!(!page.text.contains("style=") && !page.text.contains("<script>"), "{path}: {}", page.text);
    }
    let styles = browser.get(&link).await.text;
    let styles = styles.split("href=\"/assets/").nth(1).unwrap().split('"').next().unwrap();
    let styles = browser.get(&format!("/assets/{styles}")).await;
    assert_eq!(styles.header(header::CONTENT_TYPE), "text/css; charset=utf-8");
    assert!(styles.header(header::CACHE_CONTROL).contains("immutable"));
    // A body that no form of ours has.
    let large = browser.post("/login", &[("csrf", &"x".repeat(100_000))]).await;
    assert!(large.status.is_client_error());
}

#[tokio::test]
async fn who_is_in_no_room_any_more_or_may_nothing_sees_nothing_with_the_same_session() {
    let world = world(Plan::default()).await;
    let mut browser = Browser::of(&world, &world.bob).await;
    assert!(browser.get("/").await.text.contains("Room deploy"));
    // His team's rule is taken away.
    let rules = world.ops.read("policies/rules.cedar");
    world.ops.file("policies/rules.cedar", &rules.replace("Action::\"read_audit\", ", ""));
    world.server.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGHUP);
    browser.until("/", "of no room").await;
    world.ops.file("policies/rules.cedar", &rules);
    world.server.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGHUP);
    browser.until("/", "Room deploy").await;
    // He leaves; or his account does.
    world.bob.leave(&world.room).await;
    browser.until("/", "of no room").await;
}

#[tokio::test]
async fn without_an_address_there_are_no_pages_and_login_says_what_is_to_be_set() {
    let world = World::start().await;
    let answer = world.ask("!login").await;
    assert!(answer.body.contains("[web] url"), "{}", answer.body);
    assert_eq!(world.count("SELECT count(*) FROM logins").await, 0);
    assert_eq!(Browser::new(&world).get("/sessions").await.status, StatusCode::NOT_FOUND);
    for (url, wrong) in [
        ("http://ops.example.org", "over an open line"),
        ("https://ops.example.org/quarterdeck", "more than scheme, host and port"),
        ("ops.example.org", "is no address"),
    ] {
        let settings = world.ops.read("quarterdeck.toml");
        let web = format!("[web]\nurl = \"{url}\"\n[space]");
        world.ops.file("quarterdeck.toml", &settings.replace("[space]", &web));
        let checked = world.quarterdeck(&["check", world.ops.path().to_str().unwrap()]);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(!checked.status.success() && said.contains(wrong), "{url}: {said}");
        world.ops.file("quarterdeck.toml", &settings);
    }
}
