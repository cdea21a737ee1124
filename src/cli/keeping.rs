//! What `serve` keeps going beside the work itself: rooms as declared, heartbeats, the homeserver's
//! backlog, the ops folder.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ruma::{OwnedRoomId, TransactionId};
use tokio::{
    signal::unix::Signal,
    sync::{Mutex, Notify, mpsc::UnboundedReceiver},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    appservice::{self, Store},
    dispatch::{self, House},
    matrix::rooms,
    model::{Digest, SignedDuration, Timestamp},
    storage::{self, Beat, Transaction},
    web::Health,
};

/// How often a heartbeat is written.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How far back to look for what the homeserver may have held back.
const HELD_BACK: SignedDuration = SignedDuration::from_secs(60);
/// The pauses before the looks for what it may have held back. When it returns it does so often with what is sent first,
/// and whoever sent that waits.
const LOOKS: [Duration; 5] = [
    Duration::from_millis(150),
    Duration::from_millis(350),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
];
/// Where the looks begin that are not so urgent.
const LATER: usize = 2;
/// How often the homeserver is asked whether it is there, while it is.
const PROBE: Duration = Duration::from_secs(2);
/// And while it is away: it is to be asked for its backlog within a moment of its return.
const PROBE_AWAY: Duration = Duration::from_millis(250);
/// How long after a change in a room it is looked at: changes come in swarms.
const SETTLE: Duration = Duration::from_millis(300);
/// The first and the longest pause between two calls for what could not be stored.
const CALL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How often all rooms are looked at although nothing was heard.
const ROUND: Duration = Duration::from_mins(10);

/// Stores what the homeserver delivers; an event that is alone in its room is decided in the same commit. Where that
/// fails it rings: the homeserver, which keeps what was not stored, would come back with it after a pause that grows
/// to minutes.
pub fn decide_or_store(house: &Arc<House>, not_stored: &Arc<Notify>, stop: &CancellationToken) -> Store {
    let (house, not_stored, stop) = (Arc::clone(house), Arc::clone(not_stored), stop.clone());
    Arc::new(move |transaction| {
        let (house, not_stored, stop) = (Arc::clone(&house), Arc::clone(&not_stored), stop.clone());
        Box::pin(async move {
            // A server that stops takes no more work; what it still stores is for the next life.
            let stored = if stop.is_cancelled() {
                house.storage.store_transaction(&transaction).await
            } else {
                dispatch::arrive(&house, transaction).await
            };
            if stored.is_err() {
                not_stored.notify_one();
            }
            stored
        })
    })
}

/// Whether every declared room exists, as far as the database knows.
pub async fn has_all_rooms(house: &House) -> Result<bool, storage::Error> {
    let bound: BTreeSet<String> =
        house.storage.bound_rooms().await?.into_iter().map(|(key, _)| key).collect();
    Ok(house.current.get().ops.rooms.keys().all(|key| bound.contains(key)))
}

/// What the keepers share.
#[derive(Clone)]
pub struct Keeper {
    /// The floors below.
    pub house: Arc<House>,
    /// What they find out.
    pub health: Arc<Health>,
    /// The registration's id, to be pinged under.
    pub registration: String,
    /// What the last look at the rooms found; held while they are looked at.
    pub last: Arc<Mutex<Option<rooms::Report>>>,
    /// Rung when something that the homeserver delivered could not be stored.
    pub not_stored: Arc<Notify>,
    /// Cancelled when the server is to stop.
    pub stop: CancellationToken,
}

impl Keeper {
    /// Starts them all.
    pub fn start(self, drifted: UnboundedReceiver<OwnedRoomId>, hang_ups: Signal) -> JoinSet<()> {
        let mut keepers = JoinSet::new();
        keepers.spawn(self.clone().hear());
        keepers.spawn(self.clone().beat());
        keepers.spawn(self.clone().watch());
        keepers.spawn(self.clone().call_for_the_backlog());
        keepers.spawn(self.clone().keep_rooms(drifted));
        keepers.spawn(super::back::say_that_we_are_back(Arc::clone(&self.house), Arc::clone(&self.health)));
        keepers.spawn(super::pruning::keep_pruning(Arc::clone(&self.house)));
        keepers.spawn(super::extending::keep_extending(self.house.storage.clone()));
        let house = Arc::clone(&self.house);
        keepers.spawn(async move { dispatch::end_elevations(&house).await });
        let house = Arc::clone(&self.house);
        keepers.spawn(async move { dispatch::keep_posting(&house).await });
        keepers.spawn(self.clone().follow());
        keepers.spawn(super::listings::keep(Arc::clone(&self.house)));
        keepers.spawn(self.reload(hang_ups));
        keepers
    }

    /// Hears of work that other instances put into the database.
    async fn hear(self) {
        loop {
            if let Err(error) = self.house.storage.listen().await {
                tracing::warn!(%error, "cannot hear of other instances' work; looking for it meanwhile");
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Shows that we live, and takes over from those who do not.
    async fn beat(self) {
        let mut ticks = interval(HEARTBEAT);
        let mut beats = 0_u32;
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            beats += 1;
            match self.house.storage.beat().await {
                // Now and then also where nobody has just died: a start and a declaration can cross.
                Ok(Beat::Alive { died }) if died.is_empty() && !beats.is_multiple_of(12) => {}
                Ok(Beat::Alive { died }) => {
                    if !died.is_empty() {
                        tracing::warn!(boots = died.len(), "another instance died; taking over");
                    }
                    if let Err(error) = crate::dispatch::recover(&self.house).await {
                        tracing::error!(%error, "could not conclude a dead instance's runs");
                    }
                }
                Ok(Beat::DeclaredDead) => {
                    tracing::error!(
                        "another instance has declared this one dead: ending the runs and stopping"
                    );
                    // First of all nothing new: ending what runs takes its time.
                    self.stop.cancel();
                    self.house.runs.stop().await;
                    return;
                }
                Err(error) => tracing::warn!(%error, "no heartbeat could be written"),
            }
        }
    }

    /// Knows whether the homeserver is there; when it comes, asks for its backlog at once.
    async fn watch(self) {
        let (mut was_up, mut looks) = (false, &LOOKS[LATER..]);
        loop {
            let up = match self.house.homeserver.versions().await {
                Ok(_) => true,
                Err(error) => {
                    if was_up {
                        tracing::warn!(%error, "the homeserver is away; waiting for it");
                    }
                    false
                }
            };
            self.health.homeserver.store(up, Ordering::Relaxed);
            if up && !was_up {
                match self.house.homeserver.ping(&self.registration).await {
                    Ok(took) => {
                        tracing::info!(?took, "the homeserver reaches us");
                        tokio::spawn(self.clone().look_for_what_was_held_back(looks));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the homeserver does not reach us: look at `url` in the registration");
                    }
                }
                self.house.outbox.wake();
            }
            if was_up {
                // From its next return on: at our own start the backlog comes with the ping, and needs the homeserver.
                looks = &LOOKS;
            }
            was_up = up;
            sleep(if up { PROBE } else { PROBE_AWAY }).await;
        }
    }

    /// Has the homeserver deliver at once what could not be stored while the database was away.
    async fn call_for_the_backlog(self) {
        let (first, longest) = CALL;
        let (mut pause, mut last) = (first, None::<Instant>);
        loop {
            self.not_stored.notified().await;
            while self.house.storage.unfinished().await.is_err() {
                sleep(first).await;
            }
            // Where reading works and writing does not, this must not become a storm.
            let again = last.is_some_and(|last| last.elapsed() < longest);
            pause = if again { (pause * 2).min(longest) } else { first };
            sleep(pause).await;
            match self.house.homeserver.ping(&self.registration).await {
                Ok(_) => {
                    tracing::info!("the homeserver delivers what could not be stored");
                    tokio::spawn(self.clone().look_for_what_was_held_back(&LOOKS[LATER..]));
                }
                Err(error) => {
                    tracing::warn!(%error, "the homeserver does not deliver what could not be stored");
                }
            }
            last = Some(Instant::now());
        }
    }

    /// Reads in our rooms whether something was said that never came.
    ///
    /// Synapse 1.163 can keep back an event that is sent in the very moment in which it finds us again: its transaction
    /// is made while we still count as away, and the one who would send it has just looked
    /// (`synapse/appservice/scheduler.py`). It would come after the next outage only. What came as well is not stored
    /// twice: an event is known by its id, whichever way it takes.
    async fn look_for_what_was_held_back(self, looks: &'static [Duration]) {
        let since = self.house.storage.now() - HELD_BACK;
        for pause in looks {
            sleep(*pause).await;
            if let Err(error) = self.fetch_since(since).await {
                tracing::warn!(error = %format!("{error:#}"), "could not look for what the homeserver held back");
            }
        }
    }

    async fn fetch_since(&self, since: Timestamp) -> anyhow::Result<()> {
        let in_force = self.house.current.get();
        for (key, room) in self.house.storage.bound_rooms().await? {
            if !in_force.ops.rooms.contains_key(&key) {
                continue;
            }
            let heard = self.house.homeserver.heard_since(&room, since).await?;
            if heard.is_empty() {
                continue;
            }
            let mut transaction = Transaction {
                homeserver: in_force.ops.settings.server_name.clone(),
                id: TransactionId::new(),
                digest: Digest::of_parts(heard.iter().map(String::as_bytes)),
                arrivals: heard.iter().map(|raw| appservice::arrival(raw)).collect(),
                to_device: None,
            };
            dispatch::leave_out_own_voice(&self.house, &mut transaction);
            let stored = self.house.storage.store_transaction(&transaction).await?;
            if stored.new > 0 {
                tracing::warn!(room.id = %room, events = stored.new, "the homeserver had held these back");
            }
        }
        Ok(())
    }

    /// Keeps the rooms as they are declared: all at the start and now and then, one when it was changed.
    async fn keep_rooms(self, mut drifted: UnboundedReceiver<OwnedRoomId>) {
        let mut pause = Duration::from_millis(500);
        loop {
            match self.reconcile().await {
                Ok(()) => {
                    pause = Duration::from_millis(500);
                    tokio::select! {
                        room = drifted.recv() => if room.is_none() { return },
                        () = sleep(ROUND) => {}
                    }
                    sleep(SETTLE).await;
                    while drifted.try_recv().is_ok() {}
                }
                Err(error) => {
                    tracing::warn!(error = %format!("{error:#}"), "the rooms wait to be looked at");
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(10));
                }
            }
        }
    }

    async fn reconcile(&self) -> anyhow::Result<()> {
        let in_force = self.house.current.get();
        self.house.homeserver.ensure_bot("Quarterdeck").await?;
        let mut last = self.last.lock().await;
        let ours = Notify::new();
        let settled = || ours.notify_one();
        let House { homeserver, storage, .. } = &*self.house;
        let reconciled = rooms::reconcile_until(homeserver, storage, &in_force.ops, &settled);
        tokio::pin!(reconciled);
        let report = loop {
            tokio::select! {
                report = &mut reconciled => break report?,
                // Nobody waits for people of homeservers that do not answer.
                () = ours.notified() => self.note_rooms().await?,
            }
        };
        for (room, event) in report.news(last.as_ref()) {
            self.house.storage.record(None, room.as_deref(), event).await?;
        }
        *last = Some(report);
        self.note_rooms().await?;
        Ok(())
    }

    async fn note_rooms(&self) -> Result<(), storage::Error> {
        self.health.rooms.store(has_all_rooms(&self.house).await?, Ordering::Relaxed);
        Ok(())
    }

    /// Reads the ops folder anew at SIGHUP. A folder with a mistake changes nothing.
    async fn reload(self, mut signals: Signal) {
        while signals.recv().await.is_some() {
            if let Err(error) = Box::pin(dispatch::reload_at_a_signal(&self.house)).await {
                tracing::error!(%error, "the ops folder was not put in force; the old one stays");
                continue;
            }
            self.look_at_the_rooms().await;
        }
    }

    /// Takes up what another server of the same database has loaded.
    async fn follow(self) {
        let mut ticks = interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = String::new();
        loop {
            ticks.tick().await;
            match dispatch::follow(&self.house).await {
                Ok(false) => told.clear(),
                Ok(true) => {
                    tracing::info!("took up the version that the log names last");
                    self.look_at_the_rooms().await;
                }
                Err(dispatch::NotLoaded::Storage(_)) => {}
                Err(error) if error.to_string() != told => {
                    tracing::error!(%error, "the log names another version than the one in force here, and it cannot be taken up");
                    told = error.to_string();
                }
                Err(_) => {}
            }
        }
    }

    async fn look_at_the_rooms(&self) {
        if let Err(error) = self.reconcile().await {
            tracing::warn!(error = %format!("{error:#}"), "the rooms wait to be looked at");
        }
    }
}
