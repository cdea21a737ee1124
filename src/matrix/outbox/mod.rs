//! Sends what stands in the outbox: in order within a lane, lanes beside one another, each message once.
//!
//! Rows that this process wrote are handed over at once and go out without a look at the database; rows of earlier
//! lives are found by looking. A message that was perhaps sent before goes out under the same transaction id, and
//! where the homeserver may have forgotten that one, is looked for in the room first. It refuses to drop anything:
//! what the homeserver refuses for good is parked, recorded and counted, and the next goes on.

mod carry;
mod deliver;
mod gate;
mod passing;
mod search;

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gate::Gate;
pub use passing::Passing;
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Homeserver;
use crate::storage::{OutboxRow, Storage};

/// How often the database is looked at for rows that nobody handed over.
const LOOK: Duration = Duration::from_secs(2);

/// How many rows are taken at one look.
const BATCH: i64 = 200;

/// How many messages are under way at once.
const AT_ONCE: usize = 16;

/// The outbox of this process. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    homeserver: Homeserver,
    storage: Storage,
    /// What the aliases of our rooms begin with.
    aliases: String,
    gate: Gate,
    lanes: Mutex<Lanes>,
    places: Semaphore,
    tasks: TaskTracker,
    stop: CancellationToken,
    look: Notify,
}

/// What waits in this process.
#[derive(Default)]
struct Lanes {
    /// A lane that is here has a task that empties it.
    queues: HashMap<String, VecDeque<OutboxRow>>,
    /// The rows that are here, so that one found by looking is not sent beside itself.
    known: HashSet<i64>,
    /// What is to be said in passing, by lane.
    passing: HashMap<String, passing::Waiting>,
}

/// What a lane has to send next.
enum Next {
    /// A row, and whether it is the lane's only one.
    Row(Box<OutboxRow>, bool),
    /// What is said in passing.
    Passing(passing::Waiting),
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivered {
    /// It is sent or parked, and that is noted.
    Concluded,
    /// It was given back: this process leaves its lane alone for a while.
    GivenBack,
}

impl Outbox {
    /// Starts to send what waits. To be called within the runtime. `aliases`: what the aliases of our rooms begin with,
    /// for those that it opens with one person alone.
    pub fn new(homeserver: Homeserver, storage: Storage, aliases: &str) -> Self {
        let outbox = Self {
            shared: Arc::new(Shared {
                gate: Gate::new(homeserver.clone()),
                homeserver,
                storage,
                aliases: aliases.to_owned(),
                lanes: Mutex::default(),
                places: Semaphore::new(AT_ONCE),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
                look: Notify::new(),
            }),
        };
        tokio::spawn(outbox.clone().keep_looking());
        outbox
    }

    /// Sends rows that are leased to this process: those it has just written.
    pub fn hand(&self, rows: Vec<OutboxRow>) {
        let mut lanes = self.lanes();
        for mut row in rows {
            // Files are read when their turn comes: while the homeserver is away, many may wait.
            if let Some(file) = &mut row.draft.file {
                file.bytes = Vec::new();
            }
            if !lanes.known.insert(row.id) {
                continue;
            }
            let lane = row.lane.clone();
            match lanes.queues.entry(lane.clone()) {
                Entry::Occupied(queue) => queue.into_mut().push_back(row),
                Entry::Vacant(place) => {
                    place.insert(VecDeque::from([row]));
                    self.shared.tasks.spawn(self.clone().empty(lane));
                }
            }
        }
    }

    /// Looks into the database now: there may be something, or the homeserver may be back.
    pub fn wake(&self) {
        self.shared.gate.nudge();
        self.shared.look.notify_one();
    }

    /// Stops looking for more, and waits for what is under way, for `grace` at most. What is left then stays in the
    /// outbox for the next life.
    pub async fn finish(&self, grace: Duration) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(grace, self.shared.tasks.wait()).await.is_err() {
            let left = self.lanes().known.len();
            tracing::warn!(messages = left, "these are sent when Quarterdeck starts again");
        }
    }

    /// How many messages wait in this process.
    pub fn waiting(&self) -> usize {
        self.lanes().known.len()
    }

    async fn keep_looking(self) {
        loop {
            let known: Vec<_> = self.lanes().known.iter().copied().collect();
            match self.shared.storage.due(BATCH, &known).await {
                Ok(rows) => {
                    let full = usize::try_from(BATCH).is_ok_and(|batch| rows.len() >= batch);
                    self.hand(rows);
                    if full {
                        continue;
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot look into the outbox; trying again"),
            }
            metrics::gauge!("quarterdeck_messages_waiting")
                .set(u32::try_from(self.waiting()).unwrap_or(u32::MAX));
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.shared.look.notified() => {}
                () = self.shared.stop.cancelled() => return,
            }
        }
    }

    /// Sends a lane's messages, one after the other, until there is none.
    async fn empty(self, lane: String) {
        while let Some(next) = self.first(&lane) {
            let (row, is_last) = match next {
                Next::Row(row, is_last) => (*row, is_last),
                Next::Passing(edit) => {
                    passing::send(&self.shared, edit).await;
                    continue;
                }
            };
            let id = row.id;
            match deliver::deliver(&self.shared, row, is_last).await {
                Delivered::Concluded => self.conclude(&lane, id),
                Delivered::GivenBack => {
                    let mut lanes = self.lanes();
                    for row in lanes.queues.remove(&lane).unwrap_or_default() {
                        lanes.known.remove(&row.id);
                    }
                    return;
                }
            }
        }
    }

    /// The lane's first row, and whether it is the only one; after all of them what is said in passing. A row stays where
    /// it is, and known, until it is concluded; an empty lane is removed.
    fn first(&self, lane: &str) -> Option<Next> {
        let mut lanes = self.lanes();
        let queue = lanes.queues.get(lane);
        let row = queue.and_then(|queue| Some((queue.front()?.clone(), queue.len() == 1)));
        if let Some((row, is_last)) = row {
            return Some(Next::Row(Box::new(row), is_last));
        }
        let passing = lanes.passing.remove(lane);
        if passing.is_none() {
            lanes.queues.remove(lane);
        }
        passing.map(Next::Passing)
    }

    fn conclude(&self, lane: &str, id: i64) {
        let mut lanes = self.lanes();
        if let Some(queue) = lanes.queues.get_mut(lane) {
            queue.retain(|row| row.id != id);
        }
        lanes.known.remove(&id);
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        // Nothing is done under this lock that could panic half way.
        self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}
