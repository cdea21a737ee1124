//! From a warrant to a job: the one door into the executor.

use tokio_util::sync::CancellationToken;

use super::{Executor, Ran, Sink, job::Job};
use crate::{
    catalogue::RunKind,
    model::{Ending, Outcome, OutputSummary},
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
        RunKind::Process { program, folder, environment, credentials, user, limits, .. } => Some(Job {
            attempt: warrant.attempt(),
            number: warrant.number(),
            program: program.clone(),
            arguments: crate::command::argument_vector(command, warrant.invocation()),
            folder: folder.clone(),
            environment: environment.clone(),
            credentials: credentials.clone(),
            user: user.clone(),
            limits: *limits,
            timeout: command.run.timeout,
        }),
    }
}
