//! The HTTP face to people and machines: health, metrics, and the log's tree.
//!
//! `cli::serve` mounts it beside the homeserver's paths on the one listening address. It only reads;
//! whatever changes something comes in through the inbox.

mod log;
mod pages;
pub mod witness;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use tokio::sync::Semaphore;

pub use pages::{Decides, Pages, Sight, WrittenRule};

use crate::{
    model::State as Of,
    storage::{Storage, Unfinished},
};

/// How long the database may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the parts of the server know of their health.
#[derive(Debug, Default)]
pub struct Health {
    /// Whether every declared room exists.
    pub rooms: AtomicBool,
    /// Whether the homeserver answered when it was last asked.
    pub homeserver: AtomicBool,
    /// Whether the server is stopping, and takes no more work.
    pub stopping: AtomicBool,
}

/// What the pages of this face need.
#[derive(Clone)]
pub struct Face {
    storage: Storage,
    health: Arc<Health>,
    metrics: PrometheusHandle,
    /// Who asks needs no token, so however many ask, the database hears few of them: its connections are for work.
    asking: Arc<Semaphore>,
}

/// How many questions about the database are asked at once.
const AT_ONCE: usize = 2;

/// Begins to count what happens: from here on the `metrics` macros are heard.
///
/// # Errors
///
/// Where something in this process counts already.
pub fn count() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    describe();
    Ok(handle)
}

/// Says what each number means, and begins the counters at 0: an alert on an increase does not see the first step of one
/// that was absent until then.
fn describe() {
    for (name, words) in [
        ("quarterdeck_requests_total", "Requests by the state they ended in"),
        ("quarterdeck_transactions_total", "Transactions that the homeserver delivered and that were stored"),
        ("quarterdeck_events_malformed_total", "Events that could not be read; kept raw and passed over"),
        ("quarterdeck_outbox_parked_total", "Messages given up for a reason that waiting does not mend"),
        ("quarterdeck_checkpoints_total", "Checkpoints of the log that were signed"),
        ("quarterdeck_witness_contradicts_total", "Times that a witness had seen another log than ours"),
        (
            "quarterdeck_log_refused_total",
            "Times that the log's tree was not signed, because it does not fit",
        ),
    ] {
        metrics::describe_counter!(name, words);
    }
    for (name, words) in [
        ("quarterdeck_inbox_pending", "Events that wait to be decided"),
        ("quarterdeck_requests_queued", "Requests that wait for a lock or a free place"),
        ("quarterdeck_outbox_pending", "Messages that wait to be sent"),
        ("quarterdeck_runs_running", "Runs under way"),
        ("quarterdeck_oldest_pending_seconds", "Age of the oldest event that waits to be decided"),
        ("quarterdeck_database_up", "Whether the database answers"),
        ("quarterdeck_homeserver_up", "Whether the homeserver answers"),
    ] {
        metrics::describe_gauge!(name, words);
    }
    for name in [
        "transactions_total",
        "events_malformed_total",
        "outbox_parked_total",
        "log_refused_total",
        "witness_contradicts_total",
        "checkpoints_total",
    ] {
        metrics::counter!(format!("quarterdeck_{name}")).absolute(0);
    }
    for state in Of::ALL.into_iter().filter(|state| state.is_terminal()) {
        metrics::counter!("quarterdeck_requests_total", "state" => state.name()).absolute(0);
    }
}

/// The routes: `/health/live`, `/health/ready`, `/metrics`, and those of the log's tree.
pub fn router(storage: Storage, health: Arc<Health>, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(scrape))
        .merge(log::routes())
        .with_state(Face { storage, health, metrics, asking: Arc::new(Semaphore::new(AT_ONCE)) })
}

/// What stands in the way of work, if anything does.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "it is a list of yes and no for a machine to read")]
struct Readiness {
    ready: bool,
    database: bool,
    homeserver: bool,
    rooms: bool,
    stopping: bool,
}

/// Ready is: the database answers, the rooms are there, and nobody asked us to stop. A homeserver that
/// is away is no reason to take us out of service: we wait for it.
async fn ready(State(face): State<Face>) -> impl IntoResponse {
    let database = face.unfinished().await.is_some();
    let rooms = face.health.rooms.load(Ordering::Relaxed);
    let stopping = face.health.stopping.load(Ordering::Relaxed);
    let readiness = Readiness {
        ready: database && rooms && !stopping,
        database,
        homeserver: face.health.homeserver.load(Ordering::Relaxed),
        rooms,
        stopping,
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

async fn scrape(State(face): State<Face>) -> String {
    let flag = |yes| if yes { 1.0 } else { 0.0 };
    metrics::gauge!("quarterdeck_homeserver_up").set(flag(face.health.homeserver.load(Ordering::Relaxed)));
    let unfinished = face.unfinished().await;
    metrics::gauge!("quarterdeck_database_up").set(flag(unfinished.is_some()));
    if let Some(unfinished) = unfinished {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; these counts are small")]
        let gauge = |name: &'static str, value: i64| metrics::gauge!(name).set(value as f64);
        gauge("quarterdeck_inbox_pending", unfinished.inbox);
        gauge("quarterdeck_requests_queued", unfinished.queued);
        gauge("quarterdeck_runs_running", unfinished.running);
        gauge("quarterdeck_outbox_pending", unfinished.outbox);
        let oldest = unfinished.oldest.map(|at| face.storage.now().duration_since(at).as_secs());
        gauge("quarterdeck_oldest_pending_seconds", oldest.unwrap_or_default());
    }
    face.metrics.render()
}

impl Face {
    /// What is unfinished, if the database says so in time.
    async fn unfinished(&self) -> Option<Unfinished> {
        let ask = async {
            // The semaphore is never closed.
            let _place = self.asking.acquire().await;
            self.storage.unfinished().await
        };
        tokio::time::timeout(PATIENCE, ask).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_for_a_request_to_end_is_counted_from_0() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, describe);
        let shown = recorder.handle().render();
        for state in
            ["refused", "succeeded", "failed", "timed_out", "cancelled", "interrupted", "denied", "expired"]
        {
            let line = format!("quarterdeck_requests_total{{state=\"{state}\"}} 0");
            assert!(shown.lines().any(|shown| shown == line), "no `{line}` in\n{shown}");
        }
        assert!(!shown.contains("state=\"running\""), "what is under way has not ended:\n{shown}");
    }

    #[test]
    fn every_counter_that_has_a_meaning_is_there_from_the_start() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, describe);
        let shown = recorder.handle().render();
        for name in shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")) {
            assert!(
                shown.lines().any(|line| line.starts_with(name) && line.ends_with(" 0")),
                "{name} in\n{shown}"
            );
        }
        assert!(shown.contains("quarterdeck_transactions_total 0"), "{shown}");
    }
}
