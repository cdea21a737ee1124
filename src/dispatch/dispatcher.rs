//! The workers that claim work, and what all of them share.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    in_force::{Current, InForce},
    live::Lives,
    pipeline, recovery, said_of_rooms,
    seeing::Seeing,
    sight::Sights,
    timer,
    versions::Versions,
};
use crate::{
    executor::Executor,
    matrix::{Homeserver, Outbox},
    model::{RequestNumber, Timestamp},
    storage::{Error, PASSED, Storage, Ticket, Wanted, Work},
};

/// How many rooms are worked on at once. Deciding takes about a millisecond; the rest is the database.
const WORKERS: usize = 4;
/// How many invitations by strangers are declined at once.
const ERRANDS: usize = 8;

/// How long stopped runs may take to end and to have their outcomes recorded.
const RECORDING: Duration = Duration::from_secs(15);

/// What all requests share.
pub struct House {
    /// The database.
    pub storage: Storage,
    /// What runs programs.
    pub executor: Executor,
    /// The homeserver.
    pub homeserver: Homeserver,
    /// Where messages go to be sent.
    pub outbox: Outbox,
    /// The version of the ops folder in force.
    pub current: Current,
    /// Where other versions come from.
    pub versions: Versions,
    /// The runs under way.
    pub runs: Runs,
    /// Who may see what is printed.
    pub seeing: Seeing,
    /// What is shown as it is printed.
    pub lives: Lives,
    /// What people may act upon.
    pub sights: Sights,
    places: Arc<Semaphore>,
    errands: Arc<Semaphore>,
    encrypted: Mutex<BTreeSet<OwnedRoomId>>,
    restored_at: OnceLock<Timestamp>,
    drift: mpsc::UnboundedSender<OwnedRoomId>,
    own_prefix: String,
    own_server: OwnedServerName,
}

/// The runs under way: each gets a token that stops it, and all can be waited for.
#[derive(Debug, Default)]
pub struct Runs {
    tasks: TaskTracker,
    stop: CancellationToken,
    /// What stops each, and who wanted it stopped.
    each: Mutex<HashMap<RequestNumber, Stoppable>>,
}

/// A run that somebody may want stopped.
#[derive(Debug)]
struct Stoppable {
    token: CancellationToken,
    by: Option<OwnedUserId>,
}

impl Runs {
    /// A token that is cancelled when the server gives up waiting, or when somebody wants this run stopped.
    pub fn cancel_token(&self, number: RequestNumber) -> CancellationToken {
        let token = self.stop.child_token();
        lock(&self.each).insert(number, Stoppable { token: token.clone(), by: None });
        token
    }

    /// Stops a run: somebody wants it. One that has ended, or that runs elsewhere, is passed over.
    pub fn cancel(&self, number: RequestNumber, by: OwnedUserId) {
        if let Some(run) = lock(&self.each).get_mut(&number) {
            run.by.get_or_insert(by);
            run.token.cancel();
        }
    }

    /// Forgets a run that has ended. Gives who wanted it stopped, if somebody did.
    pub fn forget(&self, number: RequestNumber) -> Option<OwnedUserId> {
        lock(&self.each).remove(&number)?.by
    }

    /// Runs something to its end, whatever becomes of the one who asked.
    pub fn spawn(&self, run: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(run);
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Waits for what runs, for `grace` at most; then stops it, and waits until its outcomes are recorded.
    pub async fn finish(&self, grace: Duration) {
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(runs = self.tasks.len(), "stopping what still runs: the grace period is over");
            self.stop.cancel();
            if tokio::time::timeout(RECORDING, self.tasks.wait()).await.is_err() {
                let runs = self.tasks.len();
                tracing::error!(
                    runs,
                    "outcomes could not be recorded: the next start calls these interrupted"
                );
            }
        }
    }

    /// Stops what runs at once: another instance believes that we are dead.
    pub async fn stop(&self) {
        self.tasks.close();
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl House {
    /// Puts together what requests share. The receiver tells of rooms whose state was changed by others.
    pub fn new(
        storage: Storage,
        executor: Executor,
        homeserver: Homeserver,
        outbox: Outbox,
        current: Current,
        versions: Versions,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<OwnedRoomId>) {
        let settings = current.get().ops.settings.clone();
        let (drift, drifted) = mpsc::unbounded_channel();
        let house = Self {
            storage,
            executor,
            homeserver,
            outbox,
            current,
            versions,
            runs: Runs::default(),
            seeing: Seeing::default(),
            lives: Lives::default(),
            sights: Sights::default(),
            places: Arc::new(Semaphore::new(settings.runs)),
            errands: Arc::new(Semaphore::new(ERRANDS)),
            encrypted: Mutex::default(),
            restored_at: OnceLock::new(),
            drift,
            own_prefix: format!("{}_", settings.bot),
            own_server: settings.server_name,
        };
        (Arc::new(house), drifted)
    }

    /// The rooms of ours by their aliases, for arguments that name one so.
    pub async fn rooms_by_alias(
        &self,
        in_force: &InForce,
    ) -> Result<BTreeMap<OwnedRoomAliasId, OwnedRoomId>, Error> {
        let bound = self.storage.bound_rooms().await?.into_iter();
        let alias = |key: &String| in_force.ops.rooms.get(key).map(|room| room.alias.clone());
        Ok(bound.filter_map(|(key, room)| Some((alias(&key)?, room))).collect())
    }

    /// Whether somebody is Quarterdeck itself, or another user of its namespace.
    pub fn is_ours(&self, user: &UserId) -> bool {
        user == self.homeserver.bot()
            || (user.server_name() == self.own_server && user.localpart().starts_with(&self.own_prefix))
    }

    /// Has a room looked at: somebody else changed it.
    pub fn look_at(&self, room: &RoomId) {
        // Without a listener the server is stopping, and looks at all rooms when it starts.
        let _ = self.drift.send(room.to_owned());
    }

    /// When a restored backup was gone on from, if that ever was: nothing from before is run.
    pub fn restored_at(&self) -> Option<Timestamp> {
        self.restored_at.get().copied()
    }

    /// Whether this is the first encrypted message seen in a room since the start.
    pub fn first_encrypted(&self, room: &RoomId) -> bool {
        lock(&self.encrypted).insert(room.to_owned())
    }

    /// One of the places in which something may run, if one is free.
    pub fn take_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Whether no place is free, so that something may wait for one.
    pub fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Leave to do something beside all work that strangers can ask for, unless too much of it is under way.
    pub fn take_errand(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.errands).try_acquire_owned().ok()
    }

    /// Commits a piece of work and has its messages sent.
    pub async fn conclude(&self, work: Work) -> Result<(), Error> {
        self.outbox.hand(work.done().await?);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is replaced whole: a panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Claims work and takes it to its commit, until told to stop.
pub struct Dispatcher {
    house: Arc<House>,
}

impl Dispatcher {
    /// A dispatcher over this house.
    pub const fn new(house: Arc<House>) -> Self {
        Self { house }
    }

    /// Ends what earlier lives left behind, in the database and among the machine's processes.
    pub async fn recover(&self) -> Result<(), Error> {
        if let Some(at) = self.house.storage.log().await?.begun_at {
            self.house.restored_at.get_or_init(|| at);
        }
        recovery::interrupted(&self.house).await?;
        recovery::sweep(&self.house).await;
        self.house.executor.warm();
        Ok(())
    }

    /// Works until `stop`. Work under way is taken to its commit first.
    pub async fn run(&self, stop: CancellationToken) {
        let workers = (0..WORKERS).map(|_| worker(Arc::clone(&self.house), stop.clone()));
        let workers = futures_util::future::join_all(workers);
        tokio::join!(workers, timer::keep(Arc::clone(&self.house), stop.clone()));
    }
}

async fn worker(house: Arc<House>, stop: CancellationToken) {
    let mut bell = house.storage.bell();
    let mut pause = Duration::from_millis(50);
    while !stop.is_cancelled() {
        let wanted = if house.is_full() { Wanted::Rows } else { Wanted::Anything };
        match step(&house, wanted).await {
            Ok(true) => pause = Duration::from_millis(50),
            Ok(false) => {
                tokio::select! {
                    () = bell.wait() => {}
                    () = stop.cancelled() => {}
                }
            }
            Err(error) => {
                // Nothing was committed: the work is still there.
                tracing::warn!(%error, away = error.is_away(), "work waits");
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => {}
                }
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

/// Takes one piece of work to its commit. Says whether there was one.
async fn step(house: &Arc<House>, wanted: Wanted) -> Result<bool, Error> {
    let Some(work) = house.storage.claim(wanted).await? else { return Ok(false) };
    let ticket = work.ticket();
    let reason = match caught(Box::pin(pipeline::process(house, work))).await {
        Some(Ok(())) => return Ok(true),
        Some(Err(error)) if error.is_away() => return Err(error),
        Some(Err(error)) => error.to_string(),
        None => "Quarterdeck panicked over it: the server's log says where".to_owned(),
    };
    // For a reason of its own: counted, so that it cannot block its room, or end every life of the server.
    let failures = house.storage.count_failure(&ticket, &reason).await?;
    tracing::error!(reason, failures, "a piece of work could not be processed");
    if failures >= PASSED
        && let Err(error) = passed(house, &ticket).await
    {
        tracing::error!(%error, "a room could not be told of what was passed over");
    }
    Ok(true)
}

/// Tells a room of ours that something there was passed over: not even its own answer could be written.
async fn passed(house: &House, ticket: &Ticket) -> Result<(), Error> {
    let Some((room, name)) = ticket.place() else { return Ok(()) };
    if house.storage.room_by_id(&room).await?.is_some() {
        house.outbox.hand(house.storage.say(vec![said_of_rooms::passed(room, &name)]).await?);
    }
    Ok(())
}

/// What a future gives. `None` if it panicked, which the panic hook has told by then: one request's bad luck
/// must not be everybody's.
///
/// What it held is dropped as at any other end, and what it shares is replaced whole or not at all.
pub async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(future).catch_unwind().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_what_panicked_and_nothing_else() {
        let place = Arc::new(Semaphore::new(1));
        let held = Arc::clone(&place).try_acquire_owned();
        assert!(caught(async move { held.map(|_held| panic!("on purpose")).is_ok() }).await.is_none());
        assert_eq!(place.available_permits(), 1);
        assert_eq!(caught(async { 7 }).await, Some(7));
    }
}
