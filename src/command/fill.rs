//! Templates filled with the values of an invocation.

use crate::{
    catalogue::{
        Command, RunKind,
        template::{Piece, pieces},
    },
    model::Invocation,
};

/// The template with every argument in its place; nothing where it names one that has no value.
pub fn fill(template: &str, invocation: &Invocation) -> Option<String> {
    let mut text = String::new();
    for piece in pieces(template).ok()? {
        match piece {
            Piece::Text(plain) => text.push_str(&plain),
            Piece::Argument(name) => text.push_str(&invocation.arguments.get(&name)?.to_string()),
        }
    }
    Some(text)
}

/// The argument vector of a program, here or elsewhere: each template gives exactly one element, and one that names
/// an absent argument none. Empty for other kinds.
pub fn argument_vector(command: &Command, invocation: &Invocation) -> Vec<String> {
    match &command.run.kind {
        RunKind::Process(process) => {
            process.arguments.iter().filter_map(|template| fill(template, invocation)).collect()
        }
        RunKind::Ssh(ssh) => ssh.arguments.iter().filter_map(|template| fill(template, invocation)).collect(),
        RunKind::Builtin | RunKind::Http(_) | RunKind::ChatopsRpc(_) => Vec::new(),
    }
}

/// The name of the lock that a run needs, where its command has one.
pub fn lock(command: &Command, invocation: &Invocation) -> Option<String> {
    fill(command.run.lock.as_deref()?, invocation)
}
