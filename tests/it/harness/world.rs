//! Everything that a command needs on its way, for one test.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use quarterdeck::{
    audit::note::LogKey,
    model::{Random as _, SystemRandom, fault::Point},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;

use super::{
    Database, Lease, OpsFolder, Person, Server, State,
    server::{client, log_tail},
    state::{Homeserver, Postgres},
};

/// How a world differs from the usual one.
#[derive(Default)]
pub struct Plan {
    /// A homeserver of the test's own.
    pub homeserver: Option<Homeserver>,
    /// A cluster of the test's own.
    pub postgres: Option<Postgres>,
    /// Whether carol of the second homeserver is in the team `partner`.
    pub federated: bool,
    /// Whether there is a puppet, eve, in the team `web`, whose events' times can be set.
    pub puppet: bool,
    /// Whether there is a second room, `other`, for the team `web`.
    pub other_room: bool,
    /// How many further people are in the team `web` and in the room.
    pub crowd: usize,
    /// Further lines of `[limits]`.
    pub limits: &'static str,
}

/// A homeserver, a database, an ops folder, people, and `quarterdeck serve` among them.
///
/// Dropping it asserts that nothing is left pending.
pub struct World {
    /// `serve`, while it runs.
    pub server: Option<Server>,
    /// The ops folder.
    pub ops: OpsFolder,
    /// The application service that is leased.
    pub lease: Lease,
    /// A lead of the team `web`.
    pub alice: Person,
    /// A member of the team `web`.
    pub bob: Person,
    /// A member of the team `partner`, on another homeserver.
    pub carol: Option<Person>,
    /// Somebody of the team `web` whose events' times can be set.
    pub eve: Option<Person>,
    /// Further members of the team `web`.
    pub crowd: Vec<Person>,
    /// What the localparts of the aliases begin with.
    pub alias_prefix: String,
    /// The room `deploy`, joined by alice and bob.
    pub room: String,
    pending_is_right: bool,
    puppeteer: Option<Lease>,
    /// Its database.
    pub database: Database,
    folder: TempDir,
}

impl World {
    /// The usual world, with `serve` running and alice and bob in its room.
    pub async fn start() -> Self {
        Self::with(Plan::default()).await
    }

    /// The usual world, with something in its ops folder changed before the start.
    pub async fn changed(change: impl FnOnce(&OpsFolder)) -> Self {
        let mut world = Self::prepared(Plan::default()).await;
        change(&world.ops);
        world.serve().await;
        world.gather().await;
        world
    }

    /// A world of another plan.
    pub async fn with(plan: Plan) -> Self {
        let mut world = Self::prepared(plan).await;
        world.serve().await;
        world.gather().await;
        world
    }

    /// A world in which `serve` is not yet started and nobody is in a room.
    pub async fn prepared(plan: Plan) -> Self {
        let state = State::read();
        let leases = state.folder.join("leases");
        let own = plan.homeserver.is_some();
        let homeserver = plan.homeserver.unwrap_or_else(|| state.homeservers[0].clone());
        let mark = if own { format!("{}-", homeserver.name) } else { String::new() };
        let lease = Lease::take(&homeserver, &leases, &mark);
        let database = Database::create_in(plan.postgres.unwrap_or(state.postgres)).await;
        let folder = tempfile::tempdir().unwrap();

        let alice = Person::register(&homeserver, "alice").await;
        let bob = Person::register(&homeserver, "bob").await;
        let carol =
            if plan.federated { Some(Person::register(&state.homeservers[1], "carol").await) } else { None };
        let puppeteer = plan.puppet.then(|| Lease::take(&homeserver, &leases, &mark));
        let eve = match &puppeteer {
            Some(lease) => {
                let localpart = format!("{}eve", lease.appservice.alias_prefix);
                Some(Person::puppet(&homeserver, &lease.appservice.as_token, &localpart).await)
            }
            None => None,
        };

        let mut crowd = Vec::new();
        for _ in 0..plan.crowd {
            crowd.push(Person::register(&homeserver, "crowd").await);
        }

        let ops = OpsFolder::write(folder.path());
        let mut web = vec![alice.id.as_str(), bob.id.as_str()];
        web.extend(crowd.iter().map(|person| person.id.as_str()));
        web.extend(eve.as_ref().map(|eve| eve.id.as_str()));
        ops.team("web", &[&homeserver.name], &web, 1);
        let partner: Vec<_> = carol.iter().map(|carol| carol.id.as_str()).collect();
        ops.team("partner", &[&state.homeservers[1].name], &partner, 0);
        if plan.other_room {
            ops.room("other", &["web"]);
        }
        if plan.federated {
            ops.room("deploy", &["web", "partner"]);
        }
        let part = &SystemRandom.uuid().simple().to_string()[..8];
        let alias_prefix = format!("{}{part}-", lease.appservice.alias_prefix);
        ops.file(
            "quarterdeck.toml",
            &format!(
                "state = \"{}\"\nlisten = \"127.0.0.1:{}\"\nadministrators = [{:?}]\n[homeserver]\nurl = {:?}\nname = {:?}\nregistration = \"{}\"\n\
                 bot = {:?}\nalias_prefix = {alias_prefix:?}\n[space]\nname = \"A test\"\n[limits]\n{}\n",
                folder.path().join("state").display(),
                lease.appservice.port,
                alice.id,
                homeserver.url,
                homeserver.name,
                lease.appservice.registration.display(),
                lease.appservice.bot,
                plan.limits
            ),
        );
        fs::write(
            folder.path().join("audit.key"),
            LogKey::draw(&format!("{}/quarterdeck", homeserver.name), &SystemRandom).expose(),
        )
        .unwrap();
        let world = Self {
            server: None,
            ops,
            lease,
            alice,
            bob,
            carol,
            eve,
            crowd,
            alias_prefix,
            room: String::new(),
            pending_is_right: false,
            puppeteer,
            database,
            folder,
        };
        world.migrate();
        world
    }

    /// Everybody of this homeserver goes into the room `deploy`.
    pub async fn gather(&mut self) {
        self.room = self.alice.join(&self.alias("deploy")).await;
        self.bob.join(&self.alias("deploy")).await;
        for person in self.eve.iter().chain(&self.crowd) {
            person.join(&self.alias("deploy")).await;
        }
        self.alice.sync(Duration::ZERO).await;
        self.bob.sync(Duration::ZERO).await;
    }

    fn migrate(&self) {
        let output = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(["migrate", "--runtime-role", &self.database.runtime_role(), "--ops"])
            .arg(self.ops.path())
            .env("QUARTERDECK_OWNER_DATABASE_URL", self.database.owner_url().expose())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "migrate: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Quarterdeck's user.
    pub fn bot(&self) -> String {
        format!("@{}:{}", self.lease.appservice.bot, self.lease.homeserver.name)
    }

    /// A room's whole alias.
    pub fn alias(&self, key: &str) -> String {
        format!("#{}{key}:{}", self.alias_prefix, self.lease.homeserver.name)
    }

    /// Where `serve` listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.lease.appservice.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }

    /// The whole log of `serve`.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn launch(&mut self, further: &[(&str, &str)]) -> &mut Server {
        let url = self.database.runtime_url();
        let mut environment = vec![("QUARTERDECK_DATABASE_URL", url.expose())];
        environment.extend(further);
        let server = Server::start(self.ops.path(), &self.address(), &environment, &self.log());
        self.server.insert(server)
    }

    /// Starts `serve` and waits until it is ready and the homeserver delivers.
    pub async fn serve(&mut self) {
        self.launch(&[]).ready().await;
        self.reached().await;
    }

    /// Starts another `serve` on the same database, of the name `second`; the homeserver knows nothing of it.
    pub async fn second(&self) -> Server {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let (url, state) = (self.database.runtime_url(), self.folder.path().join("second"));
        let environment = [
            ("QUARTERDECK_DATABASE_URL", url.expose()),
            ("QUARTERDECK_INSTANCE", "second"),
            ("QUARTERDECK_LISTEN", &address),
            ("QUARTERDECK_STATE", state.to_str().unwrap()),
        ];
        let log = self.folder.path().join("second.log");
        let mut server = Server::start(self.ops.path(), &address, &environment, &log);
        server.ready().await;
        server
    }

    /// Waits until the homeserver has caught up after the ping that `serve` asks for at its start.
    ///
    /// Synapse 1.163 can keep an event back that is sent in the very moment in which it finds the application service
    /// recovered: its transaction is made while the service still counts as down, and the one who would send it has just
    /// looked (`synapse/appservice/scheduler.py`, `retry` and `on_recovered`). It is delivered after the next outage only.
    async fn reached(&self) {
        const REACHED: &str = "the homeserver reaches us";
        let log = self.log_text();
        let last = log.rfind("quarterdeck serves").unwrap_or(0);
        let begun = Instant::now();
        while !self.log_text()[last..].contains(REACHED) && begun.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    /// Starts `serve` with this in its environment, and waits until it is ready.
    pub async fn serve_with(&mut self, environment: &[(&str, &str)]) {
        self.launch(environment).ready().await;
    }

    /// Starts `serve` so that it kills itself when it comes to `point`, and waits until it is ready.
    pub async fn serve_until(&mut self, point: Point) {
        self.launch(&[("QUARTERDECK_DIE_AT", point.name())]).ready().await;
    }

    /// The same, and no event takes the short way: each is in the inbox before it is decided.
    pub async fn serve_by_the_inbox_until(&mut self, point: Point) {
        self.launch(&[("QUARTERDECK_DIE_AT", point.name()), ("QUARTERDECK_INBOX_FIRST", "1")]).ready().await;
    }

    /// Starts `serve` so that it kills itself at `point`, which it comes to before it is ready.
    pub async fn serve_until_dead(&mut self, point: Point) {
        self.launch(&[("QUARTERDECK_DIE_AT", point.name())]);
        self.died().await;
    }

    /// Where the key is that signs its log.
    pub fn audit_key(&self) -> PathBuf {
        self.folder.path().join("audit.key")
    }

    /// Starts `serve`, which must refuse, with the owner's URL or its own; gives what it says.
    pub async fn refused_to_serve(&mut self, as_owner: bool) -> String {
        let url = if as_owner { self.database.owner_url() } else { self.database.runtime_url() };
        let before = self.log_text().len();
        let environment = [("QUARTERDECK_DATABASE_URL", url.expose())];
        let mut server = Server::start(self.ops.path(), &self.address(), &environment, &self.log());
        assert!(!server.ended().await.success());
        self.log_text()[before..].to_owned()
    }

    /// Waits until `serve` has killed itself.
    pub async fn died(&mut self) {
        self.server.take().unwrap().died().await;
    }

    /// `kill -9`, then a new start.
    pub async fn restart(&mut self) {
        self.kill();
        self.serve().await;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    /// From here on something may be left pending at the end.
    pub fn leave_pending(&mut self) {
        self.pending_is_right = true;
    }

    /// What alice says in the room, and its outcome.
    pub async fn ask(&self, text: &str) -> super::Answer {
        self.ask_as(&self.alice, text).await
    }

    /// What somebody says in the room, and its outcome.
    pub async fn ask_as(&self, person: &Person, text: &str) -> super::Answer {
        let event = person.say(&self.room, text).await;
        person.outcome(&self.bot(), &event).await
    }

    /// Everything said up to now in the room is processed, answered and seen by alice.
    pub async fn settled(&self) {
        let number = self.ask("!count settled").await.number;
        self.nothing_pending().await;
        let mark = self.alice.say(&self.room, &format!("all up to {number} is seen")).await;
        self.alice.until_seen(&mark).await;
    }

    /// Waits until a program has left this line.
    pub async fn started(&self, line: &str) {
        let begun = Instant::now();
        while self.ops.counted(line) == 0 {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "`{line}` did not run: {:?}",
                self.ops.traced()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until every event that arrived is decided.
    pub async fn all_decided(&self) {
        let begun = Instant::now();
        while self.count("SELECT count(*) FROM inbox WHERE state = 'pending'").await > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "the inbox is not empty");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing is pending in the database.
    pub async fn nothing_pending(&self) {
        let sql = self.sql();
        let begun = Instant::now();
        loop {
            let left = pending(&sql).await.unwrap();
            if left.is_empty() {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "still pending: {left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Delivers a transaction as the homeserver would; gives the status.
    pub async fn deliver(&self, transaction: &str, events: &[Value]) -> u16 {
        self.deliver_to(&self.address(), transaction, events).await
    }

    /// The same, to another instance.
    pub async fn deliver_to(&self, address: &str, transaction: &str, events: &[Value]) -> u16 {
        let url = format!("http://{address}/_matrix/app/v1/transactions/{transaction}");
        client()
            .put(url)
            .bearer_auth(&self.lease.appservice.hs_token)
            .json(&json!({ "events": events }))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    }

    /// An event as the homeserver delivers it.
    pub async fn event(&self, room: &str, event: &str) -> Value {
        self.alice.must("GET", &["rooms", room, "event", event], &Value::Null).await
    }

    /// Calls the homeserver as Quarterdeck's own user.
    pub fn as_bot(&self) -> Person {
        let lease = &self.lease;
        Person::of_token(&self.bot(), &lease.homeserver, &lease.appservice.as_token)
    }

    /// The superuser's connections to the database.
    pub fn sql(&self) -> PgPool {
        self.database.superuser()
    }

    /// The superuser's URL of the database, for PostgreSQL's own programs.
    pub fn superuser_url(&self) -> String {
        self.database.superuser_url()
    }

    /// A count.
    pub async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&self.sql()).await.unwrap()
    }

    /// The state of the request that an event carried.
    pub async fn state_of(&self, event: &str) -> Option<String> {
        sqlx::query_scalar("SELECT state FROM requests WHERE event_id = $1")
            .bind(event)
            .fetch_optional(&self.sql())
            .await
            .unwrap()
    }

    /// Why the request that an event carried was refused.
    pub async fn why_refused(&self, event: &str) -> String {
        let body: String = sqlx::query_scalar(
            "SELECT body FROM entries e JOIN requests r ON r.number = e.request
             WHERE r.event_id = $1 AND kind = 'command.refused'",
        )
        .bind(event)
        .fetch_one(&self.sql())
        .await
        .unwrap();
        serde_json::from_str::<Value>(&body).unwrap()["why"].as_str().unwrap().to_owned()
    }

    /// Why a request was refused, by its number.
    pub async fn why_refused_number(&self, number: i64) -> String {
        let body: String =
            sqlx::query_scalar("SELECT body FROM entries WHERE request = $1 AND kind = 'command.refused'")
                .bind(number)
                .fetch_one(&self.sql())
                .await
                .unwrap();
        serde_json::from_str::<Value>(&body).unwrap()["why"].as_str().unwrap().to_owned()
    }

    /// The kinds of a request's entries, in order.
    pub async fn entries(&self, number: i64) -> Vec<String> {
        sqlx::query_scalar("SELECT kind FROM entries WHERE request = $1 ORDER BY place")
            .bind(number)
            .fetch_all(&self.sql())
            .await
            .unwrap()
    }

    /// Runs another subcommand of quarterdeck to its end.
    pub fn quarterdeck(&self, arguments: &[&str]) -> std::process::Output {
        self.quarterdeck_with(arguments, &[])
    }

    /// The same, with these variables in its environment.
    pub fn quarterdeck_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(arguments)
            .envs(environment.iter().copied())
            .env("QUARTERDECK_DATABASE_URL", self.database.runtime_url().expose())
            .env("NO_PROXY", "*")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

/// What is not finished: a line each.
async fn pending(sql: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT 'inbox ' || external_id FROM inbox WHERE state = 'pending'
         UNION ALL SELECT 'outbox ' || step || ' failures ' || failures FROM outbox WHERE state = 'waiting'
         UNION ALL SELECT 'parked ' || step || ': ' || reason FROM outbox WHERE state = 'parked'
         UNION ALL SELECT 'request ' || number || ' ' || state FROM requests WHERE ended_at IS NULL
         UNION ALL SELECT 'lock ' || name FROM locks",
    )
    .fetch_all(sql)
    .await
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", log_tail(&self.log()));
            return;
        }
        if self.pending_is_right {
            return;
        }
        let sql = self.database.superuser_url();
        let left = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let sql = PgPool::connect(&sql).await?;
                let begun = Instant::now();
                loop {
                    let left = pending(&sql).await?;
                    if left.is_empty() || begun.elapsed() > Duration::from_secs(15) {
                        sql.close().await;
                        return Ok::<_, sqlx::Error>(left);
                    }
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
            })
        });
        let left = left.join().unwrap().unwrap();
        assert!(left.is_empty(), "left pending at the end: {left:?}\n{}", log_tail(&self.log()));
    }
}
