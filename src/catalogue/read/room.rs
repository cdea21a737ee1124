//! `rooms/*.toml`.

use std::collections::BTreeSet;

use ruma::RoomAliasId;

use super::{References, Source, section::Section};
use crate::catalogue::{
    Answers, Join, Room, Settings,
    problems::{Located, Place, Problems},
};

/// Reads a room. Its commands are filled in when all commands are known.
pub(in crate::catalogue) fn room(
    key: &str,
    source: &Source<'_>,
    settings: Option<&Settings>,
    references: &mut References,
    problems: &Problems,
) -> Option<Room> {
    let table = source.parse(problems);
    let mut file = Section::whole(source, &table, problems);
    let alias = file
        .text("alias")
        .unwrap_or_else(|| Located { value: key.to_owned(), place: Place::file(source.path) });
    let name = file.required_line("name", "name = \"Deployments\"");
    let purpose = file.required_line("purpose", "purpose = \"Deploy and roll back applications\"");
    for command in file.texts("commands") {
        references.commands.push((key.to_owned(), command));
    }
    let teams = file.texts("teams");
    let join = file
        .word("join", &[("invite", Join::Invite), ("knock", Join::Knock), ("open", Join::Open)])
        .unwrap_or(Join::Invite);
    let answers = file
        .word("answers", &[("thread", Answers::Thread), ("timeline", Answers::Timeline)])
        .unwrap_or(Answers::Thread);
    let log = file.boolean("log").unwrap_or(false);
    file.finish();

    references.teams.extend(teams.iter().cloned());
    let settings = settings?;
    let whole = whole_alias(&alias.value, settings);
    let alias = match RoomAliasId::parse(&whole) {
        Ok(id) if is_ours(&whole, settings) => id,
        _ => {
            problems.add(
                &alias.place,
                format!("\"{}\" makes no alias of ours: {whole}", alias.value),
                format!(
                    "Write lower-case letters, digits and - alone; the alias becomes #{}NAME:{}.",
                    settings.alias_prefix, settings.server_name
                ),
            );
            return None;
        }
    };
    Some(Room {
        key: key.to_owned(),
        alias,
        name: name?.value,
        purpose: purpose?.value,
        commands: BTreeSet::new(),
        teams: teams.into_iter().map(|team| team.value).collect(),
        join,
        answers,
        log,
    })
}

/// `deploy` becomes `#ops-deploy:example.org`; a whole alias stays.
fn whole_alias(alias: &str, settings: &Settings) -> String {
    if alias.starts_with('#') {
        return alias.to_owned();
    }
    format!("#{}{alias}:{}", settings.alias_prefix, settings.server_name)
}

/// Whether the alias lies in the namespace of the registration.
fn is_ours(alias: &str, settings: &Settings) -> bool {
    alias
        .strip_prefix('#')
        .and_then(|rest| rest.strip_suffix(settings.server_name.as_str()))
        .and_then(|rest| rest.strip_suffix(':'))
        .and_then(|rest| rest.strip_prefix(&settings.alias_prefix))
        .is_some_and(|rest| {
            !rest.is_empty()
                && rest.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
        })
}
