//! Refusing to start on a database that is not as it should be.

use super::{Error, Storage};

impl Storage {
    /// Refuses pending migrations, and a role that could change what was recorded: with
    /// [`Error::NotReady`], which says how to mend each.
    pub async fn check_ready(&self) -> Result<(), Error> {
        todo!()
    }
}
