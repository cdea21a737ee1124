//! `systems/*.toml`.

use std::collections::BTreeMap;

use url::Url;

use super::{References, Source, section::Section};
use crate::catalogue::{Criticality, System, names::is_environment_name, problems::Problems};

/// Reads a system.
pub(in crate::catalogue) fn system(
    key: &str,
    source: &Source<'_>,
    references: &mut References,
    problems: &Problems,
) -> Option<System> {
    let table = source.parse(problems);
    let mut file = Section::whole(source, &table, problems);
    let summary = file.line("summary");
    let owner = file.required_text("owner", "owner = \"TEAM\": a file of teams/, without .toml");
    let criticality = file
        .word(
            "criticality",
            &[("low", Criticality::Low), ("normal", Criticality::Normal), ("high", Criticality::High)],
        )
        .unwrap_or(Criticality::Normal);
    let environments = file.texts("environments");
    for environment in environments.iter().filter(|environment| !is_environment_name(&environment.value)) {
        file.wrong(
            &environment.place,
            format!("\"{}\" is no name of an environment", environment.value),
            "Write lower-case letters, digits and . _ - alone, a letter first.",
        );
    }
    let status = file.texts("status");
    let mut links = BTreeMap::new();
    for (name, link) in file.text_table("links") {
        if !Url::parse(&link.value).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            file.wrong(
                &link.place,
                format!("\"{}\" is no link", link.value),
                "Write a whole address that begins with https:// or http://.",
            );
        }
        links.insert(name, link.value);
    }
    file.finish();
    let owner = owner?;
    references.teams.push(owner.clone());
    Some(System {
        key: key.to_owned(),
        summary: summary.map(|summary| summary.value).unwrap_or_default(),
        owner: owner.value,
        criticality,
        environments: environments.into_iter().map(|environment| environment.value).collect(),
        status: status.into_iter().map(|line| line.value).collect(),
        links,
    })
}
