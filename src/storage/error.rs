//! What can go wrong, told apart by what the caller should do.

use crate::model::{RequestNumber, State};

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, or cannot work just now. Nothing is known to have been written: wait, and
    /// try again.
    #[error(
        "the database is away (while {doing}): {source}. Waiting for it; if it stays away, look whether PostgreSQL runs and has free connections and disk"
    )]
    Away {
        /// What was tried.
        doing: &'static str,
        /// What PostgreSQL or the network said.
        source: sqlx::Error,
    },
    /// It answered that this cannot be done.
    #[error("the database refused {doing}: {source}")]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// What PostgreSQL said.
        source: sqlx::Error,
    },
    /// The request is no longer in the state that was to be left.
    #[error("request {number} was to go from {from} to {to}, but is {found}; nothing was changed")]
    Moved {
        /// The request.
        number: RequestNumber,
        /// The state it was believed to be in.
        from: State,
        /// The state it was to get.
        to: State,
        /// What it is in.
        found: String,
    },
    /// The table of transitions does not have this one.
    #[error(
        "no request goes from {from} to {to}, so nothing was changed. This is a mistake in Quarterdeck: please report it with the journal"
    )]
    NoSuchTransition {
        /// From where.
        from: State,
        /// To where.
        to: State,
    },
    /// The permit was given for something else than what is to be started.
    #[error(
        "the permit is not for request {number}: it was given for another invocation, person, room or version of the rules"
    )]
    ForeignPermit {
        /// The request.
        number: RequestNumber,
    },
    /// What is stored cannot be read as what it should be.
    #[error("{what} in the database cannot be read: {reason}")]
    Unreadable {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The database is there, but not as this version of Quarterdeck needs it.
    #[error("the database is not ready:\n{}", .0.iter().map(|reason| format!("- {reason}")).collect::<Vec<_>>().join("\n"))]
    NotReady(
        /// Each thing that is wrong, with its mend.
        Vec<String>,
    ),
    /// Something else of the event's room is not decided yet, the event is known already, or it needs more than the
    /// short way has: nothing was written, and it goes through the inbox.
    #[error(
        "the event goes through the inbox: it is not alone in its room, or needs more than one statement"
    )]
    NotAlone,
    /// A search that looks at more than it may.
    #[error("the search took too long and was stopped: narrow it, by --since and --until for example")]
    TooLong,
    /// Another instance has declared this one dead: it starts nothing more.
    #[error("this instance was declared dead, because it was not heard of for 30 s: it starts nothing more")]
    DeclaredDead,
    /// Another process holds this instance's name.
    #[error(
        "another process runs as instance `{0}` on this database. Stop it first, or give this one a name of its own (`instance` in quarterdeck.toml)"
    )]
    NameTaken(String),
    /// The address of the database cannot be read.
    #[error("the database's address is not a PostgreSQL URL (postgres://user:password@host/name): {0}")]
    Address(String),
}

impl Error {
    /// Whether waiting and trying again is the remedy: the database's state is the reason, not what was asked.
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::DeclaredDead)
    }

    /// Whether it is open what became of a statement: it may have been done, and only its answer was lost.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// Sorts an error of the driver.
    pub(super) fn sort(doing: &'static str, source: sqlx::Error) -> Self {
        if is_passing(&source) { Self::Away { doing, source } } else { Self::Refused { doing, source } }
    }
}

/// Whether an error speaks of the database's state, so that the same thing may succeed later.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection exceptions, a rollback that asks for another try, no resources, an operator's
            // intervention, a system error, a session that was ended, a read-only standby.
            ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
                || ["25006", "25P03", "25P04", "55P03"].contains(&&*code)
        }),
        _ => false,
    }
}

/// Gives every error of the driver its sense, with what was tried.
pub(super) trait Doing<T> {
    /// Names what was tried.
    fn doing(self, doing: &'static str) -> Result<T, Error>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, doing: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::sort(doing, source))
    }
}
