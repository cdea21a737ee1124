//! The `[dry]` of a command: how it is run where people ask only what it would do.

use super::{
    References,
    command::{Templates, read_any},
    section::Section,
};
use crate::catalogue::{Run, RunKind};

/// What a dry run does not have of the real one: it holds up nobody, and its answer is the answer.
const OWN: &[&str] = &["lock", "on_busy", "poll"];
/// What belongs to one request, and not to another.
const OF_A_REQUEST: &[&str] = &["query", "json", "expect", "answer"];

/// Reads it: `[run]` with what `[dry]` says otherwise. Nothing where the command has none.
pub(super) fn dry(
    command: &str,
    file: &mut Section<'_>,
    real: Option<&Run>,
    templates: &Templates<'_>,
    references: &mut References,
) -> Option<Run> {
    let mut dry = file.section("dry", "[dry]")?;
    let (real, run) = (real?, file.section("run", "[run]")?);
    if let Some(executor) = dry.text("executor")
        && executor.value != real.kind.name()
    {
        dry.wrong(
            &executor.place,
            format!("executor = \"{}\" is not the one of [run]", executor.value),
            "Remove it: a dry run goes the same way as the real one.",
        );
        return None;
    }
    let another_request = dry.has("method") || dry.has("url");
    let is_http = matches!(real.kind, RunKind::Http(_));
    let inherits =
        |key: &str| !(OWN.contains(&key) || is_http && another_request && OF_A_REQUEST.contains(&key));
    let table = dry.over(&run, inherits);
    let read = read_any(command, dry.made_of(&table), templates, references)?;
    if does_the_same(&real.kind, &read.kind) {
        dry.wrong(
            &dry.place,
            "[dry] does exactly what [run] does",
            "Say in it what is otherwise in a dry run: arguments = [\"--dry-run\", ...], or another program, request or method.",
        );
    }
    Some(read)
}

/// Whether two runs would do the same: whatever secrets, limits and surroundings they have.
fn does_the_same(one: &RunKind, other: &RunKind) -> bool {
    match (one, other) {
        (RunKind::Process(one), RunKind::Process(other)) => {
            let of = |run: &crate::catalogue::ProcessRun| {
                (run.program.clone(), run.arguments.clone(), run.environment.clone())
            };
            of(one) == of(other)
        }
        (RunKind::Ssh(one), RunKind::Ssh(other)) => {
            one.program == other.program && one.arguments == other.arguments
        }
        (RunKind::Http(one), RunKind::Http(other)) => {
            (&one.method, &one.url, &one.query) == (&other.method, &other.url, &other.query)
                && (&one.headers, &one.json) == (&other.headers, &other.json)
        }
        (RunKind::ChatopsRpc(one), RunKind::ChatopsRpc(other)) => {
            one.method == other.method && one.params == other.params
        }
        _ => false,
    }
}
