//! Limits bite.

use super::*;

#[tokio::test]
async fn memory_is_limited() {
    let deck = Deck::new();
    let mut job = deck.script("head -c 300000000 /dev/zero | tail -c 200000000 | wc -c");
    job.limits.memory = 64 << 20;
    let ran = deck.run(job).await;
    assert!(!text(&ran).contains("200000000"), "{}", text(&ran));
}

#[tokio::test]
async fn files_processor_time_and_core_dumps_are_limited() {
    let deck = Deck::new();
    let mut job = deck.script(
        "ulimit -n\nulimit -c\nulimit -t\nulimit -f\nhead -c 5000 /dev/zero >file\necho $?\nwc -c <file",
    );
    job.limits.files = 77;
    job.limits.cpu = Some(5);
    job.limits.file_size = 2048;
    let ran = deck.run(job).await;
    let lines: Vec<&str> = text(&ran).lines().collect();
    assert_eq!(lines[..4], ["77", "0", "5", "4"], "{}", text(&ran));
    assert_ne!(lines[lines.len() - 2], "0", "{}", text(&ran));
    assert_eq!(lines[lines.len() - 1], "2048");
}

#[tokio::test]
async fn a_program_that_only_burns_processor_time_is_ended_by_the_kernel() {
    let deck = Deck::new();
    let mut job = deck.script("while :; do :; done");
    job.limits.cpu = Some(1);
    let ran = deck.run(job).await;
    assert_eq!(ran.outcome.ending, Ending::Killed { signal: 24 });
}
