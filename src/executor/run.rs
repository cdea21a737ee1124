//! From a warrant to a job: the one door into the executor.

use tokio_util::sync::CancellationToken;

use super::{Executor, Left, Poised, Ran, Sink, http::Request, job::Job, process, rpc::Call, ssh::Remote};
use crate::{
    catalogue::{Command, RunKind},
    model::{AttemptId, Ending, Invocation, Outcome, OutputSummary, RequestNumber},
    storage::{PendingWarrant, Warrant},
};

impl Executor {
    /// Does what can be done while the start is being committed: a child that has all its limits, and waits for the
    /// byte that [`Self::run`] alone gives it, against the warrant. `None` where that is not worth while: what
    /// carries credentials is given them only once its start is on record, and what fails fails again in `run`,
    /// which tells why.
    pub fn poise<'a>(&'a self, pending: &PendingWarrant) -> impl Future<Output = Option<Poised>> + use<'a> {
        let job = process(pending.attempt(), pending.number(), pending.command(), pending.invocation());
        let job = job.filter(|job| !job.has_secrets());
        async move { process::poise(self, &job?).await.ok() }
    }

    /// Runs what the warrant allows, to its end: in the child that was poised for it, where there is one. The spooled
    /// output stays until [`Self::forget`]: that is called when the outcome is committed.
    pub async fn run(
        &self,
        warrant: Warrant,
        poised: Option<Poised>,
        cancel: CancellationToken,
        sink: &dyn Sink,
    ) -> Ran {
        let request =
            Request::of(warrant.attempt(), warrant.number(), warrant.command(), warrant.invocation());
        if let Some(request) = request {
            return self.run_kind(request, &cancel, sink).await;
        }
        if let Some(call) = Call::of(&warrant) {
            return self.run_kind(call, &cancel, sink).await;
        }
        let remote = Remote::of(warrant.attempt(), warrant.number(), warrant.command(), warrant.invocation());
        if let Some(remote) = remote {
            return self.run_kind(remote, &cancel, sink).await;
        }
        match process(warrant.attempt(), warrant.number(), warrant.command(), warrant.invocation()) {
            Some(job) => self.run_poised(job, poised, &cancel, sink).await,
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
                whole: None,
                left: Left::default(),
            },
        }
    }
}

/// The process that a warrant allows. `None` if its command is of another kind.
fn process(
    attempt: AttemptId,
    number: RequestNumber,
    command: &Command,
    invocation: &Invocation,
) -> Option<Job> {
    let RunKind::Process(process) = &command.run.kind else { return None };
    Some(Job {
        attempt,
        number,
        program: process.program.clone(),
        arguments: crate::command::argument_vector(command, invocation),
        folder: process.folder.clone(),
        environment: process.environment.clone(),
        credentials: process.credentials.clone(),
        credential_files: process.credential_files.clone(),
        credential_input: process.credential_input.clone(),
        user: process.user.clone(),
        limits: process.limits,
        sandbox: process.sandbox.clone(),
        out: process.out,
        timeout: command.run.timeout,
    })
}
