//! Requests to a real server that misbehaves in every way.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    executor::http::Request,
    model::{Invocation, Value},
};

/// What the server does with a request.
enum Reply {
    /// Says this and closes.
    Says(String),
    /// Says this, and then more and more.
    Endless(String),
    /// Says this, and nothing more for ever.
    Silent(String),
}

/// A server on the loopback, with what it was asked.
struct Service {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Answers the request with this number (from 0) and text.
    async fn start(reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (reply, asked, count) = (Arc::new(reply), Arc::clone(&seen), Arc::new(AtomicUsize::new(0)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (reply, asked, count) = (Arc::clone(&reply), Arc::clone(&asked), Arc::clone(&count));
                tokio::spawn(async move {
                    let mut stream = stream;
                    let Some(text) = request(&mut stream).await else { return };
                    let reply = reply(count.fetch_add(1, Ordering::SeqCst), &text);
                    asked.lock().expect("unpoisoned").push(text);
                    answer(stream, reply).await;
                });
            }
        });
        Self { port, seen }
    }

    async fn says(text: &str) -> Self {
        let text = text.to_owned();
        Self::start(move |_, _| Reply::Says(text.clone())).await
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("unpoisoned").clone()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn answer(mut stream: TcpStream, reply: Reply) {
    match reply {
        Reply::Says(text) => drop(stream.write_all(text.as_bytes()).await),
        Reply::Endless(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            while stream.write_all(&[b'x'; 1 << 12]).await.is_ok() {}
        }
        Reply::Silent(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            tokio::time::sleep(Duration::from_mins(10)).await;
        }
    }
}

/// A whole answer.
fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// A command's file, with these fields in `[run]`.
fn command(fields: &str) -> Arc<crate::catalogue::Command> {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, content) in [
        (
            "quarterdeck.toml",
            "[homeserver]\nurl = \"http://127.0.0.1:8008\"\nname = \"example.org\"\n".to_owned(),
        ),
        ("secrets/ci-token.toml", "environment = \"CI_TOKEN\"\n".to_owned()),
        ("policies/all.cedar", "permit (principal, action, resource);\n".to_owned()),
        (
            "commands/ci.toml",
            format!(
                "summary = \"Asks\"\neffect = \"change\"\n[[argument]]\nname = \"text\"\ntype = \"text\"\n\
                 [run]\nexecutor = \"http\"\n{fields}"
            ),
        ),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }
    let ops = crate::catalogue::load(folder.path(), &|_| None).expect("a right folder");
    Arc::clone(&ops.commands["ci"])
}

/// The request of such a command.
fn asked(fields: &str, text: &str) -> Request {
    let command = command(fields);
    let arguments = BTreeMap::from([("text".to_owned(), Value::Text(text.to_owned()))]);
    let invocation =
        Invocation { command: "ci".to_owned(), arguments, subject: None, filters: Vec::new(), dry: false };
    let attempt = AttemptId(crate::model::Random::uuid(&crate::model::SystemRandom));
    Request::of(attempt, RequestNumber(482), &command, &invocation).expect("a request")
}

async fn sent(fields: &str) -> Ran {
    let deck = Deck::with_secrets(&[("ci-token", "hunter2-hunter2\n")]);
    deck.executor.run_kind(asked(fields, "v1"), &CancellationToken::new(), &NoSink).await
}

fn post(service: &Service, more: &str) -> String {
    format!("method = \"POST\"\nurl = \"{}\"\nprivate = true\n{more}", service.url("/api"))
}

fn get(service: &Service, more: &str) -> String {
    post(service, more).replace("POST", "GET")
}

fn told(ran: &Ran) -> String {
    match &ran.outcome.ending {
        Ending::NotStarted { reason } => format!("not started: {reason}"),
        Ending::Failed { reason } => format!("failed: {reason}"),
        Ending::Unknown { reason } => format!("unknown: {reason}"),
        other => format!("{other:?}"),
    }
}

fn text(ran: &Ran) -> &str {
    std::str::from_utf8(&ran.kept).expect("text")
}

#[tokio::test]
async fn a_request_is_sent_as_declared_and_the_declared_part_of_its_answer_is_shown() {
    let service =
        Service::says(&http("201 Created", "", r#"{"build":{"state":"green hunter2-hunter2"}}"#)).await;
    let ran = sent(&post(
        &service,
        "headers = { X-By = \"{text}\" }\ncredentials = { Authorization = \"Bearer ci-token\" }\n\
         json = { ref = \"{text}\", n = 1 }\nanswer = \"/build/state\"\n",
    ))
    .await;
    assert_eq!(ran.outcome.ending, Ending::Exited { status: 0 }, "{}", told(&ran));
    assert_eq!(text(&ran), "green [secret ci-token]\n");
    assert_eq!(ran.outcome.output.bytes, 24);
    let [seen] = &service.seen()[..] else { panic!("{:?}", service.seen()) };
    assert!(seen.starts_with("POST /api HTTP/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n{\"n\":1,\"ref\":\"v1\"}"), "{seen}");
    for line in ["authorization: Bearer hunter2-hunter2", "x-by: v1", "content-type: application/json"] {
        assert!(seen.lines().any(|it| it == line), "{line} in {seen}");
    }
}

#[tokio::test]
async fn what_arguments_hold_stays_one_value_on_the_wire() {
    let service = Service::says(&http("204 No Content", "", "")).await;
    let url = service.url("/api/{text}/end");
    let fields = format!(
        "method = \"POST\"\nurl = \"{url}\"\nprivate = true\nquery = {{ q = \"{{text}}\" }}\njson = {{ t = \"{{text}}\" }}\n"
    );
    let hostile = "a/../b?c#d&e=f\r\nX-Evil: 1\r\n\r\nGET / HTTP/1.1\0\"'{}\\%2e%2e ä";
    let deck = Deck::new();
    let ran = deck.executor.run_kind(asked(&fields, hostile), &CancellationToken::new(), &NoSink).await;
    assert_eq!((text(&ran), service.seen().len()), ("204 No Content\n", 1), "{}", told(&ran));
    let seen = service.seen().remove(0);
    let (head, body) = seen.split_once("\r\n\r\n").expect("a head");
    assert!(!head.to_lowercase().contains("x-evil:"), "{head}");
    let path = head.lines().next().expect("a line").split(' ').nth(1).expect("a path").to_owned();
    assert_eq!(path.split_once('?').expect("a query").0.split('/').count(), 4, "{path}");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body, serde_json::json!({ "t": hostile }));
    // A header cannot say it: nothing is sent.
    let fields = post(&service, "headers = { X-By = \"{text}\" }\n");
    let ran = deck.executor.run_kind(asked(&fields, hostile), &CancellationToken::new(), &NoSink).await;
    assert!(told(&ran).starts_with("not started: the header x-by"), "{}", told(&ran));
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_not_as_declared_is_a_failure_that_says_so() {
    let wrong = Service::says(&http("503 Service Unavailable", "", "the queue is full")).await;
    let ran = sent(&post(&wrong, "")).await;
    assert!(told(&ran).contains("503 Service Unavailable, and 200 to 299 was expected"), "{}", told(&ran));
    assert_eq!((text(&ran), ran.outcome.state()), ("the queue is full\n", State::Failed));
    assert!(told(&sent(&post(&wrong, "expect = [200, 201]\n")).await).contains("200, 201 was expected"));
    assert_eq!(sent(&post(&wrong, "expect = [503]\n")).await.outcome.ending, Ending::Exited { status: 0 });

    let plain = Service::says(&http("200 OK", "", "<html>")).await;
    let ran = sent(&post(&plain, "answer = \"/state\"\n")).await;
    assert!(told(&ran).starts_with("failed: ") && told(&ran).contains("is no JSON"), "{}", told(&ran));
    assert_eq!(text(&ran), "<html>\n");
    let other = Service::says(&http("200 OK", "", "{\"a\":1}")).await;
    assert!(told(&sent(&post(&other, "answer = \"/state\"\n")).await).contains("nothing at /state"));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_its_limit() {
    let endless = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    let service = Service::start(move |_, _| Reply::Endless(endless.to_owned())).await;
    let ran = sent(&post(&service, "answer_limit = 5000\n")).await;
    assert!(told(&ran).contains("more than 5000 bytes"), "{}", told(&ran));
    assert_eq!(ran.kept.len(), 5000);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_told_as_such_and_the_request_is_not_sent_again() {
    for reply in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "no HTTP at all\r\n\r\n"] {
        let service = Service::says(reply).await;
        let ran = sent(&post(&service, "idempotent = true\n")).await;
        assert!(
            told(&ran).starts_with("unknown: ") && told(&ran).contains("may have had its effect"),
            "{}",
            told(&ran)
        );
        assert_eq!(ran.outcome.state(), State::Interrupted);
        assert_eq!(service.seen().len(), 1, "{reply}");
        // One that only reads has had none.
        assert!(told(&sent(&get(&service, "")).await).starts_with("failed: "), "{reply}");
    }
}

#[tokio::test]
async fn a_gateway_that_had_no_answer_itself_may_have_passed_the_request_on() {
    for status in ["502 Bad Gateway", "504 Gateway Timeout"] {
        let service = Service::says(&http(status, "", "no upstream")).await;
        let ran = sent(&post(&service, "idempotent = true\n")).await;
        assert!(
            told(&ran).starts_with("unknown: ") && told(&ran).contains("may have had its effect"),
            "{}",
            told(&ran)
        );
        assert_eq!((text(&ran), ran.outcome.state()), ("no upstream\n", State::Interrupted));
        assert_eq!(service.seen().len(), 1, "{status}");
        // One that only reads has had none; and where the status is what was declared, it is the answer.
        assert!(told(&sent(&get(&service, "")).await).starts_with("failed: "), "{status}");
        let declared = format!("expect = [{}]\n", &status[..3]);
        assert_eq!(
            sent(&post(&service, &declared)).await.outcome.ending,
            Ending::Exited { status: 0 },
            "{status}"
        );
    }
}

#[tokio::test]
async fn it_goes_along_with_redirects_within_its_host_alone_and_only_where_it_reads() {
    let elsewhere = Service::says(&http("200 OK", "", "elsewhere")).await;
    let target = elsewhere.url("/");
    let service = Service::start(move |_, text| {
        Reply::Says(match text.split(' ').nth(1) {
            Some("/api") => http("302 Found", "Location: /there\r\n", ""),
            Some("/out") => http("302 Found", &format!("Location: {target}\r\n"), ""),
            Some("/round") => http("302 Found", "Location: /round\r\n", ""),
            _ => http("200 OK", "", "arrived"),
        })
    })
    .await;
    assert_eq!(text(&sent(&get(&service, "")).await), "arrived\n");
    let out =
        sent(&get(&service, "credentials = { Authorization = \"ci-token\" }\n").replace("/api", "/out"))
            .await;
    assert!(told(&out).contains("points elsewhere"), "{}", told(&out));
    assert!(text(&out).contains("It points to http://127.0.0.1"), "{}", text(&out));
    assert!(elsewhere.seen().is_empty());
    assert!(told(&sent(&get(&service, "").replace("/api", "/round")).await).contains("again and again"));
    let before = service.seen().len();
    assert!(told(&sent(&post(&service, "")).await).contains("302 Found, and 200 to 299"));
    assert_eq!(service.seen().len(), before + 1);
    // Declared as a host, it is no other place.
    let declared = format!("hosts = [\"127.0.0.1:{}\"]\n", elsewhere.port);
    assert_eq!(text(&sent(&get(&service, &declared).replace("/api", "/out")).await), "elsewhere\n");
}

#[tokio::test]
async fn a_private_address_is_refused_unless_it_is_declared_and_nothing_is_sent() {
    let service = Service::says(&http("200 OK", "", "")).await;
    for host in ["localhost", "127.0.0.1", "[::1]", "0x7f.1"] {
        let fields = format!("method = \"POST\"\nurl = \"https://{host}:{}/\"\n", service.port);
        let ran = sent(&fields).await;
        assert!(
            told(&ran).starts_with("not started: ") && told(&ran).contains("private = true"),
            "{host}: {}",
            told(&ran)
        );
    }
    // Where clouds keep their credentials, nothing helps.
    let ran = sent("method = \"GET\"\nurl = \"http://169.254.169.254/latest\"\nprivate = true\n").await;
    assert!(told(&ran).contains("no address of a service"), "{}", told(&ran));
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn a_service_that_is_not_there_is_a_run_that_never_started() {
    let port =
        TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
    let fields = format!("method = \"POST\"\nurl = \"http://127.0.0.1:{port}/\"\nprivate = true\n");
    let ran = sent(&fields).await;
    assert!(
        told(&ran).starts_with("not started: 127.0.0.1") && told(&ran).contains("refused"),
        "{}",
        told(&ran)
    );
    let ran = sent(&fields.replace("private", "credentials = { X-Key = \"ci-token\" }\nprivate")).await;
    assert!(!told(&ran).contains("hunter2"), "{}", told(&ran));
}

#[tokio::test]
async fn a_silent_service_is_left_at_the_time_limit_or_when_somebody_stops_it() {
    let silent = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal";
    let service = Service::start(move |_, _| Reply::Silent(silent.to_owned())).await;
    let ran = sent(&post(&service, "timeout = \"1s\"\n")).await;
    assert_eq!(ran.outcome.ending, Ending::TimedOut { limit_s: 1 });
    assert!(text(&ran).contains("may have been sent"), "{}", text(&ran));

    let deck = Deck::new();
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let stopped = deck.executor.run_kind(asked(&post(&service, ""), "v1"), &cancel, &NoSink);
    let (ran, ()) = tokio::join!(stopped, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.cancel();
    });
    assert_eq!(ran.outcome.ending, Ending::Cancelled);
    assert!(text(&ran).contains("may have been sent"), "{}", text(&ran));
}

#[tokio::test]
async fn an_attempt_sends_once_and_is_forgotten_like_any_other() {
    let service = Service::says(&http("200 OK", "", "done")).await;
    let deck = Deck::new();
    let attempt = AttemptId(crate::model::Random::uuid(&crate::model::SystemRandom));
    for expected in ["Exited", "started before"] {
        let request = asked(&post(&service, ""), "v1").with_attempt(attempt);
        let ran = deck.executor.run_kind(request, &CancellationToken::new(), &NoSink).await;
        assert!(told(&ran).contains(expected), "{}", told(&ran));
    }
    assert_eq!(service.seen().len(), 1);
    deck.executor.forget(attempt).expect("forgotten");
}

const POLL: &str = "[run.poll]\nat = \"location\"\nevery = \"1s\"\n";

#[tokio::test]
async fn a_long_job_is_watched_at_its_location_until_it_is_done() {
    let service = Service::start(|count, _| {
        Reply::Says(match count {
            0 => http("202 Accepted", "Location: /jobs/7\r\n", "{}"),
            1 => http("202 Accepted", "", "{}"),
            // A question that fails is asked again: it changes nothing.
            2 => String::new(),
            _ => http("200 OK", "", "{\"version\":\"v1\"}"),
        })
    })
    .await;
    let ran = sent(&post(&service, &format!("json = {{ a = 1 }}\nanswer = \"/version\"\n{POLL}"))).await;
    assert_eq!((text(&ran), &ran.outcome.ending), ("v1\n", &Ending::Exited { status: 0 }), "{}", told(&ran));
    let seen = service.seen();
    assert_eq!(seen.iter().filter(|text| text.starts_with("POST ")).count(), 1);
    assert!(seen[1].starts_with("GET /jobs/7 ") && !seen[1].contains("content-type"), "{}", seen[1]);
}

#[tokio::test]
async fn a_job_tells_its_state_in_a_field_and_ends_well_or_not() {
    for (last, expected) in [("success", "Exited"), ("broken", "ended as broken")] {
        let service = Service::start(move |count, _| {
            let state = ["new", "running", "running", last][count.min(3)];
            Reply::Says(http("200 OK", "", &format!("{{\"state\":\"{state}\",\"url\":\"/jobs/7\"}}")))
        })
        .await;
        let poll = "[run.poll]\nat = \"/url\"\nevery = \"1s\"\nfield = \"/state\"\ndone = [\"success\"]\nfailed = [\"broken\"]\n";
        let ran = sent(&post(&service, &format!("answer = \"/state\"\n{poll}"))).await;
        assert!(told(&ran).contains(expected), "{}", told(&ran));
        assert!(text(&ran).starts_with("running\n") && text(&ran).contains(last), "{}", text(&ran));
    }
}

#[tokio::test]
async fn a_job_that_cannot_be_watched_is_unknown() {
    let service = Service::says(&http("202 Accepted", "", "{}")).await;
    let ran = sent(&post(&service, POLL)).await;
    assert!(
        told(&ran).starts_with("unknown: ") && told(&ran).contains("does not say where"),
        "{}",
        told(&ran)
    );
    let service = Service::says(&http("202 Accepted", "Location: http://127.0.0.2/x\r\n", "{}")).await;
    let ran = sent(&post(&service, POLL)).await;
    assert!(told(&ran).contains("does not go"), "{}", told(&ran));
    assert!(text(&ran).contains("http://127.0.0.2/x"), "{}", text(&ran));
}

#[tokio::test]
async fn an_approval_of_a_request_is_of_every_part_of_it() {
    let whole = "method = \"POST\"\nurl = \"https://ci.example.org/api/{text}\"\nquery = { a = \"1\" }\n\
                 headers = { X-By = \"b\" }\ncredentials = { X-Key = \"ci-token\" }\njson = { a = [1] }\n\
                 expect = [200]\nanswer = \"/a\"\nanswer_limit = 100\nhosts = [\"a.example\"]\ntimeout = \"9s\"\n\
                 [run.poll]\nat = \"location\"\nevery = \"7s\"\n";
    let one = definition(&command(whole)).await;
    assert_eq!(one, definition(&command(whole)).await);
    for (from, to) in [
        ("POST", "PUT"),
        ("/api/", "/apj/"),
        ("ci.example.org", "cj.example.org"),
        ("a = \"1\"", "a = \"2\""),
        ("\"b\"", "\"c\""),
        ("\"ci-token\"", "\"Bearer ci-token\""),
        ("[1]", "[\"1\"]"),
        ("[200]", "[201]"),
        ("\"/a\"", "\"/b\""),
        ("= 100", "= 101"),
        ("a.example\"", "b.example\""),
        ("9s", "8s"),
        ("7s", "6s"),
        ("answer_limit", "private = true\nanswer_limit"),
    ] {
        assert!(whole.contains(from), "{from}");
        assert_ne!(one, definition(&command(&whole.replace(from, to))).await, "{to}");
    }
}
