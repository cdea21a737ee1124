//! `quarterdeck exec-run`: the child's side of a start.
//!
//! It applies every limit to itself, which needs no unsafe code between fork and exec, waits for the
//! byte that says that it is on record, and becomes the program. If Quarterdeck dies first, the end
//! of the stream comes instead of the byte, and it exits without having done anything.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt, net::UnixStream},
    },
    path::Path,
    process::ExitCode,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        stat::{Mode, umask},
    },
    unistd::{self, Gid, Uid},
};
use tokio::signal::unix::SignalKind;

use super::{
    handed::{FOLDER, in_memory},
    sandbox::PROCESSES,
    spec::{FAILED, GO, READY, Spec, SpecUser},
};

/// Takes the place of `quarterdeck exec-run`. Returns only if the program was not started.
pub fn become_program() -> ExitCode {
    match prepare_and_exec() {
        Ok(()) => ExitCode::FAILURE,
        Err(Failure::ByHand(reason)) => {
            eprintln!("quarterdeck: `exec-run` is started by Quarterdeck itself, not by hand: {reason}");
            ExitCode::from(2)
        }
        Err(Failure::Said) => ExitCode::from(125),
    }
}

/// Why the program was not started.
enum Failure {
    /// There is nobody to tell.
    ByHand(String),
    /// Quarterdeck was told.
    Said,
}

fn prepare_and_exec() -> Result<(), Failure> {
    let by_hand = |what: &str, error: &dyn std::fmt::Display| Failure::ByHand(format!("{what}: {error}"));
    // First of all, before this process has opened anything: what serve's own parent left open.
    close_inherited().map_err(|error| by_hand("cannot see which files are open", &error))?;
    // A copy that exec closes: its closing is what tells Quarterdeck that exec succeeded.
    let mut control = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(UnixStream::from)
        .map_err(|error| by_hand("standard input", &error))?;
    // From here to exec, which ends this, other processes of the same user read neither the memory of this one,
    // where the credentials will be, nor its descriptors.
    nix::sys::prctl::set_dumpable(false).map_err(|error| by_hand("cannot shut others out", &error))?;
    let null = File::open("/dev/null").map_err(|error| by_hand("/dev/null", &error))?;
    unistd::dup2_stdin(&null).map_err(|error| by_hand("standard input", &error))?;
    drop(null);
    // All that takes its time comes before the reading: a spare child waits there for its run.
    let signals = default_signals().map_err(Failure::ByHand)?;
    let Some(spec) = Spec::read(&mut control).map_err(Failure::ByHand)? else { return Ok(()) };

    let number = control.as_raw_fd();
    let mut say = |reason: String| {
        // Nobody may be left to read it; there is nothing else to be done then.
        let _ = control.write_all(&[FAILED]).and_then(|()| control.write_all(reason.as_bytes()));
        Failure::Said
    };
    let prepared = Prepared::new(&spec, number).map_err(&mut say)?;
    apply(&spec).map_err(&mut say)?;
    if let Some(input) = &prepared.input {
        unistd::dup2_stdin(input)
            .map_err(|error| say(format!("its standard input cannot be prepared: {}", error.desc())))?;
    }

    let mut byte = [0];
    let go = control.write_all(&[READY]).and_then(|()| control.read_exact(&mut byte));
    if go.is_err() || byte[0] != GO {
        return Ok(());
    }
    // bubblewrap tells over it how far it came, and keeps it from the program.
    if spec.wrapper.is_some()
        && let Err(error) = fcntl(&control, FcntlArg::F_SETFD(FdFlag::empty()))
    {
        let _ = write!(&mut control, "fits sandbox cannot be spoken with: {}", error.desc());
        return Err(Failure::Said);
    }
    // Last, because this process itself may already use more than the program is allowed.
    let error = match limit(Resource::RLIMIT_AS, spec.limits.memory, spec.limits.memory) {
        Ok(()) => prepared.exec(),
        Err(error) => {
            let _ = write!(&mut control, "f{error}");
            return Err(Failure::Said);
        }
    };
    drop(signals);
    let reason = explain(error, &spec);
    let _ = control.write_all(&[FAILED]).and_then(|()| control.write_all(reason.as_bytes()));
    Err(Failure::Said)
}

/// Closes everything but the three standard streams.
fn close_inherited() -> std::io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&fd| fd > 2)
        .collect();
    for fd in open {
        // One of them was the folder just read, and is closed already.
        let _ = unistd::close(fd);
    }
    Ok(())
}

/// Makes every signal that matters end the program again, whatever was ignored around us: Rust's
/// runtime ignores SIGPIPE, nohup SIGHUP, a shell's background job SIGINT. What a process ignores its
/// program ignores; what it *catches* is reset by exec. So they are caught for this short while.
fn default_signals() -> Result<impl Sized, String> {
    let describe = |error: std::io::Error| format!("cannot prepare signals: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(describe)?;
    let entered = runtime.enter();
    let mut caught = Vec::new();
    for kind in [
        SignalKind::alarm(),
        SignalKind::child(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::pipe(),
        SignalKind::quit(),
        SignalKind::terminate(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ] {
        caught.push(tokio::signal::unix::signal(kind).map_err(describe)?);
    }
    drop(entered);
    Ok((caught, runtime))
}

/// Everything that can be said before the byte, in the order in which one step needs the others.
fn apply(spec: &Spec) -> Result<(), String> {
    unistd::setsid().map_err(|error| format!("cannot start a session of its own: {}", error.desc()))?;
    umask(Mode::from_bits_truncate(0o077));
    if spec.own_folder {
        enter(spec)?;
    }
    let limits = &spec.limits;
    limit(Resource::RLIMIT_CORE, 0, 0)?;
    limit(Resource::RLIMIT_NOFILE, limits.files, limits.files)?;
    limit(Resource::RLIMIT_FSIZE, limits.file_size, limits.file_size)?;
    if let Some(seconds) = limits.cpu {
        // SIGXCPU first, which tells what happened; SIGKILL if that is caught.
        limit(Resource::RLIMIT_CPU, seconds, seconds.saturating_add(1))?;
    }
    if let Some(processes) = limits.processes.or(spec.wrapper.as_ref().map(|_| PROCESSES)) {
        limit(Resource::RLIMIT_NPROC, processes, processes)?;
    }
    if let Some(user) = &spec.user {
        change_user(user)?;
    }
    nix::sys::prctl::set_no_new_privs()
        .map_err(|error| format!("cannot give up the gaining of privileges: {}", error.desc()))?;
    if spec.own_folder { Ok(()) } else { enter(spec) }
}

/// Sets a limit, or leaves the stricter one that is in force already.
fn limit(resource: Resource, soft: u64, hard: u64) -> Result<(), String> {
    let describe = |error: Errno| format!("cannot set the limit {resource:?} to {hard}: {}", error.desc());
    let (_, in_force) = getrlimit(resource).map_err(describe)?;
    let hard = hard.min(in_force);
    setrlimit(resource, soft.min(hard), hard).map_err(describe)
}

fn enter(spec: &Spec) -> Result<(), String> {
    unistd::chdir(&spec.folder).map_err(|error| {
        let folder = spec.folder.display();
        let who = who();
        match error {
            Errno::ENOENT => {
                format!("its working folder `{folder}` does not exist: make it, or mend `folder`")
            }
            Errno::EACCES => format!(
                "{who} may not enter its working folder `{folder}`: give it the right, or mend `folder`"
            ),
            other => format!("its working folder `{folder}` cannot be entered: {}", other.desc()),
        }
    })
}

/// Becomes another user for good, and makes sure that there is no way back.
fn change_user(user: &SpecUser) -> Result<(), String> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    if unistd::geteuid() == uid && unistd::getuid() == uid && unistd::getegid() == gid && !uid.is_root() {
        return Ok(());
    }
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    unistd::setgroups(&groups)
        .and_then(|()| unistd::setresgid(gid, gid, gid))
        .and_then(|()| unistd::setresuid(uid, uid, uid))
        .map_err(|error| {
            format!(
                "it is to run as the user {}, and Quarterdeck, running as {}, cannot change to it: {}. Run \
                 `quarterdeck serve` as root or with CAP_SETUID and CAP_SETGID, or take `user` out of the command",
                user.name,
                who(),
                error.desc()
            )
        })?;
    if !uid.is_root() && unistd::setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok() {
        return Err(format!("it became the user {}, but could have become root again", user.name));
    }
    Ok(())
}

/// The user that this process is.
fn who() -> String {
    let uid = unistd::geteuid();
    unistd::User::from_uid(uid)
        .ok()
        .flatten()
        .map_or_else(|| format!("user number {uid}"), |user| format!("the user {}", user.name))
}

/// What exec takes, made beforehand: nothing is allocated once memory is limited.
struct Prepared {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    /// What it reads from its standard input.
    input: Option<OwnedFd>,
    /// What its sandbox makes files of.
    _files: Vec<OwnedFd>,
}

/// What tells the sandbox to make the files with secrets.
fn files(spec: &Spec, kept: &mut Vec<OwnedFd>) -> Result<Vec<String>, String> {
    if spec.files.is_empty() {
        return Ok(Vec::new());
    }
    let mut words = vec!["--perms".to_owned(), "0700".to_owned(), "--dir".to_owned(), FOLDER.to_owned()];
    for (path, text) in &spec.files {
        let file = in_memory(text)?;
        words.extend(["--perms", "0400", "--file", &file.as_raw_fd().to_string(), path].map(str::to_owned));
        kept.push(file);
    }
    Ok(words)
}

impl Prepared {
    /// `control` is the number of the descriptor over which a wrapper tells how far it came.
    fn new(spec: &Spec, control: RawFd) -> Result<Self, String> {
        let path = |path: &Path| {
            CString::new(path.as_os_str().as_bytes())
                .map_err(|_| "the path of its program holds a NUL".to_owned())
        };
        let mut kept = Vec::new();
        let input = spec.input.as_deref().map(in_memory).transpose()?;
        let mut program = path(&spec.program)?;
        let mut arguments = vec![program.clone()];
        if let Some(wrapper) = &spec.wrapper {
            program = path(&wrapper.program)?;
            let own = wrapper.arguments.iter().cloned();
            let status = ["--json-status-fd".to_owned(), control.to_string(), "--".to_owned()];
            let files = files(spec, &mut kept)?;
            let words = own.chain(files).chain(status).map(CString::new).collect::<Result<Vec<_>, _>>();
            let words = words.map_err(|_| "a path of its sandbox holds a NUL".to_owned())?;
            arguments.splice(0..0, std::iter::once(program.clone()).chain(words));
        }
        for argument in &spec.arguments {
            arguments.push(
                CString::new(argument.as_str()).map_err(|_| "one of its arguments holds a NUL".to_owned())?,
            );
        }
        let mut environment = Vec::new();
        for (name, value) in &spec.environment {
            let variable = [name.as_bytes(), b"=", value.as_bytes()].concat();
            environment.push(
                CString::new(variable)
                    .map_err(|_| format!("the environment variable {name} would hold a NUL"))?,
            );
        }
        Ok(Self { program, arguments, environment, input, _files: kept })
    }

    /// The system call itself: unlike `execvp`, it never falls back on a shell.
    fn exec(&self) -> Errno {
        match unistd::execve(&self.program, &self.arguments, &self.environment) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }
}

/// Why exec failed, and what to do.
fn explain(error: Errno, spec: &Spec) -> String {
    let program = spec.wrapper.as_ref().map_or(&spec.program, |wrapper| &wrapper.program);
    let program = program.display();
    match error {
        Errno::ENOENT => match (spec.program.exists(), interpreter(&spec.program)) {
            (false, _) => {
                format!("its program `{program}` does not exist: put it there, or mend `program`")
            }
            (true, Some(interpreter)) => format!(
                "the first line of `{program}` names an interpreter that does not exist, `{interpreter}`: install it, or mend that line"
            ),
            (true, None) => format!(
                "`{program}` needs a loader or library that does not exist: was it built for another system?"
            ),
        },
        Errno::EACCES => format!(
            "{} may not execute `{program}`: `chmod +x` it, give that user the right to enter the folders above it, and see that \
             its file system is not mounted noexec",
            who()
        ),
        Errno::ENOEXEC => format!(
            "`{program}` is neither a binary for this machine nor a script that begins with `#!`: write `#!/bin/sh` or the like \
             into its first line (Quarterdeck itself never uses a shell)"
        ),
        Errno::EAGAIN => format!(
            "`{program}` was refused because {} runs as many processes as it may: raise `processes`",
            who()
        ),
        Errno::E2BIG => {
            format!("the arguments and environment of `{program}` are longer than the system takes")
        }
        Errno::ENOMEM => format!("there is not enough memory for `{program}`: raise `memory`"),
        Errno::ETXTBSY => {
            format!("`{program}` is being written to at this moment: try again when that is done")
        }
        other => format!("`{program}` could not be executed: {}", other.desc()),
    }
}

/// What stands after `#!` in the first line.
fn interpreter(program: &Path) -> Option<String> {
    let mut line = Vec::new();
    BufReader::new(File::open(program).ok()?.take(256)).read_until(b'\n', &mut line).ok()?;
    let line = String::from_utf8_lossy(line.strip_prefix(b"#!")?).into_owned();
    line.split_whitespace().next().map(|path| path.escape_debug().to_string())
}
