//! `quarterdeck witness`: keeps an eye on other houses' logs.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;

use super::{serve::stop_signal, telemetry};
use crate::{
    audit::{
        follow::{Error, Follower},
        note::PublicKey,
        witness::Witness,
    },
    model::{Clock as _, SystemClock, SystemRandom},
    web,
};

/// Sees that logs only grow, and says so by cosignatures, until SIGTERM or SIGINT. It prints its public key when it starts:
/// give that to whoever keeps the log, and take the log's from `quarterdeck audit key`.
///
/// It needs no ops folder and no database. Keep its folder: with an empty one it would take any history for the first.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The folder with its key and what it saw; made where there is none
    #[arg(long, value_name = "FOLDER")]
    state: PathBuf,
    /// Its name, such as witness.example.org/w1; it keeps it for life
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The public key of a log that it follows; several times for several
    #[arg(long = "log", value_name = "KEY", required = true)]
    logs: Vec<String>,
    /// The address of a log's checkpoint and tiles that it looks at by itself, such as https://ops.example.org/log; several times
    /// for several. What it cosigns so is printed, to be said in the log room
    #[arg(long = "follow", value_name = "URL")]
    follow: Vec<String>,
    /// How often it looks
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = super::time)]
    every: Duration,
    /// Where it listens; the address of its `add-checkpoint`
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8391")]
    listen: String,
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
        let logs: Result<Vec<_>, _> = self.logs.iter().map(|key| PublicKey::read(key)).collect();
        let witness = Arc::new(Witness::open(&self.state, &self.name, logs?, &SystemRandom)?);
        let followers: Result<Vec<_>, _> = self.follow.iter().map(|url| Follower::new(url)).collect();
        let listener = tokio::net::TcpListener::bind(&self.listen)
            .await
            .with_context(|| format!("listening on {} (--listen)", self.listen))?;
        let stop = stop_signal()?;
        println!("{}", witness.key().public());
        tracing::info!(listen = %listener.local_addr()?, name = self.name, "the witness serves");
        for follower in followers? {
            tokio::spawn(follow(follower, Arc::clone(&witness), self.every));
        }
        axum::serve(listener, web::witness::router(witness, Arc::new(SystemClock)))
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Looks at a log now and then, and prints what to say of it in its log room.
async fn follow(follower: Follower, witness: Arc<Witness>, every: Duration) {
    loop {
        match follower.look(&witness, SystemClock.now()).await {
            Ok(Some((size, line))) => println!("!cosign {size} {}", line.trim()),
            Ok(None) => {}
            Err(error @ Error::Away { .. }) => tracing::warn!(%error, "the log was not looked at"),
            Err(error) => tracing::error!(%error, "the log was not cosigned"),
        }
        tokio::time::sleep(every).await;
    }
}
