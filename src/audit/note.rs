//! Checkpoints (C2SP tlog-checkpoint) as signed notes (C2SP signed-note), and the key that signs them. Pure.
//!
//! Notes and signatures are `signed_note`'s, the checkpoint's text `tlog_tiles`'. Where version 0.2 of them falls short
//! of the specifications:
//!
//! - `StandardVerifier::new` takes a key's number in capitals and with a plus sign (it is read by `from_str_radix`); the
//!   specification has it in lower case. [`PublicKey::read`] takes what it would write itself, and nothing else.
//! - `Checkpoint::new` takes an origin of several lines, and one of spaces; the settings are read so that there is none.
//! - `Note::verify` passes over a second signature of the same key without a look at it. [`PublicKey::open`] refuses such
//!   a note.
//! - Keys are drawn with rand_core's traits alone; [`LogKey::draw`] takes the randomness of this house.
//! - There are no cosignatures (type 0x04) in them: those are [`cosign`](super::cosign)'s.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::SigningKey;
use signed_note::{Note, NoteError, StandardSigner, StandardVerifier, VerifierList, key_id};
use tlog_tiles::{Checkpoint as Text, Hash};

use super::tree::TreeHash;
use crate::model::{Random, Secret};

/// The type of an Ed25519 key, in C2SP signed-note, "Signature types".
const ED25519: u8 = 1;

/// What is wrong with a key or a note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The log's private key cannot be used.
    #[error("the log's key {0}")]
    Key(String),
    /// A public key cannot be read.
    #[error("this is no public key of a log (NAME+NUMBER+BASE64, as `quarterdeck audit key` prints it): {0}")]
    PublicKey(String),
    /// A note is not a checkpoint of this log.
    #[error("the checkpoint {0}")]
    Checkpoint(String),
}

/// A tree of so many leaves with this root: what a checkpoint says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many leaves.
    pub size: u64,
    /// Their root.
    pub root: TreeHash,
}

/// The private key of a log. It signs checkpoints of its own origin only.
pub struct LogKey {
    signer: StandardSigner,
    public: PublicKey,
    seed: [u8; 32],
    /// The key by which the log goes on: it signs below this one.
    next: Option<Box<Self>>,
}

impl LogKey {
    /// Makes a key for a log of this origin: the text of its file, in the form of Go's note package.
    pub fn draw(origin: &str, random: &dyn Random) -> Secret {
        let mut seed = [0; 32];
        random.fill(&mut seed);
        let key = SigningKey::from_bytes(&seed);
        let number = key_id(origin, &typed(key.verifying_key().as_bytes()));
        Secret::new(format!("PRIVATE+KEY+{origin}+{number:08x}+{}\n", BASE64_STANDARD.encode(typed(&seed))))
    }

    /// Reads the text of its file.
    pub fn read(text: &Secret, origin: &str) -> Result<Self, Error> {
        let line = text.expose().trim_end_matches(['\n', '\r']);
        let wrong = |what: &str| Error::Key(what.to_owned());
        let signer = StandardSigner::new(line)
            .map_err(|error| wrong(&format!("is not one that `quarterdeck audit key` wrote: {error}")))?;
        let name = signed_note::Signer::name(&signer);
        if name != origin {
            return Err(wrong(&format!(
                "is for a log named {name}, and `[audit] origin` names this one {origin}: a log keeps its name for life"
            )));
        }
        // The crate checked that the number is that of the key; the public half is not given, so it is derived again.
        let seed = line.splitn(5, '+').nth(4).and_then(|seed| BASE64_STANDARD.decode(seed).ok());
        let seed: [u8; 32] = seed
            .and_then(|seed| seed.get(1..)?.try_into().ok())
            .ok_or_else(|| wrong("has not the 32 bytes of an Ed25519 key"))?;
        let public = SigningKey::from_bytes(&seed).verifying_key();
        let number = key_id(origin, &typed(public.as_bytes()));
        let public = format!("{origin}+{number:08x}+{}", BASE64_STANDARD.encode(typed(public.as_bytes())));
        Ok(Self { signer, public: PublicKey::read(&public)?, seed, next: None })
    }

    /// The same key, which signs the log over to another: what it signs bears the other's signature below its own
    /// (C2SP signed-note allows several), so that whoever knows either of the two finds that it is right.
    #[must_use]
    pub fn over_to(self, next: Self) -> Self {
        Self { next: Some(Box::new(next)), ..self }
    }

    /// Makes sure that the log goes on with this key: that its last checkpoint is not one by which it was signed over to another.
    pub fn goes_on_from(&self, note: &str) -> Result<(), Error> {
        let origin = self.public.origin();
        let last = note
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("— ")?.strip_prefix(origin)?.strip_prefix(' '));
        let number = last.and_then(|bytes| BASE64_STANDARD.decode(bytes).ok()?.first_chunk::<4>().copied());
        let ours = [Some(self), self.next.as_deref()].into_iter().flatten();
        let is_ours = ours
            .map(|key| signed_note::Verifier::key_id(&key.public.verifier).to_be_bytes())
            .any(|key| number == Some(key));
        if is_ours {
            return Ok(());
        }
        Err(Error::Key(format!("{} has signed the log over to another key: take that one", self.public)))
    }

    /// The same key for another log, one that began after this one had ended. What it signs begins with that log's
    /// name, so nothing that is signed for one can be taken for the other's.
    pub fn named(&self, origin: &str) -> Result<Self, Error> {
        let public = SigningKey::from_bytes(&self.seed).verifying_key();
        let number = key_id(origin, &typed(public.as_bytes()));
        let text = format!("PRIVATE+KEY+{origin}+{number:08x}+{}", BASE64_STANDARD.encode(typed(&self.seed)));
        Self::read(&Secret::new(text), origin)
    }

    /// The public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a checkpoint. Whoever calls this has the head from a confirmed commit, and has proved it to go on from
    /// the one signed before.
    pub fn sign(&self, head: Head) -> Result<String, Error> {
        let text = text(self.public.origin(), head)?;
        let mut note =
            Note::new(&text.to_bytes(), &[]).map_err(|error| Error::Checkpoint(error.to_string()))?;
        note.add_sigs(&[&self.signer]).map_err(|error| Error::Checkpoint(error.to_string()))?;
        if let Some(next) = &self.next {
            note.add_sigs(&[&next.signer]).map_err(|error| Error::Checkpoint(error.to_string()))?;
        }
        String::from_utf8(note.to_bytes()).map_err(|error| Error::Checkpoint(error.to_string()))
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({})", self.public)
    }
}

/// The public key of a log, with its origin.
#[derive(Clone)]
pub struct PublicKey {
    verifier: StandardVerifier,
    text: String,
}

/// A checkpoint whose signature is the log's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What it says.
    pub head: Head,
    /// How many signatures of others it bears.
    pub others: usize,
}

impl PublicKey {
    /// Reads a verifier key: C2SP signed-note, "Verifier keys".
    pub fn read(text: &str) -> Result<Self, Error> {
        let wrong = |what: &str| Error::PublicKey(what.to_owned());
        let verifier = StandardVerifier::new(text).map_err(|error| wrong(&error.to_string()))?;
        let (name, number) =
            (signed_note::Verifier::name(&verifier), signed_note::Verifier::key_id(&verifier));
        // What follows is Base 64, of which the crate takes one spelling.
        if !text.starts_with(&format!("{name}+{number:08x}+")) {
            return Err(wrong("its number is not written in eight digits in lower case"));
        }
        Ok(Self { verifier, text: text.to_owned() })
    }

    /// The same key for another log: see [`LogKey::named`].
    pub fn named(&self, origin: &str) -> Result<Self, Error> {
        let key = self.text.splitn(3, '+').nth(2).and_then(|key| BASE64_STANDARD.decode(key).ok());
        let key = key.ok_or_else(|| Error::PublicKey("its third part is no Base 64".to_owned()))?;
        Self::read(&format!("{origin}+{:08x}+{}", key_id(origin, &key), BASE64_STANDARD.encode(&key)))
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        signed_note::Verifier::name(&self.verifier)
    }

    /// Reads a checkpoint, and makes sure that this key signed it.
    pub fn open(&self, note: &str) -> Result<Opened, Error> {
        let wrong = |what: String| Error::Checkpoint(what);
        let read = Note::from_bytes(note.as_bytes())
            .map_err(|error| wrong(format!("is no signed note: {error}")))?;
        let known = VerifierList::new(vec![Box::new(self.verifier.clone())]);
        let (ours, others) = read
            .verify(&known)
            .map_err(|error| wrong(format!("is not signed by {}: {error}", self.origin())))?;
        let text =
            Text::from_bytes(read.text()).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        if text.origin() != self.origin() {
            return Err(wrong(format!("is one of the log {}, not of {}", text.origin(), self.origin())));
        }
        let head = Head { size: text.size(), root: text.hash().0 };
        // What is signed is read in one way only: without extensions, and as it would be written.
        if self::text(self.origin(), head)?.to_bytes() != read.text() || read.to_bytes() != note.as_bytes() {
            return Err(wrong("is written in another way than checkpoints of this log are".to_owned()));
        }
        let lines = note.rsplit("\n\n").next().map_or(0, |lines| lines.lines().count());
        if lines != ours.len() + others.len() {
            return Err(wrong("bears one signature twice".to_owned()));
        }
        Ok(Opened { head, others: others.len() })
    }
}

/// What a checkpoint says, whoever signed it: also one of another house, with extension lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The log's name.
    pub origin: String,
    /// Its size and root.
    pub head: Head,
    /// All that is signed, with its last newline.
    pub body: String,
}

/// Reads a checkpoint without a look at its signatures. C2SP tlog-checkpoint, "Note text".
pub fn said(note: &str) -> Result<Said, Error> {
    let wrong = |error: &dyn fmt::Display| Error::Checkpoint(format!("cannot be read: {error}"));
    let read = Note::from_bytes(note.as_bytes()).map_err(|error| wrong(&error))?;
    let text = Text::from_bytes(read.text()).map_err(|error| wrong(&error))?;
    let head = Head { size: text.size(), root: text.hash().0 };
    let body = String::from_utf8(read.text().to_vec()).map_err(|error| wrong(&error))?;
    let first = format!("{}\n{}\n{}\n", text.origin(), head.size, BASE64_STANDARD.encode(head.root));
    if !body.starts_with(&first) {
        return Err(wrong(&"its size or its root is not in its one spelling"));
    }
    Ok(Said { origin: text.origin().to_owned(), head, body })
}

impl PublicKey {
    /// This key's own signature of a note, as its line; `None` where there is none. Others' are passed over.
    ///
    /// # Errors
    ///
    /// Where there is one that does not hold: such a note is malformed (C2SP signed-note, "Signatures").
    pub fn signature(&self, note: &str) -> Result<Option<String>, Error> {
        let wrong = |error: NoteError| Error::Checkpoint(format!("cannot be read: {error}"));
        let read = Note::from_bytes(note.as_bytes()).map_err(wrong)?;
        let known = VerifierList::new(vec![Box::new(self.verifier.clone())]);
        let ours = match read.verify(&known) {
            Ok((ours, _)) => ours,
            Err(NoteError::UnverifiedNote) => return Ok(None),
            Err(error) => return Err(wrong(error)),
        };
        let line = ours.first().and_then(|ours| String::from_utf8(ours.to_bytes()).ok());
        Ok(line.map(|line| line.trim_end().to_owned() + "\n"))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

fn text(origin: &str, head: Head) -> Result<Text, Error> {
    Text::new(origin, head.size, Hash(head.root), "").map_err(|error| Error::Checkpoint(error.to_string()))
}

fn typed(key: &[u8; 32]) -> Vec<u8> {
    [&[ED25519], key.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audit::tree::leaf_hash, model::SystemRandom};

    #[test]
    fn a_checkpoint_is_signed_and_opened_again() {
        let key = LogKey::read(&LogKey::draw("example.org/log", &SystemRandom), "example.org/log").unwrap();
        let head = Head { size: 42, root: leaf_hash(b"x") };
        let note = key.sign(head).unwrap();
        assert!(note.starts_with("example.org/log\n42\n"), "{note}");
        let public = PublicKey::read(&key.public().to_string()).unwrap();
        assert_eq!(public.open(&note).unwrap(), Opened { head, others: 0 });
        let twice = format!("{note}{}\n", note.lines().last().unwrap());
        assert!(public.open(&twice).unwrap_err().to_string().contains("bears one signature twice"));
        // The same head has the same note, whoever signs it, and when.
        assert_eq!(key.sign(head).unwrap(), note);
        public.open(&note.replacen("42", "43", 1)).unwrap_err();
        let other = LogKey::read(&LogKey::draw("example.org/log", &SystemRandom), "example.org/log").unwrap();
        other.public().open(&note).unwrap_err();
        // The same key under another name signs for the log of that name alone.
        let next = key.named("example.org/log/2").unwrap();
        let of_next = next.sign(head).unwrap();
        public.open(&of_next).unwrap_err();
        next.public().open(&note).unwrap_err();
        assert_eq!(public.named("example.org/log/2").unwrap().open(&of_next).unwrap().head, head);
    }

    #[test]
    fn a_log_is_signed_over_by_both_keys_and_goes_on_with_the_second_alone() {
        let draw =
            || LogKey::read(&LogKey::draw("example.org/log", &SystemRandom), "example.org/log").unwrap();
        let (old, new, stranger) = (draw(), draw(), draw());
        let (first, second) = (old.public().clone(), new.public().clone());
        let again = new.named("example.org/log").unwrap();
        let head = Head { size: 42, root: leaf_hash(b"x") };
        let before = old.sign(head).unwrap();
        let old_alone = old.named("example.org/log").unwrap();
        let both = old.over_to(new);
        both.goes_on_from(&before).unwrap();
        let note = both.sign(head).unwrap();
        for key in [&first, &second] {
            assert_eq!(key.open(&note).unwrap(), Opened { head, others: 1 });
        }
        both.goes_on_from(&note).unwrap();
        again.goes_on_from(&note).unwrap();
        for key in [&old_alone, &stranger] {
            assert!(key.goes_on_from(&note).unwrap_err().to_string().contains("over to another key"));
        }
        // A witness's line below it changes nothing.
        again.goes_on_from(&format!("{note}— witness.example.org/w1 AAAAAAAA\n")).unwrap();
        again.goes_on_from(&again.sign(head).unwrap()).unwrap();
    }

    #[test]
    fn a_key_signs_for_its_own_log_only() {
        let text = LogKey::draw("example.org/log", &SystemRandom);
        let error = LogKey::read(&text, "example.org/other").unwrap_err();
        assert!(error.to_string().contains("keeps its name for life"), "{error}");
        LogKey::read(&Secret::new("nonsense"), "example.org/log").unwrap_err();
        assert!(!format!("{:?}", LogKey::read(&text, "example.org/log").unwrap()).contains("PRIVATE"));
    }

    #[test]
    fn the_examples_of_the_specification_are_understood() {
        // C2SP signed-note, "Example".
        let key =
            PublicKey::read("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
        let note = "This is an example message.\n\n— example.com/foo \
                    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
        let read = Note::from_bytes(note.as_bytes()).unwrap();
        let known = VerifierList::new(vec![Box::new(key.verifier.clone())]);
        assert_eq!(read.verify(&known).unwrap().0.len(), 1);
        // It is signed, and no checkpoint.
        assert!(key.open(note).unwrap_err().to_string().contains("cannot be read"));
        // C2SP tlog-checkpoint's example is a checkpoint; its key is not published.
        let example = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let text = Text::from_bytes(example.as_bytes()).unwrap();
        assert_eq!((text.origin(), text.size()), ("example.com/behind-the-sofa", 20_852_163));
    }

    #[test]
    fn a_public_key_has_one_spelling() {
        let key = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
        assert_eq!(PublicKey::read(key).unwrap().to_string(), key);
        for wrong in [key.replace("530d903a", "530D903A"), key.replace("530d", "530e"), format!("{key} ")] {
            PublicKey::read(&wrong).unwrap_err();
        }
    }
}
