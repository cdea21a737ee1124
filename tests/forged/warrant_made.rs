use std::sync::Arc;

use quarterdeck::{catalogue::Command, model::{AttemptId, Invocation, RequestNumber}, storage::Warrant};
use ruma::OwnedUserId;

pub fn forge(attempt: AttemptId, number: RequestNumber, command: Arc<Command>, invocation: Invocation, by: OwnedUserId, room: String) -> Warrant {
    Warrant { attempt, number, command, invocation, by, room }
}
