//! What the PostgreSQL at the other end is.

use sqlx::{ConnectOptions as _, Connection as _};

use super::{Error, Storage, error::Doing as _};

impl Storage {
    /// The server's version as a number: 150006 for 15.6. By a connection of its own, because the pool
    /// would only say that it waited in vain, and not why.
    pub async fn server_version(&self) -> Result<u32, Error> {
        let doing = "asking for its version";
        let connection = self.inner.options.connect().await.doing(doing)?;
        // It is said while connecting, so nothing needs to be asked. Every server since 7.4 says it.
        let version = connection.server_version_num().unwrap_or_default();
        connection.close().await.doing(doing)?;
        Ok(version)
    }
}
