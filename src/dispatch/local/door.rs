//! The socket: who connects, what becomes a row of the inbox, and what came of it.

use std::{
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::unistd::{Group, chown};
use ruma::OwnedRoomId;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::Semaphore,
};

use super::{
    super::{dispatcher::House, in_force::InForce},
    SOURCE, event,
    protocol::{Ask, Told},
    user_of, words,
};
use crate::{
    catalogue::LocalDoor,
    model::{Event, Random as _, SystemRandom},
    storage::{Arrival, Progress},
};

/// How many may be connected at once.
const AT_ONCE: usize = 16;
/// How long a line may be.
const LONGEST: u64 = 64 << 10;
/// How long whoever connects may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked what became of a request.
const LOOK: Duration = Duration::from_millis(100);

/// The open door. Dropping it takes the socket away.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of our socket: another server's may stand at the path by now.
    ours: (u64, u64),
}

/// Opens the door: the socket appears with its rights, in the place of one that an earlier life left.
pub fn open(declared: &LocalDoor) -> io::Result<Door> {
    let path = declared.socket.clone();
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    let mode = if let Some(name) = &declared.group {
        give_to(&fresh, name)?;
        0o660
    } else {
        0o600
    };
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode))?;
    let ours = file_at(&fresh)?;
    std::fs::rename(&fresh, &path)?;
    Ok(Door { listener, path, ours })
}

/// Device and inode of what is at the path itself.
fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn give_to(socket: &Path, name: &str) -> io::Result<()> {
    let group = Group::from_name(name)?.ok_or_else(|| {
        io::Error::other(format!("this host knows no group {name}: make it, or mend `group` in [local]"))
    })?;
    Ok(chown(socket, None, Some(group.gid))?)
}

impl Drop for Door {
    fn drop(&mut self) {
        // Where it is gone already, or is another server's by now, there is nothing to do.
        if file_at(&self.path).is_ok_and(|there| there == self.ours) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Door {
    /// Serves whoever connects, for as long as the server runs.
    pub async fn serve(self, house: Arc<House>) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let house = Arc::clone(&house);
                    tokio::spawn(async move {
                        // Whoever hangs up is not told any more; what was stored takes its way all the same.
                        if let Err(error) = serve_one(&house, stream).await {
                            tracing::debug!(%error, "somebody at the local socket hung up");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the local socket took nobody");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

async fn tell(stream: &mut OwnedWriteHalf, told: &Told) -> io::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn serve_one(house: &Arc<House>, stream: UnixStream) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(LONGEST));
    if tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await.is_err() {
        return Ok(());
    }
    let name = match store(house, uid, &line).await {
        Ok(name) => name,
        Err(why) => return tell(&mut writer, &Told::NotStored(why)).await,
    };
    tell(&mut writer, &Told::Stored).await?;
    let mut last = None;
    loop {
        match house.storage.progress_of(SOURCE, &name).await {
            Ok(Progress::PassedOver) => return tell(&mut writer, &Told::PassedOver).await,
            Ok(Progress::Request(number, state)) if last != Some(state) => {
                // What cannot be read now is asked for once more: the database may be away for a moment.
                if let Ok(text) = words::of(house, number, state).await {
                    last = Some(state);
                    tell(&mut writer, &Told::Stands { number, state, text }).await?;
                    if state.is_terminal() {
                        return Ok(());
                    }
                }
            }
            Ok(_) | Err(_) => {}
        }
        // Whoever went away gives the place back. The end of what it says is not the end of its hearing.
        if writer.ready(Interest::WRITABLE).await?.is_write_closed() {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Makes a row of the inbox of what was asked; gives its name, or why there is none.
async fn store(house: &House, uid: u32, line: &str) -> Result<String, String> {
    let ask: Ask =
        serde_json::from_str(line).map_err(|error| format!("what was asked cannot be read: {error}"))?;
    let in_force = house.current.get();
    let Some(user) = user_of(&in_force, uid) else {
        let why = "no team names it".to_owned();
        if let Err(error) = house.storage.record(None, None, Event::LocalRefused { uid, why }).await {
            tracing::warn!(uid, %error, "could not record that somebody was refused at the local socket");
        }
        return Err(format!(
            "no team names the user {uid} of this host: add [[local]] with uid = {uid} and user = \"@...\" to a file of teams/"
        ));
    };
    let room = room_of(house, &in_force, ask.room.as_deref()).await?;
    let prefix = &in_force.ops.settings.prefix;
    let line = ask.line.trim();
    let line = if line.starts_with(prefix.as_str()) { line.to_owned() } else { format!("{prefix}{line}") };
    let name = SystemRandom.uuid().simple().to_string();
    let arrival = Arrival {
        source: SOURCE.to_owned(),
        external_id: name.clone(),
        lane: room.to_string(),
        claimed_at: None,
        raw: event(&name, &room, user, house.storage.now().as_millisecond(), &line, uid),
    };
    let stored = house.storage.take_in(&arrival).await;
    stored.map_err(|error| format!("it could not be stored, so nothing is run: {error}"))?;
    Ok(name)
}

/// The room that is meant, by key, alias or id; the only one where none is named.
async fn room_of(house: &House, in_force: &InForce, named: Option<&str>) -> Result<OwnedRoomId, String> {
    let rooms = &in_force.ops.rooms;
    let keys = || rooms.keys().cloned().collect::<Vec<_>>().join(", ");
    let bound =
        house.storage.bound_rooms().await.map_err(|error| format!("it could not be stored: {error}"))?;
    let key = match named {
        None if rooms.len() == 1 => rooms.keys().next().cloned(),
        None => return Err(format!("name a room with --room: {}", keys())),
        Some(named) => rooms
            .values()
            .find(|room| room.key == named || room.alias == named)
            .map(|room| room.key.clone())
            .or_else(|| bound.iter().find(|(_, id)| id == named).map(|(key, _)| key.clone())),
    };
    let Some(key) = key.filter(|key| rooms.contains_key(key)) else {
        return Err(format!("there is no room {}: there are {}", named.unwrap_or_default(), keys()));
    };
    let room = bound.into_iter().find(|(bound, _)| *bound == key).map(|(_, id)| id);
    room.ok_or_else(|| format!("the room {key} is declared and does not exist yet: Quarterdeck makes it when the homeserver is there"))
}
