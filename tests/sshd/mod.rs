//! A real sshd on the loopback, with keys of its own, for this user alone.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Debian's.
const SSHD: &str = "/usr/sbin/sshd";

/// An sshd, which ends with this value.
pub struct Sshd {
    folder: tempfile::TempDir,
    child: Child,
    /// Its port.
    pub port: u16,
    /// Who logs in: whoever runs the tests.
    pub user: String,
}

impl Sshd {
    /// Starts one.
    pub fn start() -> Self {
        assert!(
            Path::new(SSHD).exists(),
            "{SSHD} is not there: deploy/test --install installs openssh-server"
        );
        let folder = tempfile::tempdir().expect("a folder");
        for key in ["host", "other", "login", "stranger"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
                .arg(folder.path().join(key))
                .status();
            assert!(made.expect("ssh-keygen").success());
        }
        fs::copy(folder.path().join("login.pub"), folder.path().join("authorized")).expect("copied");
        let port =
            TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
        let shown = folder.path().display();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized\n\
             PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nAllowAgentForwarding yes\nMaxStartups 100\nMaxSessions 100\n"
        );
        fs::write(folder.path().join("config"), config).expect("written");
        let _ = fs::create_dir("/run/sshd")
            .and_then(|()| fs::set_permissions("/run/sshd", fs::Permissions::from_mode(0o755)));
        let child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(folder.path().join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).expect("a log"))
            .spawn()
            .expect("sshd");
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("a user").expect("a user").name;
        let sshd = Self { folder, child, port, user };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(sshd.path("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(20), "sshd does not listen: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        sshd
    }

    /// A file of its folder: `login` and `stranger` are private keys, `host.pub` and `other.pub` public ones.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a file of `hosts/` says of it, where its key is said to be this one.
    pub fn declared(&self, key: &str) -> String {
        let key = fs::read_to_string(self.path(key)).expect("a key");
        format!(
            "address = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\nkeys = [\"{}\"]\n",
            self.port,
            self.user,
            key.trim()
        )
    }

    /// Ends it, and every connection to it.
    pub fn cut(&mut self) {
        // Each connection is a process of its own, a child of the listening one.
        let listener = self.child.id().to_string();
        let children =
            fs::read_to_string(format!("/proc/{listener}/task/{listener}/children")).unwrap_or_default();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in children.split_whitespace() {
            let pid = nix::unistd::Pid::from_raw(pid.parse().expect("a pid"));
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.cut();
    }
}
