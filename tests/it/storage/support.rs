//! A database of one test's own, with the schema, a room, a small ops folder and a clock to turn.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use quarterdeck::{
    catalogue::{self, Command, Ops},
    model::{
        Clock, Digest, Ending, Invocation, Outcome, OutputSummary, RequestNumber, Secret, SignedDuration,
        SystemRandom, Timestamp, Value,
    },
    policy::{Action, Decision, Permit, Question, Rules},
    storage::{
        Arrival, NewRequest, OutboxDraft, Start, Started, Storage, Transaction, Wanted, Warrant, Work,
        migrate,
    },
};
use ruma::{EventId, OwnedRoomId, OwnedUserId, RoomId, owned_room_id, owned_user_id, user_id};
use tempfile::TempDir;

use crate::harness::Database;

/// A clock that a test turns.
#[derive(Debug, Clone)]
pub struct Turned(Arc<Mutex<Timestamp>>);

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

impl Turned {
    fn new() -> Self {
        Self(Arc::new(Mutex::new("2026-11-23T12:00:00Z".parse().unwrap())))
    }

    /// Lets so many seconds pass.
    pub fn pass(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap();
        *now += SignedDuration::from_secs(seconds);
    }
}

/// The rules: everybody may do everything but `forbidden`.
const RULES: &str = r#"
@id("all") @says("Everybody may.") permit (principal, action, resource);
@id("not-forbidden") @says("Nobody may do that.") forbid (principal, action == Action::"forbidden", resource);
"#;

fn ops_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "quarterdeck.toml",
        "[homeserver]\nurl = \"http://127.0.0.1:8008\"\nname = \"example.org\"\n[space]\nname = \"Ops\"\n",
    );
    write(
        "rooms/deploy.toml",
        "name = \"Deploy\"\nalias = \"deploy\"\npurpose = \"Deploys\"\nteams = [\"web\"]\ncommands = [\"deploy\", \"look\", \"forbidden\"]\n",
    );
    write(
        "teams/web.toml",
        "summary = \"Web\"\nhomeservers = [\"example.org\"]\nusers = [\"@alice:example.org\", \"@bob:example.org\"]\nleads = [\"@alice:example.org\"]\n",
    );
    let command = |name: &str, lock: &str| {
        format!(
            "name = \"{name}\"\nsummary = \"Does it\"\neffect = \"read\"\n[[argument]]\nname = \"app\"\nsummary = \"which\"\ntype = \"text\"\n\
             [run]\nexecutor = \"process\"\nsandbox = \"none\"\nprogram = \"/bin/true\"\narguments = [\"{{app}}\"]\n{lock}"
        )
    };
    write("commands/deploy.toml", &command("deploy", "lock = \"deploy-{app}\"\n"));
    write("commands/look.toml", &command("look", ""));
    write("commands/forbidden.toml", &command("forbidden", ""));
    write("policies/all.cedar", RULES);
    folder
}

/// All that a test of storage needs.
pub struct Store {
    pub database: Database,
    pub clock: Turned,
    pub ops: Ops,
    pub rules: Rules,
    events: AtomicU32,
    pub folder: TempDir,
}

pub fn room() -> OwnedRoomId {
    owned_room_id!("!deploy:example.org")
}

pub fn alice() -> OwnedUserId {
    owned_user_id!("@alice:example.org")
}

impl Store {
    /// A fresh database with the schema and a bound room.
    pub async fn new() -> Self {
        Self::of(Database::create().await).await
    }

    pub async fn of(database: Database) -> Self {
        migrate(&database.owner_url(), Some(&database.runtime_role())).await.unwrap();
        let folder = ops_folder();
        let ops = catalogue::load(folder.path(), &|_| None).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let rules = Rules::compile(&ops).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let store = Self { database, clock: Turned::new(), ops, rules, events: AtomicU32::new(0), folder };
        let storage = store.unregistered("setting-up");
        storage.bind_room("deploy", &room()).await.unwrap();
        storage.close().await;
        store
    }

    /// Storage as the runtime role, not entered among the instances.
    pub fn unregistered(&self, instance: &str) -> Storage {
        self.at(&self.database.runtime_url(), instance)
    }

    pub fn at(&self, url: &Secret, instance: &str) -> Storage {
        Storage::connect(url, instance, Arc::new(self.clock.clone()), Arc::new(SystemRandom)).unwrap()
    }

    /// Storage as the runtime role, entered among the instances.
    pub async fn storage(&self, instance: &str) -> Storage {
        let storage = self.unregistered(instance);
        storage.register_boot().await.unwrap();
        storage
    }

    /// A transaction with one event in this lane.
    pub fn transaction(&self, lane: &RoomId) -> Transaction {
        let id = self.events.fetch_add(1, Ordering::Relaxed);
        transaction(&format!("t{id}"), &[(lane.as_str(), &format!("$event{id}"))])
    }

    /// A permit for this person to do this.
    pub fn permit(&self, who: &OwnedUserId, invocation: &Invocation) -> Permit {
        let decision =
            self.rules.decide(&Question::new(who, 0, "deploy", self.clock.now(), Action::Run(invocation)));
        match decision {
            Decision::Permitted(permit) => permit,
            other => panic!("refused: {other:?}"),
        }
    }

    pub fn command(&self, name: &str) -> Arc<Command> {
        Arc::clone(&self.ops.commands[name])
    }

    /// Claims a fresh row and opens a request of alice's in it.
    pub async fn opened(&self, storage: &Storage) -> (Work, RequestNumber) {
        storage.store_transaction(&self.transaction(&room())).await.unwrap();
        let mut work = storage.claim(Wanted::Rows).await.unwrap().expect("the row that was just stored");
        let number = self.open(&mut work).await;
        (work, number)
    }

    pub async fn open(&self, work: &mut Work) -> RequestNumber {
        let row = work.row().unwrap().clone();
        let new = NewRequest {
            door: "matrix".into(),
            sender: alice(),
            room: room(),
            event_id: Some(EventId::parse(row.external_id).unwrap()),
            thread_root: None,
            claimed_at: row.received_at,
            received_at: row.received_at,
            text: "deploy web".into(),
        };
        work.open_request(new).await.unwrap()
    }

    /// Opens a request, permits it and starts it, without concluding.
    pub async fn starting(
        &self,
        storage: &Storage,
        command: &str,
        app: &str,
    ) -> (Work, RequestNumber, Start) {
        let (mut work, number) = self.opened(storage).await;
        let start = self.start(&mut work, number, command, app).await;
        (work, number, start)
    }

    pub async fn start(&self, work: &mut Work, number: RequestNumber, command: &str, app: &str) -> Start {
        let invocation = invocation(command, app);
        self.permitted(work, number, &invocation).await;
        let permit = self.permit(&alice(), &invocation);
        work.start(permit, number, self.command(command), invocation).await.unwrap()
    }

    pub async fn permitted(&self, work: &mut Work, number: RequestNumber, invocation: &Invocation) {
        let lock =
            (invocation.command == "deploy").then(|| format!("deploy-{}", invocation.arguments["app"]));
        let permit = self.permit(&alice(), invocation);
        work.permitted(number, &permit, invocation, self.ops.digest, lock.as_deref()).await.unwrap();
    }

    /// A request that runs.
    pub async fn running(&self, storage: &Storage, command: &str, app: &str) -> Warrant {
        let (work, _, start) = self.starting(storage, command, app).await;
        started(work, start).await.warrant.expect("a warrant")
    }

    /// What a query of the superuser's gives as one number.
    pub async fn count(&self, sql: &'static str) -> i64 {
        let pool = self.database.superuser();
        let count = sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap();
        pool.close().await;
        count
    }
}

pub async fn started(work: Work, start: Start) -> Started {
    match start {
        Start::Pending(pending) => work.done_starting(pending).await.unwrap(),
        Start::Busy { lock } => panic!("the lock {lock} is taken"),
    }
}

pub fn invocation(command: &str, app: &str) -> Invocation {
    Invocation {
        command: command.to_owned(),
        arguments: BTreeMap::from([("app".to_owned(), Value::Text(app.to_owned()))]),
        subject: None,
        filters: Vec::new(),
        dry: false,
    }
}

/// A transaction of these events: lane and id.
pub fn transaction(id: &str, events: &[(&str, &str)]) -> Transaction {
    let arrivals: Vec<_> = events
        .iter()
        .map(|(lane, event)| Arrival {
            source: "matrix".into(),
            external_id: (*event).to_owned(),
            lane: (*lane).to_owned(),
            claimed_at: None,
            raw: format!("{{\"event_id\":\"{event}\",\"nul\":\"\\u0000\"}}").into_bytes(),
        })
        .collect();
    Transaction {
        homeserver: ruma::owned_server_name!("example.org"),
        id: id.into(),
        digest: Digest::of_parts(arrivals.iter().map(|arrival| &arrival.raw[..])),
        arrivals,
        to_device: None,
    }
}

/// A message of a request's, or of the room's.
pub fn message(step: &str, request: Option<RequestNumber>) -> OutboxDraft {
    OutboxDraft {
        step: step.to_owned(),
        to: room().into(),
        request,
        kind: "m.room.message".into(),
        content: serde_json::json!({"body": "said \u{0}", "msgtype": "m.notice"}),
        file: None,
    }
}

pub fn outcome(ending: Ending) -> Outcome {
    Outcome { ending, took_ms: 10, output: OutputSummary::empty() }
}

pub fn bob() -> OwnedUserId {
    user_id!("@bob:example.org").to_owned()
}
