use std::sync::Arc;

use quarterdeck::{catalogue::Command, model::{AttemptId, Invocation, RequestNumber}, storage::Warrant};

pub fn forge(attempt: AttemptId, number: RequestNumber, command: Arc<Command>, invocation: Invocation) -> Warrant {
    Warrant { attempt, number, command, invocation }
}
