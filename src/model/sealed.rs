//! Secrets at rest: encrypted with age (<https://age-encryption.org/v1>), for whoever holds an identity.

use std::io::{Read as _, Write as _};

use age::{
    Decryptor, Encryptor, IdentityFile,
    armor::{ArmoredReader, ArmoredWriter, Format},
    secrecy::ExposeSecret as _,
    x25519,
};

use super::Secret;

/// No secret is longer, in bytes: what is, is taken for a mistake.
pub const SECRET_BYTES: usize = 64 << 10;

/// An encrypted secret, as the text of age's armor. It may be read by everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed(String);

/// Whom secrets are encrypted to: `age1...`. Public.
#[derive(Clone)]
pub struct Recipient(x25519::Recipient);

/// What decrypts them: the text of an identity file, as `age-keygen` writes one.
#[derive(Debug, Clone)]
pub struct Identity(Secret);

impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recipient({})", self.0)
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl std::fmt::Display for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Recipient {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Identity {
    /// A new one, with its recipient.
    pub fn generate() -> (Self, Recipient) {
        let identity = x25519::Identity::generate();
        let recipient = Recipient(identity.to_public());
        let text = format!("# {recipient}\n{}\n", identity.to_string().expose_secret());
        (Self(Secret::new(text)), recipient)
    }

    /// What a file of identities holds.
    pub const fn of(text: Secret) -> Self {
        Self(text)
    }

    /// The text to keep in a file that nobody else may read.
    pub const fn text(&self) -> &Secret {
        &self.0
    }
}

impl Sealed {
    /// Reads age's armor, as far as can be done without an identity.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn read(text: &str) -> Result<Self, String> {
        Decryptor::new_buffered(ArmoredReader::new(text.as_bytes())).map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }

    /// Encrypts a value to everybody of `recipients`.
    ///
    /// # Errors
    ///
    /// That there is no recipient.
    pub fn seal(value: &Secret, recipients: &[Recipient]) -> Result<Self, String> {
        let recipients = recipients.iter().map(|recipient| &recipient.0 as &dyn age::Recipient);
        let sealed = || -> Result<Vec<u8>, String> {
            let encryptor = Encryptor::with_recipients(recipients).map_err(|error| error.to_string())?;
            let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor);
            let armor = armor.map_err(|error| error.to_string())?;
            let mut writer = encryptor.wrap_output(armor).map_err(|error| error.to_string())?;
            let written = writer.write_all(value.expose().as_bytes()).and_then(|()| writer.finish());
            written.and_then(ArmoredWriter::finish).map_err(|error| error.to_string())
        };
        String::from_utf8(sealed()?).map(Self).map_err(|error| error.to_string())
    }

    /// Decrypts it.
    ///
    /// # Errors
    ///
    /// Why it cannot be: nothing of the value nor of the identity is in the words.
    pub fn open(&self, identity: &Identity) -> Result<Secret, String> {
        let file = IdentityFile::from_buffer(identity.0.expose().as_bytes())
            .map_err(|_| "the identity is none of age's: it has a line AGE-SECRET-KEY-1...".to_owned())?;
        let identities = file.into_identities().map_err(|_| "the identity cannot be used".to_owned())?;
        let decryptor = Decryptor::new_buffered(ArmoredReader::new(self.0.as_bytes()))
            .map_err(|error| error.to_string())?;
        let reader = decryptor
            .decrypt(identities.iter().map(|identity| &**identity as &dyn age::Identity))
            .map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => "it is encrypted to somebody else".to_owned(),
            other => other.to_string(),
        })?;
        let mut text = String::new();
        reader.take(SECRET_BYTES as u64 + 1).read_to_string(&mut text).map_err(|error| {
            match error.kind() {
                std::io::ErrorKind::InvalidData => "what is in it is no UTF-8 text".to_owned(),
                _ => error.to_string(),
            }
        })?;
        let value = Secret::new(text);
        if value.expose().len() > SECRET_BYTES {
            return Err(format!("what is in it is longer than {SECRET_BYTES} bytes"));
        }
        Ok(value)
    }

    /// The text of the armor.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_by_its_recipients_identity_and_by_no_other() {
        let (mine, recipient) = Identity::generate();
        let (theirs, their_recipient) = Identity::generate();
        let value = Secret::new("hunter2 \u{e9}\nsecond line");
        let sealed = Sealed::seal(&value, std::slice::from_ref(&recipient)).expect("sealed");
        assert!(sealed.as_str().starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
        assert!(!sealed.as_str().contains("hunter2") && !format!("{sealed:?}{mine:?}").contains("hunter2"));
        assert_eq!(sealed.open(&mine).expect("opened").expose(), value.expose());
        assert!(sealed.open(&theirs).expect_err("not theirs").contains("somebody else"));
        let both = Sealed::seal(&value, &[recipient, their_recipient]).expect("sealed");
        for identity in [mine, theirs] {
            assert_eq!(both.open(&identity).expect("opened").expose(), value.expose());
        }
    }

    #[test]
    fn a_sealed_secret_that_was_changed_or_cut_off_is_none() {
        let (identity, recipient) = Identity::generate();
        let sealed = Sealed::seal(&Secret::new("hunter2"), &[recipient]).expect("sealed");
        assert!(Sealed::read(sealed.as_str()).is_ok());
        assert!(Sealed::read("hunter2").is_err() && Sealed::read("").is_err());
        let lines: Vec<&str> = sealed.as_str().lines().collect();
        for left_out in 1..lines.len() - 1 {
            let mut fewer = lines.clone();
            fewer.remove(left_out);
            let text = fewer.join("\n") + "\n";
            assert!(
                Sealed::read(&text).and_then(|it| it.open(&identity)).is_err(),
                "without line {left_out}"
            );
        }
    }

    #[test]
    fn an_identity_that_is_none_is_said_without_its_text() {
        let (_, recipient) = Identity::generate();
        let sealed = Sealed::seal(&Secret::new("hunter2"), &[recipient]).expect("sealed");
        let why = sealed.open(&Identity::of(Secret::new("hunter3"))).expect_err("no identity");
        assert!(why.contains("AGE-SECRET-KEY-1") && !why.contains("hunter3"), "{why}");
        assert!("age1nobody".parse::<Recipient>().is_err());
    }
}
