//! `secrets/*.toml`: where a secret's value comes from; `secrets/*.age`: the value, encrypted. It is not read here.

use std::path::PathBuf;

use super::{Source, section::Section};
use crate::{
    catalogue::{
        SecretSource,
        problems::{Place, Problems},
    },
    model::Sealed,
};

/// Reads a value that is encrypted, as far as everybody can.
pub(in crate::catalogue) fn sealed(source: &Source<'_>, problems: &Problems) -> Option<SecretSource> {
    match Sealed::read(source.text) {
        Ok(sealed) => Some(SecretSource::Sealed(sealed)),
        Err(why) => {
            // The words are age's; none of the file is in them.
            problems.add(
                &Place::file(source.path),
                format!("this is no secret that age encrypted as text: {why}"),
                "Write it with `quarterdeck secret set NAME`, or `age --armor`. If the secret itself stood here in \
                 plain, others may know it: draw another.",
            );
            None
        }
    }
}

/// Reads where a secret's value comes from.
pub(in crate::catalogue) fn secret(source: &Source<'_>, problems: &Problems) -> Option<SecretSource> {
    let table = source.parse(problems);
    let mut file = Section::whole(source, &table, problems);
    let environment = file.text("environment");
    let path = file.text("file");
    let credential = file.text("credential");
    file.finish();

    let given =
        usize::from(environment.is_some()) + usize::from(path.is_some()) + usize::from(credential.is_some());
    if given != 1 {
        problems.add(
            &Place::file(source.path),
            "a secret comes from exactly one place",
            "Write one line: environment = \"NAME\", file = \"/run/secrets/name\" or credential = \"name\" \
             (a systemd credential). Never the value itself.",
        );
        return None;
    }
    if let Some(name) = environment {
        let good = !name.value.is_empty()
            && name.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.value.starts_with(|c: char| c.is_ascii_digit());
        if !good {
            problems.add(
                &name.place,
                "this is no name of an environment variable",
                "Write the variable's name, such as \"DEPLOY_TOKEN\", and never the value.",
            );
        }
        return Some(SecretSource::Environment(name.value));
    }
    if let Some(path) = path {
        if !path.value.starts_with('/') {
            problems.add(
                &path.place,
                format!("file = \"{}\" is not absolute", path.value),
                "Write the whole path, such as \"/run/secrets/deploy-token\".",
            );
        }
        return Some(SecretSource::File(PathBuf::from(path.value)));
    }
    let credential = credential?;
    if credential.value.is_empty() || credential.value.contains('/') || credential.value.starts_with('.') {
        problems.add(
            &credential.place,
            format!("credential = \"{}\" is no name of a credential", credential.value),
            "Write its name alone, as in LoadCredential= of the systemd unit.",
        );
    }
    Some(SecretSource::Credential(credential.value))
}
