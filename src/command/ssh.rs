//! The program that an invocation of an `ssh` command runs on other hosts, and how its arguments get there whole.
//!
//! What SSH carries is one line, which the user's shell there takes apart (RFC 4254, section 6.5). So every element is
//! quoted such that shells of the Bourne kind, and fish, give it back as it was.

use std::collections::BTreeSet;

use super::fill::{argument_vector, fill};
use crate::{
    catalogue::{
        Command, SshHost, SshRun,
        template::{Piece, pieces},
    },
    model::{Invocation, Value},
};

/// What is run, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshCommand {
    /// The hosts with their names, each once, in the order of the command's file.
    pub hosts: Vec<(String, SshHost)>,
    /// The program, and its arguments.
    pub words: Vec<String>,
}

/// The command, with every argument in its place.
///
/// # Errors
///
/// That it names no host, or one that is not declared, in words.
pub fn ssh_command(ssh: &SshRun, command: &Command, invocation: &Invocation) -> Result<SshCommand, String> {
    let mut hosts = Vec::new();
    let mut seen = BTreeSet::new();
    for name in ssh.hosts.iter().flat_map(|template| names(template, invocation)) {
        let host = ssh
            .declared
            .get(&name)
            .ok_or_else(|| format!("{name:?} is not among the hosts that this command declares"))?;
        if seen.insert(name.clone()) {
            hosts.push((name, host.clone()));
        }
    }
    if hosts.is_empty() {
        return Err("no host is named".to_owned());
    }
    let mut words = vec![ssh.program.clone()];
    words.extend(argument_vector(command, invocation));
    if words.iter().any(|word| word.contains('\0')) {
        return Err("an argument holds a NUL, which no program can be given".to_owned());
    }
    Ok(SshCommand { hosts, words })
}

fn names(template: &str, invocation: &Invocation) -> Vec<String> {
    if let Ok([Piece::Argument(name)]) = pieces(template).as_deref()
        && let Some(Value::List(several)) = invocation.arguments.get(name)
    {
        return several.iter().map(ToString::to_string).collect();
    }
    fill(template, invocation).into_iter().collect()
}

/// A word such that a shell gives back exactly it: quotes around all but `'` and `\`, which shells read differently
/// within quotes.
pub fn quoted_for_a_shell(word: &str) -> String {
    let mut line = String::with_capacity(word.len() + 2);
    let mut within = false;
    for c in word.chars() {
        let outside = matches!(c, '\'' | '\\');
        if within == outside {
            line.push('\'');
            within = !within;
        }
        match c {
            '\'' => line.push_str("\"'\""),
            '\\' => line.push_str("\\\\"),
            other => line.push(other),
        }
    }
    if within || word.is_empty() {
        line.push_str(if word.is_empty() { "''" } else { "'" });
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_stays_something() {
        assert_eq!(quoted_for_a_shell(""), "''");
        assert_eq!(quoted_for_a_shell("a b"), "'a b'");
        assert_eq!(quoted_for_a_shell("it's\\"), "'it'\"'\"'s'\\\\");
    }

    proptest! {
        #[test]
        fn one_word_stays_one_word(words in prop::collection::vec("\\PC{0,20}|[ '\"\\\\$`;\n!&|*~#]{0,8}", 1..5)) {
            let line = words.iter().map(|word| quoted_for_a_shell(word)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(shell_words::split(&line).unwrap(), words);
        }
    }
}
