//! The pages in a real browser: Debian's chromium, driven by its own driver. Without them these tests fail: the pages are made for it.
//!
//! With `QUARTERDECK_SCREENSHOTS=FOLDER` they leave pictures there, as docs/web.md shows them.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use thirtyfour::{
    By, ChromiumLikeCapabilities as _, DesiredCapabilities, Key, WebDriver, WebElement,
    common::capabilities::chrome::ChromeCapabilities,
};

use crate::{
    harness::{Plan, World},
    pages::{Browser, link, world},
};

/// How long anything in the browser may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A browser with its driver. Both end when this is dropped, in this order: a driver that is gone ends no browser.
struct Chromium {
    driver: WebDriver,
    address: String,
    _process: Ended,
}

/// A process that ends with what holds it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Chromium {
    async fn start() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver, which deploy/test installs (Debian: chromium-driver)");
        let process = Ended(process);
        let address = format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let begun = Instant::now();
        while http.get(format!("{address}/status")).send().await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "chromedriver does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let driver = WebDriver::new(&address, capabilities()).await.expect("chromium (Debian: chromium)");
        Self { driver, address, _process: process }
    }

    /// Ends the browser in good order: its driver would leave it behind.
    async fn quit(self) {
        self.driver.clone().quit().await.unwrap();
    }

    /// What the browser's own protocol can and the common one cannot.
    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let session = self.driver.session_id();
        let url = format!("{}/session/{session}/goog/cdp/execute", self.address);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = json!({ "cmd": command, "params": parameters });
        let answer: Value = http.post(url).json(&body).send().await.unwrap().json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{command}: {answer}");
        answer["value"].clone()
    }

    async fn open(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// What the page says. One that makes room for the next is asked again.
    async fn text(&self) -> String {
        let begun = Instant::now();
        loop {
            let body = match self.driver.find(By::Tag("body")).await {
                Ok(body) => body.text().await,
                Err(error) => Err(error),
            };
            match body {
                Ok(text) => return text,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "the page cannot be read: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Presses what leads to another page, and waits until the browser is there: it need not be when the click returns.
    async fn press(&self, it: &WebElement) {
        let page = self.find("html").await;
        it.click().await.unwrap();
        self.left(&page).await;
    }

    /// Waits until this page has made room for another.
    async fn left(&self, page: &WebElement) {
        let begun = Instant::now();
        while page.tag_name().await.is_ok() {
            assert!(begun.elapsed() < PATIENCE, "still at {}", self.driver.current_url().await.unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while self.driver.find(By::Tag("main")).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "no page at {}", self.driver.current_url().await.unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn run(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    async fn find(&self, css: &str) -> WebElement {
        self.driver.find(By::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Waits until the page says so.
    async fn until(&self, words: &str) {
        let begun = Instant::now();
        loop {
            let shown = self.text().await;
            if shown.contains(words) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "never says {words:?}:\n{shown}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Presses the tabulator until something of this text has the focus, which must be seen each time. Gives how often.
    async fn tab_to(&self, text: &str) -> usize {
        for times in 1..80 {
            self.driver.action_chain().send_keys(Key::Tab).perform().await.unwrap();
            let focus = self
                .run(
                    "const it = document.activeElement, style = getComputedStyle(it);\
                     return [it.innerText || it.name || '', style.outlineStyle, style.outlineWidth];",
                )
                .await;
            assert!(focus[1] == "solid" && focus[2] == "3px", "the focus is not seen: {focus}");
            if focus[0].as_str().unwrap().contains(text) {
                return times;
            }
        }
        panic!("{text:?} is not reached by the keyboard");
    }

    /// The width of a phone, or of a table.
    async fn width(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    async fn scheme(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    async fn picture(&self, name: &str) {
        if let Ok(folder) = std::env::var("QUARTERDECK_SCREENSHOTS") {
            let png = self.driver.screenshot_as_png().await.unwrap();
            std::fs::write(std::path::Path::new(&folder).join(name), png).unwrap();
        }
    }
}

fn capabilities() -> ChromeCapabilities {
    let mut chrome = DesiredCapabilities::chrome();
    // Its own sandbox needs what a container may not have; nothing but our own pages is opened.
    for argument in [
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-proxy-server",
        "--disable-background-networking",
        "--window-size=1000,760",
    ] {
        chrome.add_arg(argument).unwrap();
    }
    chrome
}

/// The contrasts of all text in the page with what is behind it that are less than WCAG AA asks for (4.5 to 1, 1.4.3).
const FAINT: &str = r"
const rgb = text => text.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const part = c => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const behind = it => {
  for (let at = it; at; at = at.parentElement) {
    const ground = rgb(getComputedStyle(at).backgroundColor);
    if (ground.length < 4 || ground[3] > 0) return ground;
  }
  return [255, 255, 255];
};
const faint = [];
for (const it of document.querySelectorAll('body *')) {
  const says = [...it.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  if (!says || !it.getClientRects().length) continue;
  const style = getComputedStyle(it);
  const ink = it.namespaceURI.endsWith('svg') ? style.fill : style.color;
  const [a, b] = [light(rgb(ink)), light(behind(it))].sort((x, y) => y - x);
  const contrast = (a + 0.05) / (b + 0.05);
  if (contrast < 4.5) faint.push([it.tagName, it.textContent.trim().slice(0, 40), contrast]);
}
return faint;
";

/// What a page of semantic HTML has, and what it has not.
const SHAPE: &str = r"
const wrong = [];
const need = (what, is) => { if (!is) wrong.push(what); };
need('language', document.documentElement.lang === 'en');
need('title', document.title.length > 0);
need('one heading of the page', document.querySelectorAll('h1').length === 1);
need('main', document.querySelectorAll('main').length === 1);
for (const field of document.querySelectorAll('input:not([type=hidden]), select'))
  need('label of ' + field.name, field.labels.length > 0);
for (const table of document.querySelectorAll('table'))
  need('caption and heads', table.caption && table.querySelector('th[scope]'));
for (const time of document.querySelectorAll('time'))
  need('time', !Number.isNaN(Date.parse(time.dateTime)));
need('nothing from elsewhere', performance.getEntriesByType('resource').every(it => it.name.startsWith(location.origin)));
need('styles', getComputedStyle(document.querySelector('main')).display === 'block' && document.styleSheets.length === 1);
return wrong;
";

/// Something that talks until it is told to stop, and then says its last words.
const TALK: &str = "echo first words; while [ ! -e \"$TRACE.stop\" ]; do sleep 0.1; done; echo last words";

async fn talking() -> World {
    let mut world = World::prepared(Plan::default()).await;
    crate::pages::with_pages(&world.ops);
    world.ops.command("talk", "read", "", TALK);
    let room = world.ops.read("rooms/deploy.toml");
    world.ops.file("rooms/deploy.toml", &room.replace("commands = [", "commands = [\"talk\", "));
    world.serve().await;
    world.gather().await;
    world
}

#[tokio::test]
async fn without_scripts_somebody_logs_in_filters_opens_a_request_and_logs_out() {
    let world = talking().await;
    let base = format!("http://{}", world.address());
    let failed = world.ask("!fail").await.number;
    world.ask("!count one").await;
    let chromium = Chromium::start().await;
    chromium.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    chromium.open(&link(&world, &world.alice).await).await;
    chromium.press(&chromium.find("main form button").await).await;
    chromium.until("What you may read").await;
    chromium.open(&format!("{base}/trail")).await;
    chromium.find("select[name=outcome] option:nth-child(3)").await.click().await.unwrap();
    chromium.press(&chromium.find("form.filters button").await).await;
    chromium.until(&failed.to_string()).await;
    let rows = chromium.driver.find_all(By::Css("table.rows tbody tr")).await.unwrap();
    assert_eq!(rows.len(), 1);
    chromium.press(&rows[0].find(By::Tag("a")).await.unwrap()).await;
    chromium.until("it went wrong").await;
    for page in ["charts", "rules", "checking", "sessions"] {
        chromium.open(&format!("{base}/{page}")).await;
        chromium.until(&world.alice.id).await;
    }
    chromium.quit().await;
}

#[tokio::test]
async fn somebody_logs_in_from_a_room_filters_opens_a_request_and_sees_it_go_on() {
    let world = talking().await;
    let base = format!("http://{}", world.address());
    let failed = world.ask("!fail").await.number;
    world.ask("!deploy web staging v3").await;
    world.ask_as(&world.bob, "!deploy web production v3").await;
    world.ask("!count one").await;
    let chromium = Chromium::start().await;

    // By the link from the room, with the keyboard alone.
    let link = link(&world, &world.alice).await;
    chromium.open(&link).await;
    assert!(chromium.text().await.contains(&world.alice.id));
    assert_eq!(
        chromium.tab_to("Log in as").await,
        3,
        "first what skips to the content, then the name, then this"
    );
    let page = chromium.find("html").await;
    chromium.driver.action_chain().send_keys(Key::Enter).perform().await.unwrap();
    chromium.left(&page).await;
    chromium.until("What you may read").await;
    assert_eq!(chromium.run("return document.cookie").await, "", "no script reads the session");
    let cookie = chromium.driver.get_named_cookie("quarterdeck-session").await.unwrap();
    assert_eq!(cookie.value.len(), 64);

    // The link is spent.
    let other = Chromium::start().await;
    other.open(&link).await;
    other.until("This link is spent").await;
    other.open(&format!("{base}/requests/{failed}")).await;
    other.until("Log in").await;
    assert!(!other.text().await.contains("fail"));
    other.quit().await;

    // Filters.
    chromium.open(&format!("{base}/trail")).await;
    chromium.picture("web-record.png").await;
    chromium.find("select[name=outcome] option:nth-child(3)").await.click().await.unwrap();
    chromium.press(&chromium.find("form.filters button").await).await;
    let url = chromium.driver.current_url().await.unwrap();
    assert!(url.query().unwrap().contains("outcome=failed"), "{url}");
    let rows = chromium.driver.find_all(By::Css("table.rows tbody tr")).await.unwrap();
    assert_eq!(rows.len(), 1);
    chromium.press(&rows[0].find(By::Tag("a")).await.unwrap()).await;
    chromium.until("it went wrong").await;
    assert!(chromium.text().await.contains(&format!("Request {failed}")));

    // What runs goes on by itself, in the page that was opened.
    let said = world.alice.say(&world.room, "!talk").await;
    let begun = Instant::now();
    while world.state_of(&said).await.as_deref() != Some("running") {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let number: i64 = sqlx::query_scalar("SELECT number FROM requests WHERE event_id = $1")
        .bind(&said)
        .fetch_one(&world.sql())
        .await
        .unwrap();
    chromium.open(&format!("{base}/requests/{number}")).await;
    chromium.run("window.sameAsBefore = true").await;
    chromium.until("first words").await;
    chromium.picture("web-request.png").await;
    std::fs::write(format!("{}.stop", world.ops.trace.display()), "").unwrap();
    chromium.until("last words").await;
    chromium.until("succeeded").await;
    assert_eq!(chromium.run("return window.sameAsBefore").await, true, "it was not loaded again");
    world.alice.outcome(&world.bot(), &said).await;

    // The session is ended from another browser: this one sees nothing any more.
    let mut another = Browser::of(&world, &world.alice).await;
    let page = another.get("/sessions").await;
    let id: String = sqlx::query_scalar("SELECT id::text FROM sessions WHERE browser LIKE '%Chrome%'")
        .fetch_one(&world.sql())
        .await
        .unwrap();
    another.post("/sessions/end", &[("csrf", &page.proof()), ("session", &id)]).await;
    chromium.driver.refresh().await.unwrap();
    chromium.until("There are no passwords here").await;
    assert!(!chromium.text().await.contains("last words"));
    chromium.quit().await;
}

#[tokio::test]
async fn every_page_can_be_read_on_a_phone_in_light_and_dark_and_by_the_keyboard() {
    let world = world(Plan::default()).await;
    let base = format!("http://{}", world.address());
    world.ask("!fail").await;
    world.ask(&format!("!echo {}", "wide".repeat(60))).await;
    let number = world.ask("!lines 40").await.number;
    world.ask_as(&world.bob, "!deploy web production v3").await;
    let chromium = Chromium::start().await;
    chromium.open(&link(&world, &world.alice).await).await;
    let mut pages = vec!["/login?link=x".to_owned()];
    chromium.press(&chromium.find("button.first").await).await;
    chromium.until("What you may read").await;
    pages.extend(
        [
            "/",
            "/trail",
            "/trail?outcome=faild",
            "/charts",
            "/rules",
            "/checking",
            "/sessions",
            "/login",
            "/requests/999999",
        ]
        .map(str::to_owned),
    );
    pages.push(format!("/requests/{number}"));
    for page in &pages {
        chromium.width(1000, 760).await;
        chromium.open(&format!("{base}{page}")).await;
        let wrong = chromium.run(SHAPE).await;
        assert_eq!(wrong, json!([]), "{page}");
        for scheme in ["light", "dark"] {
            chromium.scheme(scheme).await;
            let faint = chromium.run(FAINT).await;
            assert_eq!(faint, json!([]), "{page} in {scheme}");
        }
        if page == "/charts" {
            chromium.picture("web-charts.png").await;
        }
        chromium.width(360, 740).await;
        let wide = chromium.run("return document.documentElement.scrollWidth").await;
        assert!(wide.as_i64().unwrap() <= 360, "{page} is {wide} wide on a phone");
        if page == "/trail" {
            chromium.picture("web-phone.png").await;
        }
        chromium.scheme("light").await;
    }
    // The keyboard comes to everything in the order in which it stands.
    chromium.width(1000, 760).await;
    chromium.open(&format!("{base}/trail")).await;
    assert_eq!(chromium.tab_to("To the content").await, 1);
    let order =
        [chromium.tab_to("Rooms").await, chromium.tab_to("Log out").await, chromium.tab_to("Search").await];
    assert_eq!(order, [2, 6, 7], "the name, six pages, the button, five fields, more of them, the button");
    chromium.quit().await;
}
