//! The mark on a command that waits for its lock or a place: taken off when it waits no longer.

use super::{answers::Address, dispatcher::House};
use crate::{
    model::{RequestNumber, StateMark},
    storage::{Error, Said, Work},
};

impl House {
    /// A request starts, or ends without having started: where its command was marked as waiting, that mark goes with
    /// the same commit.
    pub async fn waits_no_longer(
        &self,
        work: &mut Work,
        address: &Address,
        number: RequestNumber,
    ) -> Result<(), Error> {
        // It was written by an earlier commit: that of the work which queued it.
        let marked = self.storage.said(&Address::mark_step(number, StateMark::Waiting)).await? != Said::Never;
        if marked {
            work.send(address.unmark(number, StateMark::Waiting));
        }
        Ok(())
    }
}
