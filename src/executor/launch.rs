//! The start of a process: from a job to a program that runs, or a reason why none does.

use std::{
    ffi::CString,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::Path,
    process::Stdio,
    time::Duration,
};

use nix::unistd::{self, User};
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixStream, unix::pipe},
    process::{Child, Command},
};

use super::{
    group::{self, Process},
    handed::{self, Given, Way},
    job::Job,
    left, sandbox,
    spec::{FAILED, GO, READY, Spec, SpecUser},
    spool::{Meta, Spool},
};
use crate::{catalogue::OUT_VARIABLE, model::Timestamp};

/// How long `exec-run` may take to get ready: it is our own program and needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// An `exec-run` that waits: for what to run, or for the byte; or what it became.
pub(super) struct Running {
    /// The child; its pid is also its group and its session.
    pub child: Child,
    /// Its pid.
    pub pid: i32,
    /// Closes when exec succeeded; otherwise says why it did not.
    pub control: UnixStream,
    /// What it prints, on either stream.
    pub output: pipe::Receiver,
}

/// Looks up the user that a command is to run as.
pub(super) fn find_user(name: &str) -> Result<SpecUser, String> {
    let user = User::from_name(name)
        .map_err(|error| format!("the user {name} cannot be looked up: {}", error.desc()))?
        .ok_or_else(|| {
            format!(
                "it is to run as the user {name}, whom this host does not know: make the user, or mend `user`"
            )
        })?;
    let c_name = CString::new(name).map_err(|_| "its `user` holds a NUL".to_owned())?;
    let groups = unistd::getgrouplist(&c_name, user.gid)
        .map_err(|error| format!("the groups of the user {name} cannot be looked up: {}", error.desc()))?;
    Ok(SpecUser {
        name: name.to_owned(),
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(unistd::Gid::as_raw).collect(),
    })
}

/// Starts it, in the spare child where there is one. After an `Err` no program has run, and nothing is
/// left of the child.
pub(super) async fn launch(
    exec_run: &Path,
    spare: Option<Running>,
    job: &Job,
    secrets: &[Given],
    spool: &Spool,
    at: Timestamp,
) -> Result<Running, String> {
    let user = job.user.as_deref().map(find_user).transpose()?;
    let spec = specify(job, secrets, spool, user)?.to_bytes()?;
    let mut running =
        match spare.filter(|spare| Process::look(spare.pid).is_some_and(|child| child.is_alive())) {
            Some(spare) => spare,
            None => spawn(exec_run).map_err(|error| {
                format!("Quarterdeck cannot start its own `exec-run` (`{}`): {error}", exec_run.display())
            })?,
        };
    match tokio::time::timeout(PATIENCE, prepare(&mut running, spec.expose_secret(), job, spool, at)).await {
        Ok(Ok(())) => Ok(running),
        Ok(Err(reason)) => {
            end(running).await;
            Err(reason)
        }
        Err(_) => {
            end(running).await;
            Err(format!(
                "Quarterdeck's `exec-run` was not ready after {} s: is this host overloaded?",
                PATIENCE.as_secs()
            ))
        }
    }
}

/// Gives the byte. From here on the program may have run.
pub(super) async fn go(running: &mut Running) -> Result<(), String> {
    running
        .control
        .write_all(&[GO])
        .await
        .map_err(|error| format!("Quarterdeck's `exec-run` ended before it was told to go: {error}"))
}

/// Ends a child that was not given the byte.
pub(super) async fn end(mut running: Running) {
    // It may have ended by itself; either way it is waited for, so that no zombie stays.
    let _ = running.child.start_kill();
    let _ = running.child.wait().await;
}

fn specify(job: &Job, secrets: &[Given], spool: &Spool, user: Option<SpecUser>) -> Result<Spec, String> {
    if !job.program.is_absolute() {
        return Err(format!("its program `{}` is no absolute path: mend `program`", job.program.display()));
    }
    let mut environment = job.environment.clone();
    let (mut files, mut input) = (Vec::new(), None);
    for Given { way, name, value } in secrets {
        let value = value.expose().to_owned();
        match way {
            Way::Variable(variable) => drop(environment.insert(variable.clone(), value)),
            Way::File(variable) => {
                let path = handed::path_of(name);
                environment.insert(variable.clone(), path.clone());
                files.push((path, value));
            }
            Way::Input => input = Some(value),
        }
    }
    let out = if job.out {
        let out = spool.out();
        out.create(user.as_ref())?;
        Some(out.path())
    } else {
        None
    };
    let wrapper = sandbox::wrapper(job, out.as_deref())?;
    if let Some(out) = out {
        let path = if wrapper.is_some() { left::IN_SANDBOX.into() } else { out };
        environment.insert(OUT_VARIABLE.to_owned(), path.to_string_lossy().into_owned());
    }
    if wrapper.is_none() && !files.is_empty() {
        return Err(
            "without a sandbox there is no private /tmp for credential_files: mend its command".to_owned()
        );
    }
    let (folder, own_folder) = match &job.folder {
        // Its folder is a thing of the sandbox.
        _ if wrapper.is_some() => ("/".into(), false),
        Some(folder) => (folder.clone(), false),
        None => (spool.create_work(user.as_ref())?, true),
    };
    Ok(Spec {
        program: job.program.clone(),
        arguments: job.arguments.clone(),
        environment: environment.into_iter().collect(),
        files,
        input,
        folder,
        own_folder,
        user,
        limits: job.limits,
        wrapper,
    })
}

/// Starts an `exec-run` that waits to be told what to run.
pub(super) fn spawn(exec_run: &Path) -> io::Result<Running> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    let (reader, writer) = io::pipe()?;
    // The command holds the child's ends: it is gone before anybody waits for their closing.
    let child = Command::new(exec_run)
        .arg("exec-run")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(writer.try_clone()?))
        .stderr(Stdio::from(writer))
        .kill_on_drop(true)
        .spawn()?;
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .ok_or_else(|| io::Error::other("the child has no pid"))?;
    Ok(Running {
        child,
        pid,
        control: UnixStream::from_std(ours)?,
        output: pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?,
    })
}

/// Hands over what to run, and meanwhile writes down who the child is.
async fn prepare(
    running: &mut Running,
    spec: &[u8],
    job: &Job,
    spool: &Spool,
    at: Timestamp,
) -> Result<(), String> {
    let started = Process::look(running.pid)
        .ok_or("Quarterdeck's `exec-run` ended at once, or /proc cannot be read")?
        .started;
    let meta = Meta {
        attempt: job.attempt,
        number: job.number,
        machine_boot: group::machine_boot(),
        pid: running.pid,
        started,
        at,
        limit: job.limits.output,
    };
    let spool = spool.clone();
    let record = async {
        tokio::task::spawn_blocking(move || spool.write_meta(&meta))
            .await
            .map_err(io::Error::other)
            .flatten()
            .map_err(|error| {
                format!("the process cannot be written down in the spool: {error}; is there space?")
            })
    };
    let control = &mut running.control;
    let ready = async {
        let gone = |error: io::Error| format!("Quarterdeck's `exec-run` ended before it was ready: {error}");
        control.write_all(spec).await.map_err(gone)?;
        match control.read_u8().await.map_err(gone)? {
            READY => Ok(()),
            FAILED => Err(words(control).await),
            other => Err(format!(
                "Quarterdeck's `exec-run` said {other:?}, which means nothing: is it another version?"
            )),
        }
    };
    tokio::try_join!(record, ready).map(|((), ())| ())
}

/// The words of a failure.
pub(super) async fn words(control: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    // What came until an error is better than nothing.
    let _ = control.take(64 << 10).read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}
