//! What the PostgreSQL at the other end is.

use super::{Error, Storage, error::Doing as _};

impl Storage {
    /// The server's version as a number: 150006 for 15.6.
    pub async fn server_version(&self) -> Result<u32, Error> {
        let doing = "asking for its version";
        let connection = self.pool().acquire().await.doing(doing)?;
        // It is said while connecting, so nothing needs to be asked. Every server since 7.4 says it.
        Ok(connection.server_version_num().unwrap_or_default())
    }
}
