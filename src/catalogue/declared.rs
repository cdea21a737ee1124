//! The types that an ops folder is read into.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use regex::Regex;
use ruma::{OwnedRoomAliasId, OwnedServerName, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{
    RuleTest, Run, RunKind, Schedule, Settings,
    rpc::{Endpoint, Listings},
};
use crate::model::{DRY, Digest, Invocation, Sealed, Value};

/// An ops folder: read whole, validated whole.
#[derive(Debug, Clone)]
pub struct Ops {
    /// The folder it was read from.
    pub folder: PathBuf,
    /// `quarterdeck.toml`.
    pub settings: Settings,
    /// `rooms/*.toml`, by file name.
    pub rooms: BTreeMap<String, Room>,
    /// `teams/*.toml`, by file name.
    pub teams: BTreeMap<String, Team>,
    /// `systems/*.toml`, by file name.
    pub systems: BTreeMap<String, System>,
    /// `endpoints/*.toml`, by file name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// `commands/*.toml` by name, the methods of endpoints, and the built-ins.
    pub commands: BTreeMap<String, Arc<Command>>,
    /// `policies/*.cedar`.
    pub policies: Vec<PolicyFile>,
    /// `policies/tests/*.toml`: what the rules must say.
    pub rule_tests: Vec<RuleTest>,
    /// `secrets/*.toml`, by file name: where each secret's value comes from, never the value.
    pub secrets: BTreeMap<String, SecretSource>,
    /// `docs/*.md`.
    pub documents: Vec<Document>,
    /// Every file's path and bytes, secrets excepted: what is kept of a version that was in force.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The digest of `files`.
    pub digest: Digest,
    /// The git commit, where the folder is a clean checkout.
    pub commit: Option<String>,
}

impl Ops {
    /// Whether a command is there because an endpoint lists it, and no file of `commands/` tells of it.
    pub fn is_listed(&self, command: &str) -> bool {
        let of_endpoint = |it: &Arc<Command>| matches!(it.run.kind, RunKind::ChatopsRpc(_));
        self.commands.get(command).is_some_and(of_endpoint)
            && !self.files.contains_key(&format!("commands/{command}.toml"))
    }

    /// The digest of its files without what these endpoints say that they offer: it names what people wrote.
    pub fn digest_without(&self, listings: &Listings) -> Digest {
        let is_said = |path: &str| {
            let key = path.strip_prefix("endpoints/").and_then(|name| name.strip_suffix(".json"));
            key.is_some_and(|key| listings.contains_key(key))
        };
        let files = self.files.iter().filter(|(path, _)| !is_said(path));
        Digest::of_parts(files.flat_map(|(path, bytes)| [path.as_bytes(), bytes.as_slice()]))
    }

    /// The same folder with these subjects alone (`web`, `web@staging`), these rooms and their commands, to tell somebody of it who may not
    /// know of more. It cannot be put in force: its rules and files are left out.
    #[must_use]
    pub fn narrowed(&self, subjects: &BTreeSet<String>, room: impl Fn(&Room) -> bool) -> Self {
        let system = |system: &System| {
            let has = |environment: &&String| subjects.contains(&format!("{}@{environment}", system.key));
            let environments: Vec<_> = system.environments.iter().filter(has).cloned().collect();
            let known = subjects.contains(&system.key) || !environments.is_empty();
            known.then(|| System { environments, ..system.clone() })
        };
        let known = |(key, of): (&String, &System)| Some((key.clone(), system(of)?));
        let rooms: BTreeMap<_, _> = self.rooms.iter().filter(|(_, it)| room(it)).collect();
        let listed = |name: &str| rooms.values().any(|room| room.commands.contains(name));
        let commands: BTreeMap<_, _> =
            self.commands.iter().filter(|(name, _)| listed(name)).map(owned).collect();
        // Of an endpoint that offers nothing here no more is known than that it exists, to who types its first word.
        let offers = |endpoint: &Endpoint| {
            let of_it = |it: &Arc<Command>| matches!(&it.run.kind, RunKind::ChatopsRpc(it) if it.endpoint == endpoint.key);
            endpoint.listing.is_none() || commands.values().any(of_it)
        };
        let endpoints = self.endpoints.iter().filter(|(_, it)| offers(it)).map(owned).collect();
        Self {
            folder: self.folder.clone(),
            settings: self.settings.clone(),
            commands,
            endpoints,
            rooms: rooms.into_iter().map(owned).collect(),
            teams: self.teams.clone(),
            systems: self.systems.iter().filter_map(known).collect(),
            policies: Vec::new(),
            rule_tests: Vec::new(),
            secrets: BTreeMap::new(),
            documents: self.documents.clone(),
            files: BTreeMap::new(),
            digest: self.digest,
            commit: self.commit.clone(),
        }
    }

    /// The command of an invocation: its dry form, where that is what is meant. `None` if there is none any more.
    pub fn command_of(&self, invocation: &Invocation) -> Option<Arc<Command>> {
        let command = self.commands.get(&invocation.command)?;
        if invocation.dry { command.dry_form() } else { Some(Arc::clone(command)) }
    }

    /// The file that a command comes from: its own, or that of the endpoint which lists it.
    pub fn file_of(&self, command: &Command) -> String {
        let file = format!("commands/{}.toml", command.name);
        match &command.run.kind {
            RunKind::ChatopsRpc(rpc) if !self.files.contains_key(&file) => {
                format!("endpoints/{}.toml", rpc.endpoint)
            }
            _ => file,
        }
    }

    /// The tags that commands have, or would have once their endpoint lists any.
    pub fn tags(&self) -> BTreeSet<&str> {
        let of_commands = self.commands.values().flat_map(|command| &command.tags);
        let of_endpoints = self.endpoints.values().flat_map(|endpoint| &endpoint.tags);
        of_commands.chain(of_endpoints).map(String::as_str).collect()
    }
}

fn owned<T: Clone>((key, of): (&String, &T)) -> (String, T) {
    (key.clone(), of.clone())
}

/// A room.
#[derive(Debug, Clone)]
pub struct Room {
    /// Its key: the file's name without `.toml`.
    pub key: String,
    /// Its whole alias.
    pub alias: OwnedRoomAliasId,
    /// The name people see.
    pub name: String,
    /// What it is for; becomes the topic.
    pub purpose: String,
    /// The commands that may be used here: the listed ones, those with a listed tag, and the built-ins.
    pub commands: BTreeSet<String>,
    /// The teams that are invited, by key.
    pub teams: Vec<String>,
    /// How people come in.
    pub join: Join,
    /// Where answers go.
    pub answers: Answers,
    /// Whether it is the log room: where the use of commands of emergency, and new versions of the rules, are told.
    pub log: bool,
}

/// How people come into a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Join {
    /// By invitation.
    Invite,
    /// By invitation, or by asking.
    Knock,
    /// Anybody of a server that one of its teams names, and of ours.
    Open,
}

/// Where answers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answers {
    /// Into a thread at the command.
    Thread,
    /// Into the main timeline, as replies.
    Timeline,
}

/// A team.
#[derive(Debug, Clone)]
pub struct Team {
    /// Its key: the file's name without `.toml`. `Team::"key"` in the rules.
    pub key: String,
    /// What it is, in a line.
    pub summary: String,
    /// The homeservers its members may come from. A member of another one is a mistake in the folder.
    pub homeservers: BTreeSet<OwnedServerName>,
    /// Its members, leads included.
    pub users: BTreeSet<OwnedUserId>,
    /// Those of them who lead: `Team::"key-leads"` and, with all other leads, `Team::"leads"`.
    pub leads: BTreeSet<OwnedUserId>,
    /// `[[local]]`: which of them a user of this host is, by the user's number.
    pub local: BTreeMap<u32, OwnedUserId>,
}

/// A system: a thing that is operated.
#[derive(Debug, Clone)]
pub struct System {
    /// Its key: the file's name without `.toml`. `System::"key"` in the rules.
    pub key: String,
    /// What it is, in a line.
    pub summary: String,
    /// The team that owns it, by key.
    pub owner: String,
    /// How bad it is when it is down.
    pub criticality: Criticality,
    /// Its environments; each makes a `System::"key@environment"` in `Environment::"environment"`.
    pub environments: Vec<String>,
    /// Command lines (without prefix) of effect `read` that tell how it is: what `!status` runs.
    pub status: Vec<String>,
    /// Links by name: dashboard, runbook.
    pub links: BTreeMap<String, String>,
}

/// How bad it is when a system is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Criticality {
    /// It can wait.
    Low,
    /// Within the day.
    Normal,
    /// At once.
    High,
}

impl Criticality {
    /// The name in files and rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// What a command does to the world. Rules can speak of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It only looks.
    Read,
    /// It changes something.
    Change,
    /// It may destroy something.
    Danger,
}

impl Effect {
    /// The name in files and rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Change => "change",
            Self::Danger => "danger",
        }
    }
}

/// A command.
#[derive(Debug, Clone)]
pub struct Command {
    /// Its name: lower-case words joined by `-`; `Action::"name"` in the rules.
    pub name: String,
    /// What it does, in a line.
    pub summary: String,
    /// More about it, in Markdown; may be empty.
    pub help: String,
    /// What it does to the world.
    pub effect: Effect,
    /// Its tags; each is a group of actions in the rules, and rooms may list them as `#tag`.
    pub tags: BTreeSet<String>,
    /// The system it acts on, as a template of its arguments: `{app}@{env}`.
    pub subject: Option<String>,
    /// Optional second spellings: `deploy {app} to {env} at {version}`.
    pub phrases: Vec<String>,
    /// The document that explains it, a file of `docs/`.
    pub docs: Option<String>,
    /// Lines that show its use, without prefix.
    pub examples: Vec<String>,
    /// Its arguments, in the order of their positions.
    pub arguments: Vec<Argument>,
    /// Whether what it prints is for the one who asks alone, whoever else may read it.
    pub private: bool,
    /// Whether what it prints are records, a line each.
    pub records: bool,
    /// When it is done again and again, and as whom.
    pub schedule: Option<Schedule>,
    /// How it is run.
    pub run: Run,
    /// How it is run dry: `[dry]`. Such a run tells what the real one would do, and changes nothing.
    pub dry: Option<Run>,
    /// Whether this is the dry form of a command: [`Command::dry_form`] alone makes one.
    pub is_dry: bool,
}

/// The tag of commands of emergency: `Action::"tag:emergency"` in the rules.
pub const EMERGENCY: &str = "emergency";

/// The tag of the built-ins that change who may do what.
pub const AUTHORITY: &str = "authority";

impl Command {
    /// Whether it is a command of emergency: it asks for a reason, and its use is told to everybody.
    pub fn is_emergency(&self) -> bool {
        self.tags.contains(EMERGENCY)
    }

    /// The command as it is where its dry run is asked for: of the same name and arguments, run as `[dry]` says. It only
    /// looks, and is no emergency. To the rules it is the same action, with `context.dry`.
    pub fn dry_form(&self) -> Option<Arc<Self>> {
        let run = self.dry.clone()?;
        let tags = self.tags.iter().filter(|tag| *tag != EMERGENCY).cloned().collect();
        let (effect, is_dry) = (Effect::Read, true);
        Some(Arc::new(Self { run, effect, tags, is_dry, dry: None, schedule: None, ..self.clone() }))
    }

    /// The argument that is a command's line itself, with its quotes: the last one of a built-in such as `!every`.
    pub fn line_argument(&self) -> Option<&Argument> {
        let last = self.arguments.last().filter(|last| last.rest && last.name == "line");
        last.filter(|_| matches!(self.run.kind, RunKind::Builtin))
    }

    /// All the ways in which it can be run: as it is, and dry.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        std::iter::once(&self.run).chain(&self.dry)
    }

    /// The names of the secrets that any of its runs is given.
    pub fn secrets(&self) -> BTreeSet<&str> {
        self.runs().flat_map(|run| run.kind.secrets()).collect()
    }

    /// What it is called where it is told what becomes of it: `deploy`, `dry run of deploy`.
    pub fn title(&self) -> String {
        if self.is_dry { format!("dry run of {}", self.name) } else { self.name.clone() }
    }

    /// What people type: `deploy`, `dry deploy`.
    pub fn typed(&self) -> String {
        if self.is_dry { format!("{DRY} {}", self.name) } else { self.name.clone() }
    }
}

/// An argument.
#[derive(Debug, Clone)]
pub struct Argument {
    /// Its name: `--name` on the line, `context.arguments.name` in the rules.
    pub name: String,
    /// What it is for; may be empty.
    pub summary: String,
    /// Its type.
    pub kind: ArgumentType,
    /// Whether it must be given. False where there is a default.
    pub required: bool,
    /// Its value when it is not given.
    pub default: Option<Value>,
    /// Whether it takes all the remaining words of the line, joined by spaces. Only the last text.
    pub rest: bool,
}

/// The type of an argument.
#[derive(Debug, Clone)]
pub enum ArgumentType {
    /// Free text.
    Text {
        /// What the whole text must match.
        pattern: Option<Regex>,
        /// The least number of characters. Default 1.
        min_length: usize,
        /// The greatest number of characters. Default 1,000.
        max_length: usize,
    },
    /// A whole number.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// Yes or no.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
    /// A length of time: `90s`, `10m`, `1h30m`.
    Duration {
        /// The least, in seconds.
        min: i64,
        /// The greatest, in seconds.
        max: i64,
    },
    /// A user, by MXID or pill.
    User,
    /// A room, by id, alias or pill.
    Room,
    /// A declared system.
    System,
    /// Several of one type, separated by commas.
    List {
        /// Their type, itself no list.
        items: Box<ArgumentType>,
        /// The greatest number of them. Default 32.
        max_items: usize,
    },
}

/// Where a secret's value comes from. It is read when a run needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable of `serve`: `environment = "NAME"`.
    Environment(String),
    /// A file: `file = "/run/secrets/x"`.
    File(PathBuf),
    /// A file in the folder of systemd's credentials: `credential = "x"`.
    Credential(String),
    /// The ops folder itself, encrypted: `secrets/x.age`.
    Sealed(Sealed),
}

/// A file of rules.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    /// Its path in the folder: `policies/production.cedar`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// A runbook.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its path in `docs/`: `deploying.md`.
    pub path: String,
    /// Its first heading, or its path.
    pub title: String,
    /// Its text, in Markdown.
    pub text: String,
}
