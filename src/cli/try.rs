//! `quarterdeck try`: what a line would do, without a homeserver and without running anything.
//!
//! It cannot run anything: it has no database to record in, so it can make no warrant.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
};

use jiff::Timestamp;
use ruma::{OwnedUserId, UserId};
use serde_json::json;

use super::logged;
use crate::{
    catalogue::{self, Command, Ops, ProcessRun, Room, RunKind, http::HeaderSecret},
    command::{self, Line, Mistake, Parsed, Recognised, SshCommand},
    model::{Clock as _, SystemClock, Value},
    policy::{Action, Decision, Question, Refusal, Remedy, Rules, Wait, Why},
};

/// What the command line gave.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 if the rules permit it (in every room shown), 1 if they refuse, 2 if the line, or the folder, is not understood, 3 if it would wait for somebody's word."
)]
pub struct Options {
    /// The line as somebody would type it; the prefix may be left out
    #[arg(value_name = "LINE")]
    line: String,
    /// Who types it, by whole MXID: @bob:example.org
    #[arg(long = "as", value_name = "MXID", value_parser = whole_mxid)]
    who: OwnedUserId,
    /// In which room, by its key; otherwise in every room that has the command
    #[arg(long, value_name = "KEY")]
    room: Option<String>,
    /// The ops folder
    #[arg(long, value_name = "FOLDER", env = "QUARTERDECK_OPS", default_value = "ops")]
    ops: PathBuf,
    /// When, such as 2026-11-23T03:00:00Z; otherwise now
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Their power level in the room
    #[arg(long, value_name = "LEVEL", default_value_t = 0, allow_negative_numbers = true)]
    power_level: i64,
    /// Somebody who has approved it, by whole MXID; may be given again
    #[arg(long, value_name = "MXID", value_parser = whole_mxid)]
    approved_by: Vec<OwnedUserId>,
    /// They have confirmed it
    #[arg(long)]
    confirmed: bool,
    /// A team that they are in for a while; may be given again
    #[arg(long, value_name = "TEAM")]
    elevated: Vec<String>,
    /// Ask the server's database what endpoints were last recorded to offer: their methods are commands then
    #[arg(long)]
    recorded: bool,
}

fn whole_mxid(text: &str) -> Result<OwnedUserId, String> {
    UserId::parse(text).map_err(|error| format!("{error}: write the whole MXID, such as @bob:example.org"))
}

/// What came of it, as the exit status tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Permitted = 0,
    Refused = 1,
    NotUnderstood = 2,
    Waits = 3,
}

impl Options {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let folder = self.ops.display();
        let variable = |name: &str| std::env::var(name).ok();
        let listings = logged::recorded_listings(&self.ops, self.recorded)?;
        let compiled = catalogue::load_listed(&self.ops, &listings, &variable)
            .and_then(|ops| Rules::compile(&ops).map(|rules| (ops, rules)));
        let (text, verdict) = match compiled {
            Ok((ops, rules)) => self.show(&ops, &rules),
            Err(mistakes) => {
                for mistake in &mistakes {
                    eprintln!("{mistake}");
                }
                eprintln!("quarterdeck: mend the ops folder {folder} first: `quarterdeck check {folder}`");
                return Ok(ExitCode::from(Verdict::NotUnderstood as u8));
            }
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(ExitCode::from(verdict as u8))
    }

    /// What there is to say about the line, and the verdict.
    fn show(&self, ops: &Ops, rules: &Rules) -> (String, Verdict) {
        let prefix = &ops.settings.prefix;
        if let Some(team) = self.elevated.iter().find(|team| !ops.teams.contains_key(*team)) {
            let teams: Vec<_> = ops.teams.keys().collect();
            let why = format!("No team `{team}` in the ops folder: there is {}.", catalogue::one_of(&teams));
            return (format!("Not understood. {why}\n"), Verdict::NotUnderstood);
        }
        let understood = match self.line(ops) {
            Ok(line) => self.rooms(ops).and_then(|rooms| parse(ops, &rooms, &line)),
            Err(mistake) => Err(mistake.plain(prefix)),
        };
        let (parsed, rooms) = match understood {
            Ok(understood) => understood,
            Err(why) => {
                let unknown = ops.endpoints.values().any(|endpoint| endpoint.listing.is_none());
                let hint = if unknown {
                    "What endpoints offer is not known here: --recorded asks the server's database.\n"
                } else {
                    ""
                };
                return (format!("Not understood. {why}\n{hint}"), Verdict::NotUnderstood);
            }
        };
        let mut text = String::new();
        let decided = self.decide(&mut text, ops, rules, &parsed, &rooms);
        match decided {
            Ok(verdict) => (text, verdict),
            Err(fmt::Error) => (text, Verdict::NotUnderstood),
        }
    }

    /// The line through the same door as a message of a room.
    fn line(&self, ops: &Ops) -> Result<Line, Mistake> {
        let prefix = &ops.settings.prefix;
        let typed = self.line.trim();
        let body = if typed.starts_with(prefix) { typed.to_owned() } else { format!("{prefix}{typed}") };
        let content = json!({ "msgtype": "m.text", "body": body });
        match command::recognise(prefix, &ops.settings.bot_user(), &content) {
            Recognised::Command(line) => Ok(line),
            Recognised::Refused { mistake, .. } => Err(mistake),
            Recognised::Talk => Err(Mistake::UnknownCommand { name: typed.to_owned(), suggestion: None }),
        }
    }

    fn rooms<'a>(&self, ops: &'a Ops) -> Result<Vec<&'a Room>, String> {
        let Some(key) = &self.room else { return Ok(ops.rooms.values().collect()) };
        ops.rooms.get(key).map(|room| vec![room]).ok_or_else(|| {
            let keys: Vec<_> = ops.rooms.keys().collect();
            format!("No room `{key}` in the ops folder: there is {}.", catalogue::one_of(&keys))
        })
    }

    fn decide(
        &self,
        text: &mut String,
        ops: &Ops,
        rules: &Rules,
        parsed: &Parsed,
        rooms: &[&Room],
    ) -> Result<Verdict, fmt::Error> {
        let now = self.at.unwrap_or_else(|| SystemClock.now());
        understood(text, parsed)?;
        writeln!(text, "\nWho         {}, {}", self.who, groups(ops, &self.who))?;
        writeln!(text, "When        {}", now.strftime("%A %Y-%m-%d %H:%M UTC"))?;
        if self.room.is_none() {
            let keys: Vec<_> = rooms.iter().map(|room| room.key.as_str()).collect();
            writeln!(text, "Where       the rooms that have the command: {}", keys.join(", "))?;
        }
        let (approvals, elevated) =
            (self.approved_by.iter().cloned().collect(), self.elevated.iter().cloned().collect());
        let mut verdict = Verdict::Permitted;
        for room in rooms {
            let action = Action::Run(&parsed.invocation);
            let asked = Question::new(&self.who, self.power_level, &room.key, now, action);
            let confirmed = self.confirmed;
            let decision =
                rules.decide(&Question { approvals: &approvals, elevated: &elevated, confirmed, ..asked });
            match decision {
                Decision::Permitted(permit) => {
                    writeln!(text, "\nIn {}: permitted by", room.key)?;
                    for id in permit.policies() {
                        writeln!(text, "  {id} ({})", rules.place(id).unwrap_or_default())?;
                    }
                }
                Decision::Waits(wait) => {
                    if verdict == Verdict::Permitted {
                        verdict = Verdict::Waits;
                    }
                    waits(text, &room.key, &wait, rules)?;
                }
                Decision::Refused(refusal) => {
                    verdict = Verdict::Refused;
                    refused(text, &room.key, &refusal, rules)?;
                }
            }
        }
        run(text, parsed, verdict)?;
        Ok(verdict)
    }
}

/// The rooms in which the line is understood; where there is none, what is wrong with it.
fn parse<'a>(ops: &Ops, rooms: &[&'a Room], line: &Line) -> Result<(Parsed, Vec<&'a Room>), String> {
    let mut read: Option<Parsed> = None;
    let mut understood = Vec::new();
    let mut wrong: Option<Mistake> = None;
    for room in rooms {
        match command::parse(ops, room, line) {
            Ok(parsed) if read.as_ref().is_none_or(|first| first.invocation == parsed.invocation) => {
                read = Some(parsed);
                understood.push(*room);
            }
            // Two rooms may have commands of which one line can be either.
            Ok(other) => {
                let first = understood.first().map(|room| room.key.as_str()).unwrap_or_default();
                return Err(format!(
                    "In {} this is `{}`, elsewhere another: say which with --room {first}.",
                    room.key, other.invocation
                ));
            }
            Err(mistake) => {
                if wrong.as_ref().is_none_or(|first| vagueness(&mistake) < vagueness(first)) {
                    wrong = Some(mistake);
                }
            }
        }
    }
    match (read, wrong) {
        (Some(parsed), _) => Ok((parsed, understood)),
        (None, Some(mistake)) => Err(mistake.plain(&ops.settings.prefix)),
        (None, None) => Err("The ops folder has no room: write one in rooms/.".to_owned()),
    }
}

/// A room that has the command knows better what is wrong than one that hasn't.
fn vagueness(mistake: &Mistake) -> u8 {
    match mistake {
        Mistake::UnknownCommand { suggestion: None, .. } => 2,
        Mistake::UnknownCommand { .. } | Mistake::NotHere { .. } => 1,
        _ => 0,
    }
}

fn understood(text: &mut String, parsed: &Parsed) -> fmt::Result {
    let Parsed { invocation, command, .. } = parsed;
    writeln!(text, "Understood  {invocation}")?;
    for argument in &command.arguments {
        let value = invocation.arguments.get(&argument.name);
        let shown =
            value.map_or_else(|| "not given".to_owned(), |value| format!("{value} ({})", kind(value)));
        writeln!(text, "  {:<16}{shown}", argument.name)?;
    }
    writeln!(text, "  {:<16}{}", "effect", command.effect.name())?;
    match &invocation.subject {
        Some(subject) => writeln!(text, "  {:<16}system {subject}", "acts on"),
        None => writeln!(text, "  {:<16}the room", "acts on"),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "text",
        Value::Integer(_) => "integer",
        Value::Boolean(_) => "boolean",
        Value::Choice(_) => "choice",
        Value::Duration(_) => "duration",
        Value::User(_) => "user",
        Value::Room(_) => "room",
        Value::System(_) => "system",
        Value::List(_) => "list",
    }
}

fn groups(ops: &Ops, who: &UserId) -> String {
    let of: Vec<_> = ops
        .teams
        .values()
        .filter(|team| team.users.contains(who) || team.leads.contains(who))
        .map(
            |team| {
                if team.leads.contains(who) { format!("{} (leads it)", team.key) } else { team.key.clone() }
            },
        )
        .collect();
    if of.is_empty() { "in no team".to_owned() } else { format!("in {}", of.join(", ")) }
}

fn waits(text: &mut String, room: &str, wait: &Wait, rules: &Rules) -> fmt::Result {
    writeln!(text, "\nIn {room}: would wait, for what these rules ask")?;
    let place = |id: &str| rules.place(id).unwrap_or_default();
    for need in &wait.needs {
        let of: Vec<_> = need.of.iter().map(|of| format!("{} of {}", of.count, of.team)).collect();
        writeln!(text, "  {} ({}): {}", need.rule, place(&need.rule), need.says)?;
        writeln!(text, "    approvals by others: {}", of.join(" and "))?;
    }
    for (id, says) in &wait.confirm {
        writeln!(text, "  {id} ({}): {says}\n    a confirmation by whoever asks", place(id))?;
    }
    Ok(())
}

fn refused(text: &mut String, room: &str, refusal: &Refusal, rules: &Rules) -> fmt::Result {
    match refusal.why {
        Why::NothingPermits => writeln!(text, "\nIn {room}: refused, because no rule permits it")?,
        Why::Forbidden => writeln!(text, "\nIn {room}: refused by")?,
        Why::Evaluation => writeln!(text, "\nIn {room}: refused, because not everything could be evaluated")?,
    }
    for error in &refusal.errors {
        writeln!(text, "  {error}")?;
    }
    for (id, says) in &refusal.says {
        writeln!(text, "  {id} ({}): {says}", rules.place(id).unwrap_or_default())?;
    }
    for (id, remedy) in &refusal.remedies {
        match remedy {
            Remedy::Approval { by, count } => {
                writeln!(text, "  {id} can be met by approvals: {count} of {}", by.join(" and of "))?;
            }
            Remedy::Confirm => writeln!(text, "  {id} can be met by a confirmation")?,
        }
    }
    Ok(())
}

fn run(text: &mut String, parsed: &Parsed, verdict: Verdict) -> fmt::Result {
    let Parsed { invocation, command, .. } = parsed;
    let Command { run, .. } = &**command;
    let would = if verdict == Verdict::Permitted { "Would run" } else { "Would run, if it were permitted" };
    match &run.kind {
        RunKind::Builtin => writeln!(text, "\n{would}: a built-in, which Quarterdeck answers itself")?,
        RunKind::Process(process) => {
            let ProcessRun {
                program, folder, environment, credentials, credential_files, user, sandbox, ..
            } = &**process;
            writeln!(text, "\n{would}: {}", program.display())?;
            for (index, argument) in command::argument_vector(command, invocation).iter().enumerate() {
                writeln!(text, "  {:<16}{argument}", format!("argument {}", index + 1))?;
            }
            let names: Vec<_> = environment.keys().map(String::as_str).collect();
            let names = if names.is_empty() { "empty".to_owned() } else { names.join(", ") };
            writeln!(text, "  {:<16}{names}", "environment")?;
            for (variable, secret) in credentials {
                writeln!(text, "  {:<16}{secret}, as {variable}", "secret")?;
            }
            for (variable, secret) in credential_files {
                writeln!(text, "  {:<16}{secret}, as a file that {variable} names", "secret")?;
            }
            if let Some(secret) = &process.credential_input {
                writeln!(text, "  {:<16}{secret}, on standard input", "secret")?;
            }
            if let Some(folder) = folder {
                writeln!(text, "  {:<16}{}", "folder", folder.display())?;
            }
            if let Some(user) = user {
                writeln!(text, "  {:<16}{user}", "system user")?;
            }
            writeln!(text, "  {:<16}{}", "sandbox", sandbox.words())?;
            if process.out {
                writeln!(text, "  {:<16}its files come back with the answer", "out folder")?;
            }
        }
        RunKind::Ssh(ssh) => match command::ssh_command(ssh, command, invocation) {
            Ok(SshCommand { hosts, words }) => {
                writeln!(text, "\n{would}: {}", ssh.program)?;
                for (index, argument) in words.iter().skip(1).enumerate() {
                    writeln!(text, "  {:<16}{argument}", format!("argument {}", index + 1))?;
                }
                for (name, host) in &hosts {
                    writeln!(text, "  {:<16}{name}, by SSH as {host}", "on")?;
                }
                if hosts.len() > 1 {
                    let others = if ssh.keep_going { "all" } else { "no further one when one fails" };
                    writeln!(text, "  {:<16}{} hosts, {others}", "at once", ssh.parallel)?;
                }
                writeln!(text, "  {:<16}{}, as the key", "secret", ssh.key)?;
            }
            Err(reason) => writeln!(text, "\nWould run nothing: {reason}")?,
        },
        RunKind::ChatopsRpc(rpc) => match command::rpc_call(rpc, invocation) {
            Ok(call) => {
                writeln!(
                    text,
                    "\n{would}: {} of the endpoint {}, at {}",
                    call.method, rpc.endpoint, call.url
                )?;
                for (name, value) in &call.params {
                    writeln!(text, "  {:<16}{name}: {value}", "parameter")?;
                }
                writeln!(text, "  {:<16}{}, as the key {} that signs it", "secret", rpc.key, rpc.keyid)?;
            }
            Err(reason) => writeln!(text, "\nWould call nothing: {reason}")?,
        },
        RunKind::Http(http) => match command::http_request(http, invocation) {
            Ok(request) => {
                writeln!(text, "\n{would}: {} {}", request.method, request.url)?;
                for (name, value) in &request.headers {
                    writeln!(text, "  {:<16}{name}: {value:?}", "header")?;
                }
                for (name, secret) in &http.credentials {
                    let HeaderSecret { before, secret } = secret;
                    writeln!(text, "  {:<16}{secret}, as {name}: {before}...", "secret")?;
                }
                if let Some(body) = &request.body {
                    writeln!(text, "  {:<16}{body}", "body")?;
                }
            }
            Err(reason) => writeln!(text, "\nWould send nothing: {reason}")?,
        },
    }
    if !matches!(run.kind, RunKind::Builtin) {
        writeln!(text, "  {:<16}{:#}", "timeout", run.timeout)?;
        if let Some(lock) = command::lock(command, invocation) {
            writeln!(text, "  {:<16}{lock}: one run at a time", "lock")?;
        }
    }
    writeln!(text, "\nNothing was run.")
}

#[cfg(test)]
mod tests;
