//! The sandbox of a run: bubblewrap, which makes the namespaces and then becomes the program's keeper.
//!
//! `exec-run` executes `bwrap` in the program's place. It stays as the leader of the run's session; a second one is
//! the first process of the run's own pid namespace, and lives in that session too. Whoever kills that one ends
//! everything within, whatever session or group it opened: the kernel sees to it.
//!
//! What is not named here is not there: not the ops folder, not the spool, not `/run` with the database's socket, not
//! anybody's home. What is made here is made anew for each run and goes with it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde::{Deserialize, Serialize};

use super::{job::Job, left::IN_SANDBOX};
use crate::model::Sandbox;

/// Where bubblewrap is looked for: `PATH` is nobody's business here.
const PLACES: [&str; 3] = ["/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap"];
/// Processes that a sandboxed run's user may have in all, where its command does not say.
pub(super) const PROCESSES: u64 = 4096;
/// How much the private `/tmp` holds, in bytes.
const TMP: &str = "268435456";
/// How much `/dev/shm` holds, in bytes.
const SHARED: &str = "67108864";
/// The parts of the system beside `/usr`, where they are no links into it.
const SYSTEM: [&str; 5] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64"];
/// What programs ask of `/etc`, and nothing that is anybody's configuration or key.
const ETC: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki/tls/certs",
    "protocols",
    "python3",
    "resolv.conf",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
];

/// What is executed in the program's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wrapper {
    /// The absolute path of `bwrap`.
    pub program: PathBuf,
    /// Its arguments up to the program's own.
    pub arguments: Vec<String>,
}

/// Where bubblewrap is on this host.
///
/// # Errors
///
/// That it is not installed, and the mend.
pub fn find_bubblewrap() -> Result<PathBuf, String> {
    PLACES.iter().map(PathBuf::from).find(|path| path.is_file()).ok_or_else(|| {
        "it runs in a sandbox, and bubblewrap (`bwrap`) is not installed: `apt-get install bubblewrap`, or write \
         sandbox = \"none\" into its command's file"
            .to_owned()
    })
}

/// The version of bubblewrap, asked once in this process's life: `0.8.0`.
fn version(bubblewrap: &Path) -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let asked = Command::new(bubblewrap).arg("--version").env_clear().stdin(Stdio::null()).output();
        let said =
            asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        said.split_whitespace().nth(1).unwrap_or("unknown").to_owned()
    })
}

/// Whether that version can bar what runs in it from making user namespaces of its own (since 0.8.0).
fn bars_namespaces(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (major, minor) >= (0, 8)
}

/// What bubblewrap is told for a program that needs nothing beside the system, up to the program itself: what every run's sandbox
/// begins with.
///
/// # Errors
///
/// That bubblewrap is not installed, and the mend.
pub fn bare_sandbox() -> Result<Vec<String>, String> {
    let mut line = Line::surroundings(&find_bubblewrap()?, false)?;
    line.add(&["--remount-ro", "/", "--chdir", "/tmp"]);
    Ok(line.0)
}

/// What of the sandbox is in force on this host, in words: tried with a program that does nothing.
///
/// # Errors
///
/// Why no sandboxed program can start here, and the mend.
pub fn in_force() -> Result<String, String> {
    let program = find_bubblewrap()?;
    let tried = Command::new(&program)
        .args(bare_sandbox()?)
        .arg("/bin/true")
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`{}` cannot be started: {error}", program.display()))?;
    if !tried.status.success() {
        return Err(why_not(&tried.stderr));
    }
    let version = version(&program);
    let further = if bars_namespaces(version) {
        "no further namespaces"
    } else {
        "further user namespaces NOT barred (that takes bubblewrap 0.8.0)"
    };
    Ok(format!(
        "bubblewrap {version}: namespaces of its own, no network unless declared, a read-only system, a private /tmp, \
         no capabilities, {further}; limits for each process (rlimits), none for a whole run (no cgroup)"
    ))
}

/// What shuts a job in, with its out folder if it has one; `None` where its command says that nothing does.
pub(super) fn wrapper(job: &Job, out: Option<&Path>) -> Result<Option<Wrapper>, String> {
    let Sandbox::Bubblewrap { network, writable, readable } = &job.sandbox else { return Ok(None) };
    let program = find_bubblewrap()?;
    let mut line = Line::surroundings(&program, *network)?;
    // What lies deeper comes later, and so is what its own line says.
    let mut places: Vec<(&str, &str)> = readable.iter().map(|path| (path.as_str(), "--ro-bind")).collect();
    places.extend(writable.iter().map(|path| (path.as_str(), "--bind")));
    let folder = job.folder.as_deref().map(utf8).transpose()?;
    if let Some(folder) = folder.filter(|folder| !covered(folder, &places)) {
        places.push((folder, "--ro-bind"));
    }
    let shown = job.program.display();
    if job.program.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Err(format!("its program `{shown}` does not exist: put it there, or mend `program`"));
    }
    if job.program.is_dir() {
        return Err(format!("its program `{shown}` is a folder: mend `program`"));
    }
    let path = utf8(&job.program)?;
    // Under a writable place as well: no run may write what the next one executes.
    let shut: Vec<_> = places.iter().copied().filter(|(_, how)| *how == "--ro-bind").collect();
    if !covered(path, &shut) && !is_system(&job.program) {
        places.push((path, "--ro-bind"));
    }
    places.sort_by_key(|(path, _)| Path::new(path).components().count());
    for (path, how) in places {
        if !Path::new(path).exists() {
            return Err(format!(
                "`{path}`, which its sandbox is to hold, does not exist: make it, or mend `writable`, `readable` or `folder`"
            ));
        }
        // A link can be pointed elsewhere by whoever may write where it lies: by another command's run, for one.
        if how == "--bind" && fs::canonicalize(path).is_ok_and(|real| real != Path::new(path)) {
            return Err(format!(
                "`{path}`, which its sandbox is to hold, is a link or lies behind one: name the place itself in `writable`"
            ));
        }
        line.add(&[how, path, path]);
    }
    if let Some(out) = out {
        line.add(&["--bind", utf8(out)?, IN_SANDBOX]);
    }
    line.add(&["--remount-ro", "/", "--chdir", folder.unwrap_or("/tmp")]);
    Ok(Some(Wrapper { program, arguments: line.0 }))
}

struct Line(Vec<String>);

impl Line {
    /// What every sandbox is made of: its namespaces, the system, a `/proc`, `/dev` and `/tmp` of its own.
    fn surroundings(bubblewrap: &Path, network: bool) -> Result<Self, String> {
        let mut line = Self(Vec::new());
        line.add(&[
            "--unshare-user",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ]);
        if bars_namespaces(version(bubblewrap)) {
            line.add(&["--disable-userns"]);
        }
        if !network {
            line.add(&["--unshare-net"]);
        }
        line.add(&["--cap-drop", "ALL", "--ro-bind", "/usr", "/usr"]);
        for part in SYSTEM {
            match fs::read_link(part) {
                Ok(target) => line.add(&["--symlink", utf8(&target)?, part]),
                Err(_) => line.add(&["--ro-bind-try", part, part]),
            }
        }
        for name in ETC {
            let path = format!("/etc/{name}");
            line.add(&["--ro-bind-try", &path, &path]);
        }
        line.add(&[
            "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", SHARED, "--tmpfs", "/dev/shm",
        ]);
        line.add(&["--remount-ro", "/dev", "--perms", "1777", "--size", TMP, "--tmpfs", "/tmp"]);
        Ok(line)
    }

    fn add(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|&word| word.to_owned()));
    }
}

fn covered(path: &str, places: &[(&str, &str)]) -> bool {
    places.iter().any(|(place, _)| Path::new(path).starts_with(place))
}

fn is_system(path: &Path) -> bool {
    path.starts_with("/usr") || SYSTEM.iter().any(|part| path.starts_with(part))
}

fn utf8(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("the path `{}` is no UTF-8 text: mend it", path.display()))
}

/// Whether bubblewrap told that the program was executed and ended: it tells the status of nothing else.
pub(super) fn told_an_end(said: &[u8]) -> bool {
    String::from_utf8_lossy(said).contains("\"exit-code\"")
}

/// The id, outside, of the sandbox's first process, as bubblewrap told it when it had made that. The namespace of processes
/// is that one's: nothing in it outlives it.
pub(super) fn first_of(said: &[u8]) -> Option<i32> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Made {
        child_pid: i32,
    }
    serde_json::Deserializer::from_slice(said).into_iter::<Made>().next()?.ok().map(|made| made.child_pid)
}

/// Why bubblewrap did not get as far as the program, from what it printed.
pub(super) fn why_not(printed: &[u8]) -> String {
    let printed = String::from_utf8_lossy(printed);
    let line = printed.lines().find_map(|line| line.strip_prefix("bwrap: ")).unwrap_or("it did not say why");
    if line.starts_with("execvp") {
        return format!(
            "its program could not be executed in its sandbox ({line}): `chmod +x` it; and what it needs beside the \
             system (an interpreter, libraries) must be named: readable = [\"/opt/...\"]"
        );
    }
    format!(
        "its sandbox could not be made ({line}): the system must let Quarterdeck's user make namespaces \
         (`quarterdeck doctor` tries it), and that user must reach what the sandbox holds; or write sandbox = \"none\" \
         into its command's file"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_that_know_how_are_asked_to_bar_further_namespaces() {
        for (version, bars) in
            [("0.8.0", true), ("0.11.0", true), ("1.0", true), ("0.4.1", false), ("unknown", false)]
        {
            assert_eq!(bars_namespaces(version), bars, "{version}");
        }
    }

    #[test]
    fn the_first_process_is_known_once_bubblewrap_has_told_the_whole_of_it() {
        let told = b"{ \"child-pid\": 6177, \"net-namespace\": 4026532}\n{ \"exit-code\": 0 }\n";
        assert_eq!(first_of(told), Some(6177));
        for part in [&told[..18], b"", b"fits sandbox cannot be spoken with"] {
            assert_eq!(first_of(part), None);
        }
    }

    #[test]
    fn what_is_in_force_here_is_told_with_the_version_that_shuts_in() {
        let words = in_force().expect("bubblewrap starts on this host");
        assert!(words.contains("namespaces of its own") && words.contains("no cgroup"), "{words}");
        let version = version(&find_bubblewrap().expect("it is installed"));
        assert!(version.starts_with(|c: char| c.is_ascii_digit()) && words.contains(version), "{words}");
    }
}
