//! The company that the tests of the rules are about.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use jiff::SignedDuration;
use ruma::{OwnedUserId, UserId, user_id};

use crate::{
    catalogue::{
        Answers, Argument, ArgumentType, Command, Criticality, Effect, Join, Limits, Mistake, OnBusy, Ops,
        PolicyFile, ProcessRun, Room, Run, RunKind, Settings, System, Team, builtins,
    },
    model::{Digest, Invocation, Value},
    policy::{Action, Decision, Question, Refusal, Rules},
};

/// What every company of these tests has beside its own rules.
pub const RELOAD: &str =
    r#"@id("reload") permit (principal in Team::"on-call-leads", action == Action::"reload", resource);"#;

/// The company, under these rules in one file.
pub fn ops(rules: &str) -> Ops {
    let commands = [
        command(
            "deploy",
            Effect::Change,
            Some("{app}@{env}"),
            vec![
                argument("app", ArgumentType::System, true),
                argument("env", choice(&["staging", "production"]), true),
                argument("version", text(), false),
            ],
        ),
        command(
            "wipe",
            Effect::Danger,
            Some("{app}@staging"),
            vec![argument("app", ArgumentType::System, true)],
        ),
        command(
            "hand-over",
            Effect::Change,
            None,
            vec![
                argument("to", ArgumentType::User, true),
                argument("dry-run", ArgumentType::Boolean, false),
                argument("in", ArgumentType::Duration { min: 0, max: 86_400 }, false),
                argument("hosts", ArgumentType::List { items: Box::new(text()), max_items: 8 }, false),
                argument("count", ArgumentType::Integer { min: 0, max: 9 }, false),
            ],
        ),
        command("uptime", Effect::Read, None, vec![]),
    ];
    Ops {
        folder: PathBuf::from("/ops"),
        settings: settings(),
        rooms: BTreeMap::from([("deploy".to_owned(), room("deploy")), ("status".to_owned(), room("status"))]),
        teams: [
            team("web", &["@alice:example.org", "@bob:example.org"], &["@alice:example.org"]),
            team("on-call", &["@erin:example.org", "@alice:example.org"], &["@erin:example.org"]),
            team("partner", &["@carol:partner.example"], &[]),
        ]
        .into_iter()
        .map(|team| (team.key.clone(), team))
        .collect(),
        endpoints: BTreeMap::new(),
        systems: [
            system("web", "web", Criticality::High, &["staging", "production"]),
            system("db", "on-call", Criticality::Low, &["production"]),
        ]
        .into_iter()
        .map(|system| (system.key.clone(), system))
        .collect(),
        commands: commands
            .into_iter()
            .chain(builtins())
            .map(|command| (command.name.clone(), command))
            .collect(),
        policies: vec![
            PolicyFile { path: "policies/rules.cedar".to_owned(), text: rules.to_owned() },
            // Without anybody who may reload no folder is right.
            PolicyFile { path: "policies/reload.cedar".to_owned(), text: RELOAD.to_owned() },
        ],
        rule_tests: Vec::new(),
        secrets: BTreeMap::new(),
        documents: Vec::new(),
        files: BTreeMap::new(),
        digest: Digest::of(b""),
        commit: None,
    }
}

/// The rules, which must be right.
pub fn compile(rules: &str) -> Rules {
    Rules::compile(&ops(rules)).unwrap_or_else(|mistakes| panic!("{rules}\n{mistakes:#?}"))
}

/// What is wrong with these rules.
pub fn mistakes(rules: &str) -> Vec<Mistake> {
    Rules::compile(&ops(rules)).err().unwrap_or_default()
}

/// A command with its arguments.
pub fn invocation(command: &str, arguments: &[(&str, Value)], subject: Option<&str>) -> Invocation {
    Invocation {
        command: command.to_owned(),
        arguments: arguments.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        subject: subject.map(str::to_owned),
        filters: Vec::new(),
        dry: false,
    }
}

/// `deploy SYSTEM ENVIRONMENT`, or any other command without arguments.
pub fn run(line: &str) -> Invocation {
    match *line.split(' ').collect::<Vec<_>>() {
        ["deploy", app, env] => invocation(
            "deploy",
            &[("app", Value::System(app.to_owned())), ("env", Value::Choice(env.to_owned()))],
            Some(&format!("{app}@{env}")),
        ),
        ["wipe", app] => {
            invocation("wipe", &[("app", Value::System(app.to_owned()))], Some(&format!("{app}@staging")))
        }
        ["hand-over", to] => invocation("hand-over", &[("to", Value::User(to.try_into().unwrap()))], None),
        _ => invocation(line, &[], None),
    }
}

/// Asks whether somebody may run a command in the room `deploy`, on a Monday at 01:30.
pub fn question<'a>(who: &'a str, invocation: &'a Invocation) -> Question<'a> {
    let (who, now) = (<&UserId>::try_from(who).unwrap(), "2026-11-23T01:30:00Z".parse().unwrap());
    Question::new(who, 0, "deploy", now, Action::Run(invocation))
}

/// The names of the rules that permit it, or the refusal.
pub fn ask(rules: &Rules, who: &str, line: &str) -> Result<Vec<String>, Box<Refusal>> {
    match rules.decide(&question(who, &run(line))) {
        Decision::Permitted(permit) => Ok(permit.policies().to_vec()),
        Decision::Waits(wait) => Err(Box::new(wait.into())),
        Decision::Refused(refusal) => Err(Box::new(refusal)),
    }
}

fn settings() -> Settings {
    Settings {
        prefix: "!".to_owned(),
        instance: "main".to_owned(),
        state: PathBuf::from("/var/lib/quarterdeck"),
        listen: "127.0.0.1:9250".to_owned(),
        homeserver_url: "http://localhost".parse().unwrap(),
        server_name: user_id!("@a:example.org").server_name().to_owned(),
        registration: PathBuf::from("registration.yaml"),
        bot: "quarterdeck".to_owned(),
        alias_prefix: "ops-".to_owned(),
        database_url: None,
        owner_database_url: None,
        space_name: "Ops".to_owned(),
        space_alias: "space".to_owned(),
        administrators: Vec::new(),
        time_zone: jiff::tz::TimeZone::UTC,
        stale_after: SignedDuration::from_mins(5),
        absence: SignedDuration::from_mins(1),
        keep_events: SignedDuration::from_hours(720),
        grace: SignedDuration::from_secs(30),
        approval_wait: SignedDuration::from_mins(30),
        approval_remind: SignedDuration::from_mins(10),
        runs: 32,
        most: crate::catalogue::MostRuns::default(),
        request_bytes: 1 << 24,
        elevation: SignedDuration::from_hours(1),
        audit_origin: "example.org/quarterdeck".into(),
        audit_key: "/nowhere/audit.key".into(),
        audit_post_every: jiff::SignedDuration::from_hours(1),
        audit_witnesses: Vec::new(),
        retention: None,
        secrets_identity: None,
        secrets_recipients: Vec::new(),
        credentials: std::path::PathBuf::new(),
        web_url: None,
        local: None,
        git: None,
    }
}

fn room(key: &str) -> Room {
    Room {
        key: key.to_owned(),
        alias: format!("#ops-{key}:example.org").try_into().unwrap(),
        name: key.to_owned(),
        purpose: String::new(),
        commands: ["deploy", "wipe", "hand-over", "uptime"].map(str::to_owned).into(),
        teams: vec!["web".to_owned()],
        join: Join::Invite,
        answers: Answers::Thread,
        log: false,
    }
}

fn team(key: &str, users: &[&str], leads: &[&str]) -> Team {
    let ids =
        |ids: &[&str]| ids.iter().map(|&id| OwnedUserId::try_from(id).unwrap()).collect::<BTreeSet<_>>();
    let users = ids(users);
    Team {
        key: key.to_owned(),
        summary: String::new(),
        homeservers: users.iter().map(|id| id.server_name().to_owned()).collect(),
        leads: ids(leads),
        local: BTreeMap::new(),
        users,
    }
}

fn system(key: &str, owner: &str, criticality: Criticality, environments: &[&str]) -> System {
    System {
        key: key.to_owned(),
        summary: String::new(),
        owner: owner.to_owned(),
        criticality,
        environments: environments.iter().map(|&name| name.to_owned()).collect(),
        status: Vec::new(),
        links: BTreeMap::new(),
    }
}

fn command(name: &str, effect: Effect, subject: Option<&str>, arguments: Vec<Argument>) -> Arc<Command> {
    Arc::new(Command {
        name: name.to_owned(),
        summary: String::new(),
        help: String::new(),
        effect,
        tags: BTreeSet::from(["release".to_owned()]),
        subject: subject.map(str::to_owned),
        phrases: Vec::new(),
        docs: None,
        examples: Vec::new(),
        arguments,
        private: false,
        records: false,
        schedule: None,
        dry: None,
        is_dry: false,
        run: Run {
            kind: RunKind::Process(Box::new(ProcessRun {
                program: PathBuf::from("/bin/true"),
                arguments: Vec::new(),
                folder: None,
                environment: BTreeMap::new(),
                credentials: BTreeMap::new(),
                credential_files: BTreeMap::new(),
                credential_input: None,
                user: None,
                limits: Limits::default(),
                sandbox: crate::model::Sandbox::None,
                out: false,
            })),
            timeout: SignedDuration::from_mins(1),
            lock: None,
            on_busy: OnBusy::Queue,
            idempotent: false,
        },
    })
}

fn argument(name: &str, kind: ArgumentType, required: bool) -> Argument {
    Argument { name: name.to_owned(), summary: String::new(), kind, required, default: None, rest: false }
}

fn text() -> ArgumentType {
    ArgumentType::Text { pattern: None, min_length: 1, max_length: 1000 }
}

fn choice(choices: &[&str]) -> ArgumentType {
    ArgumentType::Choice(choices.iter().map(|&choice| choice.to_owned()).collect())
}
