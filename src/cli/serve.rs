//! `quarterdeck serve`: puts the floors together and keeps them going.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{audit::key, keeping, telemetry};
use crate::{
    appservice::{self, Appservice, Registration},
    audit::{Collector, Sequencer},
    dispatch::{Current, Dispatcher, House, Reader, Versions, local},
    executor::{self, Executor, Secrets},
    matrix::{Homeserver, Outbox},
    model::{Secret, SystemClock, SystemRandom},
    storage::{self, Storage},
    web::{self, Health},
};

/// Takes events from the homeserver, decides, runs, records and answers, until SIGTERM or SIGINT.
///
/// SIGHUP reads the ops folder anew; a folder with a mistake changes nothing. Where versions come from a repository, it
/// reads again only what was last admitted. After SIGTERM no new
/// work is taken, and what runs may finish within `[limits] grace`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The ops folder
    #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
    ops: PathBuf,
    /// How logs are written to standard error; which, the environment says: QUARTERDECK_LOG=quarterdeck=debug,warn
    #[arg(long, value_enum, env = "QUARTERDECK_LOG_FORMAT", default_value_t)]
    log_format: telemetry::Format,
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        telemetry::start(self.log_format);
        super::runtime()?.block_on(self.serve())
    }

    async fn serve(self) -> anyhow::Result<ExitCode> {
        let metrics = web::count()
            .context("starting to count for /metrics: something in this process counts already")?;
        // From the first moment on, so that an early SIGHUP ends nothing.
        let hang_ups = signal(SignalKind::hangup())?;
        let settings = super::in_force(&self.ops)?.ops.settings;
        let registration = Registration::read(&settings.registration, &settings)?;
        // Without it nothing could be signed, and what nobody signed could be rewritten: so nothing is done at all.
        let log_key = key::read(&settings)?;
        let url = settings.database_url.clone().context(
            "no database: set `[database] url` in quarterdeck.toml, or QUARTERDECK_DATABASE_URL in the environment",
        )?;
        let clock = Arc::new(SystemClock);
        let storage =
            Storage::connect(&Secret::new(url), &settings.instance, clock.clone(), Arc::new(SystemRandom))?;
        let homeserver = Homeserver::new(
            &settings.homeserver_url,
            settings.bot_user(),
            registration.as_token.clone(),
            clock.clone(),
        )?;
        let executor = Executor::new(
            settings.state.join("spool").join(&settings.instance),
            PathBuf::from(executor::OWN_PROGRAM),
            Secrets::default(),
            clock,
        );
        let listener = tokio::net::TcpListener::bind(&settings.listen)
            .await
            .with_context(|| format!("listening on {} (`listen` in quarterdeck.toml)", settings.listen))?;

        let stop = stop_signal()?;
        if !database_is_ready(&storage, &stop).await? {
            return Ok(ExitCode::SUCCESS);
        }
        // What is signed is signed for this log alone, even if another begins meanwhile.
        let log = storage.log().await?;
        let first_key = log_key.public().clone();
        let (of_log, log_key) = (storage.of_log(log.number), key::of_log(&log_key, &log)?);
        let public_key = log_key.public().to_string();
        let collector = Collector::new(of_log.clone(), &log_key, key::witnesses(&settings)?)?;
        // Before anything is signed: what is signed on an old database would be a second history.
        collector.start().await.context("comparing the log with its witnesses")?;
        let sequencer = Sequencer::new(of_log, log_key);
        sequencer.start().await.context("going on with the log: is the key that of this database? `quarterdeck audit verify` tells whether the log fits")?;
        let health = Arc::new(Health::default());
        let read: Reader = Arc::new(super::folder::listed);
        let versions = Versions::new(self.ops.clone(), read, settings.clone());
        let first =
            versions.at_start(&storage).await.with_context(|| format!("loading {}", self.ops.display()))?;
        storage.keep_version(first.loading()).await?;
        storage.replace_documents(&first.in_force.ops.documents).await?;
        executor.replace_secrets(Secrets::of(&first.in_force.ops));
        let current = Current::new(first.in_force);
        let outbox = Outbox::new(homeserver.clone(), storage.clone(), &settings.alias_prefix);
        let (house, drifted) =
            House::new(storage.clone(), executor, homeserver, outbox, current.clone(), versions);
        let dispatcher = Dispatcher::new(Arc::clone(&house));
        dispatcher.recover().await?;
        health.rooms.store(keeping::has_all_rooms(&house).await?, Ordering::Relaxed);

        let not_stored = Arc::default();
        // The doors open last: everything behind them is there.
        let face = appservice::router(Appservice {
            hs_token: registration.hs_token.clone(),
            homeserver: settings.server_name.clone(),
            bot: settings.bot_user(),
            largest: settings.request_bytes,
            store: keeping::decide_or_store(&house, &not_stored, &stop),
            has_alias: {
                let (current, health) = (current.clone(), Arc::clone(&health));
                Arc::new(move |alias| {
                    health.rooms.load(Ordering::Relaxed)
                        && current.get().ops.rooms.values().any(|room| room.alias.as_str() == alias)
                })
            },
        })
        .merge(web::router(storage.clone(), Arc::clone(&health), metrics))
        .merge(super::pages::router(&house, &public_key));
        let ended = CancellationToken::new();
        let http = tokio::spawn({
            let ended = ended.clone();
            axum::serve(listener, face)
                .with_graceful_shutdown(async move { ended.cancelled().await })
                .into_future()
        });
        let keeper = keeping::Keeper {
            house: Arc::clone(&house),
            health: Arc::clone(&health),
            registration: registration.id.clone(),
            last: Arc::default(),
            not_stored,
            stop: stop.clone(),
        };
        let mut keepers = keeper.start(drifted, hang_ups);
        if let Some(declared) = &settings.local {
            let door = local::open(declared).with_context(|| {
                format!("opening the socket {} (`[local]` in quarterdeck.toml)", declared.socket.display())
            })?;
            keepers.spawn(door.serve(Arc::clone(&house)));
        }
        let sealed = CancellationToken::new();
        let sequencer = tokio::spawn(sequencer.run(sealed.clone()));
        keepers.spawn(collector.run(stop.clone()));
        keepers.spawn(super::pages::keep_ending(storage.clone()));
        keepers.spawn(super::archiving::keep_archiving(Arc::clone(&house), first_key));
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            instance = settings.instance,
            listen = settings.listen,
            homeserver = %settings.homeserver_url,
            "quarterdeck serves"
        );
        dispatcher.run(stop.clone()).await;

        tracing::info!(runs = house.runs.count(), "stopping: no more work is taken");
        health.stopping.store(true, Ordering::Relaxed);
        house.runs.finish(settings.grace.try_into().unwrap_or(Duration::from_secs(30))).await;
        house.outbox.finish(Duration::from_secs(5)).await;
        ended.cancel();
        keepers.abort_all();
        if let Err(error) = storage.leave().await {
            tracing::warn!(%error, "could not record the end");
        }
        // The last entries are in the tree before we go; if not, the next to start has them.
        sealed.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(2), sequencer).await;
        // Idle keep-alive connections are no reason to stay.
        let _ = tokio::time::timeout(Duration::from_secs(2), http).await;
        storage.close().await;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits until the database answers, then makes sure that it is as we need it, and enters this boot.
/// Says whether there is anything to go on for.
async fn database_is_ready(storage: &Storage, stop: &CancellationToken) -> anyhow::Result<bool> {
    loop {
        let result = async {
            storage.check_ready().await?;
            storage.register_boot().await
        };
        match result.await {
            Ok(()) => return Ok(true),
            Err(error @ storage::Error::Away { .. }) => {
                tracing::warn!(%error, "waiting for the database");
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop.cancelled() => return Ok(false),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A token that SIGTERM or SIGINT cancels.
pub(super) fn stop_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(stop)
}
