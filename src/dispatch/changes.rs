//! What is different between two versions of the ops folder, in words. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::in_force::InForce;
use crate::{catalogue::Listing, model::Span, policy::Rules};

/// How many differences are told one by one.
const MOST: usize = 40;

/// The differences, the rules first: an item each.
pub fn between(old: &InForce, new: &InForce) -> Vec<Vec<Span>> {
    let mut items = rules(&old.rules, &new.rules);
    teams(old, new, &mut items);
    for (folder, what) in
        [("commands/", "command"), ("rooms/", "room"), ("systems/", "system"), ("endpoints/", "endpoint")]
    {
        files(old, new, folder, what, &mut items);
    }
    methods(old, new, &mut items);
    let settings = |it: &InForce| it.ops.files.get("quarterdeck.toml").cloned();
    if settings(old) != settings(new) {
        items.push(vec![Span::text("the settings are changed")]);
    }
    let documents = |it: &InForce| -> BTreeMap<String, String> {
        it.ops.documents.iter().map(|one| (one.path.clone(), one.text.clone())).collect()
    };
    if documents(old) != documents(new) {
        items.push(vec![Span::text("runbooks are changed")]);
    }
    if old.ops.secrets != new.ops.secrets {
        items.push(vec![Span::text("where secrets come from is changed")]);
    }
    if items.is_empty() && old.ops.digest != new.ops.digest {
        items.push(vec![Span::text("nothing that the rules, rooms or commands show")]);
    }
    if let Some(more) = items.len().checked_sub(MOST).filter(|more| *more > 0) {
        items.truncate(MOST);
        items.push(vec![Span::text(format!("and {more} more"))]);
    }
    items
}

fn rules(old: &Rules, new: &Rules) -> Vec<Vec<Span>> {
    let told = |rules: &Rules, id: &str, how: &str| {
        let mut spans = vec![Span::text("rule "), Span::code(id), Span::text(format!(" {how}"))];
        if let Some(says) = rules.says(id) {
            spans.extend([Span::text(": "), Span::emphasis(says)]);
        }
        spans
    };
    let gone = old.ids().filter(|id| new.text(id).is_none()).map(|id| told(old, id, "removed"));
    let come = new.ids().filter_map(|id| match old.text(id) {
        None => Some(told(new, id, "added")),
        Some(before) if Some(before) != new.text(id) => Some(told(new, id, "changed")),
        Some(_) => None,
    });
    gone.chain(come).collect()
}

fn teams(old: &InForce, new: &InForce, items: &mut Vec<Vec<Span>>) {
    let keys: BTreeSet<_> = old.ops.teams.keys().chain(new.ops.teams.keys()).collect();
    for key in keys {
        let (before, after) = (old.ops.teams.get(key), new.ops.teams.get(key));
        let how = match (before, after) {
            (None, _) => " is new",
            (_, None) => " is gone",
            _ => "",
        };
        let names = |from: Option<&crate::catalogue::Team>, leads: bool| {
            from.map(|team| if leads { team.leads.clone() } else { team.users.clone() }).unwrap_or_default()
        };
        let mut parts = Vec::new();
        for (leads, joins, leaves) in [(false, "adds", "strikes"), (true, "led by", "no longer led by")] {
            let (were, are) = (names(before, leads), names(after, leads));
            for (verb, who) in [(joins, are.difference(&were)), (leaves, were.difference(&are))] {
                let who: Vec<_> = who.map(ToString::to_string).collect();
                if !who.is_empty() {
                    parts.push(format!("{verb} {}", who.join(", ")));
                }
            }
        }
        if !parts.is_empty() || !how.is_empty() {
            let colon = if parts.is_empty() { "" } else { ": " };
            items.push(vec![
                Span::text("team "),
                Span::code(key.clone()),
                Span::text(format!("{how}{colon}{}", parts.join("; "))),
            ]);
        } else if old.ops.files.get(&file("teams/", key)) != new.ops.files.get(&file("teams/", key)) {
            items.push(vec![Span::text("team "), Span::code(key.clone()), Span::text(" changed")]);
        }
    }
}

fn file(folder: &str, key: &str) -> String {
    format!("{folder}{key}.toml")
}

fn files(old: &InForce, new: &InForce, folder: &str, what: &str, items: &mut Vec<Vec<Span>>) {
    let paths: BTreeSet<_> =
        old.ops.files.keys().chain(new.ops.files.keys()).filter(|path| path.starts_with(folder)).collect();
    // What endpoints list is told by its methods.
    for path in paths.into_iter().filter(|path| path.strip_suffix(".toml").is_some()) {
        let how = match (old.ops.files.get(path), new.ops.files.get(path)) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(before), Some(after)) if before != after => "changed",
            _ => continue,
        };
        let key = path.trim_start_matches(folder).trim_end_matches(".toml");
        items.push(vec![
            Span::text(format!("{what} ")),
            Span::code(key.to_owned()),
            Span::text(format!(" {how}")),
        ]);
    }
}

/// What endpoints list otherwise than before.
fn methods(old: &InForce, new: &InForce, items: &mut Vec<Vec<Span>>) {
    for (key, endpoint) in &new.ops.endpoints {
        let before = old.ops.endpoints.get(key).and_then(|endpoint| endpoint.listing.as_ref());
        if before == endpoint.listing.as_ref() {
            continue;
        }
        let of = |listing: Option<&Listing>| listing.map(|it| it.methods.clone()).unwrap_or_default();
        let (before, after) = (of(before), of(endpoint.listing.as_ref()));
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let mut told = false;
        for name in names {
            let how = match (before.get(name), after.get(name)) {
                (None, _) => "offers the method ",
                (_, None) => "does not offer any longer the method ",
                (before, after) if before != after => "says otherwise of the method ",
                _ => continue,
            };
            told = true;
            items.push(vec![
                Span::text("endpoint "),
                Span::code(key.clone()),
                Span::text(format!(" {how}")),
                Span::code(name.clone()),
            ]);
        }
        if !told {
            items.push(vec![
                Span::text("endpoint "),
                Span::code(key.clone()),
                Span::text(" says otherwise of itself"),
            ]);
        }
    }
}
