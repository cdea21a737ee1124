//! `quarterdeck witness`: keeps an eye on other houses' logs.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use url::Url;

use super::{serve::stop_signal, telemetry};
use crate::{
    audit::{
        follow::{Error, Follower},
        note::PublicKey,
        room::{self, RoomFollower},
        witness::Witness,
    },
    model::{Clock as _, Secret, SystemClock, SystemRandom},
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
    /// The log room, by its alias or id: it reads the checkpoints that are posted there, and says its cosignatures there. It goes in
    /// with the account of --token-file, by an invitation or an open door
    #[arg(long, value_name = "ROOM", requires_all = ["homeserver", "token_file"])]
    room: Option<String>,
    /// The homeserver of that account: the address of its client-server API
    #[arg(long, value_name = "URL")]
    homeserver: Option<Url>,
    /// A file with an access token of an ordinary account
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What commands begin with in that room
    #[arg(long, value_name = "SIGN", default_value = "!")]
    prefix: String,
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
        let logs = logs?;
        let witness = Arc::new(Witness::open(&self.state, &self.name, logs.clone(), &SystemRandom)?);
        let followers: Result<Vec<_>, _> = self.follow.iter().map(|url| Follower::new(url)).collect();
        let listener = tokio::net::TcpListener::bind(&self.listen)
            .await
            .with_context(|| format!("listening on {} (--listen)", self.listen))?;
        let stop = stop_signal()?;
        println!("{}", witness.key().public());
        tracing::info!(listen = %listener.local_addr()?, name = self.name, "the witness serves");
        if let (Some(room), Some(homeserver), Some(file)) = (self.room, self.homeserver, self.token_file) {
            let token = std::fs::read_to_string(&file)
                .with_context(|| format!("reading the token in {}", file.display()))?;
            let token = Secret::new(token.trim_end());
            let room = Room { homeserver, token, at: room, prefix: self.prefix, logs };
            tokio::spawn(room.follow(Arc::clone(&witness), self.every));
        }
        for follower in followers? {
            tokio::spawn(follow(follower, Arc::clone(&witness), self.every));
        }
        axum::serve(listener, web::witness::router(witness, Arc::new(SystemClock)))
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A log room.
struct Room {
    homeserver: Url,
    token: Secret,
    /// Its alias or id.
    at: String,
    prefix: String,
    logs: Vec<PublicKey>,
}

impl Room {
    /// Goes in, reads what is posted now and then, and answers.
    async fn follow(self, witness: Arc<Witness>, every: Duration) {
        let mut follower = None;
        loop {
            if let Err(error) = self.look(&mut follower, &witness).await {
                tracing::warn!(%error, "the log room is not followed to its end");
            }
            tokio::time::sleep(every).await;
        }
    }

    async fn look(
        &self,
        follower: &mut Option<RoomFollower>,
        witness: &Arc<Witness>,
    ) -> Result<(), room::Error> {
        let follower = match follower {
            Some(follower) => follower,
            none => {
                let (homeserver, token) = (self.homeserver.clone(), self.token.clone());
                let logs = self.logs.clone();
                let entered = RoomFollower::enter(homeserver, token, &self.at, &self.prefix, logs).await?;
                tracing::info!(room = self.at, "follows the log room");
                none.insert(entered)
            }
        };
        let looked = follower.look(witness, SystemClock.now()).await;
        for error in looked.wrong {
            tracing::error!(%error, "something is wrong with what is posted in the log room");
        }
        for (size, _) in looked.said {
            tracing::info!(size, "said in the log room that it was cosigned");
        }
        looked.away.map_or(Ok(()), Err)
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
