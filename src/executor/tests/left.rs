//! What a run leaves in its out folder: what is taken of it, and what never is.

use super::*;
use crate::executor::left::{MOST_BYTES, MOST_FILES};

fn with_out(deck: &Deck, sandbox: Sandbox, script: &str) -> Job {
    Job { out: true, sandbox, ..deck.script(&format!("cd \"$QUARTERDECK_OUT\" || exit 9\n{script}")) }
}

/// The names of what was kept, with its bytes.
fn kept(ran: &Ran) -> Vec<(String, Vec<u8>)> {
    let bytes = |file: &LeftFile| -> Vec<u8> {
        (0..file.whole.parts()).flat_map(|part| file.whole.part(part).expect("read")).collect()
    };
    let files = ran.left.files.iter().map(|file| {
        let bytes = bytes(file);
        assert_eq!(crate::model::Digest::of(&bytes), file.digest);
        (file.name.clone(), bytes)
    });
    files.collect()
}

fn names(ran: &Ran) -> Vec<String> {
    kept(ran).into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn files_are_kept_masked_with_and_without_a_sandbox_and_the_folder_goes() {
    for sandbox in [Sandbox::default(), Sandbox::None] {
        let deck = Deck::with_secrets(&[("token", "hunter2-hunter2\n")]);
        let script = "printf 'a,%s\\n' \"$TOKEN\" > report.csv\nprintf '\\000\\377' > \"$TOKEN.bin\"\n: > empty\nexit 3";
        let mut job = with_out(&deck, sandbox, script);
        job.credentials.insert("TOKEN".to_owned(), "token".to_owned());
        let attempt = job.attempt;
        let ran = deck.run(job).await;
        assert_eq!(ran.outcome.ending, Ending::Exited { status: 3 }, "{}", text(&ran));
        let files = kept(&ran);
        let expected: [(&str, &[u8]); 3] =
            [("empty", b""), ("[secret token].bin", b"\0\xff"), ("report.csv", b"a,[secret token]\n")];
        let expected: Vec<_> =
            expected.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        assert_eq!(files, expected);
        let types: Vec<_> = ran.left.files.iter().map(|file| file.media_type).collect();
        assert_eq!(types, ["text/plain", "application/octet-stream", "text/plain"]);
        assert!(ran.left.refused.is_empty(), "{:?}", ran.left.refused);
        assert!(!deck.path("spool").join(attempt.to_string()).join("out").exists(), "nothing unmasked stays");
        deck.executor.forget(attempt).expect("removed");
    }
}

#[tokio::test]
async fn a_secret_that_is_cut_by_the_end_of_what_is_read_at_once_is_masked() {
    let deck = Deck::with_secrets(&[("token", "hunter2-hunter2\n")]);
    let script = "head -c 65530 /dev/zero | tr '\\0' x > long\nprintf %s \"$TOKEN\" >> long\nprintf '%s' hunter2-hun > one\nprintf ter2 > two";
    let mut job = with_out(&deck, Sandbox::default(), script);
    job.credentials.insert("TOKEN".to_owned(), "token".to_owned());
    let ran = deck.run(job).await;
    let files = kept(&ran);
    assert!(files[0].1.ends_with(b"x[secret token]") && files[0].1.len() == 65_530 + 14);
    // What one file ends with and the next begins with is no secret.
    assert_eq!((&*files[1].1, &*files[2].1), (b"hunter2-hun".as_slice(), b"ter2".as_slice()));
}

#[tokio::test]
async fn what_is_no_file_of_its_own_is_not_taken_and_never_opened() {
    let deck = Deck::new();
    let outside = deck.path("outside");
    fs::write(&outside, "not for anybody\n").expect("written");
    let script = format!(
        "ln -s {0} link\nln {0} hard\nln -s /proc/self/environ environ\nmkfifo pipe\nmkdir folder\necho x > folder/within\n\
         python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'\necho fine > fine",
        outside.display()
    );
    // Without a sandbox: in one nothing of outside could be linked to.
    let ran =
        tokio::time::timeout(Duration::from_secs(30), deck.run(with_out(&deck, Sandbox::None, &script)))
            .await
            .expect("a pipe that nobody writes to is not waited for");
    assert_eq!(kept(&ran), [("fine".to_owned(), b"fine\n".to_vec())]);
    let refused = ran.left.refused.join("\n");
    for told in [
        "environ: it is a link",
        "folder: it is a folder",
        "hard: it is, or was",
        "link: it is a link",
        "pipe: it is no file",
        "and 1 more",
    ] {
        assert!(refused.contains(told), "{told}: {refused}");
    }
}

#[tokio::test]
async fn a_name_says_what_it_shows_and_no_two_are_one() {
    let deck = Deck::new();
    let script = "python3 - <<'EOF'\nimport os\nfor name in [b'-rf', b'..evil', b'a\\nb', b'a\\tb', b'gpj.\\xe2\\x80\\xaeexe', b'\\xff\\xfe', b'x' * 200 + b'.csv', b'con:aux', b' ']:\n    open(name, 'w').close()\nEOF";
    let ran = deck.run(with_out(&deck, Sandbox::default(), script)).await;
    let long = format!("{}…{}.csv", "x".repeat(59), "x".repeat(16));
    let mut expected = vec!["file", "rf", "evil", "a_b", "2-a_b", "con_aux", "gpj._exe", &*long, "__"];
    let mut names = names(&ran);
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected, "{}", text(&ran));
}

#[tokio::test]
async fn there_are_so_many_and_so_much_and_the_rest_is_told() {
    let deck = Deck::new();
    let script =
        "truncate -s 100M sparse\nhead -c 1000 /dev/zero > a\nfor number in $(seq 20); do : > n$number; done";
    let ran = deck.run(with_out(&deck, Sandbox::default(), script)).await;
    assert_eq!(ran.left.files.len(), MOST_FILES);
    assert!(!names(&ran).contains(&"sparse".to_owned()));
    let refused = ran.left.refused.join("\n");
    assert!(refused.contains("there are 16 already") && refused.contains("and 1 more"), "{refused}");
    let ran = deck.run(with_out(&deck, Sandbox::default(), "truncate -s 40M a b; echo small > c")).await;
    assert_eq!(names(&ran), ["a", "c"]);
    assert!(ran.left.refused[0].contains("more than 64 MiB"), "{:?}", ran.left.refused);
    assert!(ran.left.files.iter().map(|file| file.whole.length()).sum::<u64>() <= MOST_BYTES);
}

#[tokio::test]
async fn one_that_fills_the_disk_through_its_folder_is_stopped() {
    let deck = Deck::new();
    let script = "mkdir -p deep/er; while :; do head -c 20000000 /dev/zero > deep/er/$((count += 1)) || exit 1; sleep 0.02; done";
    let ran = deck.run(with_out(&deck, Sandbox::default(), script)).await;
    let Ending::Failed { reason } = &ran.outcome.ending else { panic!("{:?}", ran.outcome.ending) };
    assert!(reason.contains("256 MiB"), "{reason}");
    assert!(ran.left.files.is_empty());
}

#[tokio::test]
async fn a_folder_that_its_program_locked_is_removed_all_the_same() {
    let deck = Deck::new();
    let script = "mkdir -p a/b; echo x > a/b/c; chmod 0 a/b a; chmod 500 .; echo done";
    let job = with_out(&deck, Sandbox::default(), script);
    let attempt = job.attempt;
    let ran = deck.run(job).await;
    assert_eq!(text(&ran), "done\n");
    deck.executor.forget(attempt).expect("removed");
    assert!(!deck.path("spool").join(attempt.to_string()).exists());
}

#[tokio::test]
async fn without_a_declaration_there_is_no_folder_and_no_variable() {
    let deck = Deck::new();
    let job = Job { sandbox: Sandbox::default(), ..deck.script("echo \"<$QUARTERDECK_OUT>\"; ls -d /out") };
    let ran = deck.run(job).await;
    assert!(text(&ran).starts_with("<>\n") && ran.left == Left::default(), "{}", text(&ran));
}
