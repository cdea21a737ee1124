//! What becomes of what a program prints.

use super::*;

/// Remembers everything.
#[derive(Default)]
struct Heard(Mutex<Vec<u8>>);

impl Sink for Heard {
    fn output(&self, bytes: &[u8]) {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
    }
}

/// The resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("statm");
    statm.split(' ').nth(1).expect("a number").parse::<u64>().expect("a number") * 4096
}

#[tokio::test]
async fn both_streams_arrive_in_the_order_in_which_they_were_written() {
    let deck = Deck::new();
    let ran = deck.run(deck.script("echo one\necho two >&2\necho three\nexit 3")).await;
    assert_eq!(text(&ran), "one\ntwo\nthree\n");
    assert_eq!(ran.outcome.ending, Ending::Exited { status: 3 });
    assert!(!ran.outcome.output.truncated);
}

#[tokio::test]
async fn of_fifty_megabytes_head_and_tail_are_kept_and_memory_stays_small() {
    let deck = Deck::new();
    let mut job = deck.script("echo the head\nhead -c 50000000 /dev/zero | tr '\\0' x\necho\necho the tail");
    job.limits.output = 64 << 10;
    let attempt = job.attempt;
    let before = resident();
    let ran = deck.run(job).await;
    let grown = resident().saturating_sub(before);
    assert!(text(&ran).starts_with("the head\nxxx") && text(&ran).ends_with("xxx\nthe tail\n"));
    assert!(text(&ran).contains("bytes left out"));
    assert!(ran.kept.len() < 70 << 10, "{}", ran.kept.len());
    assert_eq!(ran.outcome.output.bytes, 50_000_000 + 9 + 10);
    assert!(ran.outcome.output.truncated);
    assert!(grown < 40 << 20, "memory grew by {grown}");
    let spooled: u64 = fs::read_dir(deck.path("spool").join(attempt.to_string()))
        .expect("the spool")
        .map(|entry| entry.expect("an entry").metadata().expect("its size").len())
        .sum();
    assert!(spooled < 200 << 10, "the spool holds {spooled}");
}

#[tokio::test]
async fn a_secret_is_masked_even_when_it_is_printed_in_two_halves() {
    let deck = Deck::with_secrets(&[("token", "hunter2-hunter2")]);
    let mut job = deck.script(
        "printf 'a %s' hunter2\nsleep 0.2\nprintf -- '-hunter2 b\\n'\nprintf %s \"$TOKEN\" | base64\necho hunter2-hunter",
    );
    job.credentials.insert("TOKEN".to_owned(), "token".to_owned());
    let attempt = job.attempt;
    let heard = Heard::default();
    let ran = deck.executor.run_job(job, &CancellationToken::new(), &heard).await;
    assert_eq!(text(&ran), "a [secret token] b\n[secret token]\nhunter2-hunter\n");
    assert_eq!(*heard.0.lock().expect("unpoisoned"), ran.kept);
    let spooled = fs::read(deck.path("spool").join(attempt.to_string()).join("output")).expect("the spool");
    assert_eq!(spooled, ran.kept);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_kept_as_they_are() {
    let deck = Deck::new();
    let ran = deck.run(deck.script("printf '\\377\\000\\033[31m'")).await;
    assert_eq!(ran.kept, b"\xff\0\x1b[31m");
}
