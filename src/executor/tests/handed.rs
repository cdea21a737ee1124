//! How secrets reach a program, and nobody else.

use super::*;

const VALUE: &str = "hunter2-hunter2\nand a second line";

fn shut_in(deck: &Deck, script: &str) -> Job {
    Job { sandbox: Sandbox::default(), ..deck.script(script) }
}

/// Prints the digest of what it reads: the value itself would be masked.
fn digest() -> String {
    crate::model::Digest::of(VALUE.as_bytes()).to_string()
}

#[tokio::test]
async fn a_secret_in_a_file_is_in_the_private_tmp_of_its_run_and_nowhere_else() {
    let deck = Deck::with_secrets(&[("kube.config", VALUE)]);
    let mut job = shut_in(
        &deck,
        "sha256sum <\"$CONFIG\" | cut -d' ' -f1\necho \"$CONFIG\"\nstat -c '%a %s' \"$CONFIG\" /tmp/.secrets\n\
         ls /proc/self/fd | wc -l\nenv | grep -c hunter2\ncat \"$CONFIG\"",
    );
    job.credential_files.insert("CONFIG".to_owned(), "kube.config".to_owned());
    let attempt = job.attempt;
    let ran = deck.run(job).await;
    let lines: Vec<&str> = text(&ran).lines().collect();
    assert_eq!(lines[0], digest(), "{}", text(&ran));
    assert_eq!(lines[1], "/tmp/.secrets/kube.config");
    assert_eq!(lines[2], format!("400 {}", VALUE.len()));
    assert!(lines[3].starts_with("700 "), "{}", text(&ran));
    // The three streams, and the folder that `ls` reads.
    assert_eq!(lines[4..6], ["4", "0"], "{}", text(&ran));
    assert_eq!(lines[6], "[secret kube.config]", "{}", text(&ran));
    assert!(!Path::new("/tmp/.secrets").exists());
    let spooled = std::process::Command::new("grep")
        .args(["-r", "hunter2"])
        .arg(deck.path("spool").join(attempt.to_string()))
        .output()
        .expect("grep");
    assert!(spooled.stdout.is_empty(), "{spooled:?}");
}

#[tokio::test]
async fn a_secret_on_standard_input_is_read_whole_and_ends() {
    for shut in [false, true] {
        let deck = Deck::with_secrets(&[("password", VALUE)]);
        let mut job = deck.script("sha256sum | cut -d' ' -f1\ncat | wc -c\nenv | grep -c hunter2");
        if shut {
            job.sandbox = Sandbox::default();
        }
        job.credential_input = Some("password".to_owned());
        let ran = deck.run(job).await;
        assert_eq!(text(&ran), format!("{}\n0\n0\n", digest()));
    }
}

#[tokio::test]
async fn one_secret_may_be_given_in_all_three_ways_to_a_user_of_its_own() {
    let deck = Deck::with_secrets(&[("one", VALUE)]);
    fs::set_permissions(deck.folder.path(), fs::Permissions::from_mode(0o755)).expect("changed");
    let mut job = shut_in(&deck, "printf %s \"$V\" | cmp - \"$F\" && cmp - \"$F\" && echo same");
    job.user = nix::unistd::geteuid().is_root().then(|| "nobody".to_owned());
    job.credentials.insert("V".to_owned(), "one".to_owned());
    job.credential_files.insert("F".to_owned(), "one".to_owned());
    job.credential_input = Some("one".to_owned());
    assert_eq!(text(&deck.run(job).await), "same\n");
}

#[tokio::test]
async fn the_longest_secret_is_handed_over_whole_in_each_way() {
    let value = "0123456789abcdef".repeat(crate::model::SECRET_BYTES / 16);
    let deck = Deck::with_secrets(&[("long", &value)]);
    let mut job = shut_in(&deck, "wc -c <\"$F\"\nwc -c");
    job.credential_files.insert("F".to_owned(), "long".to_owned());
    job.credential_input = Some("long".to_owned());
    let length = value.len();
    assert_eq!(text(&deck.run(job).await), format!("{length}\n{length}\n"));
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_is_a_run_that_never_started_whichever_way_it_would_go() {
    let deck = Deck::new();
    for way in 0..3 {
        let mut job = shut_in(&deck, "echo started");
        let name = "deploy-token".to_owned();
        match way {
            0 => drop(job.credentials.insert("TOKEN".to_owned(), name)),
            1 => drop(job.credential_files.insert("TOKEN".to_owned(), name)),
            _ => job.credential_input = Some(name),
        }
        let ran = deck.run(job).await;
        assert!(reason(&ran).contains("secrets/deploy-token.toml"), "{}", reason(&ran));
        assert!(ran.kept.is_empty());
    }
    let deck = Deck::with_secrets(&[("token", VALUE)]);
    let mut open = deck.script("echo started");
    open.credential_files.insert("TOKEN".to_owned(), "token".to_owned());
    assert!(reason(&deck.run(open).await).contains("private /tmp"));
}

#[tokio::test]
async fn what_is_given_a_secret_does_not_read_that_of_another_run() {
    let deck = Deck::with_secrets(&[("token", VALUE)]);
    let mut first = shut_in(&deck, "echo here >\"$MARK\"\nsleep 30");
    let folder = deck.path("mark");
    fs::create_dir(&folder).expect("made");
    let mark = folder.join("mark");
    first.environment.insert("MARK".to_owned(), mark.display().to_string());
    first.sandbox = Sandbox::Bubblewrap {
        network: false,
        writable: vec![folder.display().to_string()],
        readable: vec![],
    };
    first.credential_files.insert("F".to_owned(), "token".to_owned());
    first.credential_input = Some("token".to_owned());
    let other = deck.path("other");
    write_executable(
        &other,
        "#!/bin/sh\nPATH=/usr/bin:/bin\nls /tmp/.secrets 2>/dev/null\nfor it in /proc/[0-9]*; do timeout 1 cat $it/environ $it/fd/0 2>/dev/null | grep -a hunter2; done\necho tried\n",
    );
    let second = Job { sandbox: Sandbox::default(), ..deck.program(&other) };
    let cancel = CancellationToken::new();
    let (_, ran) = tokio::join!(deck.executor.run_job(first, &cancel, &NoSink), async {
        let _ = appears(&mark).await;
        let ran = deck.run(second).await;
        cancel.cancel();
        ran
    });
    assert_eq!(text(&ran), "tried\n");
}
