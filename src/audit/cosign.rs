//! Cosignatures of witnesses (C2SP tlog-cosignature, the Ed25519 kind), and the keys that make and check them. Pure.
//!
//! The specification has a second kind, ML-DSA-44, and would rather have that for new deployments; there is none here yet.
//! Signatures of kinds and keys that are not known are passed over, as the specification asks.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use signed_note::key_id;

use super::note::{Error, Said, said};
use crate::model::{Random, Secret, Timestamp};

/// The type of an Ed25519 cosignature, in C2SP signed-note, "Signature types".
const COSIGNATURE: u8 = 4;
/// What stands before the number, the name and the key of a private key's text.
const PRIVATE: &str = "PRIVATE+KEY+";

/// The private key of a witness.
pub struct CosignKey {
    key: SigningKey,
    public: Cosigner,
}

impl CosignKey {
    /// Makes a key for a witness of this name: the text of its file.
    pub fn draw(name: &str, random: &dyn Random) -> Result<Secret, Error> {
        let mut seed = [0; 32];
        random.fill(&mut seed);
        let public = Cosigner::of(name, SigningKey::from_bytes(&seed).verifying_key())?;
        let seed = BASE64_STANDARD.encode(typed(&seed));
        Ok(Secret::new(format!("{PRIVATE}{name}+{:08x}+{seed}\n", public.number)))
    }

    /// Reads the text of its file.
    pub fn read(text: &Secret) -> Result<Self, Error> {
        let wrong = || Error::Key("is not one that `quarterdeck witness` wrote".to_owned());
        let line = text.expose().trim_end_matches(['\n', '\r']).strip_prefix(PRIVATE).ok_or_else(wrong)?;
        let mut parts = line.splitn(3, '+');
        let (name, number, seed) = (parts.next(), parts.next(), parts.next());
        let seed = seed.and_then(|seed| BASE64_STANDARD.decode(seed).ok()).ok_or_else(wrong)?;
        let (kind, seed) = seed.split_first().ok_or_else(wrong)?;
        let seed: [u8; 32] = seed.try_into().map_err(|_| wrong())?;
        let key = SigningKey::from_bytes(&seed);
        let public = Cosigner::of(name.unwrap_or_default(), key.verifying_key())?;
        if *kind != COSIGNATURE || number != Some(format!("{:08x}", public.number).as_str()) {
            return Err(wrong());
        }
        Ok(Self { key, public })
    }

    /// The public half.
    pub const fn public(&self) -> &Cosigner {
        &self.public
    }

    /// The signature line for a checkpoint, with its newline: the statement that at this time it is the largest that this
    /// witness has seen of its log. Whoever calls this has made sure of that, and gives the line away only after it has stored it.
    pub fn cosign(&self, checkpoint: &Said, now: Timestamp) -> Result<String, Error> {
        let time = u64::try_from(now.as_second())
            .map_err(|_| Error::Checkpoint("cannot be cosigned: the clock is before 1970".to_owned()))?;
        let signature = self.key.sign(message(time, &checkpoint.body).as_bytes());
        let bytes = [&self.public.number.to_be_bytes(), time.to_be_bytes().as_slice(), &signature.to_bytes()]
            .concat();
        Ok(format!("— {} {}\n", self.public.name, BASE64_STANDARD.encode(bytes)))
    }
}

impl fmt::Debug for CosignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CosignKey({})", self.public)
    }
}

/// The public key of a witness, with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigner {
    name: String,
    number: u32,
    key: VerifyingKey,
}

impl Cosigner {
    /// Reads a verifier key of the type 0x04: C2SP tlog-cosignature, "Format".
    pub fn read(text: &str) -> Result<Self, Error> {
        let wrong = |what: &str| Error::PublicKey(what.to_owned());
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(number), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("it has not three parts"));
        };
        let key = BASE64_STANDARD.decode(key).map_err(|error| wrong(&error.to_string()))?;
        let Some((&COSIGNATURE, key)) = key.split_first() else {
            return Err(wrong("it is not the key of a witness: its first byte is not 4"));
        };
        let key: [u8; 32] = key.try_into().map_err(|_| wrong("it has not 32 bytes"))?;
        let key = VerifyingKey::from_bytes(&key).map_err(|error| wrong(&error.to_string()))?;
        let read = Self::of(name, key)?;
        if number != format!("{:08x}", read.number) {
            return Err(wrong("its number is not that of its name and key"));
        }
        Ok(read)
    }

    fn of(name: &str, key: VerifyingKey) -> Result<Self, Error> {
        if name.is_empty() || name.contains('+') || name.chars().any(char::is_whitespace) {
            let what =
                format!("`{name}` is no name of a witness: no spaces, no +, such as witness.example.org/w1");
            return Err(Error::PublicKey(what));
        }
        Ok(Self { name: name.to_owned(), number: key_id(name, &typed(key.as_bytes())), key })
    }

    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Finds this witness's cosignature among the signatures of a checkpoint. `None` where it has none.
    ///
    /// # Errors
    ///
    /// Where there is one that bears its name and number and does not hold, or where there are two.
    pub fn find(&self, note: &str) -> Result<Option<Cosigned>, Error> {
        let checkpoint = said(note)?;
        let mut found = None;
        let signatures = note.rsplit_once("\n\n").map_or("", |(_, signatures)| signatures);
        for line in signatures.lines() {
            let Some(bytes) = line.strip_prefix("— ").and_then(|rest| {
                let (name, bytes) = rest.split_once(' ')?;
                (name == self.name).then(|| BASE64_STANDARD.decode(bytes).ok()).flatten()
            }) else {
                continue;
            };
            let Some((number, rest)) = bytes.split_first_chunk::<4>() else { continue };
            if u32::from_be_bytes(*number) != self.number {
                continue;
            }
            let wrong =
                |what: &str| Error::Checkpoint(format!("has a cosignature by {} that {what}", self.name));
            let (time, signature) = rest.split_first_chunk::<8>().ok_or_else(|| wrong("is too short"))?;
            let time = u64::from_be_bytes(*time);
            let signature: [u8; 64] = signature.try_into().map_err(|_| wrong("has not 64 bytes"))?;
            self.key
                .verify_strict(message(time, &checkpoint.body).as_bytes(), &Signature::from_bytes(&signature))
                .map_err(|_| wrong("does not hold"))?;
            let at = i64::try_from(time).ok().and_then(|time| Timestamp::from_second(time).ok());
            let at = at.ok_or_else(|| wrong("is of no time"))?;
            if found.replace(Cosigned { at, line: format!("{line}\n") }).is_some() {
                return Err(wrong("is there twice"));
            }
        }
        Ok(found)
    }
}

impl fmt::Display for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.number, BASE64_STANDARD.encode(typed(self.key.as_bytes())))
    }
}

/// A cosignature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// When the witness made it, by its own clock.
    pub at: Timestamp,
    /// Its line, with its newline.
    pub line: String,
}

/// What is signed: C2SP tlog-cosignature, "Ed25519 signed message".
fn message(time: u64, body: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{body}")
}

fn typed(key: &[u8; 32]) -> Vec<u8> {
    [&[COSIGNATURE], key.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SystemRandom;

    /// C2SP tlog-cosignature's example of a checkpoint with a cosignature; its keys are not published.
    const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

    fn key() -> CosignKey {
        CosignKey::read(&CosignKey::draw("witness.example.com/w1", &SystemRandom).unwrap()).unwrap()
    }

    #[test]
    fn a_cosignature_is_what_the_specification_says_checked_by_another_library() {
        let key = key();
        let example = said(EXAMPLE).unwrap();
        let line = key.cosign(&example, Timestamp::from_second(1_679_315_147).unwrap()).unwrap();
        let bytes = line.strip_prefix("— witness.example.com/w1 ").unwrap().trim_end();
        let bytes = BASE64_STANDARD.decode(bytes).unwrap();
        // The example has the same time in the same place, and is as long.
        let theirs = EXAMPLE.trim_end().rsplit(' ').next().unwrap();
        let theirs = BASE64_STANDARD.decode(theirs).unwrap();
        assert_eq!((bytes.len(), &bytes[4..12]), (theirs.len(), &theirs[4..12]));
        let signed = "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
                      CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let public = aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::ED25519,
            key.public.key.as_bytes().as_slice(),
        );
        public.verify(signed.as_bytes(), &bytes[12..]).unwrap();
    }

    #[test]
    fn a_cosignature_is_found_among_others_and_a_forged_one_is_named() {
        let key = key();
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let line = key.cosign(&said(EXAMPLE).unwrap(), at).unwrap();
        let public = Cosigner::read(&key.public().to_string()).unwrap();
        // The example's own cosignature has the same name, and another number.
        assert_eq!(public.find(EXAMPLE).unwrap(), None);
        let note = format!("{EXAMPLE}{line}");
        let twice = public.find(&format!("{note}{line}")).unwrap_err();
        assert!(twice.to_string().contains("is there twice"), "{twice}");
        assert_eq!(public.find(&note).unwrap(), Some(Cosigned { at, line }));
        let forged = note.replacen("20852163", "20852164", 1);
        assert!(public.find(&forged).unwrap_err().to_string().contains("does not hold"));
    }

    #[test]
    fn keys_are_read_in_one_spelling_and_never_shown() {
        let text = key().public().to_string();
        for wrong in
            [text.replace("w1+", "w2+"), text.replace("+B", "+A"), format!("{text}A"), "w1".to_owned()]
        {
            assert!(Cosigner::read(&wrong).is_err(), "{wrong}");
        }
        CosignKey::draw("two words", &SystemRandom).unwrap_err();
        CosignKey::read(&Secret::new("nonsense")).unwrap_err();
        assert!(!format!("{:?}", key()).contains("PRIVATE"));
    }
}
