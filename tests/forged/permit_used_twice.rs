use quarterdeck::{catalogue::Command, model::{Invocation, RequestNumber}, policy::Permit, storage::{Error, Work}};

pub async fn two_starts(
    work: &mut Work,
    permit: Permit,
    number: RequestNumber,
    command: std::sync::Arc<Command>,
    invocation: Invocation,
) -> Result<(), Error> {
    work.start(permit, number, command.clone(), invocation.clone()).await?;
    work.start(permit, number, command, invocation).await?;
    Ok(())
}
