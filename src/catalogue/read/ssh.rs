//! The `[run]` of a command whose executor is `ssh`.

use std::collections::BTreeMap;

use super::{References, command::Templates, section::Section};
use crate::catalogue::{
    OUTPUT, SshRun,
    template::{Piece, pieces},
};

/// Reads what is run and where. Which hosts its names mean is filled in when all hosts are read.
pub(super) fn ssh(
    command: &str,
    file: &mut Section<'_>,
    templates: &Templates<'_>,
    references: &mut References,
) -> Option<SshRun> {
    let hosts = file.texts("hosts");
    if hosts.is_empty() {
        file.wrong(
            &file.place,
            "hosts is missing in [run]",
            "Add hosts = [\"web1\", \"web2\"]: files of hosts/, without .toml. Or [\"{host}\"], with a choice of them.",
        );
    }
    for host in &hosts {
        templates.check(host, "the host", false);
        let whole = matches!(pieces(&host.value).as_deref(), Ok([Piece::Text(_) | Piece::Argument(_)]));
        if !whole {
            file.wrong(
                &host.place,
                format!("\"{}\" is neither the name of a host nor one argument", host.value),
                "Write \"web1\", or \"{host}\" with an argument whose choices are hosts.",
            );
        }
    }
    references.hosts.extend(hosts.iter().cloned().map(|host| (command.to_owned(), host)));
    let program = file.required_text("program", "program = \"/absolute/path\", on these hosts");
    if let Some(program) = &program
        && !program.value.starts_with('/')
    {
        file.wrong(
            &program.place,
            format!("program = \"{}\" is not absolute", program.value),
            "Write the whole path of the program on those hosts: nothing is searched for there.",
        );
    }
    let arguments = file.vector("arguments");
    for argument in &arguments {
        templates.check(argument, "the argument vector", false);
    }
    let key = file.required_text("key", "key = \"deploy-key\": the secret that holds the private key");
    references.secrets.extend(key.clone());
    let parallel = file.integer("parallel", 1, 64).and_then(|count| usize::try_from(count.value).ok());
    let keep_going = file.boolean("keep_going").unwrap_or(false);
    let output = file.output();
    Some(SshRun {
        hosts: hosts.into_iter().map(|host| host.value).collect(),
        declared: BTreeMap::new(),
        program: program?.value,
        arguments: arguments.into_iter().map(|argument| argument.value).collect(),
        key: key?.value,
        parallel: parallel.unwrap_or(4),
        keep_going,
        output: output.unwrap_or(OUTPUT),
    })
}
