//! The typed values of arguments.

use std::fmt;

use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

/// An argument's value, already of its declared type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "lowercase")]
pub enum Value {
    /// Free text that matched its pattern and length.
    Text(String),
    /// A whole number within its range; also within the ±(2^53 - 1) of canonical JSON.
    Integer(i64),
    /// Yes or no.
    Boolean(bool),
    /// One of the declared choices.
    Choice(String),
    /// A length of time, in whole seconds.
    Duration(i64),
    /// A user, by whole MXID.
    User(OwnedUserId),
    /// A room, by id.
    Room(OwnedRoomId),
    /// A declared system, by name.
    System(String),
    /// Several values of one type.
    List(Vec<Value>),
}

impl fmt::Display for Value {
    /// The value as one unquoted word: what a program gets as its argument.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Choice(text) | Self::System(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Boolean(yes) => yes.fmt(f),
            Self::Duration(seconds) => {
                // One number and one unit, the largest that leaves nothing over: sleep(1), timeout(1) and
                // systemd read it, and so does the grammar.
                let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
                match units.into_iter().find(|(unit, _)| *seconds != 0 && seconds % unit == 0) {
                    Some((unit, name)) => write!(f, "{}{name}", seconds / unit),
                    None => write!(f, "{seconds}s"),
                }
            }
            Self::User(user) => f.write_str(user.as_str()),
            Self::Room(room) => f.write_str(room.as_str()),
            Self::List(values) => {
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        f.write_str(",")?;
                    }
                    value.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}
