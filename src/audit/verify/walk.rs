//! Follows a log in a database from its first leaf on.

use uuid::Uuid;

use super::{
    super::{
        note::{Head, PublicKey},
        tree::{self, Edge, FullTile},
    },
    Fault, entry,
};

/// Follows a log from its first leaf on, and rebuilds its tree from the entries alone.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The log's keys, the first first.
    keys: Vec<PublicKey>,
    /// The one that signs here.
    at: usize,
    /// Whether an entry said that the next one is to go on.
    announced: bool,
    edge: Edge,
    full: Vec<FullTile>,
}

/// An entry as whoever keeps it says it is.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Its leaf's index.
    pub index: u64,
    /// Its identifier, as a UUID's number.
    pub id: u128,
    /// Its leaf's hash.
    pub hash: &'a [u8],
    /// Its bytes; `None` where they are gone.
    pub body: Option<&'a str>,
    /// Its type, beside its body.
    pub kind: Option<&'a str>,
    /// Its request, beside its body.
    pub request: Option<i64>,
    /// Its room, beside its body.
    pub room: Option<&'a str>,
}

impl Walk {
    /// From the beginning, of a log with these keys, one after the other.
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self { keys, at: 0, announced: false, edge: Edge::default(), full: Vec::new() }
    }

    /// Whether this key has signed what was followed, by itself or by taking the log over: whoever trusts it may trust all of it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.keys.iter().take(self.at + 1).any(|known| known.to_string() == key.to_string())
    }

    /// How many leaves were followed.
    pub const fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The next leaf.
    pub fn leaf(&mut self, claim: Claim<'_>) -> Result<(), Fault> {
        let wrong = |index, what: String| Err(Fault::Entry { index, what });
        let index = self.edge.size();
        if claim.index != index {
            return wrong(index, format!("its leaf is gone; the next is {}", claim.index));
        }
        let Some(body) = claim.body else {
            return wrong(index, format!("its leaf is there, and the entry {} is gone", named(claim.id)));
        };
        let hash = tree::leaf_hash(body.as_bytes());
        if claim.hash != hash {
            return wrong(
                index,
                format!("the entry {} is not the one that its leaf was made of", named(claim.id)),
            );
        }
        let read = entry::read(body).map_err(|what| Fault::Entry { index, what })?;
        if read.number() != Some(claim.id) {
            return wrong(index, format!("it calls itself {}, and its row {}", read.id, named(claim.id)));
        }
        let beside = (Some(read.kind.as_ref()), read.request, read.room.as_deref());
        if beside != (claim.kind, claim.request, claim.room) {
            return wrong(
                index,
                format!("what its row repeats of it is not what the entry {} says", named(claim.id)),
            );
        }
        if read.kind == "log.key_changed" {
            self.announce(body);
        }
        self.edge.push(hash, &mut self.full);
        Ok(())
    }

    /// An entry says that the log is to go on with another key. Nothing comes of it until both have signed.
    fn announce(&mut self, body: &str) {
        let said: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let of = |at: usize| self.keys.get(at).map(ToString::to_string);
        let named = |field: &str| said.get(field).and_then(|it| it.as_str()).map(ToOwned::to_owned);
        self.announced |=
            named("from") == of(self.at) && named("to").is_some() && named("to") == of(self.at + 1);
    }

    /// The tiles that became full since this was asked last.
    pub fn filled(&mut self) -> Vec<FullTile> {
        std::mem::take(&mut self.full)
    }

    /// A tile that became full, beside what is kept of it.
    pub fn tile(&self, made: &FullTile, kept: Option<(&[u8], &[u8])>) -> Result<(), Fault> {
        let path = made.tile.path(self.edge.size());
        match kept {
            None => Err(Fault::Tile(format!("the tile {path} is gone"))),
            Some((hashes, root)) if hashes != made.hashes || root != made.root => Err(Fault::Tile(format!(
                "the tile {path} does not fit: it is not the one that the leaves make"
            ))),
            Some(_) => Ok(()),
        }
    }

    /// A checkpoint of a tree that is as large as what was followed.
    pub fn checkpoint(&mut self, size: u64, note: &str, root: Option<&[u8]>) -> Result<(), Fault> {
        let wrong = |what: String| Fault::Checkpoint { size, what };
        let Some(key) = self.keys.get(self.at) else { return Err(wrong("has no key to be of".to_owned())) };
        let head = key.open(note).map_err(|error| wrong(error.to_string()))?.head;
        // Signed over: by the old key here, and by the new one.
        let is_over =
            self.announced && self.keys.get(self.at + 1).is_some_and(|next| next.open(note).is_ok());
        if head.size != size {
            return Err(wrong(format!("what is signed is of size {}", head.size)));
        }
        if root.is_some_and(|root| root != head.root) {
            return Err(wrong("its row has another root than was signed".to_owned()));
        }
        self.is_root(head).map_err(wrong)?;
        if is_over {
            (self.at, self.announced) = (self.at + 1, false);
        }
        Ok(())
    }

    /// The head, when all was followed.
    pub fn head(&self, size: u64, root: &[u8]) -> Result<(), Fault> {
        let root = root.try_into().map_err(|_| Fault::Head("its root has not 32 bytes".to_owned()))?;
        self.is_root(Head { size, root }).map_err(Fault::Head)
    }

    fn is_root(&self, head: Head) -> Result<(), String> {
        if self.edge.size() != head.size {
            return Err(format!("it is of {} leaves, and there are {}", head.size, self.edge.size()));
        }
        match self.edge.root() {
            Ok(root) if root == head.root => Ok(()),
            _ => Err("the leaves before it make another root".to_owned()),
        }
    }
}

/// An entry's identifier, as it is written.
fn named(id: u128) -> Uuid {
    Uuid::from_u128(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audit::note::LogKey, model::SystemRandom};

    const ORIGIN: &str = "example.org/log";

    fn key() -> LogKey {
        LogKey::read(&LogKey::draw(ORIGIN, &SystemRandom), ORIGIN).unwrap()
    }

    fn entry(number: u128) -> String {
        format!(r#"{{"id":"{}","type":"log.heartbeat"}}"#, Uuid::from_u128(number))
    }

    fn changed(number: u128, from: &PublicKey, to: &PublicKey) -> String {
        format!(
            r#"{{"from":"{from}","id":"{}","to":"{to}","type":"log.key_changed"}}"#,
            Uuid::from_u128(number)
        )
    }

    /// Follows one more entry.
    fn step(walk: &mut Walk, body: &str) {
        let (index, hash) = (walk.size(), tree::leaf_hash(body.as_bytes()));
        let kind = if body.contains("key_changed") { "log.key_changed" } else { "log.heartbeat" };
        let claim = Claim {
            index,
            id: u128::from(index),
            hash: &hash,
            body: Some(body),
            kind: Some(kind),
            request: None,
            room: None,
        };
        walk.leaf(claim).unwrap();
    }

    fn head(walk: &Walk) -> Head {
        Head { size: walk.size(), root: walk.edge.root().unwrap() }
    }

    #[test]
    fn a_log_goes_on_with_another_key_only_where_both_have_signed() {
        let (old, new) = (key(), key());
        let (first, second) = (old.public().clone(), new.public().clone());
        let mut walk = Walk::new(vec![first.clone(), second.clone()]);
        step(&mut walk, &entry(0));
        walk.checkpoint(1, &old.sign(head(&walk)).unwrap(), None).unwrap();
        // Not yet, although it is the next; nor where it was only said.
        walk.clone().checkpoint(1, &new.sign(head(&walk)).unwrap(), None).unwrap_err();
        step(&mut walk, &changed(1, &first, &second));
        walk.clone().checkpoint(2, &new.sign(head(&walk)).unwrap(), None).unwrap_err();
        walk.checkpoint(2, &old.sign(head(&walk)).unwrap(), None).unwrap();
        assert!(walk.is_signed_by(&first) && !walk.is_signed_by(&second));
        step(&mut walk, &entry(2));
        let again = old.named(ORIGIN).unwrap();
        let both = old.over_to(new.named(ORIGIN).unwrap());
        walk.checkpoint(3, &both.sign(head(&walk)).unwrap(), None).unwrap();
        assert!(walk.is_signed_by(&first) && walk.is_signed_by(&second));
        // From there on the old one counts no more.
        step(&mut walk, &entry(3));
        walk.clone().checkpoint(4, &again.sign(head(&walk)).unwrap(), None).unwrap_err();
        walk.checkpoint(4, &new.sign(head(&walk)).unwrap(), None).unwrap();
    }

    #[test]
    fn who_says_that_the_log_went_on_with_our_key_without_having_it_is_found_out() {
        let (stranger, own) = (key(), key());
        let mut walk = Walk::new(vec![stranger.public().clone(), own.public().clone()]);
        step(&mut walk, &changed(0, stranger.public(), own.public()));
        walk.checkpoint(1, &stranger.sign(head(&walk)).unwrap(), None).unwrap();
        assert!(!walk.is_signed_by(own.public()));
        // What names other keys than the log has announces nothing.
        let mut walk = Walk::new(vec![stranger.public().clone(), own.public().clone()]);
        step(&mut walk, &changed(0, own.public(), stranger.public()));
        let both = stranger.over_to(own);
        walk.checkpoint(1, &both.sign(head(&walk)).unwrap(), None).unwrap();
        assert!(walk.is_signed_by(both.public()) && walk.at == 0);
    }
}
