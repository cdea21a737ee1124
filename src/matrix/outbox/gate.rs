//! Holds all messages back while the homeserver is away or asks for patience.
//!
//! One question at a time finds out whether it is back, instead of every waiting message trying by itself; it is
//! asked often, so that the first answer goes out within a moment of the homeserver's return.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backon::BackoffBuilder as _;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

use super::super::{Error, Homeserver};

/// The first pause between two questions.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause between two questions.
const LONGEST: Duration = Duration::from_millis(500);
/// The longest pause while our token is not accepted: that is not mended within a moment.
const TOKEN: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Gate {
    homeserver: Homeserver,
    open: Arc<watch::Sender<bool>>,
    not_before: Arc<Mutex<Option<Instant>>>,
    asking: Arc<AtomicBool>,
    nudged: Arc<Notify>,
}

impl Gate {
    pub(super) fn new(homeserver: Homeserver) -> Self {
        Self {
            homeserver,
            open: Arc::new(watch::Sender::new(true)),
            not_before: Arc::default(),
            asking: Arc::default(),
            nudged: Arc::default(),
        }
    }

    /// Waits until messages may go out.
    pub(super) async fn pass(&self) {
        loop {
            // The sender is part of this gate, so it is there.
            let _ = self.open.subscribe().wait_for(|open| *open).await;
            let until = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
            match until {
                Some(until) if until > Instant::now() => sleep_until(until).await,
                _ => return,
            }
        }
    }

    /// Whether messages may go out now.
    pub(super) fn is_open(&self) -> bool {
        let until = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *self.open.borrow() && until.is_none_or(|until| until <= Instant::now())
    }

    /// Holds everything back for as long as the homeserver asked.
    pub(super) fn pause(&self, wait: Duration) {
        metrics::counter!("quarterdeck_rate_limited_total").increment(1);
        let until = Instant::now() + wait;
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        if not_before.is_none_or(|before| before < until) {
            *not_before = Some(until);
        }
    }

    /// Holds everything back until the homeserver answers again.
    pub(super) fn close(&self, error: &Error) {
        if self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        self.open.send_replace(false);
        tracing::debug!(%error, "messages wait for the homeserver");
        tokio::spawn(self.clone().ask_until_open());
    }

    /// Asks at once instead of after the pause.
    pub(super) fn nudge(&self) {
        self.nudged.notify_waiters();
    }

    async fn ask_until_open(self) {
        let began = Instant::now();
        let mut said = false;
        let mut pauses = backon::ExponentialBuilder::new()
            .with_min_delay(FIRST)
            .with_max_delay(LONGEST)
            .without_max_times()
            .build();
        while let Err(error) = self.homeserver.probe().await {
            // A breath is no absence.
            if !said && began.elapsed() > LONGEST {
                said = true;
                tracing::warn!(%error, "messages wait for the homeserver");
            }
            let pause = match error {
                Error::Token { .. } => TOKEN,
                Error::RateLimited { after, .. } => after,
                _ => pauses.next().unwrap_or(LONGEST),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.nudged.notified() => {}
            }
        }
        if said {
            tracing::info!(after = ?began.elapsed(), "the homeserver is back; messages go out");
        }
        self.asking.store(false, Ordering::Release);
        self.open.send_replace(true);
    }
}
