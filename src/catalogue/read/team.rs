//! `teams/*.toml`.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedServerName, OwnedUserId, ServerName};

use super::{Source, section::Section, settings::mxid};
use crate::catalogue::{
    Team,
    problems::{Place, Problems},
};

/// Reads a team.
pub(in crate::catalogue) fn team(key: &str, source: &Source<'_>, problems: &Problems) -> Team {
    if key == "leads" || key == "total" || key.ends_with("-leads") {
        problems.add(
            &Place::file(source.path),
            format!("a team cannot be called \"{key}\": the rules know that name already"),
            "Rename the file: leads, total and names ending in -leads are taken.",
        );
    }
    let table = source.parse(problems);
    let mut file = Section::whole(source, &table, problems);
    let summary = file.line("summary");
    if !file.has("homeservers") {
        file.wrong(
            &Place::file(source.path),
            "homeservers is missing",
            "Add homeservers = [\"example.org\"]: where its members come from.",
        );
    }
    let mut homeservers: BTreeSet<OwnedServerName> = BTreeSet::new();
    for name in file.texts("homeservers") {
        match ServerName::parse(&name.value) {
            Ok(server) => {
                homeservers.insert(server);
            }
            Err(_) => file.wrong(
                &name.place,
                format!("\"{}\" is no server name", name.value),
                "Write what stands after the colon of an MXID: \"example.org\".",
            ),
        }
    }
    let mut users: BTreeSet<OwnedUserId> = BTreeSet::new();
    let mut leads: BTreeSet<OwnedUserId> = BTreeSet::new();
    for (key, into) in [("users", &mut users), ("leads", &mut leads)] {
        for text in file.texts(key) {
            let Some(user) = mxid(&text, problems) else { continue };
            if !homeservers.contains(user.server_name()) {
                let mend = if homeservers.is_empty() {
                    format!("Add homeservers = [\"{}\"].", user.server_name())
                } else {
                    format!("Add \"{}\" to homeservers, or take the user out.", user.server_name())
                };
                file.wrong(&text.place, format!("{user} is not of this team's homeservers"), mend);
            }
            into.insert(user);
        }
    }
    let mut local: BTreeMap<u32, OwnedUserId> = BTreeMap::new();
    for mut entry in file.sections("local", "[[local]]") {
        let uid = entry.integer("uid", 0, i64::from(u32::MAX) - 1);
        let text = entry.required_text("user", "user = \"@alice:example.org\"");
        if uid.is_none() && !entry.has("uid") {
            let place = entry.place.clone();
            entry.wrong(
                &place,
                "uid is missing in [[local]]",
                "Add uid = 1000: what `id -u` prints for that person.",
            );
        }
        let user = text.as_ref().and_then(|text| mxid(text, problems));
        if let Some((text, user)) = text.as_ref().zip(user.as_ref())
            && !users.contains(user)
            && !leads.contains(user)
        {
            entry.wrong(
                &text.place,
                format!("{user} is not in this team"),
                "Write the line into a team that the user is in, or add the user to users.",
            );
        }
        if let Some((uid, user)) = uid.zip(user)
            && let Ok(number) = u32::try_from(uid.value)
            && local.insert(number, user).is_some()
        {
            entry.wrong(&uid.place, format!("uid = {number} stands twice"), "Remove one of them.");
        }
        entry.finish();
    }
    file.finish();
    users.extend(leads.iter().cloned());
    Team {
        key: key.to_owned(),
        summary: summary.map(|summary| summary.value).unwrap_or_default(),
        homeservers,
        users,
        leads,
        local,
    }
}
