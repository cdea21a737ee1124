//! `!ps`: what runs in this room and what waits, as far as the asker may know of it.

use super::{pipeline::Asked, said_of_queue};
use crate::{
    command::May,
    model::{Message, Timestamp},
    storage::{Error, Unended},
};

/// The answer to `!ps`.
pub async fn ps(asked: &Asked<'_>, now: Timestamp) -> Result<Message, Error> {
    let ops = &asked.in_force.ops;
    let unended = asked.house.storage.unended_in(&asked.address.room).await?;
    // What somebody could neither run nor have approved is not spoken of to them; what is their own is.
    let may_know = |one: &&Unended| {
        let command = ops.command_of(&one.invocation);
        one.sender == asked.sender || command.is_some_and(|command| asked.may_ever(&command, now) != May::Not)
    };
    let shown: Vec<_> = unended.iter().filter(may_know).collect();
    let numbers: Vec<_> = shown.iter().map(|one| one.number).collect();
    asked.house.storage.tells_of(asked.number, &numbers).await?;
    Ok(said_of_queue::ps(&ops.settings.prefix, &shown, now))
}
