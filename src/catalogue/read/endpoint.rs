//! `endpoints/*.toml`: a service whose methods are commands; and the `[run]` of a command that calls one of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use ruma::OwnedUserId;
use url::Url;

use super::{References, Source, command::Templates, command::effect, section::Section};
use crate::catalogue::{
    Endpoint, RpcRun,
    names::{RESERVED_TAGS, is_name, is_reserved_command},
    problems::{Located, Problems},
};

/// An answer longer than this would not fit into memory beside others.
const LONGEST_ANSWER: u64 = 16 << 20;

/// Reads an endpoint. What it lists is added when all files have been read.
pub(in crate::catalogue) fn endpoint(
    key: &str,
    source: &Source<'_>,
    references: &mut References,
    problems: &Problems,
) -> Option<Endpoint> {
    let table = source.parse(problems);
    let mut file = Section::whole(source, &table, problems);
    let private = file.boolean("private").unwrap_or(false);
    let url = url(&mut file, private);
    let secret = file.required_text("key", "key = \"chatops-key\": the secret that holds the private key");
    let keyid = file.text("keyid");
    if let Some(keyid) = &keyid
        && (keyid.value.is_empty()
            || !keyid.value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)))
    {
        file.wrong(
            &keyid.place,
            "keyid is no name of a key",
            "Write letters, digits, - _ and . alone: what the service calls our key.",
        );
    }
    let prefix = file.text("prefix");
    if let Some(prefix) = &prefix
        && (!is_name(&prefix.value) || is_reserved_command(&prefix.value))
    {
        file.wrong(
            &prefix.place,
            format!("prefix = \"{}\" cannot be the first word of commands", prefix.value),
            "Write another lower-case word that is no built-in.",
        );
    }
    if prefix.is_none() && is_reserved_command(key) {
        file.wrong(
            &file.place,
            format!("\"{key}\" cannot be the first word of commands: Quarterdeck knows that name already"),
            "Add prefix = \"another-word\".",
        );
    }
    let effect = effect(&mut file);
    let tags = file.texts("tags");
    for tag in &tags {
        if RESERVED_TAGS.contains(&tag.value.as_str()) || !is_name(&tag.value) {
            file.wrong(
                &tag.place,
                format!("a tag cannot be called \"{}\"", tag.value),
                format!("Write another lower-case word; taken are {}.", RESERVED_TAGS.join(", ")),
            );
        }
    }
    let users = users(&mut file);
    let timeout = file.duration("timeout").unwrap_or(150);
    let refresh_s = file.duration("refresh").unwrap_or(300);
    let all = file.word("methods", &[("listed", true), ("declared", false)]).unwrap_or(true);
    let answer_limit = answer_limit(&mut file);
    file.finish();
    references.secrets.extend(secret.iter().cloned());
    Some(Endpoint {
        key: key.to_owned(),
        url: url?,
        secret: secret?.value,
        keyid: keyid.map_or_else(|| "quarterdeck".to_owned(), |keyid| keyid.value),
        prefix: prefix.map_or_else(|| key.to_owned(), |prefix| prefix.value),
        effect: effect?,
        tags: tags.into_iter().map(|tag| tag.value).collect(),
        users,
        private,
        timeout: SignedDuration::from_secs(timeout),
        refresh_s,
        all,
        answer_limit,
        listing: None,
        left_out: BTreeMap::new(),
    })
}

fn url(file: &mut Section<'_>, private: bool) -> Option<String> {
    const EXAMPLE: &str = "Write url = \"https://deploys.example.org/_chatops\": where it lists its methods.";
    let text = file.required_text("url", "url = \"https://deploys.example.org/_chatops\"")?;
    let url = Url::parse(&text.value).ok().filter(|url| ["https", "http"].contains(&url.scheme()));
    let Some(url) = url else {
        file.wrong(&text.place, "the url begins with neither https:// nor http://", EXAMPLE);
        return None;
    };
    if url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        file.wrong(
            &text.place,
            "the url holds more than a host and a path",
            "Take query, fragment, user and password out: the service knows us by our signature.",
        );
    }
    // What is signed is the text of the address, so there must be one way to write it.
    if url.as_str() != text.value {
        file.wrong(
            &text.place,
            "the url could be written otherwise",
            format!("Write url = \"{url}\"; the service must know itself by the same name."),
        );
    }
    if url.scheme() == "http" && !private {
        file.wrong(
            &text.place,
            "the url is http://, which everybody on the way can read",
            "Write https://, or private = true where that way is your own.",
        );
    }
    Some(url.into())
}

fn users(file: &mut Section<'_>) -> BTreeMap<OwnedUserId, String> {
    let mut users = BTreeMap::new();
    for (name, login) in file.text_table("users") {
        match OwnedUserId::try_from(name.as_str()) {
            Ok(user) if !login.value.trim().is_empty() => {
                users.insert(user, login.value);
            }
            _ => file.wrong(
                &login.place,
                format!("\"{name}\" is no whole MXID with a name"),
                "Write \"@alice:example.org\" = \"alice\".",
            ),
        }
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = users.values().find(|name| !names.insert(name.as_str())) {
        file.wrong(
            &file.place,
            format!("two people are \"{twice}\" there"),
            "Give each a name of their own: the service could not tell them apart.",
        );
    }
    users
}

fn answer_limit(file: &mut Section<'_>) -> usize {
    let limit = file.bytes("answer_limit").unwrap_or(1 << 20);
    if limit > LONGEST_ANSWER {
        let place = file.raw("answer_limit").map_or_else(|| file.place.clone(), |(_, place)| place);
        file.wrong(&place, "answer_limit is more than 16 MiB", "Write at most \"16 MiB\".");
    }
    usize::try_from(limit).unwrap_or(1 << 20)
}

/// Reads which method a command calls, and what its arguments are there.
pub(super) fn rpc(
    command: &str,
    file: &mut Section<'_>,
    templates: &Templates<'_>,
    references: &mut References,
) -> Option<RpcRun> {
    let endpoint =
        file.required_text("endpoint", "endpoint = \"deploys\": a file of endpoints/, without .toml");
    let method = file.required_text("method", "method = \"options\": what the endpoint calls it");
    let mut params: BTreeMap<String, String> =
        templates.names().map(|name| (name.to_owned(), name.to_owned())).collect();
    for (param, argument) in file.text_table("params") {
        if params.insert(argument.value.clone(), param).is_none() {
            params.remove(&argument.value);
            file.wrong(
                &argument.place,
                format!("no argument is called \"{}\"", argument.value),
                "Write the parameter's name first, then the argument's: params = { appName = \"app\" }.",
            );
        }
    }
    let answer_limit = answer_limit(file);
    let endpoint: Located<String> = endpoint?;
    references.endpoints.push((command.to_owned(), endpoint.clone()));
    Some(RpcRun::declared(endpoint.value, method?.value, params, answer_limit))
}
