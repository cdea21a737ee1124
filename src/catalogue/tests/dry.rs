//! `[dry]`: what of `[run]` is otherwise in a dry run.

use super::*;

const DEPLOY: &str = r#"summary = "Deploys"
effect = "change"
[[argument]]
name = "app"
type = "system"
[run]
executor = "process"
program = "/opt/deploy"
arguments = ["--", "{app}"]
environment = { PATH = "/bin" }
credentials = { TOKEN = "deploy-token" }
lock = "deploy"
on_busy = "refuse"
timeout = "10m"
[dry]
arguments = ["--plan", "--", "{app}"]
credentials = {}
"#;

fn mistakes(from: &str, to: &str) -> Vec<String> {
    assert!(DEPLOY.contains(from), "{from}");
    told(&[("commands/ci.toml", &DEPLOY.replace(from, to))])
}

#[test]
fn a_dry_run_has_all_of_the_real_one_but_what_it_says_otherwise_and_no_lock() {
    let ops = load_with(&[("commands/ci.toml", DEPLOY)]).unwrap();
    let real = &ops.commands["ci"];
    let form = real.dry_form().unwrap();
    let (RunKind::Process(run), RunKind::Process(dry)) = (&real.run.kind, &form.run.kind) else {
        panic!("both are programs")
    };
    assert_eq!((&run.program, &run.environment), (&dry.program, &dry.environment));
    assert_eq!(dry.arguments, ["--plan", "--", "{app}"]);
    assert!(dry.credentials.is_empty() && run.credentials.len() == 1);
    assert_eq!((form.run.timeout, &form.run.lock), (real.run.timeout, &None));
    assert_eq!((form.effect, form.is_dry, form.dry.is_none()), (Effect::Read, true, true));
    assert_eq!((form.title(), form.typed()), ("dry run of ci".to_owned(), "dry ci".to_owned()));
    assert!(real.dry_form().unwrap().dry_form().is_none());
}

#[test]
fn a_request_with_another_address_has_a_body_and_an_answer_of_its_own() {
    let http = r#"summary = "Deploys"
effect = "change"
[run]
executor = "http"
method = "POST"
url = "https://ci.example.org/deploys"
headers = { Accept = "application/json" }
json = { go = true }
answer = "/status"
[run.poll]
at = "location"
[dry]
method = "GET"
url = "https://ci.example.org/plan"
"#;
    let ops = load_with(&[("commands/ci.toml", http)]).unwrap();
    let form = ops.commands["ci"].dry_form().unwrap();
    let RunKind::Http(dry) = &form.run.kind else { panic!("{form:?}") };
    assert_eq!((dry.method.as_str(), &dry.json, &dry.answer, &dry.poll), ("GET", &None, &None, &None));
    assert_eq!(dry.headers["accept"], "application/json");
}

#[test]
fn each_mistake_in_it_is_told_with_its_place() {
    let same = "arguments = [\"--plan\", \"--\", \"{app}\"]";
    for (from, to, place, expected) in [
        (same, "timeout = \"1m\"", "commands/ci.toml:15", "[dry] does exactly what [run] does"),
        (same, "arguments = [\"{apq}\"]", "commands/ci.toml:16", "\"apq\" that is not declared"),
        (same, "argumens = []", "commands/ci.toml:16", "\"argumens\" is not known in [dry]"),
        (same, "executor = \"ssh\"", "commands/ci.toml:16", "is not the one of [run]"),
        (same, "program = \"deploy\"", "commands/ci.toml:16", "is not absolute"),
        (same, "on_busy = \"queue\"\narguments = []", "commands/ci.toml:16", "it has no lock"),
        ("credentials = {}", "credentials = { T = \"none\" }", "commands/ci.toml:17", "no secret is called"),
        ("[dry]", "[dri]", "commands/ci.toml:15", "\"dri\" is not known"),
        ("summary", "phrases = [\"dry deploy {app}\"]\nsummary", "commands/ci.toml:1", "asks for a dry run"),
    ] {
        let mistakes = mistakes(from, to);
        let found = mistakes.iter().any(|it| it.contains(place) && it.contains(expected));
        assert!(found, "{to}: {expected} at {place}, among {mistakes:#?}");
    }
    // What is wrong with both is told once.
    let both = mistakes("program = \"/opt/deploy\"", "program = \"deploy\"");
    assert_eq!(both.iter().filter(|it| it.contains("is not absolute")).count(), 1, "{both:#?}");
}

#[test]
fn no_command_can_be_called_as_the_word_that_asks_for_a_dry_run() {
    let mistakes = told(&[("commands/dry.toml", DEPLOY)]);
    assert!(mistakes.iter().any(|it| it.contains("a command cannot be called \"dry\"")), "{mistakes:#?}");
}
