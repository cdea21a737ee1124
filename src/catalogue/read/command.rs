//! `commands/*.toml`.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::SignedDuration;
use ruma::OwnedUserId;

use super::{
    References, Source, arguments, confined::confined, credentials::credentials, dry, endpoint, http,
    section::Section, ssh,
};
use crate::catalogue::{
    Argument, ArgumentType, Command, EMERGENCY, Effect, Limits, OUT_VARIABLE, OnBusy, ProcessRun, Run,
    RunKind, Schedule, Timetable, did_you_mean,
    names::{RESERVED_TAGS, is_name, is_reserved_command},
    problems::{Located, Place, Problems},
    template::{Piece, pieces},
};

/// Reads a command. Defaults are filled in when the systems are known.
pub(in crate::catalogue) fn command(
    key: &str,
    source: &Source<'_>,
    references: &mut References,
    problems: &Problems,
) -> Option<Command> {
    if is_reserved_command(key) {
        problems.add(
            &Place::file(source.path),
            format!("a command cannot be called \"{key}\": Quarterdeck or the rules know that name already"),
            "Rename the file, and name in it.",
        );
    }
    let table = source.parse(problems);
    let mut file = Section::whole(source, &table, problems);
    if let Some(name) = file.text("name")
        && name.value != key
    {
        file.wrong(
            &name.place,
            format!("name = \"{}\" is not the file's name", name.value),
            format!("Write name = \"{key}\", or rename the file to {}.toml.", name.value),
        );
    }
    let summary = file.required_line("summary", "summary = \"Deploy a version of an application\"");
    let help = file.text("help");
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
    let emergency = file.boolean("emergency").unwrap_or(false);
    let private = file.word("answer", &[("room", false), ("private", true)]).unwrap_or(false);
    let records = file.word("output", &[("text", false), ("records", true)]).unwrap_or(false);
    let subject = file.text("subject");
    let phrases = file.texts("phrases");
    let docs = file.text("docs");
    let examples = file.texts("examples");
    let read: Vec<_> =
        file.sections("argument", "[[argument]]").into_iter().filter_map(arguments::argument).collect();
    let names: Vec<&str> = read.iter().map(|read| read.argument.name.as_str()).collect();
    check_arguments(&read, problems);
    if emergency {
        check_reason(&read, source, problems);
    }

    let templates = Templates { problems, arguments: &read, names: &names };
    if let Some(subject) = &subject {
        templates.check(subject, "subject", true);
    }
    for phrase in &phrases {
        templates.check(phrase, "the phrase", false);
    }
    if !file.has("run") {
        file.wrong(
            &Place::file(source.path),
            "[run] is missing",
            "Add [run] with executor = \"process\" and program = \"/absolute/path\".",
        );
    }
    let run = file.section("run", "[run]").and_then(|run| read_any(key, run, &templates, references));
    let dry = dry::dry(key, &mut file, run.as_ref(), &templates, references);
    let schedule = file.section("schedule", "[schedule]").and_then(|section| schedule(key, section));
    file.finish();

    references.subjects.extend(subject.iter().cloned().map(|subject| (key.to_owned(), subject)));
    references.documents.extend(docs.iter().cloned());
    references.phrases.extend(phrases.iter().cloned().map(|phrase| (key.to_owned(), phrase)));
    let mut arguments = Vec::new();
    for (index, read) in read.into_iter().enumerate() {
        references.defaults.extend(read.default.map(|default| (key.to_owned(), index, default)));
        arguments.push(read.argument);
    }
    Some(Command {
        name: key.to_owned(),
        summary: summary?.value,
        help: help.map(|help| help.value).unwrap_or_default(),
        effect: effect?,
        tags: tags.into_iter().map(|tag| tag.value).chain(emergency.then(|| EMERGENCY.to_owned())).collect(),
        subject: subject.map(|subject| subject.value),
        phrases: phrases.into_iter().map(|phrase| phrase.value).collect(),
        docs: docs.map(|docs| docs.value),
        examples: examples.into_iter().map(|example| example.value).collect(),
        arguments,
        private,
        records,
        schedule,
        run: run?,
        dry,
        is_dry: false,
    })
}

/// Reads how a command is run, by whichever executor.
pub(super) fn read_any(
    key: &str,
    mut run: Section<'_>,
    templates: &Templates<'_>,
    references: &mut References,
) -> Option<Run> {
    match run.text("executor").as_ref().map(|executor| executor.value.as_str()) {
        Some("http") => {
            let http = http::http(&mut run, templates, references);
            read_rest(run, templates, http.map(|http| RunKind::Http(Box::new(http))))
        }
        Some("ssh") => {
            let ssh = ssh::ssh(key, &mut run, templates, references);
            read_rest(run, templates, ssh.map(|ssh| RunKind::Ssh(Box::new(ssh))))
        }
        Some("chatops_rpc") => {
            let rpc = endpoint::rpc(key, &mut run, templates, references);
            read_rest(run, templates, rpc.map(|rpc| RunKind::ChatopsRpc(Box::new(rpc))))
        }
        _ => read_run(run, templates, references),
    }
}

/// `[schedule]`. Whether room, person and line are what they should be is known when the whole folder is read.
fn schedule(key: &str, mut section: Section<'_>) -> Option<Schedule> {
    let cron = section.required_text("cron", "cron = \"0 9 * * MON-FRI\"");
    let who = section.required_text("as", "as = \"@alice:example.org\"");
    let room = section.required_text("room", "room = \"deploy\"");
    let zone = section.text("zone");
    let line = section.line("line");
    let who = who.and_then(|who| {
        let user = OwnedUserId::try_from(who.value.as_str()).ok();
        if user.is_none() {
            section.wrong(
                &who.place,
                format!("as = \"{}\" is no MXID", who.value),
                "Write the whole of it: \"@alice:example.org\".",
            );
        }
        user
    });
    if let Some(cron) = &cron
        && let Err(fault) = Timetable::read(&cron.value, zone.as_ref().map_or("UTC", |zone| &zone.value))
    {
        section.wrong(&cron.place, fault, "Mend cron or zone of [schedule].");
    }
    section.finish();
    Some(Schedule {
        cron: cron?.value,
        zone: zone.map(|zone| zone.value),
        who: who?,
        room: room?.value,
        line: line.map_or_else(|| key.to_owned(), |line| line.value),
    })
}

pub(super) fn effect(file: &mut Section<'_>) -> Option<Effect> {
    if !file.has("effect") {
        let _ = file.required_text(
            "effect",
            "effect = \"read\" (it only looks), \"change\" or \"danger\" (it may destroy something)",
        );
        return None;
    }
    file.word("effect", &[("read", Effect::Read), ("change", Effect::Change), ("danger", Effect::Danger)])
}

/// Names once, what must be given before what may be, the rest last.
fn check_arguments(read: &[arguments::Read], problems: &Problems) {
    for (index, one) in read.iter().enumerate() {
        let name = &one.argument.name;
        if read[..index].iter().any(|earlier| earlier.argument.name == *name) {
            problems.add(
                &one.place,
                format!("there are two arguments called \"{name}\""),
                "Rename one of them.",
            );
        }
        if one.argument.rest && index + 1 < read.len() {
            problems.add(
                &one.place,
                format!("\"{name}\" takes the rest of the line and is not the last argument"),
                "Move it to the end, or remove rest = true.",
            );
        }
        if one.argument.required && read[..index].iter().any(|earlier| !earlier.argument.required) {
            problems.add(
                &one.place,
                format!("\"{name}\" must be given and stands after one that need not be"),
                "Move it before the optional arguments, so that both can go by position.",
            );
        }
    }
}

/// A command of emergency asks for a reason.
fn check_reason(read: &[arguments::Read], source: &Source<'_>, problems: &Problems) {
    let reason = read.iter().find(|one| one.argument.name == "reason");
    let asked = reason.is_some_and(|one| {
        one.argument.required
            && one.default.is_none()
            && matches!(one.argument.kind, ArgumentType::Text { .. })
    });
    if !asked {
        problems.add(
            &reason.map_or_else(|| Place::file(source.path), |one| one.place.clone()),
            "a command of emergency must ask for a reason",
            "Add an [[argument]] with name = \"reason\", type = \"text\", min_length = 10 and rest = true, as the last one.",
        );
    }
}

/// Checks templates against the arguments of their command.
pub(super) struct Templates<'a> {
    problems: &'a Problems,
    arguments: &'a [arguments::Read],
    names: &'a [&'a str],
}

impl Templates<'_> {
    /// The names of the arguments.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().copied()
    }

    fn argument(&self, name: &str) -> Option<(&Argument, bool)> {
        self.arguments
            .iter()
            .find(|read| read.argument.name == name)
            .map(|read| (&read.argument, read.argument.required || read.default.is_some()))
    }

    /// Every name is declared; where `always`, also that each always has a value.
    pub(super) fn check(&self, template: &Located<String>, what: &str, always: bool) {
        match pieces(&template.value) {
            Err(fault) => self.problems.add(
                &template.place,
                format!("{what} \"{}\" cannot be read: {fault}", template.value),
                "Write {name} for an argument, and {{ or }} for a brace itself.",
            ),
            Ok(pieces) => {
                for piece in pieces {
                    let Piece::Argument(name) = piece else { continue };
                    match self.argument(&name) {
                        None => {
                            let mend = did_you_mean(&name, self.names.iter().copied(), || {
                                if self.names.is_empty() {
                                    "This command has no arguments: add an [[argument]].".to_owned()
                                } else {
                                    format!("Declared are: {}.", self.names.join(", "))
                                }
                            });
                            self.problems.add(
                                &template.place,
                                format!("{what} names an argument \"{name}\" that is not declared"),
                                mend,
                            );
                        }
                        Some((_, false)) if always => self.problems.add(
                            &template.place,
                            format!("{what} needs \"{name}\", which may be left out"),
                            format!("Give \"{name}\" a default, or remove required = false."),
                        ),
                        Some(_) => {}
                    }
                }
            }
        }
    }
}

fn read_run(mut file: Section<'_>, templates: &Templates<'_>, references: &mut References) -> Option<Run> {
    let executor = file.required_text("executor", "executor = \"process\"");
    let known = executor.is_some_and(|executor| {
        if executor.value != "process" {
            file.wrong(
                &executor.place,
                format!("executor = \"{}\" is not known", executor.value),
                "Write executor = \"process\", \"ssh\", \"http\" or \"chatops_rpc\".",
            );
        }
        executor.value == "process"
    });
    let program = file.required_text("program", "program = \"/absolute/path\"");
    if let Some(program) = &program
        && !program.value.starts_with('/')
    {
        file.wrong(
            &program.place,
            format!("program = \"{}\" is not absolute", program.value),
            "Write the whole path of the program: nothing is searched for, and no shell is asked.",
        );
    }
    let arguments = file.vector("arguments");
    for argument in &arguments {
        templates.check(argument, "the argument vector", false);
    }
    let folder = file.text("folder");
    if let Some(folder) = folder.as_ref().filter(|folder| !folder.value.starts_with('/')) {
        file.wrong(
            &folder.place,
            format!("folder = \"{}\" is not absolute", folder.value),
            "Write its whole path.",
        );
    }
    let environment = file.text_table("environment");
    let credentials = credentials(&mut file, &environment, &arguments);
    for (name, value) in &environment {
        if let Some(used) =
            templates.names.iter().find(|argument| value.value.contains(&format!("{{{argument}}}")))
        {
            file.wrong(
                &value.place,
                format!("{name} names the argument \"{used}\", and the environment takes no arguments"),
                "Pass it in arguments = [...].",
            );
        }
    }
    references.secrets.extend(credentials.secrets().cloned());
    let user = file.text("user");
    let limits = file.section("limits", "[run.limits]").map_or_else(Limits::default, read_limits);
    let sandbox = confined(&mut file);
    if let (crate::model::Sandbox::None, Some(first)) = (&sandbox, credentials.files.values().next()) {
        file.wrong(
            &first.place,
            "without a sandbox there is no private /tmp for credential_files",
            "Remove sandbox = \"none\", or give the secret in credentials or credential_input.",
        );
    }
    let out = file.boolean("out").unwrap_or(false);
    if out && let Some(named) = environment.get(OUT_VARIABLE) {
        file.wrong(
            &named.place,
            format!("{OUT_VARIABLE} names the out folder"),
            format!("Remove {OUT_VARIABLE} here: with out = true it is set for each run."),
        );
    }
    let timeout = file.duration("timeout").unwrap_or(60);
    let (lock, on_busy) = file.lock(templates);
    let idempotent = file.boolean("idempotent").unwrap_or(false);
    file.finish();
    if !known {
        return None;
    }
    let plain = |table: BTreeMap<String, Located<String>>| {
        table.into_iter().map(|(name, value)| (name, value.value)).collect()
    };
    Some(Run {
        kind: RunKind::Process(Box::new(ProcessRun {
            program: PathBuf::from(program?.value),
            arguments: arguments.into_iter().map(|argument| argument.value).collect(),
            folder: folder.map(|folder| PathBuf::from(folder.value)),
            environment: plain(environment),
            credentials: plain(credentials.environment),
            credential_files: plain(credentials.files),
            credential_input: credentials.input.map(|input| input.value),
            user: user.map(|user| user.value),
            limits,
            sandbox,
            out,
        })),
        timeout: SignedDuration::from_secs(timeout),
        lock: lock.map(|lock| lock.value),
        on_busy,
        idempotent,
    })
}

/// What every kind has, beside its own.
fn read_rest(mut file: Section<'_>, templates: &Templates<'_>, kind: Option<RunKind>) -> Option<Run> {
    let timeout = file.duration("timeout").unwrap_or(60);
    let (lock, on_busy) = file.lock(templates);
    let idempotent = file.boolean("idempotent").unwrap_or(false);
    file.finish();
    Some(Run {
        kind: kind?,
        timeout: SignedDuration::from_secs(timeout),
        lock: lock.map(|lock| lock.value),
        on_busy,
        idempotent,
    })
}

impl Section<'_> {
    /// `lock`, where it is given not an empty text, and `on_busy`, which needs one.
    fn lock(&mut self, templates: &Templates<'_>) -> (Option<Located<String>>, OnBusy) {
        let lock = self.text("lock").filter(|lock| {
            let named = !lock.value.trim().is_empty();
            if named {
                templates.check(lock, "the lock", true);
            } else {
                self.wrong(
                    &lock.place,
                    "the lock has no name",
                    "Write lock = \"deploy-{env}\", or remove it.",
                );
            }
            named
        });
        let said = self.text("on_busy");
        let words = [("queue", OnBusy::Queue), ("refuse", OnBusy::Refuse)];
        let on_busy = self.word("on_busy", &words).unwrap_or_default();
        if let Some(said) = said.filter(|_| lock.is_none()) {
            self.wrong(
                &said.place,
                "on_busy says what becomes of it while its lock is taken, and it has no lock",
                "Add lock = \"...\", or remove on_busy.",
            );
        }
        (lock, on_busy)
    }
}

fn read_limits(mut file: Section<'_>) -> Limits {
    let default = Limits::default();
    let count = |found: Option<Located<i64>>| found.and_then(|count| u64::try_from(count.value).ok());
    let limits = Limits {
        memory: file.bytes("memory").unwrap_or(default.memory),
        cpu: file.duration("cpu").and_then(|seconds| u64::try_from(seconds).ok()).or(default.cpu),
        files: count(file.integer("files", 8, 1_000_000)).unwrap_or(default.files),
        file_size: file.bytes("file_size").unwrap_or(default.file_size),
        processes: count(file.integer("processes", 1, 1_000_000)).or(default.processes),
        output: file.output().unwrap_or(default.output),
    };
    file.finish();
    limits
}

/// Whether an argument's value can be part of a subject.
pub(in crate::catalogue) const fn fits_subject(kind: &ArgumentType) -> bool {
    matches!(kind, ArgumentType::System | ArgumentType::Choice(_))
}
