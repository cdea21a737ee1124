//! The values of secrets, read when a run needs them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    catalogue::{Ops, SecretSource},
    model::{Identity, SECRET_BYTES, Secret},
};

/// Where each declared secret's value is. The values are never kept.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    sources: BTreeMap<String, SecretSource>,
    /// The folder of systemd's credentials.
    credentials: PathBuf,
    /// The file of what decrypts.
    identity: Option<PathBuf>,
}

/// A secret that a run needs and that is not there.
#[derive(Debug, thiserror::Error)]
pub enum MissingSecret {
    /// The ops folder does not know it.
    #[error(
        "the secret {name} is not declared: write `secrets/{name}.toml`, or encrypt its value by `quarterdeck secret set {name}`"
    )]
    Undeclared {
        /// The secret's name.
        name: String,
    },
    /// The environment does not hold it.
    #[error(
        "the secret {name} should be in the environment variable {variable} of `quarterdeck serve`, which {problem}: set it and restart"
    )]
    Environment {
        /// The secret's name.
        name: String,
        /// The variable.
        variable: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It is encrypted, and cannot be decrypted.
    #[error(
        "the secret {name} is encrypted in `secrets/{name}.age`, and cannot be decrypted with {identity}: {problem}"
    )]
    Sealed {
        /// The secret's name.
        name: String,
        /// The file of the identity.
        identity: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file does not hold it.
    #[error("the secret {name} should be in the file `{path}`: {problem}")]
    File {
        /// The secret's name.
        name: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Secrets {
    /// Secrets by reference, for tests of what uses them.
    #[cfg(test)]
    pub(super) fn by(sources: BTreeMap<String, SecretSource>) -> Self {
        Self { sources, ..Self::default() }
    }

    /// The secrets that an ops folder declares, and where it says that what decrypts them is.
    pub fn of(ops: &Ops) -> Self {
        Self {
            sources: ops.secrets.clone(),
            credentials: ops.settings.credentials.clone(),
            identity: ops.settings.secrets_identity.clone(),
        }
    }

    /// The names of all that are declared.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// The value of one.
    pub fn resolve(&self, name: &str) -> Result<Secret, MissingSecret> {
        match self.sources.get(name) {
            None => Err(MissingSecret::Undeclared { name: name.to_owned() }),
            Some(SecretSource::Environment(variable)) => {
                let refuse = |problem| MissingSecret::Environment {
                    name: name.to_owned(),
                    variable: variable.clone(),
                    problem,
                };
                match std::env::var(variable) {
                    Ok(value) if value.is_empty() => Err(refuse("is empty")),
                    Ok(value) => Ok(Secret::new(value)),
                    Err(std::env::VarError::NotPresent) => Err(refuse("is not set")),
                    Err(std::env::VarError::NotUnicode(_)) => Err(refuse("is no UTF-8 text")),
                }
            }
            Some(SecretSource::File(path)) => of_file(name, path),
            Some(SecretSource::Credential(credential)) => of_file(name, &self.credentials.join(credential)),
            Some(SecretSource::Sealed(sealed)) => {
                let refuse = |identity: Option<&Path>, problem: String| MissingSecret::Sealed {
                    name: name.to_owned(),
                    identity: identity.map_or_else(
                        || "any identity".to_owned(),
                        |path| format!("the identity in the file `{}`", path.display()),
                    ),
                    problem,
                };
                let Some(path) = self.identity.as_deref() else {
                    return Err(refuse(None, "quarterdeck.toml names none in [secrets]".to_owned()));
                };
                let identity = read(path).map_err(|problem| refuse(Some(path), problem))?;
                let value =
                    sealed.open(&Identity::of(identity)).map_err(|problem| refuse(Some(path), problem))?;
                plain(value.expose()).map_err(|problem| refuse(Some(path), problem))
            }
        }
    }
}

fn of_file(name: &str, path: &Path) -> Result<Secret, MissingSecret> {
    read(path).map_err(|problem| MissingSecret::File {
        name: name.to_owned(),
        path: path.display().to_string(),
        problem,
    })
}

/// Reads a file's text, without the newline that editors leave at its end.
fn read(path: &Path) -> Result<Secret, String> {
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(SECRET_BYTES as u64 + 1).read_to_string(&mut text)).map_err(
        |error| match error.kind() {
            std::io::ErrorKind::NotFound => "it does not exist; write it, with mode 0600".to_owned(),
            std::io::ErrorKind::PermissionDenied => {
                "`quarterdeck serve` may not read it; give it to its user".to_owned()
            }
            std::io::ErrorKind::InvalidData => "it is no UTF-8 text".to_owned(),
            _ => error.to_string(),
        },
    )?;
    let text = Secret::new(text);
    plain(text.expose())
}

/// A value without the newline at its end, if it can be given to a program.
fn plain(text: &str) -> Result<Secret, String> {
    if text.len() > SECRET_BYTES {
        return Err(format!("it is longer than {SECRET_BYTES} bytes"));
    }
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.contains('\0') {
        return Err("it holds a NUL, which an environment variable cannot".to_owned());
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Sealed;

    fn of(source: SecretSource) -> Secrets {
        Secrets { sources: BTreeMap::from([("token".to_owned(), source)]), ..Secrets::default() }
    }

    fn of_file(path: &Path) -> Secrets {
        of(SecretSource::File(path.to_owned()))
    }

    #[test]
    fn a_credential_of_systemds_is_in_its_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("token"), "hunter2\n").expect("written");
        let mut secrets = of(SecretSource::Credential("token".to_owned()));
        secrets.credentials = folder.path().to_owned();
        assert_eq!(secrets.resolve("token").expect("a secret").expose(), "hunter2");
    }

    #[test]
    fn an_encrypted_secret_is_opened_by_the_identity_of_now_and_else_says_why_not() {
        let (identity, recipient) = Identity::generate();
        let sealed = Sealed::seal(&Secret::new("hunter2\n"), &[recipient]).expect("sealed");
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut secrets = of(SecretSource::Sealed(sealed));
        let why = |secrets: &Secrets| secrets.resolve("token").expect_err("not opened").to_string();
        assert!(why(&secrets).contains("[secrets]"));
        secrets.identity = Some(file.path().to_owned());
        assert!(why(&secrets).contains("empty") && why(&secrets).contains("secrets/token.age"));
        std::fs::write(file.path(), Identity::generate().0.text().expose()).expect("written");
        assert!(why(&secrets).contains("somebody else"), "{}", why(&secrets));
        std::fs::write(file.path(), identity.text().expose()).expect("written");
        assert_eq!(secrets.resolve("token").expect("a secret").expose(), "hunter2");
    }

    #[test]
    fn a_secret_in_a_file_loses_the_newline_at_its_end_and_nothing_else() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), " hunter2 \n").expect("written");
        let secret = of_file(file.path()).resolve("token").expect("a secret");
        assert_eq!(secret.expose(), " hunter2 ");
    }

    #[test]
    fn a_missing_secret_is_named_with_its_place_and_its_mend() {
        let missing = of_file(Path::new("/nowhere/token")).resolve("token").expect_err("missing").to_string();
        assert!(missing.contains("token") && missing.contains("/nowhere/token") && missing.contains("0600"));
        let undeclared = Secrets::default().resolve("other").expect_err("missing").to_string();
        assert!(undeclared.contains("secrets/other.toml"));
        let variable = SecretSource::Environment("QUARTERDECK_NO_SUCH_VARIABLE".to_owned());
        let unset = of(variable).resolve("token").expect_err("missing").to_string();
        assert!(unset.contains("QUARTERDECK_NO_SUCH_VARIABLE") && unset.contains("is not set"));
    }

    #[test]
    fn an_empty_secret_is_a_missing_one() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "\n").expect("written");
        assert!(of_file(file.path()).resolve("token").expect_err("missing").to_string().contains("empty"));
    }
}
