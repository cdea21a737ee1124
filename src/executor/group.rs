//! Processes as the kernel knows them: who is in a run's session, and their end.
//!
//! A process id alone means nothing after the process has ended, because ids are used again. Here a
//! process is a pid with the time of its start.

use std::fs;

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    /// Its id.
    pub pid: i32,
    /// Its state's letter.
    pub state: char,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// How many threads it has.
    pub threads: u32,
    /// When it started, in ticks since the machine's start.
    pub started: u64,
}

impl Process {
    /// Looks at a process. `None` if there is none of this id.
    pub(super) fn look(pid: i32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads the line. The name in it may hold anything, so it counts from the last `)`.
    fn parse(pid: i32, stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
        Some(Self {
            pid,
            state: fields.first()?.chars().next()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            threads: fields.get(17)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether it still runs: a zombie only waits for its parent, if it is no program whose first thread alone has ended.
    pub(super) const fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x') || self.threads > 1
    }

    /// Whether it gave up the gaining of privileges, as everything does that `exec-run` started.
    pub(super) fn is_confined(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/status", self.pid))
            .is_ok_and(|status| status.lines().any(|line| line == "NoNewPrivs:\t1"))
    }
}

/// The living processes of the session or group that the process `leader` opened.
pub(super) fn members(leader: i32) -> Vec<Process> {
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    folder
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Process::look)
        .filter(|process| (process.session == leader || process.group == leader) && process.is_alive())
        .collect()
}

/// Whether nothing at all is left in the group, zombies included: one system call.
pub(super) fn is_empty(leader: i32) -> bool {
    killpg(Pid::from_raw(leader), None) == Err(Errno::ESRCH)
}

/// Sends a signal to the whole group, and to what opened another group within the session.
pub(super) fn signal(leader: i32, signal: Signal) {
    // It may have ended in this moment, which is what is wanted.
    let _ = killpg(Pid::from_raw(leader), signal);
    for process in members(leader) {
        if process.group != leader {
            let _ = kill(Pid::from_raw(process.pid), signal);
        }
    }
}

/// Ends the group, where that is the end of all in the session: a sandbox's first process is in it.
pub(super) fn kill_at_once(leader: i32) {
    // It may have ended in this moment, which is what is wanted.
    let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
}

/// The id of this start of the machine: times of start count from it.
pub(super) fn machine_boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_brackets_and_spaces_does_not_shift_the_fields() {
        let line = "7 (a) R 1 (b)) S 2 5 6 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 100 200";
        let process = Process::parse(7, line).expect("a process");
        assert_eq!((process.state, process.group, process.session, process.started), ('S', 5, 6, 4242));
        assert_eq!(process.threads, 1);
    }

    #[test]
    fn a_program_whose_first_thread_has_ended_lives_on_in_the_others() {
        const PROGRAM: &str = "import ctypes, sys, threading\n\
            threading.Thread(target=sys.stdin.read).start()\n\
            ctypes.CDLL(None).pthread_exit(None)";
        let mut child = std::process::Command::new("python3")
            .args(["-c", PROGRAM])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("python3");
        let pid = i32::try_from(child.id()).expect("a pid");
        let begun = std::time::Instant::now();
        let process = loop {
            let process = Process::look(pid).expect("it is not waited for yet");
            if process.state == 'Z' {
                break process;
            }
            assert!(begun.elapsed().as_secs() < 20, "its first thread does not end: {process:?}");
            std::thread::yield_now();
        };
        assert!(process.is_alive(), "{process:?}");
        child.kill().expect("killed");
        child.wait().expect("its end");
    }

    #[test]
    fn this_process_sees_itself() {
        let pid = i32::try_from(std::process::id()).expect("a pid");
        let process = Process::look(pid).expect("this process");
        assert!(process.is_alive());
        assert_eq!(Process::look(pid).map(|again| again.started), Some(process.started));
        assert_eq!(Process::look(0), None);
    }
}
