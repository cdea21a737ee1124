//! The processes that share this database: who lives, who is dead, and what the dead left running.

use super::{Error, Request, Storage};
use crate::model::{AttemptId, BootId, Timestamp};

/// What this process keeps of its own standing among the others.
#[derive(Debug, Default)]
pub(super) struct Presence {}

/// What a heartbeat found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// We are alive. These boots were found dead just now: look at [`Storage::interrupted_runs`].
    Alive {
        /// The dead.
        died: Vec<BootId>,
    },
    /// Somebody declared us dead: take no more work, end the runs, and stop.
    DeclaredDead,
}

/// A run whose process was left alone by a boot that is dead.
#[derive(Debug, Clone)]
pub struct InterruptedRun {
    /// The attempt: conclude it with [`Storage::finish`].
    pub attempt: AttemptId,
    /// When it was started.
    pub started_at: Timestamp,
    /// The boot that started it.
    pub boot: BootId,
    /// That boot's instance: its spool has what was printed.
    pub instance: String,
    /// The request.
    pub request: Request,
}

impl Storage {
    /// Enters this boot, once: takes the instance's name (refused while another process holds it),
    /// declares its earlier boots dead, and records `server.started`.
    pub async fn register_boot(&self) -> Result<(), Error> {
        todo!()
    }

    /// The heartbeat, every few seconds. Another boot is dead when its counter has not changed for 30
    /// seconds of a database that answered.
    pub async fn beat(&self) -> Result<Beat, Error> {
        todo!()
    }

    /// Leaves in good order: records `server.stopped` and gives the name free.
    pub async fn leave(&self) -> Result<(), Error> {
        todo!()
    }

    /// The runs that dead boots left behind, and only those.
    pub async fn interrupted_runs(&self) -> Result<Vec<InterruptedRun>, Error> {
        todo!()
    }
}
