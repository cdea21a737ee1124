//! What a run costs beside the parts that it is made of: `cargo bench --bench run`.
//!
//! The start: [`Executor::probe`] runs `/bin/date` in a sandbox in the way in which every program is run, with a spare child made
//! ready beforehand as in `serve`. Timed from the call until the program tells the time, and until its end is known, beside bare
//! bubblewrap with the same namespaces and mounts, and beside a bare `posix_spawn`.
//!
//! The output: 64 MiB of lines through the redactor of 100 secrets, in the pieces in which a pipe gives them, beside a copy of the
//! same pieces in memory, and beside `cat` of the same file, read from its pipe.
//!
//! What is compared is timed in turn, round by round, so that whatever else the machine does weighs on all, and of each the
//! median is told.

use std::{
    fs,
    hint::black_box,
    io::Read as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use quarterdeck::{
    executor::{Executor, Secrets},
    model::{
        AttemptId, Clock as _, Ending, Random as _, Sandbox, Secret, SystemClock, SystemRandom, Timestamp,
    },
};

use redact::Redactor;

/// Nobody beside the executor masks anything: its file is taken as it is.
#[path = "../src/executor/redact.rs"]
#[expect(dead_code, reason = "its tests are run where it belongs")]
mod redact;

/// What that file names.
mod model {
    pub use quarterdeck::model::Secret;
}

/// As many as a pipe of the executor gives at once.
const PIECE: usize = 64 << 10;
const WHOLE: usize = 64 << 20;
const SECRETS: usize = 100;
/// Tells when it began, in nanoseconds since 1970. What lies before its telling is the same wherever it runs.
const DATE: [&str; 2] = ["/bin/date", "+%s%N"];

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(start(300));
    output(9);
}

async fn start(rounds: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let executor = Executor::new(
        folder.path().join("spool"),
        PathBuf::from(env!("CARGO_BIN_EXE_quarterdeck")),
        Secrets::default(),
        Arc::new(SystemClock),
    );
    let bubblewrap = quarterdeck::executor::find_bubblewrap().expect("bubblewrap");
    let mut arguments = quarterdeck::executor::bare_sandbox().expect("bubblewrap");
    arguments.extend(DATE.map(str::to_owned));
    let (mut spawns, mut wraps, mut runs) = (Both::default(), Both::default(), Both::default());
    for _ in 0..rounds {
        spawns.time(|| bare(DATE[0].into(), &[DATE[1].to_owned()]));
        wraps.time(|| bare(bubblewrap.clone(), &arguments));
        executor.warm();
        // As between two commands: the spare child has come as far as it can.
        tokio::time::sleep(Duration::from_millis(15)).await;
        let attempt = AttemptId(SystemRandom.uuid());
        let begun = (SystemClock.now(), Instant::now());
        let ran = executor.probe(attempt, Sandbox::default()).await;
        assert_eq!(
            ran.outcome.ending,
            Ending::Exited { status: 0 },
            "{}",
            String::from_utf8_lossy(&ran.kept)
        );
        runs.add(begun, &ran.kept);
        executor.forget(attempt).expect("removed");
    }
    println!(
        "a program, the median of {rounds}, in milliseconds: until it began, and until its end was known"
    );
    let (spawn, wrap, run) = (spawns.medians(), wraps.medians(), runs.medians());
    for (name, (began, ended)) in [("posix_spawn", spawn), ("bubblewrap", wrap), ("a run", run)] {
        println!("{name:<12}{:>8.2}{:>8.2}", began.as_secs_f64() * 1_000.0, ended.as_secs_f64() * 1_000.0);
    }
    for (name, other) in [("bubblewrap", wrap), ("posix_spawn", spawn)] {
        println!("a run over {name:<12}{:>6.2}{:>8.2}", ratio(run.0, other.0), ratio(run.1, other.1));
    }
    println!();
}

/// Until programs began, and until their ends were known.
#[derive(Default)]
struct Both {
    began: Vec<Duration>,
    ended: Vec<Duration>,
}

impl Both {
    fn time(&mut self, run: impl FnOnce() -> Output) {
        let begun = (SystemClock.now(), Instant::now());
        let output = run();
        assert!(output.status.success());
        self.add(begun, &output.stdout);
    }

    /// Takes what the program printed when it began.
    fn add(&mut self, begun: (Timestamp, Instant), printed: &[u8]) {
        self.ended.push(begun.1.elapsed());
        let at: i128 = std::str::from_utf8(printed).expect("digits").trim().parse().expect("a number");
        let at = Timestamp::from_nanosecond(at).expect("a time");
        self.began.push(at.duration_since(begun.0).unsigned_abs());
    }

    fn medians(self) -> (Duration, Duration) {
        (median(self.began), median(self.ended))
    }
}

fn bare(program: PathBuf, arguments: &[String]) -> Output {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .expect("it runs")
}

fn output(rounds: usize) {
    let secrets: Vec<(String, Secret)> = (0..SECRETS)
        .map(|number| (format!("secret-{number}"), Secret::new(SystemRandom.uuid().simple().to_string())))
        .collect();
    let mut text = Vec::with_capacity(WHOLE + 200);
    let mut number = 0_u64;
    while text.len() < WHOLE {
        number += 1;
        let line = format!(
            "2026-11-23T12:00:00Z INFO request {number} GET /orders/{} took {} ms\n",
            number * 7919,
            number % 97
        );
        text.extend_from_slice(line.as_bytes());
        if number.is_multiple_of(10_000) {
            text.extend_from_slice(
                secrets[usize::try_from(number / 10_000).unwrap_or(0) % SECRETS].1.expose().as_bytes(),
            );
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("output");
    fs::write(&path, &text).expect("written");
    let (mut copies, mut cats, mut masked) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        copies.push(timed(|| {
            for piece in text.chunks(PIECE) {
                black_box(piece.to_vec());
            }
        }));
        cats.push(timed(|| {
            let mut cat =
                Command::new("/bin/cat").arg(&path).stdout(Stdio::piped()).spawn().expect("cat runs");
            let mut pipe = cat.stdout.take().expect("its pipe");
            let mut piece = vec![0; PIECE];
            while pipe.read(&mut piece).expect("read") > 0 {
                black_box(&piece);
            }
            assert!(cat.wait().expect("its end").success());
        }));
        let named = secrets.iter().map(|(name, value)| (name.as_str(), value));
        let mut redactor = Redactor::new(named).expect("built");
        let mut shown = 0;
        masked.push(timed(|| {
            for piece in text.chunks(PIECE) {
                shown += black_box(redactor.push(piece)).len();
            }
            shown += redactor.finish().len();
        }));
        assert!(shown < text.len(), "masks are shorter than these secrets");
    }
    let rate =
        |took: Duration| f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX)) / 1e6 / took.as_secs_f64();
    let (copy, cat, mask) = (median(copies), median(cats), median(masked));
    println!("64 MiB in pieces of 64 KiB, the median of {rounds}, in MB/s");
    for (name, took) in [("copy", copy), ("cat", cat), ("masked", mask)] {
        println!("{name:<12}{:>8.0}", rate(took));
    }
    println!("masked over cat {:.2}, over half of a copy {:.2}", ratio(cat, mask), ratio(copy * 2, mask));
}

fn timed(mut what: impl FnMut()) -> Duration {
    let begun = Instant::now();
    what();
    begun.elapsed()
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
