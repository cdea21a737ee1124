//! `quarterdeck doctor` on a real database and a real homeserver, with one broken thing at a time.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Stdio, sync::Arc};

use axum::{Router, http::header::DATE, routing::get};
use quarterdeck::{
    appservice,
    audit::note::LogKey,
    matrix::Homeserver,
    model::{Secret, SystemClock, SystemRandom},
    storage::{self, Storage},
};
use ruma::api::client::room::create_room::v3 as create_room;
use serde_json::Value;

use crate::harness::{
    Database, State,
    state::{Appservice, Homeserver as Running},
};

/// An installation in which everything is well, but that nobody serves yet.
struct Installation {
    folder: tempfile::TempDir,
    database: Database,
    lease: Lease,
    state: PathBuf,
    url: String,
    database_url: Secret,
}

/// What doctor said.
struct Findings {
    status: i32,
    whole: Value,
}

impl Findings {
    /// The one finding about a part that is not well.
    #[track_caller]
    fn bad(&self, level: &str, part: &str) -> String {
        let found: Vec<String> = self
            .all()
            .filter(|finding| finding["level"] == level && finding["part"] == part)
            .map(|finding| {
                format!(
                    "{} -> {}",
                    finding["what"].as_str().unwrap(),
                    finding["mend"].as_str().unwrap_or_default()
                )
            })
            .collect();
        assert_eq!(found.len(), 1, "{level} {part} in {:#}", self.whole);
        assert_eq!(self.status, i32::from(level == "fail"));
        found.into_iter().next().unwrap()
    }

    /// Whether nothing is broken but what this names.
    #[track_caller]
    fn only(&self, parts: &[&str]) {
        let broken: Vec<&str> = self
            .all()
            .filter(|finding| finding["level"] == "fail")
            .map(|finding| finding["part"].as_str().unwrap())
            .collect();
        assert!(broken.iter().all(|part| parts.contains(part)), "{:#}", self.whole);
        // Whatever is broken is told with how to mend it.
        let mended = |finding: &Value| {
            finding["level"] != "fail" || !finding["mend"].as_str().unwrap_or_default().is_empty()
        };
        assert!(self.all().all(mended), "{:#}", self.whole);
    }

    #[track_caller]
    fn is_well(&self, part: &str) {
        assert!(
            self.all().any(|finding| finding["part"] == part && finding["level"] == "ok"),
            "{part} in {:#}",
            self.whole
        );
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        self.whole["findings"].as_array().unwrap().iter()
    }
}

impl Installation {
    async fn new() -> Self {
        let database = Database::create().await;
        storage::migrate(&database.owner_url(), Some(&database.runtime_role())).await.unwrap();
        Self::on(database)
    }

    /// On a database as it is.
    fn on(database: Database) -> Self {
        let lease = Lease::take();
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        fs::create_dir(&state).unwrap();
        let url = lease.homeserver.url.clone();
        let database_url = database.runtime_url();
        let installation = Self { folder, database, lease, state, url, database_url };
        for sub in ["rooms", "teams", "commands", "policies"] {
            fs::create_dir_all(installation.ops().join(sub)).unwrap();
        }
        let name = &installation.lease.homeserver.name;
        for (path, text) in [
            ("teams/ops.toml", format!("summary = \"Keeps the machines\"\nhomeservers = [\"{name}\"]\nusers = [\"@alice:{name}\"]\n")),
            ("rooms/machines.toml", "name = \"Machines\"\npurpose = \"How they are\"\nteams = [\"ops\"]\ncommands = [\"uptime\"]\n".to_owned()),
            ("commands/uptime.toml", "name = \"uptime\"\nsummary = \"Since when\"\neffect = \"read\"\n[run]\nexecutor = \"process\"\nprogram = \"/usr/bin/uptime\"\n".to_owned()),
            ("policies/ops.cedar", "@id(\"ops\") permit (principal in Team::\"ops\", action in [Action::\"read\", Action::\"reload\"], resource);\n".to_owned()),
        ] {
            fs::write(installation.ops().join(path), text).unwrap();
        }
        fs::copy(&installation.lease.appservice.registration, installation.registration()).unwrap();
        let key = LogKey::draw(&format!("{name}/quarterdeck"), &SystemRandom);
        fs::write(installation.folder.path().join("audit.key"), key.expose()).unwrap();
        fs::set_permissions(installation.folder.path().join("audit.key"), fs::Permissions::from_mode(0o600))
            .unwrap();
        fs::set_permissions(installation.registration(), fs::Permissions::from_mode(0o600)).unwrap();
        installation
    }

    fn ops(&self) -> PathBuf {
        self.folder.path().join("ops")
    }

    fn registration(&self) -> PathBuf {
        self.folder.path().join("registration.yaml")
    }

    /// Writes the settings as they are now, and asks doctor.
    async fn examine(&self) -> Findings {
        let entry = &self.lease.appservice;
        let settings = format!(
            "state = \"{}\"\nlisten = \"127.0.0.1:{}\"\n[homeserver]\nurl = \"{}\"\nname = \"{}\"\nbot = \"{}\"\nalias_prefix = \"{}\"\n",
            self.state.display(),
            entry.port,
            self.url,
            self.lease.homeserver.name,
            entry.bot,
            entry.alias_prefix
        );
        fs::write(self.ops().join("quarterdeck.toml"), settings).unwrap();
        let environment = self.folder.path().join("environment");
        fs::write(&environment, format!("QUARTERDECK_DATABASE_URL={}\n", self.database_url.expose()))
            .unwrap();
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(["doctor", "--json", "--ops"])
            .arg(self.ops())
            .arg("--environment")
            .arg(environment)
            .env_remove("QUARTERDECK_DATABASE_URL")
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let whole = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        Findings { status: output.status.code().unwrap(), whole }
    }

    fn storage(&self) -> Storage {
        Storage::connect(&self.database.runtime_url(), "main", Arc::new(SystemClock), Arc::new(SystemRandom))
            .unwrap()
    }

    fn homeserver(&self) -> Homeserver {
        let bot = self.bot().try_into().unwrap();
        let token = Secret::new(self.lease.appservice.as_token.clone());
        Homeserver::new(&self.url.parse().unwrap(), bot, token, Arc::new(SystemClock)).unwrap()
    }

    fn bot(&self) -> String {
        format!("@{}:{}", self.lease.appservice.bot, self.lease.homeserver.name)
    }

    /// Listens as `serve` does, for as long as the test runs, and believes whoever has this token.
    async fn serve(&self, hs_token: &str) {
        let face = appservice::router(appservice::Appservice {
            hs_token: Secret::new(hs_token),
            homeserver: self.lease.homeserver.name.as_str().try_into().unwrap(),
            bot: self.bot().try_into().unwrap(),
            largest: 1 << 20,
            store: appservice::Appservice::store_in(self.storage()),
            has_alias: Arc::new(|_| false),
        });
        let listener =
            tokio::net::TcpListener::bind(("127.0.0.1", self.lease.appservice.port)).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, face).await });
    }

    async fn serve_well(&self) {
        self.serve(&self.lease.appservice.hs_token).await;
    }
}

#[tokio::test]
async fn nothing_is_wrong_with_a_sound_installation() {
    let installation = Installation::new().await;
    installation.serve_well().await;
    installation.homeserver().ensure_bot("Quarterdeck").await.unwrap();
    let room = installation.homeserver().create_room(create_room::Request::new()).await.unwrap();
    installation.storage().bind_room("machines", &room).await.unwrap();
    let findings = installation.examine().await;
    findings.only(&[]);
    for part in [
        "ops folder",
        "spool",
        "programs",
        "registration",
        "database",
        "log key",
        "log",
        "homeserver",
        "clock",
        "token",
        "ping",
        "room version",
        "uploads",
        "encryption",
    ] {
        findings.is_well(part);
    }
    assert_eq!((findings.status, &findings.whole["ok"]), (0, &Value::Bool(true)));
    // It leaves nothing behind.
    assert!(fs::read_dir(&installation.state).unwrap().next().is_none());
}

#[tokio::test]
async fn every_mistake_in_the_ops_folder_is_told() {
    let installation = Installation::new().await;
    fs::write(installation.ops().join("rooms/machines.toml"), "name = 1\nnonsense = 2\n").unwrap();
    let findings = installation.examine().await;
    assert_eq!(findings.status, 1);
    assert!(findings.all().filter(|finding| finding["part"] == "ops folder").count() > 1);
    findings.only(&["ops folder"]);
}

#[tokio::test]
async fn a_rule_test_that_fails_is_told_as_serve_tells_it() {
    let installation = Installation::new().await;
    let name = &installation.lease.homeserver.name;
    let case = format!(
        "[[test]]\nname = \"Nobody looks\"\nwho = \"@alice:{name}\"\nroom = \"machines\"\nwhat = \"uptime\"\nanswer = \"refused\"\nby = []\n"
    );
    fs::create_dir_all(installation.ops().join("policies/tests")).unwrap();
    fs::write(installation.ops().join("policies/tests/wrong.toml"), case).unwrap();
    let findings = installation.examine().await;
    findings.only(&["ops folder"]);
    assert!(findings.bad("fail", "ops folder").contains("policies/tests/wrong.toml"));
}

#[tokio::test]
async fn an_example_that_is_no_line_of_its_command_is_told_as_serve_tells_it() {
    let installation = Installation::new().await;
    let file = installation.ops().join("commands/uptime.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("[run]", "examples = [\"uptime --nonsense 4\"]\n[run]")).unwrap();
    let findings = installation.examine().await;
    findings.only(&["ops folder"]);
    assert!(findings.bad("fail", "ops folder").contains("nonsense"));
}

#[tokio::test]
async fn that_encryption_cannot_be_seen_without_rooms_is_said_and_not_called_well() {
    let installation = Installation::new().await;
    installation.serve_well().await;
    installation.homeserver().ensure_bot("Quarterdeck").await.unwrap();
    assert!(installation.examine().await.bad("warn", "encryption").contains("not looked at"));
}

#[tokio::test]
async fn a_homeserver_without_room_version_12_and_with_small_uploads_is_worth_a_look() {
    let mut installation = Installation::new().await;
    installation.url = older_homeserver(&installation.bot()).await;
    let findings = installation.examine().await;
    findings.only(&[]);
    assert!(findings.bad("warn", "room version").contains("version 11"));
    let uploads = findings.bad("warn", "uploads");
    assert!(uploads.contains("up to 2 KiB") && uploads.contains("max_upload_size"), "{uploads}");
}

#[tokio::test]
async fn a_database_that_is_away_is_told_with_the_reason() {
    let mut installation = Installation::new().await;
    installation.database_url = Secret::new("postgres://nobody@127.0.0.1:1/nothing");
    let findings = installation.examine().await;
    findings.only(&["database"]);
    assert!(findings.bad("fail", "database").contains("refused"));
}

#[tokio::test]
async fn a_database_that_does_not_know_the_role_is_told_in_its_own_words() {
    let mut installation = Installation::new().await;
    let url = installation.database_url.expose().replace(&installation.database.runtime_role(), "a_stranger");
    installation.database_url = Secret::new(url);
    let findings = installation.examine().await;
    findings.only(&["database"]);
    assert!(findings.bad("fail", "database").contains("a_stranger"));
}

#[tokio::test]
async fn a_database_without_its_schema_is_to_be_migrated() {
    let installation = Installation::on(Database::create().await);
    let findings = installation.examine().await;
    findings.only(&["database"]);
    assert!(findings.bad("fail", "database").contains("quarterdeck migrate"));
}

#[tokio::test]
async fn a_role_that_could_change_the_log_is_told() {
    let mut installation = Installation::new().await;
    installation.database_url = installation.database.owner_url();
    let findings = installation.examine().await;
    findings.only(&["database"]);
    assert_eq!(findings.status, 1);
}

#[tokio::test]
async fn a_homeserver_that_does_not_answer_is_told() {
    let mut installation = Installation::new().await;
    installation.url = "http://127.0.0.1:1".to_owned();
    let findings = installation.examine().await;
    findings.only(&["homeserver"]);
    assert!(findings.bad("fail", "homeserver").contains("[homeserver] url"));
}

#[tokio::test]
async fn something_else_at_the_homeservers_address_is_told() {
    let mut installation = Installation::new().await;
    installation.url = stub("{}", None).await;
    let findings = installation.examine().await;
    findings.only(&["homeserver"]);
    assert!(findings.bad("fail", "homeserver").contains("not the client-server API"));
}

#[tokio::test]
async fn clocks_that_disagree_are_told() {
    let mut installation = Installation::new().await;
    installation.url = stub(r#"{"versions":["v1.11"]}"#, Some("Thu, 01 Jan 2026 00:00:00 GMT")).await;
    let findings = installation.examine().await;
    assert!(findings.bad("fail", "clock").contains("s apart"));
}

#[tokio::test]
async fn a_registration_that_is_missing_is_told_with_what_writes_it() {
    let installation = Installation::new().await;
    fs::remove_file(installation.registration()).unwrap();
    let findings = installation.examine().await;
    findings.only(&["registration"]);
    assert!(findings.bad("fail", "registration").contains("quarterdeck registration"));
}

#[tokio::test]
async fn a_log_without_its_key_is_told_with_what_to_do() {
    let installation = Installation::new().await;
    fs::remove_file(installation.folder.path().join("audit.key")).unwrap();
    let findings = installation.examine().await;
    findings.only(&["log key"]);
    assert!(findings.bad("fail", "log key").contains("quarterdeck audit key"));
}

#[tokio::test]
async fn a_registration_that_anybody_can_read_is_told() {
    let installation = Installation::new().await;
    fs::set_permissions(installation.registration(), fs::Permissions::from_mode(0o644)).unwrap();
    let findings = installation.examine().await;
    findings.only(&["registration"]);
    assert!(findings.bad("fail", "registration").contains("chmod 0600"));
}

#[tokio::test]
async fn a_registration_that_does_not_cover_our_names_is_told() {
    let installation = Installation::new().await;
    let text = fs::read_to_string(installation.registration()).unwrap();
    let prefix = &installation.lease.appservice.alias_prefix;
    fs::write(installation.registration(), text.replace(&format!("@{prefix}"), "@other_")).unwrap();
    let findings = installation.examine().await;
    findings.only(&["registration"]);
    assert!(findings.bad("fail", "registration").contains(&installation.bot()));
}

#[tokio::test]
async fn a_registration_without_an_exemption_from_rate_limits_is_worth_a_look() {
    let installation = Installation::new().await;
    let text = fs::read_to_string(installation.registration()).unwrap();
    fs::write(installation.registration(), text.replace("rate_limited: false", "rate_limited: true"))
        .unwrap();
    assert!(installation.examine().await.bad("warn", "registration").contains("rate_limited: false"));
}

#[tokio::test]
async fn a_token_that_the_homeserver_does_not_know_is_told() {
    let installation = Installation::new().await;
    let text = fs::read_to_string(installation.registration()).unwrap();
    let token = &installation.lease.appservice.as_token;
    fs::write(installation.registration(), text.replace(token, &"f".repeat(token.len()))).unwrap();
    let findings = installation.examine().await;
    findings.only(&["token"]);
    assert!(findings.bad("fail", "token").contains("as_token"));
}

#[tokio::test]
async fn that_serve_does_not_run_is_no_failure_and_is_said() {
    let installation = Installation::new().await;
    assert!(installation.examine().await.bad("warn", "ping").contains("not running"));
}

#[tokio::test]
async fn a_serve_with_another_hs_token_is_told() {
    let installation = Installation::new().await;
    installation.serve("another token of a decent length").await;
    let findings = installation.examine().await;
    findings.only(&["ping"]);
    assert!(findings.bad("fail", "ping").contains("hs_token"));
}

#[tokio::test]
async fn a_spool_that_cannot_be_written_is_told() {
    let mut installation = Installation::new().await;
    // Not even root can write here.
    installation.state = "/proc/sys".into();
    let findings = installation.examine().await;
    findings.only(&["spool"]);
    findings.bad("fail", "spool");
}

#[tokio::test]
async fn a_room_that_is_encrypted_is_told_with_the_way_out() {
    let installation = Installation::new().await;
    installation.serve_well().await;
    let homeserver = installation.homeserver();
    homeserver.ensure_bot("Quarterdeck").await.unwrap();
    let room = homeserver.create_room(create_room::Request::new()).await.unwrap();
    let algorithm = serde_json::json!({"algorithm": "m.megolm.v1.aes-sha2"});
    homeserver.set_state(&room, "m.room.encryption", "", &algorithm).await.unwrap();
    installation.storage().bind_room("machines", &room).await.unwrap();
    let findings = installation.examine().await;
    findings.only(&["encryption"]);
    assert!(findings.bad("fail", "encryption").contains("machines"));
}

/// A homeserver that knows us, without room version 12 and with room for small files: what the real one here is not.
async fn older_homeserver(bot: &str) -> String {
    let me = serde_json::json!({ "user_id": bot });
    let offers = serde_json::json!({ "capabilities": { "m.room_versions": { "default": "11", "available": { "11": "stable" } } } });
    let say = |answer: Value| get(move || async move { axum::Json(answer) });
    let face = Router::new()
        .route("/_matrix/client/versions", say(serde_json::json!({ "versions": ["v1.11"] })))
        .route("/_matrix/client/v3/account/whoami", say(me))
        .route("/_matrix/client/v3/capabilities", say(offers))
        .route("/_matrix/client/v1/media/config", say(serde_json::json!({ "m.upload.size": 2048 })));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, face).await });
    url
}

/// Something that answers the homeserver's first question so, at its address.
async fn stub(versions: &'static str, date: Option<&'static str>) -> String {
    let answer = move || async move { (date.map(|date| [(DATE, date)]), versions) };
    let face = Router::new().route("/_matrix/client/versions", get(answer));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, face).await });
    url
}

/// An application service of the pool that no other test uses meanwhile.
struct Lease {
    homeserver: Running,
    appservice: Appservice,
    _lock: fs::File,
}

impl Lease {
    fn take() -> Self {
        let state = State::read();
        let homeserver = state.homeservers[0].clone();
        fs::create_dir_all(state.folder.join("leases")).unwrap();
        loop {
            for appservice in homeserver.appservices.iter().rev() {
                let lock = fs::File::create(state.folder.join("leases").join(&appservice.id)).unwrap();
                if lock.try_lock().is_ok() {
                    let appservice = appservice.clone();
                    return Self { homeserver: homeserver.clone(), appservice, _lock: lock };
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}
