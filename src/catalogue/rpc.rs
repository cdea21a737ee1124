//! Endpoints of Chatops RPC, version 3 (github/chatops-controller, `docs/protocol-description.md`): what a file of
//! `endpoints/` declares, what an endpoint says that it offers, and what a command calls there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use regex::{Regex, RegexBuilder};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Effect;

/// What endpoints said that they offer, by the endpoint's key.
pub type Listings = BTreeMap<String, Listing>;

/// The most methods that an endpoint may list.
const MOST_METHODS: usize = 500;
/// The most parameters that a method may take.
const MOST_PARAMS: usize = 64;
/// The longest regular expression of a method, in bytes, and the largest automaton that is made of one, and kept of it
/// while it is matched: an endpoint with as many methods as may be takes no more than 256 MiB.
const LONGEST_REGEX: usize = 4_000;
const LARGEST_REGEX: usize = 256 << 10;
/// The longest help or response to errors, in characters. What is beyond is left out.
const LONGEST_TEXT: usize = 4_000;

/// A service whose methods are commands.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its key: the file's name without `.toml`.
    pub key: String,
    /// Where it lists its methods.
    pub url: String,
    /// The secret that holds the private key, in PEM, by which it knows us.
    pub secret: String,
    /// The name of that key, for a service that knows several.
    pub keyid: String,
    /// The first word of its commands.
    pub prefix: String,
    /// What a method does to the world that no file of `commands/` tells of.
    pub effect: Effect,
    /// The tags of such commands.
    pub tags: BTreeSet<String>,
    /// Who people are there; all others are known by their whole MXID.
    pub users: BTreeMap<OwnedUserId, String>,
    /// Whether it may have a private address, and be spoken to without TLS.
    pub private: bool,
    /// How long a call of such a command may take.
    pub timeout: SignedDuration,
    /// How often it is asked what it offers, in seconds.
    pub refresh_s: i64,
    /// Whether every method that it lists becomes a command; otherwise only those that a file of `commands/` names do.
    pub all: bool,
    /// How long an answer may be, in bytes.
    pub answer_limit: usize,
    /// What it said last that it offers, where it has said anything yet.
    pub listing: Option<Listing>,
    /// The methods that it lists and that are no commands, or not as they are listed, and why.
    pub left_out: BTreeMap<String, String>,
}

/// What an endpoint says that it offers. Kept as `endpoints/KEY.json` in the version of the folder that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Where it was asked.
    pub url: String,
    /// What it calls itself.
    pub namespace: String,
    /// What it says of itself.
    #[serde(default)]
    pub help: Option<String>,
    /// What to tell people when it fails.
    #[serde(default)]
    pub error_response: Option<String>,
    /// Its methods by name.
    pub methods: BTreeMap<String, ListedMethod>,
}

/// A method that an endpoint lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedMethod {
    /// What people type after the prefix, with named groups for the parameters.
    pub regex: String,
    /// Where it is called: what is added to the URL of the listing.
    pub path: String,
    /// The names of the parameters that it takes.
    pub params: BTreeSet<String>,
    /// What it says of itself.
    #[serde(default)]
    pub help: Option<String>,
}

impl Listing {
    /// Reads what an endpoint answered. What the protocol does not know is passed over, so that a listing differs from
    /// another only where it means something else.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words that hold nothing of it but names.
    pub fn read(url: &str, answer: &[u8]) -> Result<Self, String> {
        let json: Value = serde_json::from_slice(answer)
            .map_err(|error| format!("no JSON (line {}, column {})", error.line(), error.column()))?;
        let version = match &json["version"] {
            Value::Null => "3".to_owned(),
            Value::String(version) => version.clone(),
            other => other.to_string(),
        };
        if version != "3" {
            return Err("not of version 3 of the protocol".to_owned());
        }
        let namespace = text(&json, "namespace")?.filter(|name| is_slug(name));
        let namespace = namespace.ok_or("without a namespace of letters, digits, - and _")?;
        let listed = json["methods"].as_object().ok_or("without methods")?;
        if listed.len() > MOST_METHODS {
            return Err(format!("of more than {MOST_METHODS} methods"));
        }
        let mut methods = BTreeMap::new();
        for (name, method) in listed {
            if !is_slug(name) {
                return Err("with a method whose name is more than letters, digits, - and _".to_owned());
            }
            let method =
                ListedMethod::read(method).map_err(|wrong| format!("whose method {name} {wrong}"))?;
            methods.insert(name.clone(), method);
        }
        Ok(Self {
            url: url.to_owned(),
            namespace,
            help: text(&json, "help")?,
            error_response: text(&json, "error_response")?,
            methods,
        })
    }

    /// As it is kept: the same for the same listing.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl ListedMethod {
    fn read(json: &Value) -> Result<Self, String> {
        let params = match &json["params"] {
            Value::Null => BTreeSet::new(),
            Value::Array(names) => names
                .iter()
                .map(|name| name.as_str().filter(|name| is_slug(name)).map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or("has a parameter whose name is more than letters, digits, - and _")?,
            _ => return Err("has params that are no list".to_owned()),
        };
        if params.len() > MOST_PARAMS {
            return Err(format!("has more than {MOST_PARAMS} parameters"));
        }
        Ok(Self {
            regex: text(json, "regex")?.unwrap_or_default(),
            path: text(json, "path")?.unwrap_or_default(),
            params,
            help: text(json, "help")?,
        })
    }

    /// What people type after the prefix: anchored, whatever the case of its letters, as clients of the protocol do it.
    ///
    /// # Errors
    ///
    /// Why it cannot be used: it may look ahead or back, which takes time that nobody can bound.
    pub fn spoken(&self) -> Result<Regex, String> {
        if self.regex.is_empty() {
            return Err("it lists no regex".to_owned());
        }
        if self.regex.len() > LONGEST_REGEX {
            return Err(format!("its regex is longer than {LONGEST_REGEX} bytes"));
        }
        let build = |source: &str| {
            let mut regex = RegexBuilder::new(source);
            regex.case_insensitive(true).size_limit(LARGEST_REGEX).dfa_size_limit(LARGEST_REGEX).build()
        };
        // As it stands first: `a)|(b` is one only between our own brackets.
        build(&self.regex).and_then(|_| build(&format!("^(?:{})$", self.regex))).map_err(|error| {
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("its regex cannot be used: {reason}")
        })
    }

    /// Where it is called.
    ///
    /// # Errors
    ///
    /// Why that cannot be told, or would be elsewhere than below the listing.
    pub fn url(&self, listing: &str) -> Result<String, String> {
        if self.path.is_empty() {
            return Ok(listing.to_owned());
        }
        let bad = |segment: &str| {
            segment.is_empty()
                || super::http::is_dots(segment)
                || !segment.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%".contains(c))
        };
        let path = self.path.trim_start_matches('/');
        if path.split('/').any(bad) {
            return Err("its path does not lead to a place below the listing".to_owned());
        }
        Ok(format!("{}/{path}", listing.trim_end_matches('/')))
    }

    /// The first line of what it says of itself, for lists: `options <app> - List environments`.
    pub fn summary(&self) -> Option<String> {
        let line = self.help.as_deref()?.lines().find(|line| !line.trim().is_empty())?.trim();
        let line = line.strip_prefix("hubot ").unwrap_or(line);
        Some(line.chars().filter(|c| !c.is_control()).take(200).collect())
    }
}

/// A text that may be missing or null.
fn text(json: &Value, key: &str) -> Result<Option<String>, String> {
    match &json[key] {
        Value::Null => Ok(None),
        Value::String(text) if key == "regex" || key == "path" => Ok(Some(text.clone())),
        Value::String(text) => Ok(Some(text.chars().take(LONGEST_TEXT).collect())),
        _ => Err(format!("has a {key} that is no text")),
    }
}

fn is_slug(name: &str) -> bool {
    (1..=60).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

/// A method that a command calls.
#[derive(Debug, Clone, Serialize)]
pub struct RpcRun {
    /// The endpoint.
    pub endpoint: String,
    /// The method.
    pub method: String,
    /// Where it is called, where the endpoint lists it.
    pub url: Option<String>,
    /// The secret that holds the private key.
    pub key: String,
    /// That key's name.
    pub keyid: String,
    /// The parameter that each argument becomes.
    pub params: BTreeMap<String, String>,
    /// The parameters that the endpoint says it takes. No other is sent.
    pub takes: BTreeSet<String>,
    /// Who people are there.
    pub users: BTreeMap<OwnedUserId, String>,
    /// Whether it may have a private address, and be spoken to without TLS.
    pub private: bool,
    /// How long an answer may be, in bytes.
    pub answer_limit: usize,
    /// The first word of the line in which the endpoint's own way of saying it stands.
    #[serde(skip)]
    pub prefix: String,
    /// What follows that word, with a group for each parameter.
    #[serde(skip)]
    pub spoken: Option<Regex>,
    /// What to tell people when the endpoint fails.
    #[serde(skip)]
    pub error_response: Option<String>,
}

impl RpcRun {
    /// What a file of `commands/` says; the rest is the endpoint's.
    pub(super) const fn declared(
        endpoint: String,
        method: String,
        params: BTreeMap<String, String>,
        answer_limit: usize,
    ) -> Self {
        Self {
            endpoint,
            method,
            url: None,
            key: String::new(),
            keyid: String::new(),
            params,
            takes: BTreeSet::new(),
            users: BTreeMap::new(),
            private: false,
            answer_limit,
            prefix: String::new(),
            spoken: None,
            error_response: None,
        }
    }
}
