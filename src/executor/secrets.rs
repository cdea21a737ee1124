//! The values of secrets, read when a run needs them.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use crate::{catalogue::SecretSource, model::Secret};

/// A secret longer than this is taken for a mistake in its path.
const MAX_BYTES: u64 = 64 << 10;

/// Where each declared secret's value is. The values are never kept.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    sources: BTreeMap<String, SecretSource>,
}

/// A secret that a run needs and that is not there.
#[derive(Debug, thiserror::Error)]
pub enum MissingSecret {
    /// The ops folder does not know it.
    #[error("the secret {name} is not declared: write `secrets/{name}.toml`")]
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
    /// The secrets that an ops folder declares.
    pub const fn new(sources: BTreeMap<String, SecretSource>) -> Self {
        Self { sources }
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
            Some(SecretSource::File(path)) => read(path).map_err(|problem| MissingSecret::File {
                name: name.to_owned(),
                path: path.display().to_string(),
                problem,
            }),
        }
    }
}

/// Reads a file's text, without the newline that editors leave at its end.
fn read(path: &Path) -> Result<Secret, String> {
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text)).map_err(
        |error| match error.kind() {
            std::io::ErrorKind::NotFound => "it does not exist; write it, with mode 0600".to_owned(),
            std::io::ErrorKind::PermissionDenied => {
                "`quarterdeck serve` may not read it; give it to its user".to_owned()
            }
            std::io::ErrorKind::InvalidData => "it is no UTF-8 text".to_owned(),
            _ => error.to_string(),
        },
    )?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    let end = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(end);
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

    fn of_file(path: &Path) -> Secrets {
        Secrets::new(BTreeMap::from([("token".to_owned(), SecretSource::File(path.to_owned()))]))
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
        let unset = Secrets::new(BTreeMap::from([("token".to_owned(), variable)]))
            .resolve("token")
            .expect_err("missing")
            .to_string();
        assert!(unset.contains("QUARTERDECK_NO_SUCH_VARIABLE") && unset.contains("is not set"));
    }

    #[test]
    fn an_empty_secret_is_a_missing_one() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "\n").expect("written");
        assert!(of_file(file.path()).resolve("token").expect_err("missing").to_string().contains("empty"));
    }
}
