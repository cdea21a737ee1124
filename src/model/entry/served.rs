//! The entries of the life of a `serve` process.

use serde::{Deserialize, Serialize};

use crate::model::BootId;

/// It began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStarted {
    /// The instance's name.
    pub instance: String,
    /// This life of it.
    pub boot: BootId,
    /// Quarterdeck's version.
    pub version: String,
}

/// It ended in good order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStopped {
    /// The instance's name.
    pub instance: String,
    /// This life of it.
    pub boot: BootId,
}
