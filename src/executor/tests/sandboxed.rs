//! What a sandboxed run may not do. Each of these is tried by a program that wants it.

use super::*;

fn shut_in(deck: &Deck, script: &str) -> Job {
    Job { sandbox: Sandbox::default(), ..deck.script(script) }
}

#[tokio::test]
async fn a_sandboxed_program_gets_its_arguments_its_environment_and_a_private_tmp() {
    let deck = Deck::with_secrets(&[("token", "hunter2-hunter2\n")]);
    let mut job = shut_in(
        &deck,
        "pwd\nls | wc -l\necho \"$1\"\necho kept > note && cat note\ncat\necho \"$TOKEN\"\nexit 3",
    );
    job.arguments = vec!["; rm -rf /".to_owned()];
    job.credentials.insert("TOKEN".to_owned(), "token".to_owned());
    let ran = deck.run(job).await;
    assert_eq!(text(&ran), "/tmp\n0\n; rm -rf /\nkept\n[secret token]\n");
    assert_eq!(ran.outcome.ending, Ending::Exited { status: 3 });
}

#[tokio::test]
async fn it_sees_no_file_that_nobody_declared() {
    let deck = Deck::with_secrets(&[("token", "hunter2-hunter2\n")]);
    let secret = deck.path("secret-token");
    let script = format!(
        "cat {} {}/*/meta /etc/shadow 2>/dev/null && echo seen\nls -A /home /root /run /var /srv 2>/dev/null\nls /",
        secret.display(),
        deck.path("spool").display()
    );
    let ran = deck.run(shut_in(&deck, &script)).await;
    assert!(!text(&ran).contains("hunter2") && !text(&ran).contains("seen"), "{}", text(&ran));
    assert!(!text(&ran).contains("run\n") && !text(&ran).contains("home\n"), "{}", text(&ran));
    assert!(text(&ran).contains("usr\n"), "{}", text(&ran));
}

#[tokio::test]
async fn it_sees_no_process_of_the_host_and_reads_no_memory_of_one() {
    let deck = Deck::new();
    let us = std::process::id();
    let script = format!(
        "ls /proc | grep -c '^[0-9]'\ntr '\\0' '\\n' </proc/{us}/environ && echo environment\nhead -c 1 /proc/{us}/mem && echo memory\nkill -9 {us} && echo killed"
    );
    let ran = deck.run(shut_in(&deck, &script)).await;
    let count: u32 = text(&ran).lines().next().expect("a count").parse().expect("a number");
    assert!(count < 8, "{}", text(&ran));
    for done in ["environment\n", "memory\n", "killed\n"] {
        assert!(!text(&ran).contains(done), "{}", text(&ran));
    }
}

#[tokio::test]
async fn it_reaches_no_network_and_no_socket_unless_the_network_is_declared() {
    let deck = Deck::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let socket = deck.path("database");
    let _database = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let script = format!(
        "bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}' 2>/dev/null && echo connected\ntest -e {} && echo socket\necho tried",
        socket.display()
    );
    assert_eq!(text(&deck.run(shut_in(&deck, &script)).await), "tried\n");
    let mut open = shut_in(&deck, &script);
    open.sandbox = Sandbox::Bubblewrap { network: true, writable: vec![], readable: vec![] };
    assert_eq!(text(&deck.run(open).await), "connected\ntried\n");
}

#[tokio::test]
async fn it_writes_what_is_declared_and_nothing_else() {
    let deck = Deck::new();
    let (ours, theirs) = (deck.path("writable"), deck.path("readable"));
    for folder in [&ours, &theirs] {
        fs::create_dir(folder).expect("made");
    }
    let script = format!(
        "for place in {} {} /usr /etc / /dev /bin; do touch $place/made 2>/dev/null && echo $place; done\necho tried",
        ours.display(),
        theirs.display()
    );
    let mut job = shut_in(&deck, &script);
    let named = |path: &Path| vec![path.display().to_string()];
    job.sandbox = Sandbox::Bubblewrap { network: false, writable: named(&ours), readable: named(&theirs) };
    assert_eq!(text(&deck.run(job).await), format!("{}\ntried\n", ours.display()));
    assert!(ours.join("made").exists() && !theirs.join("made").exists());
}

#[tokio::test]
async fn it_gains_no_privileges_by_a_setuid_program_and_has_none() {
    let deck = Deck::new();
    let tools = deck.path("tools");
    fs::create_dir(&tools).expect("made");
    fs::copy("/usr/bin/id", tools.join("id")).expect("copied");
    fs::set_permissions(&tools, fs::Permissions::from_mode(0o755)).expect("changed");
    fs::set_permissions(tools.join("id"), fs::Permissions::from_mode(0o4755)).expect("changed");
    fs::set_permissions(deck.folder.path(), fs::Permissions::from_mode(0o755)).expect("changed");
    let script = format!(
        "grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status\n{}/id -u\nmount -t tmpfs none /tmp 2>/dev/null && echo mounted\necho tried",
        tools.display()
    );
    let mut job = shut_in(&deck, &script);
    let root = nix::unistd::geteuid().is_root();
    job.user = root.then(|| "nobody".to_owned());
    job.sandbox =
        Sandbox::Bubblewrap { network: false, writable: vec![], readable: vec![tools.display().to_string()] };
    let uid = if root { 65534 } else { nix::unistd::geteuid().as_raw() };
    assert_eq!(
        text(&deck.run(job).await),
        format!("CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n{uid}\ntried\n")
    );
}

#[tokio::test]
async fn it_makes_no_user_namespace_of_its_own_and_no_sandbox_within_the_sandbox() {
    let deck = Deck::new();
    let script = "unshare --user true 2>/dev/null && echo namespace\nunshare --user --map-root-user --mount true 2>/dev/null && echo root\n\
                  bwrap --unshare-user --ro-bind / / true 2>/dev/null && echo sandbox\necho tried";
    assert_eq!(text(&deck.run(shut_in(&deck, script)).await), "tried\n");
    // Without a sandbox the same program makes one: it is the sandbox that keeps it from that.
    assert!(text(&deck.run(deck.script(script)).await).contains("namespace\n"));
}

#[tokio::test]
async fn a_fork_without_end_finds_its_end_and_leaves_nothing() {
    let deck = Deck::new();
    fs::set_permissions(deck.folder.path(), fs::Permissions::from_mode(0o755)).expect("changed");
    let mut job =
        shut_in(&deck, "i=0; while [ $i -lt 500 ]; do sleep 300 & i=$((i+1)); done; echo all of them");
    // The kernel does not count the processes of root.
    job.user = nix::unistd::geteuid().is_root().then(|| "nobody".to_owned());
    job.limits.processes = Some(40);
    job.timeout = SignedDuration::from_secs(20);
    let ran = deck.run(job).await;
    assert!(!text(&ran).contains("all of them"), "{}", text(&ran));
    assert!(text(&ran).contains("fork"), "{}", text(&ran));
}

#[tokio::test]
async fn memory_without_end_finds_its_end_in_the_program_and_in_its_tmp() {
    let deck = Deck::new();
    let mut job = shut_in(
        &deck,
        "head -c 600000000 /dev/zero | tail -c 500000000 | wc -c\nhead -c 400000000 /dev/zero >/tmp/big || echo full\nhead -c 400000000 /dev/zero >/dev/shm/big || echo full",
    );
    job.limits.memory = 64 << 20;
    let ran = deck.run(job).await;
    assert!(!text(&ran).contains("500000000"), "{}", text(&ran));
    assert_eq!(text(&ran).matches("full\n").count(), 2, "{}", text(&ran));
}

#[tokio::test]
async fn nothing_outlives_a_sandboxed_run_not_even_what_left_its_session() {
    let deck = Deck::new();
    let folder = deck.path("writable");
    fs::create_dir(&folder).expect("made");
    let beat = folder.join("beat");
    let script = format!(
        "setsid sh -c 'while :; do date +%N >{0}; sleep 0.02; done' </dev/null >/dev/null 2>&1 &\nwhile [ ! -s {0} ]; do sleep 0.01; done\necho started",
        beat.display()
    );
    let sandbox = Sandbox::Bubblewrap {
        network: false,
        writable: vec![folder.display().to_string()],
        readable: vec![],
    };
    for cancelled in [false, true] {
        let tail = if cancelled { "\nsetsid sleep 300" } else { "" };
        let job = Job { sandbox: sandbox.clone(), ..deck.script(&format!("{script}{tail}")) };
        let cancel = CancellationToken::new();
        let begun = Instant::now();
        let (ran, ()) = tokio::join!(deck.executor.run_job(job, &cancel, &NoSink), async {
            if cancelled {
                let _ = appears(&beat).await;
                cancel.cancel();
            }
        });
        let expected = if cancelled { Ending::Cancelled } else { Ending::Exited { status: 0 } };
        assert_eq!(ran.outcome.ending, expected);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        fs::remove_file(&beat).expect("it beat");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!beat.exists(), "it beats on (cancelled: {cancelled})");
    }
}

#[tokio::test]
async fn a_sandboxed_program_may_say_its_last_words_when_it_is_cancelled() {
    let deck = Deck::new();
    let job = shut_in(&deck, "trap 'echo tidied up; exit 0' TERM\necho begun\nwhile :; do sleep 0.05; done");
    let job = Job { timeout: SignedDuration::from_secs(1), ..job };
    let ran = deck.run(job).await;
    assert_eq!(ran.outcome.ending, Ending::TimedOut { limit_s: 1 });
    assert!(text(&ran).starts_with("begun\n") && text(&ran).ends_with("tidied up\n"), "{}", text(&ran));
}

#[tokio::test]
async fn what_a_dead_server_left_of_a_sandboxed_run_is_ended_whole() {
    let deck = Deck::new();
    let folder = deck.path("writable");
    fs::create_dir(&folder).expect("made");
    let beat = folder.join("beat");
    let mut job = deck.script(&format!(
        "setsid sh -c 'while :; do date +%N >{}; sleep 0.02; done' &\nsleep 300",
        beat.display()
    ));
    job.sandbox = Sandbox::Bubblewrap {
        network: false,
        writable: vec![folder.display().to_string()],
        readable: vec![],
    };
    let spool = deck.executor.spool_of(job.attempt).create().expect("made");
    let at = deck.executor.clock.now();
    let mut running =
        launch::launch(&deck.executor.exec_run, None, &job, &[], spool.spool(), at).await.expect("ready");
    launch::go(&mut running).await.expect("gone");
    let _spent = spool.spend();
    let _ = appears(&beat).await;
    let next =
        Executor::new(deck.path("spool"), deck.path("exec-run"), Secrets::default(), Arc::new(SystemClock));
    let leftover = next.end_leftover(job.attempt).await.expect("ended").expect("known");
    assert!(leftover.ended > 1, "{leftover:?}");
    fs::remove_file(&beat).expect("it beat");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!beat.exists(), "it beats on");
}

#[tokio::test]
async fn what_a_sandbox_cannot_hold_or_execute_is_a_run_that_never_started() {
    let deck = Deck::new();
    let mut job = shut_in(&deck, "echo started");
    job.sandbox = Sandbox::Bubblewrap {
        network: false,
        writable: vec!["/no/such/folder".to_owned()],
        readable: vec![],
    };
    assert!(reason(&deck.run(job).await).contains("`/no/such/folder`"));

    let missing = Job { sandbox: Sandbox::default(), ..deck.program(Path::new("/no/such/program")) };
    assert!(reason(&deck.run(missing).await).contains("does not exist"));

    let orphan = deck.path("orphan");
    write_executable(&orphan, "#!/no/such/interpreter -x\n");
    let orphan = Job { sandbox: Sandbox::default(), ..deck.program(&orphan) };
    assert!(reason(&deck.run(orphan).await).contains("could not be executed in its sandbox"));
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_made_is_a_refusal_and_never_a_run_without() {
    let deck = Deck::new();
    let mut job = shut_in(&deck, "echo started");
    if nix::unistd::geteuid().is_root() {
        // Its folder is closed to that user, so bubblewrap cannot bring its program in.
        fs::set_permissions(deck.folder.path(), fs::Permissions::from_mode(0o700)).expect("changed");
        job.user = Some("nobody".to_owned());
        let ran = deck.run(job).await;
        assert!(reason(&ran).contains("its sandbox could not be made"), "{}", reason(&ran));
        assert!(reason(&ran).contains("sandbox = \"none\""), "{}", reason(&ran));
        assert!(ran.kept.is_empty());
    }
    let why =
        crate::executor::sandbox::why_not(b"bwrap: Creating new namespace failed: Operation not permitted\n");
    assert!(why.contains("Operation not permitted") && why.contains("doctor"), "{why}");
}

#[tokio::test]
async fn a_sandboxed_child_that_is_made_ready_runs_nothing_until_it_is_told_and_else_leaves_nothing() {
    let deck = Deck::new();
    let folder = deck.path("writable");
    fs::create_dir(&folder).expect("made");
    let ran = folder.join("ran");
    let mut job = deck.script(&format!("echo yes >'{}'; echo here", ran.display()));
    job.sandbox = Sandbox::Bubblewrap {
        network: false,
        writable: vec![folder.display().to_string()],
        readable: vec![],
    };
    let poised = process::poise(&deck.executor, &job).await.expect("ready");
    let pid = poised.pid();
    assert!(lives(pid));
    drop(poised);
    let begun = Instant::now();
    while lives(pid) {
        assert!(begun.elapsed() < Duration::from_secs(10), "it still waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!ran.exists() && deck.executor.leftovers().expect("read").is_empty());
    let poised = process::poise(&deck.executor, &job).await.expect("ready");
    let told = deck.executor.run_poised(job, Some(poised), &CancellationToken::new(), &NoSink).await;
    assert_eq!(told.outcome.ending, Ending::Exited { status: 0 });
    assert_eq!(text(&told), "here\n");
    assert!(ran.exists());
}

#[tokio::test]
async fn no_run_rewrites_the_program_that_the_next_one_executes() {
    let deck = Deck::new();
    let mut job =
        shut_in(&deck, "echo 'echo theirs' >> \"$0\" || echo refused\necho tried > \"${0%/*}/made\"");
    let place = deck.path("program").parent().expect("a folder").to_owned();
    let (program, before) = (deck.path("program"), fs::read(deck.path("program")).expect("read"));
    job.sandbox = Sandbox::Bubblewrap {
        network: false,
        writable: vec![place.canonicalize().expect("a place").display().to_string()],
        readable: vec![],
    };
    let ran = deck.run(job).await;
    assert!(text(&ran).contains("refused"), "{}", text(&ran));
    assert!(place.join("made").exists(), "the rest of the place is its own");
    assert_eq!(fs::read(program).expect("read"), before);
}

#[tokio::test]
async fn a_link_is_no_writable_place_because_it_can_be_pointed_elsewhere() {
    let deck = Deck::new();
    let (link, secret) = (deck.path("link"), deck.path("elsewhere"));
    fs::create_dir(&secret).expect("made");
    std::os::unix::fs::symlink(&secret, &link).expect("linked");
    let mut job = shut_in(&deck, "echo started");
    let writable = vec![link.display().to_string()];
    job.sandbox = Sandbox::Bubblewrap { network: false, writable, readable: vec![] };
    assert!(reason(&deck.run(job).await).contains("is a link or lies behind one"));
}
