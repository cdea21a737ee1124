//! What is said between Quarterdeck and `quarterdeck exec-run`, over one socket pair.
//!
//! The child's standard input is its end of the socket. Quarterdeck writes a length, a [`Spec`] and,
//! when the process is on record, the byte [`GO`]; the child answers [`READY`] once all limits are
//! applied, then either becomes the program, which closes the socket, or says why it could not
//! ([`FAILED`] and the words). Credentials pass here and nowhere else: arguments can be read by every
//! user of the host, and the environment of `exec-run` itself would be one more copy. Until `exec`
//! nobody but root can read them, and afterwards only the program's own user.

use std::{io::Read, os::unix::net::UnixStream, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::sandbox::Wrapper;
use crate::catalogue::Limits;

/// The child: everything is applied, and only the byte is missing.
pub(super) const READY: u8 = b'r';
/// The child: it could not become the program. Words follow, up to the end of the stream.
pub(super) const FAILED: u8 = b'f';
/// Quarterdeck: the process is on record; go.
pub(super) const GO: u8 = b'g';
/// No specification is longer: arguments and environment together have a limit of 2 MiB in Linux.
const MAX_BYTES: u32 = 8 << 20;

/// All that `exec-run` must know.
#[derive(Serialize, Deserialize)]
pub(super) struct Spec {
    /// The absolute path.
    pub program: PathBuf,
    /// The arguments, one element each, without the program itself.
    pub arguments: Vec<String>,
    /// The whole environment, credentials included.
    pub environment: Vec<(String, String)>,
    /// Files with secrets that its sandbox makes: path and content.
    pub files: Vec<(String, String)>,
    /// The secret on its standard input, which is empty without.
    pub input: Option<String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Whether that folder is the attempt's own; it is then entered before the user is changed.
    pub own_folder: bool,
    /// The user to become.
    pub user: Option<SpecUser>,
    /// The limits.
    pub limits: Limits,
    /// What is executed in its place, to shut it in.
    pub wrapper: Option<Wrapper>,
}

/// A user of the operating system, looked up beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SpecUser {
    /// Its name, for messages.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// All its groups.
    pub groups: Vec<u32>,
}

impl Spec {
    /// The length and the text, as they go over the socket.
    pub(super) fn to_bytes(&self) -> Result<secrecy::SecretBox<Vec<u8>>, String> {
        let mut bytes = vec![0; 4];
        serde_json::to_writer(&mut bytes, self)
            .map_err(|error| format!("its arguments or environment cannot be written down: {error}"))?;
        let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
        if length > MAX_BYTES {
            return Err(format!("arguments and environment are {length} bytes, more than {MAX_BYTES}"));
        }
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        Ok(secrecy::SecretBox::new(Box::new(bytes)))
    }

    /// Reads one. `Ok(None)` if the other end went away first.
    pub(super) fn read(control: &mut UnixStream) -> Result<Option<Self>, String> {
        let mut length = [0; 4];
        match control.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(format!("cannot read what to run: {error}")),
        }
        let length = u32::from_be_bytes(length);
        if length > MAX_BYTES {
            return Err("what to run is no specification".to_owned());
        }
        let mut bytes = vec![0; length as usize];
        if control.read_exact(&mut bytes).is_err() {
            return Ok(None);
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("what to run cannot be read ({error}): is another version of Quarterdeck installed over the running one? Restart `quarterdeck serve`"))
    }
}
