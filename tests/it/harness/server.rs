//! A running `quarterdeck serve`.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long anything about the process may take: it waits for a homeserver on a machine that others use as well.
const PATIENCE: Duration = Duration::from_secs(90);

/// A `serve` process. It is killed when this is dropped.
pub struct Server {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Server {
    /// Starts it; what it writes is added to `log`.
    pub fn start(ops: &Path, address: &str, environment: &[(&str, &str)], log: &Path) -> Self {
        let file = fs::File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
            .args(["serve", "--ops"])
            .arg(ops)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, address: address.to_owned(), log: log.to_owned() }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says that it is ready; false where it ended before.
    pub async fn ready_or_dead(&mut self) -> bool {
        let url = format!("http://{}/health/ready", self.address);
        let client = client();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if client.get(&url).send().await.is_ok_and(|response| response.status().is_success()) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        panic!("`serve` was not ready after {PATIENCE:?}\n{}", self.log_tail());
    }

    /// Waits until it is ready.
    pub async fn ready(&mut self) {
        assert!(self.ready_or_dead().await, "`serve` ended\n{}", self.log_tail());
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("`serve` had not ended after {PATIENCE:?}\n{}", self.log_tail());
    }

    /// Waits until it has killed itself at the point that it was told.
    pub async fn died(&mut self) {
        let status = self.ended().await;
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{status}\n{}", self.log_tail());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; its exit must be in good order.
    pub async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.ended().await;
        assert!(status.success(), "{status}\n{}", self.log_tail());
    }

    /// Any signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// What `/metrics` says of a name, labels included.
    pub async fn metric(&self, name: &str) -> f64 {
        let url = format!("http://{}/metrics", self.address);
        let text = client().get(url).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).trim().parse().unwrap()
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of a log.
pub fn log_tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    format!("--- the end of serve's log\n{}\n---", lines[lines.len().saturating_sub(80)..].join("\n"))
}

/// A plain HTTP client that asks no proxy.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}
