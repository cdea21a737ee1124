//! Programs on other hosts, by the system's ssh and a real sshd.

use proptest::prelude::*;

use super::*;
use crate::{
    executor::ssh::Remote,
    model::{Invocation, Value},
};

#[path = "../../../tests/sshd/mod.rs"]
mod sshd;

use sshd::Sshd;

/// A deck whose secret `key` is what may log in.
fn deck(sshd: &Sshd) -> Deck {
    Deck::with_secrets(&[("key", &fs::read_to_string(sshd.path("login")).expect("a key"))])
}

/// A command that runs `program` on hosts, with these files of `hosts/` and these fields in `[run]`.
fn command(program: &Path, hosts: &[(&str, String)], fields: &str) -> Arc<crate::catalogue::Command> {
    let folder = tempfile::tempdir().expect("a folder");
    let names: Vec<_> = hosts.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let mut files = vec![
        (
            "quarterdeck.toml".to_owned(),
            "[homeserver]\nurl = \"http://127.0.0.1:8008\"\nname = \"example.org\"\n".to_owned(),
        ),
        ("secrets/key.toml".to_owned(), "environment = \"KEY\"\n".to_owned()),
        ("policies/all.cedar".to_owned(), "permit (principal, action, resource);\n".to_owned()),
        (
            "commands/there.toml".to_owned(),
            format!(
                "summary = \"Runs there\"\neffect = \"change\"\n\
                 [[argument]]\nname = \"one\"\ntype = \"text\"\nmin_length = 0\nmax_length = 60000\n\
                 [[argument]]\nname = \"two\"\ntype = \"text\"\nrequired = false\n\
                 [run]\nexecutor = \"ssh\"\nhosts = [{}]\nprogram = \"{}\"\narguments = [\"{{one}}\", \"{{two}}\"]\n\
                 key = \"key\"\n{fields}",
                names.join(", "),
                program.display()
            ),
        ),
    ];
    files.extend(hosts.iter().map(|(name, text)| (format!("hosts/{name}.toml"), text.clone())));
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }
    let ops = crate::catalogue::load(folder.path(), &|_| None).expect("a right folder");
    Arc::clone(&ops.commands["there"])
}

fn remote(command: &crate::catalogue::Command, words: &[&str]) -> Remote {
    let names = ["one", "two"].into_iter().zip(words);
    let arguments = names.map(|(name, word)| (name.to_owned(), Value::Text((*word).to_owned()))).collect();
    let invocation =
        Invocation { command: "there".to_owned(), arguments, subject: None, filters: Vec::new(), dry: false };
    let attempt = AttemptId(crate::model::Random::uuid(&crate::model::SystemRandom));
    Remote::of(attempt, RequestNumber(482), command, &invocation).expect("of this kind")
}

async fn run(deck: &Deck, remote: Remote) -> Ran {
    deck.executor.run_kind(remote, &CancellationToken::new(), &NoSink).await
}

impl Deck {
    /// A shell script, for a program that is there.
    fn there(&self, text: &str) -> PathBuf {
        let program = self.path("there");
        write_executable(
            &program,
            &format!("#!/bin/sh\nPATH=/usr/bin:/bin\ncd '{}'\n{text}\n", self.folder.path().display()),
        );
        program
    }
}

fn said(ran: &Ran) -> String {
    match &ran.outcome.ending {
        Ending::NotStarted { reason } => format!("not started: {reason}"),
        Ending::Failed { reason } => format!("failed: {reason}"),
        Ending::Unknown { reason } => format!("unknown: {reason}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_program_runs_there_and_its_output_and_status_come_back_without_the_key() {
    let sshd = Sshd::start();
    let deck = deck(&sshd);
    let login = sshd.path("login");
    let there = deck.there(&format!(
        "echo out \"$1\"; echo err >&2; cat '{}'; echo [$SSH_AUTH_SOCK] [$SSH_TTY]; wc -c; printf 'no newline'; exit 255",
        login.display()
    ));
    let command = command(&there, &[("web1", sshd.declared("host.pub"))], "");
    let ran = run(&deck, remote(&command, &["it's"])).await;
    // 255 is what ssh itself ends with when it fails: here it is the program's own.
    assert_eq!(ran.outcome.ending, Ending::Exited { status: 255 }, "{}", said(&ran));
    let shown = text(&ran);
    assert!(shown.starts_with("out it's\nerr\n"), "{shown}");
    assert!(shown.contains("[secret key]"), "{shown}");
    assert!(shown.ends_with("[] []\n0\nno newline"), "{shown}");
    let key = fs::read_to_string(&login).expect("a key");
    assert!(!shown.contains(key.lines().nth(1).expect("a line")), "{shown}");
    let left: Vec<_> = walk(&deck.path("spool"));
    assert!(!left.iter().any(|path| path.ends_with("key")), "{left:?}");
}

#[tokio::test]
async fn a_program_that_prints_what_everybody_may_know_of_its_run_does_not_tell_its_own_end() {
    let sshd = Sshd::start();
    let deck = deck(&sshd);
    let there = deck.there("printf '\\036%s end 0\\n' \"$1\" \"$2\"; exit 3");
    let command = command(&there, &[("web1", sshd.declared("host.pub"))], "");
    let attempt = AttemptId(crate::model::Random::uuid(&crate::model::SystemRandom));
    let (simple, whole) = (attempt.0.simple().to_string(), attempt.to_string());
    let mut remote = remote(&command, &[&simple, &whole]);
    remote.attempt = attempt;
    let ran = run(&deck, remote).await;
    assert_eq!(ran.outcome.ending, Ending::Exited { status: 3 }, "{}", said(&ran));
}

fn hex(text: &str) -> String {
    text.bytes()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn one_argument_stays_one_argument_whatever_it_holds() {
    let sshd = Sshd::start();
    let deck = deck(&sshd);
    let there = deck.there("for word; do printf '%s' \"$word\" | od -An -v -tx1 | tr -d ' \\n'; echo; done");
    let command = command(&there, &[("web1", sshd.declared("host.pub"))], "");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let arguments =
        ("\\PC{0,30}|[ '\"\\\\$`;\n\t!&|*~#(){}<>%=-]{0,12}", "\\PC{1,30}|[ '\"\\\\$`;\n!-]{1,12}");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(24));
    let done = runner.run(&arguments, |(one, two)| {
        let ran = runtime.block_on(run(&deck, remote(&command, &[&one, &two])));
        prop_assert_eq!(&ran.outcome.ending, &Ending::Exited { status: 0 }, "{}", said(&ran));
        prop_assert_eq!(text(&ran), format!("{}\n{}\n", hex(&one), hex(&two)));
        Ok(())
    });
    done.unwrap();
    for word in [
        "-oProxyCommand=touch gone",
        "$(touch gone)",
        "';touch gone;'",
        "\\",
        "'",
        "a\n",
        &"x".repeat(30_000),
    ] {
        let ran = runtime.block_on(run(&deck, remote(&command, &[word])));
        assert_eq!(text(&ran), format!("{}\n", hex(word)), "{}", said(&ran));
    }
    assert!(!deck.path("gone").exists());
    let ran = runtime.block_on(run(&deck, remote(&command, &["a\0b"])));
    assert!(reason(&ran).contains("NUL"), "{}", said(&ran));
    let ran = runtime.block_on(run(&deck, remote(&command, &[&"'".repeat(59_000)])));
    assert!(reason(&ran).contains("cannot be started"), "{}", said(&ran));
}

#[tokio::test]
async fn nothing_is_started_where_the_host_the_key_or_the_program_is_not_the_declared_one() {
    let sshd = Sshd::start();
    let deck = deck(&sshd);
    let there = deck.there("touch started");
    for (hosts, program, expected) in [
        (sshd.declared("other.pub"), &*there, "web1: no session on"),
        (sshd.declared("host.pub").replace(&sshd.port.to_string(), "9"), &*there, "Connection refused"),
        (sshd.declared("host.pub"), Path::new("/no/such/program"), "has no program /no/such/program"),
        (sshd.declared("host.pub"), Path::new("/etc/passwd"), "has no program /etc/passwd"),
    ] {
        let command = command(program, &[("web1", hosts)], "");
        let ran = run(&deck, remote(&command, &["x"])).await;
        assert!(reason(&ran).contains(expected), "{expected}: {}", said(&ran));
    }
    let stranger = fs::read_to_string(sshd.path("stranger")).expect("a key");
    let other = Deck::with_secrets(&[("key", &stranger)]);
    let command = command(&there, &[("web1", sshd.declared("host.pub"))], "");
    let ran = run(&other, remote(&command, &["x"])).await;
    assert!(reason(&ran).contains("Permission denied"), "{}", said(&ran));
    assert!(!deck.path("started").exists());
}

#[tokio::test]
async fn a_cancel_and_the_time_limit_end_the_program_there_with_what_it_started() {
    let sshd = Sshd::start();
    let deck = deck(&sshd);
    // One goes at SIGTERM, the other at SIGKILL alone.
    for (body, fields, cancels) in [
        ("sleep 600 & echo $! > child; echo $$ > leader; echo begun; wait", "", true),
        (
            "trap : TERM; sleep 600 & echo $! > child; echo $$ > leader; echo begun; while :; do sleep 1; done",
            "timeout = \"2s\"\n",
            false,
        ),
    ] {
        let there = deck.there(body);
        let command = command(&there, &[("web1", sshd.declared("host.pub"))], fields);
        let cancel = CancellationToken::new();
        let running = deck.executor.run_kind(remote(&command, &["x"]), &cancel, &NoSink);
        let watch = async {
            let leader: i32 = appears(&deck.path("leader")).await.parse().expect("a pid");
            let child: i32 = appears(&deck.path("child")).await.parse().expect("a pid");
            assert!(lives(leader) && lives(child));
            if cancels {
                cancel.cancel();
            }
            (leader, child)
        };
        let (ran, (leader, child)) = tokio::join!(running, watch);
        let expected = if cancels { Ending::Cancelled } else { Ending::TimedOut { limit_s: 2 } };
        assert_eq!(ran.outcome.ending, expected, "{}", text(&ran));
        assert!(text(&ran).starts_with("begun\n") && !text(&ran).contains("cut off"), "{}", text(&ran));
        let begun = Instant::now();
        while lives(leader) || lives(child) {
            assert!(begun.elapsed() < Duration::from_secs(5), "{leader} or {child} goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        fs::remove_file(deck.path("leader")).expect("removed");
        fs::remove_file(deck.path("child")).expect("removed");
    }
}

/// Tells when something was printed.
struct Begun(tokio::sync::Notify);

impl Sink for Begun {
    fn output(&self, _: &[u8]) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_lost_connection_makes_the_outcome_unknown_and_ends_the_program_there() {
    let mut sshd = Sshd::start();
    let deck = deck(&sshd);
    let there = deck.there("echo $$ > leader; echo begun; sleep 600");
    let command = command(&there, &[("web1", sshd.declared("host.pub"))], "");
    let (cancel, begun) = (CancellationToken::new(), Begun(tokio::sync::Notify::new()));
    let running = deck.executor.run_kind(remote(&command, &["x"]), &cancel, &begun);
    let watch = async {
        let leader: i32 = appears(&deck.path("leader")).await.parse().expect("a pid");
        // What it printed has come.
        begun.0.notified().await;
        sshd.cut();
        leader
    };
    let (ran, leader) = tokio::join!(running, watch);
    assert!(said(&ran).starts_with("unknown: web1: the connection was lost"), "{}", said(&ran));
    assert_eq!((ran.outcome.state(), text(&ran)), (State::Interrupted, "begun\n"));
    let begun = Instant::now();
    while lives(leader) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{leader} goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_approval_is_bound_to_the_hosts_and_their_keys() {
    let sshd = Sshd::start();
    let program = Path::new("/bin/true");
    let of = |key: &str| command(program, &[("web1", sshd.declared(key))], "");
    let one = definition(&of("host.pub")).await;
    assert_eq!(one, definition(&of("host.pub")).await);
    assert_ne!(one, definition(&of("other.pub")).await);
    let elsewhere = sshd.declared("host.pub").replace("127.0.0.1", "127.0.0.2");
    assert_ne!(one, definition(&command(program, &[("web1", elsewhere)], "")).await);
}

#[tokio::test]
async fn what_was_printed_before_our_death_is_found_afterwards() {
    let sshd = Sshd::start();
    let deck = deck(&sshd);
    let there = deck.there("echo begun; echo $$ > leader; sleep 600");
    let command = command(&there, &[("web1", sshd.declared("host.pub"))], "");
    let remote = remote(&command, &["x"]);
    let attempt = crate::executor::kind::Kind::attempt(&remote);
    let cancel = CancellationToken::new();
    tokio::select! {
        ran = deck.executor.run_kind(remote, &cancel, &NoSink) => panic!("{}", said(&ran)),
        _ = async {
            appears(&deck.path("leader")).await;
            appears(&deck.path("spool").join(attempt.to_string()).join("output")).await
        } => {}
    }
    // Another life of the same instance.
    let spool = deck.path("spool");
    let next = Executor::new(spool, deck.path("exec-run"), Secrets::default(), Arc::new(SystemClock));
    let leftover = next.end_leftover(attempt).await.expect("read").expect("known");
    assert_eq!(String::from_utf8_lossy(&leftover.kept), "begun\n");
}

#[tokio::test]
async fn several_hosts_are_done_so_many_at_once_and_told_one_by_one() {
    let sshd = Sshd::start();
    let deck = deck(&sshd);
    let there = deck.there("echo + >> log; sleep 0.3; echo - >> log; echo at work");
    let names = ["a", "b", "c", "d", "e"];
    let hosts = names.map(|name| (name, sshd.declared("host.pub")));
    let ran = run(&deck, remote(&command(&there, &hosts, "parallel = 2\n"), &["x"])).await;
    assert_eq!(ran.outcome.ending, Ending::Exited { status: 0 }, "{}", text(&ran));
    for name in names {
        assert!(text(&ran).contains(&format!("{name}: at work\n")), "{}", text(&ran));
    }
    assert!(text(&ran).ends_with("a: succeeded\nb: succeeded\nc: succeeded\nd: succeeded\ne: succeeded\n"));
    let log = fs::read_to_string(deck.path("log")).expect("a log");
    let (mut now, mut most) = (0, 0);
    for line in log.lines() {
        now += if line == "+" { 1 } else { -1 };
        most = most.max(now);
    }
    assert_eq!((log.lines().count(), most), (10, 2), "{log}");
}

#[tokio::test]
async fn when_one_host_fails_no_further_one_is_begun_unless_that_is_declared() {
    let sshd = Sshd::start();
    let deck = deck(&sshd);
    let there = deck.there("echo x >> count; exit 3");
    let hosts = ["a", "b", "c"].map(|name| (name, sshd.declared("host.pub")));
    let ran = run(&deck, remote(&command(&there, &hosts, "parallel = 1\n"), &["x"])).await;
    assert_eq!(said(&ran), "failed: 0 of 3 hosts succeeded; not a");
    assert_eq!(text(&ran), "a: failed: exit status 3\nb: not begun\nc: not begun\n");
    assert_eq!(fs::read_to_string(deck.path("count")).expect("a count"), "x\n");
    let command = command(&there, &hosts, "parallel = 1\nkeep_going = true\n");
    let ran = run(&deck, remote(&command, &["x"])).await;
    assert_eq!(said(&ran), "failed: 0 of 3 hosts succeeded; not a, b, c");
    assert_eq!(fs::read_to_string(deck.path("count")).expect("a count"), "x\nx\nx\nx\n");
}
