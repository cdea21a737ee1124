//! The hosts that commands name: each must have a file.

use std::collections::BTreeSet;

use super::Everything;
use crate::catalogue::{
    ArgumentType, RunKind,
    names::did_you_mean,
    problems::{Located, Problems},
    read::References,
    template::{Piece, pieces},
};

/// Gives each command the hosts that it may name.
pub(super) fn of_commands(everything: &mut Everything, references: &References, problems: &Problems) {
    let keys: BTreeSet<String> = everything.keys("hosts").into_iter().map(str::to_owned).collect();
    for (name, host) in &references.hosts {
        let named = named(everything, name, host, problems);
        for one in named {
            if !keys.contains(&one) {
                let mend = did_you_mean(&one, keys.iter().map(String::as_str), || {
                    format!("Write hosts/{one}.toml with its address, user and keys.")
                });
                problems.add(&host.place, format!("no host is called \"{one}\""), mend);
            }
            let declared = everything.hosts.get(&one).cloned();
            let (Some(command), Some(declared)) = (everything.commands.get_mut(name), declared) else {
                continue;
            };
            for run in std::iter::once(&mut command.run).chain(&mut command.dry) {
                if let RunKind::Ssh(ssh) = &mut run.kind
                    && ssh.hosts.contains(&host.value)
                {
                    ssh.declared.insert(one.clone(), declared.clone());
                }
            }
        }
    }
}

/// The names that a host of a command can be.
fn named(everything: &Everything, command: &str, host: &Located<String>, problems: &Problems) -> Vec<String> {
    match pieces(&host.value).unwrap_or_default().as_slice() {
        [Piece::Text(name)] => vec![name.clone()],
        [Piece::Argument(name)] => {
            let argument = everything
                .commands
                .get(command)
                .and_then(|command| command.arguments.iter().find(|argument| argument.name == *name));
            let Some(argument) = argument else { return Vec::new() };
            let kind = match &argument.kind {
                ArgumentType::List { items, .. } => items,
                kind => kind,
            };
            if let ArgumentType::Choice(choices) = kind {
                return choices.clone();
            }
            problems.add(
                &host.place,
                format!("the hosts are made of \"{name}\", which is {}", argument.kind.name()),
                "Make that argument a choice of hosts, or a list of such choices.",
            );
            Vec::new()
        }
        _ => Vec::new(),
    }
}
