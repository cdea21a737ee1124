//! From a warrant to a job: the one door into the executor.

use tokio_util::sync::CancellationToken;

use super::{Executor, Ran, Sink, job::Job};
use crate::{
    catalogue::{
        RunKind,
        template::{self, Piece},
    },
    model::{Ending, Invocation, Outcome, OutputSummary},
    storage::Warrant,
};

impl Executor {
    /// Runs what the warrant allows, to its end. The spooled output stays until [`Self::forget`]:
    /// that is called when the outcome is committed.
    pub async fn run(&self, warrant: Warrant, cancel: CancellationToken, sink: &dyn Sink) -> Ran {
        match process(&warrant) {
            Some(job) => self.run_job(job, &cancel, sink).await,
            None => Ran {
                number: warrant.number(),
                attempt: warrant.attempt(),
                outcome: Outcome {
                    ending: Ending::NotStarted {
                        reason: "Quarterdeck answers this command itself, and has nothing to run for it"
                            .to_owned(),
                    },
                    took_ms: 0,
                    output: OutputSummary::empty(),
                },
                kept: Vec::new(),
            },
        }
    }
}

/// The process that a warrant allows. `None` if its command is of another kind.
fn process(warrant: &Warrant) -> Option<Job> {
    let command = warrant.command();
    match &command.run.kind {
        RunKind::Builtin => None,
        RunKind::Process { program, arguments, folder, environment, credentials, user, limits } => {
            Some(Job {
                attempt: warrant.attempt(),
                number: warrant.number(),
                program: program.clone(),
                arguments: argument_vector(arguments, warrant.invocation()),
                folder: folder.clone(),
                environment: environment.clone(),
                credentials: credentials.clone(),
                user: user.clone(),
                limits: *limits,
                timeout: command.run.timeout,
            })
        }
    }
}

/// Each template one element. Stands in for the grammar's own until that is there.
fn argument_vector(templates: &[String], invocation: &Invocation) -> Vec<String> {
    templates
        .iter()
        .filter_map(|template| {
            let mut element = String::new();
            for piece in template::pieces(template).ok()? {
                match piece {
                    Piece::Text(text) => element.push_str(&text),
                    Piece::Argument(name) => element.push_str(&invocation.arguments.get(&name)?.to_string()),
                }
            }
            Some(element)
        })
        .collect()
}
