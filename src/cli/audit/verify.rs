//! `quarterdeck audit verify`: checks the whole log in the database, from the first entry on.

use std::{collections::VecDeque, path::PathBuf, process::ExitCode, time::Instant};

use anyhow::Context as _;

use crate::{
    audit::{
        self,
        cosign::Cosigner,
        keys::Keys,
        note::PublicKey,
        verify::{Claim, Fault, Walk},
    },
    model::{Commitment, Digest, Entry, Event, Recovered, Salt},
    storage::{Checkpoint, LeafRow, Storage},
};

/// How many leaves are read at once.
const LEAVES: i64 = 10_000;
/// How many contents or checkpoints are: a content can be long.
const PAGE: i64 = 1000;
/// How often progress is told, in leaves.
const TELL: u64 = 100_000;

/// Checks the log: each entry, the tree, what was signed. Names the first that does not fit, and ends with 1 then.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// A bundle that `quarterdeck audit export` wrote; without it, the database
    pub(super) file: Option<PathBuf>,
    /// The log's public key. Default: of a bundle, the one in it; of the database, that of the key of the settings
    #[arg(long, value_name = "KEY")]
    pub(super) key: Option<String>,
    /// Of a bundle or a proof: the public key of a witness that must have cosigned it; several times for several
    #[arg(long = "witness", value_name = "KEY", requires = "file")]
    pub(super) witnesses: Vec<String>,
    /// A checkpoint that was kept elsewhere: the log must go on from it
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    since: Option<PathBuf>,
}

/// A checkpoint that the log must have at its size: its note, and the root of its row if it is one of the database.
type Mark = (u64, String, Option<Vec<u8>>);

impl Verify {
    /// `own` is the key of the settings; that of each log has the same bytes and the log's own name.
    pub(super) async fn run(
        self,
        storage: &Storage,
        own: Option<PublicKey>,
        witnesses: &[Cosigner],
    ) -> anyhow::Result<ExitCode> {
        let logs = storage.logs().await?;
        let given = self.key.as_deref().map(PublicKey::read).transpose()?;
        // The name of the first log: that of the settings, or of the given key, if that is not a later one's.
        let later = |key: &PublicKey| logs.iter().any(|log| log.origin.as_deref() == Some(key.origin()));
        let first = match (&given, &own) {
            (Some(given), _) if !later(given) => given.origin().to_owned(),
            (_, Some(own)) => own.origin().to_owned(),
            _ => anyhow::bail!(
                "the first log's name is not known: its key cannot be read. Give its public half with --key"
            ),
        };
        let key = given.or(own).context("the log's key cannot be read: name its public half with --key")?;
        let since = match &self.since {
            Some(file) => Some(
                std::fs::read_to_string(file)
                    .with_context(|| format!("reading the checkpoint in {}", file.display()))?,
            ),
            None => None,
        };
        let (mut code, mut before, mut is_compared) = (ExitCode::SUCCESS, None, since.is_none());
        for Keys { log, keys } in audit::keys::of_logs(storage, &key.named(&first)?).await? {
            let key = key.named(log.origin.as_deref().unwrap_or(&first))?;
            let kept = since.as_ref().filter(|note| note.lines().next() == Some(key.origin()));
            let kept = match kept {
                Some(note) => {
                    // Signed by whichever key was the log's then.
                    let signer = keys.iter().find(|key| key.open(note).is_ok()).unwrap_or(&key);
                    Some((signer.open(note).context("the file of --since")?.head.size, note.clone(), None))
                }
                None => None,
            };
            is_compared |= kept.is_some();
            let storage = storage.of_log(log.number);
            let begun = Instant::now();
            let goes_on = logs.last().is_some_and(|last| last.number == log.number);
            match check(&storage, (&key, keys), kept, before.as_ref(), goes_on).await? {
                Ok((told, end)) => {
                    println!("{told}, in {:.1} s. Signed by {key}", begun.elapsed().as_secs_f64());
                    before = Some(end);
                }
                Err(fault) => {
                    println!("{fault}");
                    return Ok(ExitCode::FAILURE);
                }
            }
            if witnessed(&storage, witnesses).await? != ExitCode::SUCCESS {
                code = ExitCode::FAILURE;
            }
        }
        anyhow::ensure!(is_compared, "the file of --since is a checkpoint of another log than there is here");
        Ok(code)
    }
}

/// How a log stands: its name, how many entries are signed, and their root. The next one's first entry says the same.
type End = (String, u64, Digest);

/// Tells how far each declared witness has cosigned, and checks that it did.
async fn witnessed(storage: &Storage, witnesses: &[Cosigner]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for key in witnesses {
        let Some(last) = storage.last_cosignature(&key.to_string()).await? else {
            println!("Not witnessed by {} yet", key.name());
            continue;
        };
        // The checkpoint that it stands below was found to fit with all the others.
        let found = key.find(&format!("{}{}", last.note, last.line));
        if let Ok(Some(found)) = found {
            println!("The first {} entries are witnessed by {} ({})", last.size, key.name(), found.at);
        } else {
            println!("The cosignature of {} by {} does not hold", last.size, key.name());
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Whether the first entry of a log names the end of the one before it.
async fn goes_on_from(storage: &Storage, before: &End) -> anyhow::Result<Option<Fault>> {
    let page = storage.leaves(0, 1, 1).await?;
    let first = page.iter().next().transpose()?.and_then(|leaf| leaf.body);
    let first = first.and_then(|body| serde_json::from_str::<Entry>(body).ok()).map(|entry| entry.event);
    Ok(match first {
        Some(Event::LogRecovered(Recovered { origin, size, root, .. }))
            if (&origin, size, root) == (&before.0, before.1, before.2) =>
        {
            None
        }
        Some(Event::LogRecovered(Recovered { origin, size, .. })) => Some(Fault::Entry {
            index: 0,
            what: format!(
                "the log before it ended as {origin} with {size} signed entries, and {} has {} here",
                before.0, before.1
            ),
        }),
        _ => Some(Fault::Entry { index: 0, what: "it does not name the log before it".to_owned() }),
    })
}

/// A whole log; gives what was found, in words, and how it stands. What belongs to no tree is looked at with the one that
/// goes on.
async fn check(
    storage: &Storage,
    (key, keys): (&PublicKey, Vec<PublicKey>),
    kept: Option<Mark>,
    before: Option<&End>,
    goes_on: bool,
) -> anyhow::Result<Result<(String, End), Fault>> {
    // What is added meanwhile is not looked at.
    let head = storage.tree_head().await?;
    let mut walk = Walk::new(keys);
    let mut marks = Marks { storage, next: VecDeque::new(), read: 0, is_over: false, kept };
    let mut signed = 0;
    while walk.size() < head.size {
        let page = storage.leaves(walk.size(), head.size, LEAVES).await?;
        let before = walk.size();
        for row in page.iter() {
            let LeafRow { index, id, hash, body, kind, request, room } = row?;
            let claim = Claim { index, id, hash, body, kind, request, room };
            if let Err(fault) = walk.leaf(claim) {
                return Ok(Err(fault));
            }
            for made in walk.filled() {
                let kept = storage.full_tile(made.tile.level, made.tile.index).await?;
                let kept = kept.as_ref().map(|(hashes, root)| (hashes.as_slice(), root.as_slice()));
                if let Err(fault) = walk.tile(&made, kept) {
                    return Ok(Err(fault));
                }
            }
            while let Some((size, note, root)) = marks.next(walk.size()).await? {
                if let Err(fault) = walk.checkpoint(size, &note, root.as_deref()) {
                    return Ok(Err(fault));
                }
                signed = size;
            }
            if walk.size().is_multiple_of(TELL) {
                eprintln!("{} of {} entries fit", walk.size(), head.size);
            }
        }
        if walk.size() == before {
            return Ok(Err(Fault::Entry { index: before, what: "its leaf is gone".to_owned() }));
        }
    }
    if let Some((size, ..)) = marks.left(head.size).await? {
        let what = format!("it is of more leaves than there are: {}", head.size);
        return Ok(Err(Fault::Checkpoint { size, what }));
    }
    if let Err(fault) = walk.head(head.size, &head.root) {
        return Ok(Err(fault));
    }
    // A log that has ended is named by the next one.
    if goes_on && !walk.is_signed_by(key) {
        let what = format!("the key {key} has not signed it, nor has it been signed over to or by that key");
        return Ok(Err(Fault::Checkpoint { size: signed, what }));
    }
    if let Some(before) = before
        && let Some(fault) = goes_on_from(storage, before).await?
    {
        return Ok(Err(fault));
    }
    let stray = storage.stray_tiles(storage.tree_head().await?.size).await?;
    if stray > 0 {
        return Ok(Err(Fault::Tile(format!("{stray} tiles are there that the tree does not have"))));
    }
    let root = storage.checkpoint_at(signed).await?.and_then(|last| last.root.try_into().ok());
    let end = (key.origin().to_owned(), signed, root.map_or_else(|| Digest::of(b""), Digest::from_bytes));
    let unsigned = head.size - signed;
    if !goes_on {
        let open = if unsigned > 0 { format!(" ({unsigned} never signed)") } else { String::new() };
        return Ok(Ok((format!("All {} entries{open} of a log that has ended fit", head.size), end)));
    }
    let (lost, waiting) = storage.without_leaf().await?;
    if let Some(id) = lost {
        let what = "it has no leaf, and does not wait for one: it was put in beside the log".to_owned();
        return Ok(Err(Fault::Leafless { id, what }));
    }
    let contents = match contents(storage).await? {
        Ok(contents) => contents,
        Err(fault) => return Ok(Err(fault)),
    };
    if let Some((request, commitment)) = storage.content_gone().await? {
        return Ok(Err(Fault::ContentGone { request, commitment }));
    }
    let open = if waiting > 0 || unsigned > 0 {
        format!(" ({unsigned} not signed yet, {waiting} not in the tree yet)")
    } else {
        String::new()
    };
    Ok(Ok((format!("All {} entries{open} and {contents} contents fit", head.size), end)))
}

/// Each content is what its entry calls it.
async fn contents(storage: &Storage) -> anyhow::Result<Result<u64, Fault>> {
    let (mut after, mut count) = (Vec::new(), 0);
    loop {
        let page = storage.contents_after(&after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(Ok(count)) };
        after.clone_from(&last.commitment);
        for row in &page {
            let made = <[u8; 32]>::try_from(row.salt.as_slice())
                .ok()
                .map(|salt| Commitment::new(&Salt(salt), &row.bytes));
            if made.is_none_or(|made| made.0.as_bytes() != row.commitment.as_slice()) {
                let commitment = <[u8; 32]>::try_from(row.commitment.as_slice())
                    .map(|bytes| Digest::from_bytes(bytes).to_string())
                    .unwrap_or_default();
                return Ok(Err(Fault::Content { request: row.request, commitment }));
            }
            count += 1;
        }
    }
}

/// The checkpoints in the order of their sizes, and the one that was kept elsewhere.
struct Marks<'a> {
    storage: &'a Storage,
    next: VecDeque<Checkpoint>,
    read: u64,
    is_over: bool,
    kept: Option<Mark>,
}

impl Marks<'_> {
    /// The next of a tree of this size.
    async fn next(&mut self, size: u64) -> anyhow::Result<Option<Mark>> {
        if self.kept.as_ref().is_some_and(|(kept, ..)| *kept == size) {
            return Ok(self.kept.take());
        }
        if self.next.is_empty() && !self.is_over {
            self.next = self.storage.checkpoints(self.read, PAGE).await?.into();
            self.is_over = self.next.is_empty();
            self.read = self.next.back().map_or(self.read, |last| last.size);
        }
        // One of a size that was passed is of no leaf: it comes out as what it is.
        let due = self.next.front().is_some_and(|next| next.size <= size);
        Ok(due.then(|| self.next.pop_front()).flatten().map(|row| (row.size, row.note, Some(row.root))))
    }

    /// One that is left when all leaves were followed, of those that were there when it began.
    async fn left(&mut self, size: u64) -> anyhow::Result<Option<Mark>> {
        if let Some(kept) = self.kept.take() {
            return Ok(Some(kept));
        }
        let now = self.storage.tree_head().await?.size.max(size);
        let rest = self.storage.checkpoints(now, 1).await?;
        Ok(rest.into_iter().next().map(|row| (row.size, row.note, Some(row.root))))
    }
}
