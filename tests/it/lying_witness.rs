//! Witnesses that forge, lie, lag or hang: nobody waits for them, nothing of theirs that does not hold is kept, and no second
//! history is signed.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use quarterdeck::{
    audit::{
        Collector, CollectorError, Declared, Sequencer,
        cosign::CosignKey,
        note::{Head, LogKey, said},
        tree::{self, leaf_hash},
        witness::Ask,
    },
    model::{Clock as _, Event, SystemClock, SystemRandom},
    storage::Storage,
};

use crate::storage::{support::Store, tree::is_whole};

const ORIGIN: &str = "example.org/quarterdeck";
const NAME: &str = "witness.example.org/w1";

/// What a witness does when it is asked.
#[derive(Clone)]
enum Act {
    /// Its own name and number, and a signature that is none.
    Forge,
    /// It signs another tree of that size.
    SignAnotherTree,
    /// It signs with a key that is not the declared one.
    BeAnother,
    /// It answers with something else altogether.
    Babble(u16, &'static str),
    /// It never answers.
    Hang,
    /// 422.
    Refuse,
    /// 409, with this size.
    Claim(u64),
    /// What is right, from this tree on.
    Follow(Head),
}

/// A witness that does as it is told.
struct Fake {
    key: CosignKey,
    act: Mutex<Act>,
    shows: Mutex<Option<String>>,
}

impl Fake {
    /// A witness that listens, and how it is declared.
    async fn start() -> (Arc<Self>, Declared) {
        let key = CosignKey::read(&CosignKey::draw(NAME, &SystemRandom).unwrap()).unwrap();
        let declared_key = key.public().clone();
        let fake = Arc::new(Self { key, act: Mutex::new(Act::Hang), shows: Mutex::new(None) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/add-checkpoint", post(add))
            .route("/{digest}/checkpoint", get(show))
            .with_state(Arc::clone(&fake));
        tokio::spawn(axum::serve(listener, router).into_future());
        (fake, Declared { url, key: declared_key })
    }

    fn will(&self, act: Act, shows: Option<String>) {
        *self.act.lock().unwrap() = act;
        *self.shows.lock().unwrap() = shows;
    }
}

async fn show(State(fake): State<Arc<Fake>>) -> Response {
    let shows = fake.shows.lock().unwrap().clone();
    shows.map_or_else(|| StatusCode::NOT_FOUND.into_response(), axum::response::IntoResponse::into_response)
}

async fn add(State(fake): State<Arc<Fake>>, body: String) -> Response {
    let ask = Ask::read(body.as_bytes()).unwrap();
    let asked = said(&ask.note).unwrap();
    let act = fake.act.lock().unwrap().clone();
    let size = |size: u64| {
        (StatusCode::CONFLICT, [(header::CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n"))
            .into_response()
    };
    match act {
        Act::Forge => {
            let line = fake.key.cosign(&asked, SystemClock.now()).unwrap();
            // The last letters are the signature's.
            line.replacen(&line[line.len() - 12..line.len() - 4], "AAAAAAAA", 1).into_response()
        }
        Act::SignAnotherTree => {
            let root = asked.body.lines().nth(2).unwrap();
            let body = asked.body.replacen(root, "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", 1);
            let other = said(&format!("{body}\n— someone AAAAAAAA\n")).unwrap();
            fake.key.cosign(&other, SystemClock.now()).unwrap().into_response()
        }
        Act::BeAnother => {
            let other = CosignKey::read(&CosignKey::draw(NAME, &SystemRandom).unwrap()).unwrap();
            other.cosign(&asked, SystemClock.now()).unwrap().into_response()
        }
        Act::Babble(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Act::Hang => std::future::pending().await,
        Act::Refuse => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
        Act::Claim(at) => size(at),
        Act::Follow(last) if ask.old != last.size => size(last.size),
        Act::Follow(last) => {
            tree::check_consistency(&ask.proof, asked.head.size, asked.head.root, last.size, last.root)
                .unwrap();
            fake.key.cosign(&asked, SystemClock.now()).unwrap().into_response()
        }
    }
}

/// A log with a checkpoint of 3 entries and one of 300, and its key.
struct Log {
    store: Store,
    storage: Storage,
    sequencer: Sequencer,
    key: LogKey,
}

impl Log {
    async fn new() -> Self {
        let store = Store::new().await;
        let text = LogKey::draw(ORIGIN, &SystemRandom);
        let read = || LogKey::read(&text, ORIGIN).unwrap();
        let storage = store.unregistered("main");
        let sequencer = Sequencer::new(storage.clone(), read());
        let mut log = Self { store, storage, sequencer, key: read() };
        log.grow(3).await;
        log.grow(297).await;
        log
    }

    async fn grow(&mut self, count: usize) {
        for number in 0..count {
            let event = Event::AuditRead { by: "root".into(), query: format!("query {number}") };
            self.storage.record(None, None, event).await.unwrap();
        }
        self.sequencer.catch_up().await.unwrap();
    }

    /// Its signed heads, the oldest first.
    async fn heads(&self) -> Vec<(Head, String)> {
        let kept = self.storage.checkpoints(0, 100).await.unwrap();
        let opened =
            kept.into_iter().map(|kept| (self.key.public().open(&kept.note).unwrap().head, kept.note));
        opened.collect()
    }

    /// What a start makes of a witness.
    async fn start(&self, witness: &Declared) -> Result<(), CollectorError> {
        Collector::new(self.storage.clone(), &self.key, vec![witness.clone()]).unwrap().start().await
    }

    async fn cosigned(&self) -> i64 {
        self.store.count("SELECT count(*) FROM cosignatures").await
    }
}

#[tokio::test]
async fn what_a_witness_forges_is_not_kept_and_the_log_goes_on() {
    let mut log = Log::new().await;
    let (fake, witness) = Fake::start().await;
    for act in [
        Act::Forge,
        Act::SignAnotherTree,
        Act::BeAnother,
        Act::Babble(200, "all is well\n"),
        Act::Babble(200, ""),
        Act::Babble(409, "many\n"),
        Act::Babble(503, "later\n"),
    ] {
        fake.will(act, None);
        log.start(&witness).await.unwrap();
        assert_eq!(log.cosigned().await, 0);
        log.grow(1).await;
    }
    assert_eq!(is_whole(&log.store.database.superuser(), log.key.public()).await, 307);
}

#[tokio::test]
async fn a_witness_that_lags_is_shown_how_the_log_went_on() {
    let log = Log::new().await;
    let heads = log.heads().await;
    let (fake, witness) = Fake::start().await;
    // It was asked by another installation of this log, long ago.
    fake.will(Act::Follow(heads[0].0), None);
    log.start(&witness).await.unwrap();
    let kept = log.storage.last_cosignature(&witness.key.to_string()).await.unwrap().unwrap();
    assert_eq!(kept.size, 300);
    assert!(witness.key.find(&format!("{}{}", kept.note, kept.line)).unwrap().is_some());
}

#[tokio::test]
async fn a_witness_that_never_answers_is_not_waited_for() {
    let mut log = Log::new().await;
    let (_hanging, witness) = Fake::start().await;
    log.start(&witness).await.unwrap();
    assert_eq!(log.cosigned().await, 0);
    log.grow(1).await;
    assert_eq!(is_whole(&log.store.database.superuser(), log.key.public()).await, 301);
}

#[tokio::test]
async fn what_a_witness_says_against_the_log_is_held_against_what_it_shows() {
    let mut log = Log::new().await;
    let heads = log.heads().await;
    let (fake, witness) = Fake::start().await;
    let signed = |size, leaf: &[u8]| Some(log.key.sign(Head { size, root: leaf_hash(leaf) }).unwrap());
    let theirs = LogKey::read(&LogKey::draw(ORIGIN, &SystemRandom), ORIGIN).unwrap();
    let theirs = theirs.sign(Head { size: 900, root: leaf_hash(b"x") }).unwrap();

    // It shows nothing, or what proves nothing: it may be right, so nothing is signed, and the mend is named.
    for (act, shows) in [
        (Act::Refuse, None),
        (Act::Claim(900), None),
        (Act::Claim(900), Some(theirs)),
        (Act::Claim(900), Some("all is lost".to_owned())),
    ] {
        fake.will(act, shows);
        let error = log.start(&witness).await.unwrap_err();
        assert!(matches!(error, CollectorError::Unproved { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(&witness.url) && error.contains("take the witness out"), "{error}");
    }
    // What it shows is a tree that this log goes on from: it is wrong, and keeps nobody from starting.
    for act in [Act::Refuse, Act::Claim(900)] {
        for (_, shown) in &heads {
            fake.will(act.clone(), Some(shown.clone()));
            log.start(&witness).await.unwrap();
        }
    }
    // It shows that it is right.
    fake.will(Act::Claim(900), signed(900, b"later"));
    let error = log.start(&witness).await.unwrap_err();
    assert!(matches!(error, CollectorError::Behind { seen: 900, size: 300, .. }), "{error}");
    for size in [300, 17] {
        fake.will(Act::Refuse, signed(size, b"another"));
        let error = log.start(&witness).await.unwrap_err();
        assert!(matches!(error, CollectorError::Fork { seen, .. } if seen == size), "{error}");
    }
    assert_eq!(log.cosigned().await, 0);
    log.grow(1).await;
    assert_eq!(is_whole(&log.store.database.superuser(), log.key.public()).await, 301);
}
