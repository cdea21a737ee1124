//! Makes leaves of the entries that wait for theirs, and signs what became of the tree.
//!
//! Any instance may do it, and only one does at a time. A round reads the head anew, builds on it and moves it; if two
//! build on the same head, the database lets one of them through. What is signed is read back from the database after the
//! commit, and proved to go on from the checkpoint before it: so neither a lost answer, nor a second sequencer, nor rows
//! that somebody changed make this house sign two histories. What it cannot know by itself is that the whole database is
//! an old one, restored: that is what witnesses are for.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    note::{self, Head, LogKey},
    tree::{self, Edge, Tile, Tiles, TreeHash},
};
use crate::{
    model::{SignedDuration, fault::Point},
    storage::{self, Bell, Growth, Storage, Turn},
};

/// How many entries get their leaf in one commit.
const BATCH: i64 = 4096;
/// How long entries are gathered for one commit after the first was heard of.
const GATHER: Duration = Duration::from_millis(150);
/// How long nobody waits without looking: entries of other processes ring no bell here. A notification of the database
/// would: but it takes a lock that lets only one transaction of the whole database commit at a time.
const POLL: Duration = Duration::from_millis(700);
/// How often it is looked whether the log has been silent for long.
const LISTEN: Duration = Duration::from_mins(1);
/// After so long without an entry there is a heartbeat, so that a log that stands still is seen to.
const SILENCE: SignedDuration = SignedDuration::from_hours(1);
/// The pause after something went wrong.
const PAUSE: Duration = Duration::from_secs(1);
/// The same where waiting does not mend it.
const LONG_PAUSE: Duration = Duration::from_secs(10);

/// Why the tree was not extended, or a checkpoint not signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The tree in the database does not fit together.
    #[error("the log's tree does not fit together: {0}. Nothing is signed; run `quarterdeck audit verify`")]
    Tree(#[from] tree::Error),
    /// The key, or a checkpoint.
    #[error("{0}. Nothing is signed")]
    Note(#[from] note::Error),
    /// The tree does not go on from what was signed before.
    #[error("{0}. Nothing is signed, because it would be a second history; run `quarterdeck audit verify`")]
    Fork(String),
}

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// Nothing waited.
    Nothing,
    /// Another instance is at it.
    Elsewhere,
    /// The tree has so many leaves now.
    Grew(u64),
}

/// Extends the tree and signs it.
#[derive(Debug)]
pub struct Sequencer {
    storage: Storage,
    key: LogKey,
    /// The right edge after our last commit, if nothing went wrong since.
    edge: Option<Edge>,
}

impl Sequencer {
    /// A sequencer with the log's key.
    pub const fn new(storage: Storage, key: LogKey) -> Self {
        Self { storage, key, edge: None }
    }

    /// Makes sure that the log is ours to go on with: its last checkpoint is signed by our key, and the tree goes on from
    /// it. Signs where a checkpoint is owed.
    pub async fn start(&self) -> Result<(), Error> {
        self.sign().await
    }

    /// Goes on until it is told to stop, and ends with a last round.
    pub async fn run(mut self, stop: CancellationToken) {
        let bell = self.storage.bell();
        let mut listened = tokio::time::Instant::now();
        loop {
            let stopping = stop.is_cancelled();
            let result = async {
                if self.storage.tree_is_due().await? {
                    self.catch_up().await?;
                }
                if listened.elapsed() >= LISTEN {
                    listened = tokio::time::Instant::now();
                    self.beat().await?;
                }
                Ok::<_, Error>(())
            };
            let pause = match result.await {
                Ok(()) => None,
                Err(Error::Storage(error)) => {
                    tracing::warn!(%error, "the log's tree waits");
                    Some(PAUSE)
                }
                Err(error) => {
                    metrics::counter!("quarterdeck_log_refused_total").increment(1);
                    tracing::error!(%error, "the log's tree was not signed");
                    Some(LONG_PAUSE)
                }
            };
            if stopping {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = wait(&bell, pause) => {}
            }
        }
    }

    /// Rounds until nothing waits.
    pub async fn catch_up(&mut self) -> Result<(), Error> {
        while let Round::Grew(_) = self.round().await? {}
        // What another instance has committed and not signed, because it died in between.
        self.sign().await
    }

    /// One commit of leaves, and its checkpoint.
    pub async fn round(&mut self) -> Result<Round, Error> {
        // Taken, so that after an error the next round reads everything anew.
        let known = self.edge.take();
        let Some(mut turn) = self.storage.tree_turn().await? else { return Ok(Round::Elsewhere) };
        let mut edge = edge_of(&mut turn, known).await?;
        let waiting = turn.pending(BATCH).await?;
        if waiting.is_empty() {
            turn.done().await?;
            self.edge = Some(edge);
            return Ok(Round::Nothing);
        }
        let from = edge.size();
        let (mut growth, mut full) = (Growth::default(), Vec::new());
        for entry in waiting {
            let hash = tree::leaf_hash(entry.body.as_bytes());
            edge.push(hash, &mut full);
            growth.leaves.push((entry, hash));
        }
        growth.tiles =
            full.into_iter().map(|full| (full.tile.level, full.tile.index, full.hashes, full.root)).collect();
        growth.root = edge.root()?;
        turn.grow(from, growth).await?;
        Point::AfterTreeCommit.pass();
        let size = edge.size();
        self.edge = Some(edge);
        self.sign().await?;
        Ok(Round::Grew(size))
    }

    /// Writes a heartbeat if the log was silent for long.
    async fn beat(&self) -> Result<(), Error> {
        if let Some(mut turn) = self.storage.tree_turn().await? {
            turn.beat_where_silent(SILENCE).await?;
            turn.done().await?;
        }
        Ok(())
    }

    /// Signs the tree as it stands in the database, if it grew since the last checkpoint, and proves first that it goes
    /// on from that one.
    async fn sign(&self) -> Result<(), Error> {
        // First what was signed, then the tree: another instance that grows and signs it in between is no fork.
        let last = match self.storage.last_checkpoint().await? {
            Some(last) => {
                let opened = self.key.public().open(&last.note)?.head;
                self.key.goes_on_from(&last.note)?;
                if opened != (Head { size: last.size, root: hash(&last.root)? }) {
                    return Err(Error::Fork(format!(
                        "the checkpoint kept for size {} says something else than its signature does",
                        last.size
                    )));
                }
                opened
            }
            None => Head { size: 0, root: tree::EMPTY_ROOT },
        };
        let now = self.storage.tree_head().await?;
        let root = hash(&now.root)?;
        if now.size < last.size {
            return Err(Error::Fork(format!(
                "the tree has {} leaves, and one of {} was signed: leaves are gone",
                now.size, last.size
            )));
        }
        if now.size == last.size {
            return if root == last.root {
                Ok(())
            } else {
                Err(Error::Fork(format!("the tree of {} leaves has another root than was signed", now.size)))
            };
        }
        let tiles =
            tiles(&self.storage, now.size, tree::needed_for_consistency(now.size, last.size)?).await?;
        let proof = tiles.consistency(last.size)?;
        tree::check_consistency(&proof, now.size, root, last.size, last.root).map_err(|_| {
            Error::Fork(format!(
                "the tree of {} leaves does not go on from the one of {} that was signed",
                now.size, last.size
            ))
        })?;
        let note = self.key.sign(Head { size: now.size, root })?;
        Point::AfterCheckpointSigned.pass();
        // Ed25519 gives one signature for one head, so another instance has signed the same words.
        let kept = self.storage.keep_checkpoint(now.size, &now.root, &note).await?;
        if kept != note {
            return Err(Error::Fork(format!("another checkpoint stands for size {}", now.size)));
        }
        metrics::counter!("quarterdeck_checkpoints_total").increment(1);
        Ok(())
    }
}

/// Reads tiles of the tree of this size.
pub async fn tiles(storage: &Storage, size: u64, wanted: Vec<Tile>) -> Result<Tiles, storage::Error> {
    let mut tiles = Tiles::new(size);
    for tile in wanted {
        let hashes = storage.tile(tile.level, tile.index, tile.width(size)).await?;
        tiles.put(tile, hashes);
    }
    Ok(tiles)
}

/// The edge that this turn builds on: ours, if nobody built since.
async fn edge_of(turn: &mut Turn, known: Option<Edge>) -> Result<Edge, Error> {
    let head = turn.head().await?;
    let known = known.filter(|edge| edge.size() == head.size);
    let edge = if let Some(edge) = known { edge } else { read_edge(turn, head.size).await? };
    if edge.root()? != hash(&head.root)? {
        return Err(tree::Error::Root(head.size).into());
    }
    Ok(edge)
}

async fn read_edge(turn: &mut Turn, size: u64) -> Result<Edge, Error> {
    let mut levels = Vec::new();
    for level in 0_u8..8 {
        let tile = Tile { level, index: tree::rightmost(size, level) };
        let width = tile.width(size);
        levels.push(if width == 0 { Vec::new() } else { turn.partial(level, tile.index, width).await? });
    }
    Ok(Edge::new(size, levels)?)
}

fn hash(bytes: &[u8]) -> Result<TreeHash, Error> {
    bytes.try_into().map_err(|_| Error::Fork("a root in the database has not 32 bytes".to_owned()))
}

/// Until there is something to do.
async fn wait(bell: &Bell, pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None if bell.entries(POLL).await => tokio::time::sleep(GATHER).await,
        None => {}
    }
}
